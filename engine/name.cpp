#include "engine/name.hpp"

#include <algorithm>

namespace sessionfs {
namespace {

constexpr std::size_t max_domain_label_bytes = 63;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_object(std::string_view text) {
  if (text.empty() || text.size() > max_object_bytes) return false;
  if (!is_letter_or_digit(text.front()) || !is_letter_or_digit(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_word(std::string_view text, std::size_t limit) {
  if (text.empty() || text.size() > limit) return false;
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

bool is_domain(std::string_view text) {
  while (true) {
    const auto dot = text.find('.');
    const auto label = text.substr(0, dot);
    if (label.empty() || label.size() > max_domain_label_bytes) return false;
    if (label.front() == '-' || label.back() == '-') return false;
    if (!std::ranges::all_of(label, [](char c) { return is_letter_or_digit(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

std::string fold_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

std::optional<EndpointName> EndpointName::parse(std::string_view text) {
  if (text.size() > max_whole_name_bytes) return std::nullopt;
  std::string whole = fold_case(text);
  const auto at = whole.find('@');
  if (at == std::string::npos) return std::nullopt;
  if (!is_object(std::string_view(whole).substr(0, at)) || !is_domain(std::string_view(whole).substr(at + 1)))
    return std::nullopt;
  EndpointName name;
  name.whole_ = std::move(whole);
  return name;
}

std::string_view EndpointName::object() const { return std::string_view(whole_).substr(0, whole_.find('@')); }

std::string_view EndpointName::domain() const { return std::string_view(whole_).substr(whole_.find('@') + 1); }

std::optional<std::string> parse_service_part(std::string_view text) {
  if (text.size() > max_service_bytes) return std::nullopt;
  std::string word = fold_case(text);
  if (!is_word(word, max_service_bytes)) return std::nullopt;
  return word;
}

std::optional<std::string> parse_domain(std::string_view text) {
  if (text.size() > max_whole_name_bytes) return std::nullopt;
  std::string domain = fold_case(text);
  if (!is_domain(domain)) return std::nullopt;
  return domain;
}

std::optional<ServiceName> ServiceName::parse(std::string_view text) {
  if (text.size() > max_whole_name_bytes) return std::nullopt;
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  auto service = parse_service_part(text.substr(0, dot));
  auto endpoint = EndpointName::parse(text.substr(dot + 1));
  if (!service || !endpoint) return std::nullopt;
  return ServiceName{std::move(*service), std::move(*endpoint)};
}

std::optional<DialName> DialName::parse(std::string_view text) {
  const auto tilde = text.find('~');
  auto target = ServiceName::parse(text.substr(0, tilde));
  if (!target) return std::nullopt;
  DialName name{std::move(*target), {}};
  if (tilde != std::string_view::npos) {
    name.label = fold_case(text.substr(tilde + 1));
    if (!is_word(name.label, max_label_bytes)) return std::nullopt;
  }
  return name;
}

std::string incoming_session_name(std::string_view service, const EndpointName& peer, std::size_t number) {
  return std::string(service) + "~" + peer.str() + "~" + std::to_string(number);
}

}  // namespace sessionfs
