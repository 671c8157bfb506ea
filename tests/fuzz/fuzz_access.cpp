// The rules of an endpoint's file `access`, against a slow and plain reading of them.
//
// input: a line `SERVICE PEER` to ask for; the rules
#include <algorithm>

#include "engine/access.hpp"
#include "tests/fuzz/rules.hpp"

namespace sessionfs::fuzz {
namespace {

constexpr std::size_t max_compared_pattern_bytes = 256;

// By a table of which prefixes match which, so that no clever step can be wrong.
bool plain_match(std::string_view pattern, std::string_view text) {
  std::vector<bool> row(text.size() + 1, false);
  row[0] = true;
  for (const char p : pattern) {
    std::vector<bool> next(text.size() + 1, false);
    if (p == '*') {
      bool reached = false;
      for (std::size_t i = 0; i <= text.size(); ++i) next[i] = reached = reached || row[i];
    } else {
      for (std::size_t i = 0; i < text.size(); ++i) next[i + 1] = row[i] && (p == '?' || p == text[i]);
    }
    row = std::move(next);
  }
  return row[text.size()];
}

std::optional<RuleError> judge(std::string_view text) {
  const auto parsed = Access::parse(text);
  const auto* error = std::get_if<RuleError>(&parsed);
  return error == nullptr ? std::nullopt : std::optional(*error);
}

// For rules that parse.
std::optional<bool> plainly_allowed(std::string_view text, const std::string& service, const EndpointName& peer) {
  while (!text.empty()) {
    const auto words = words_of(next_line(text));
    if (words.empty()) continue;
    if (words[1].size() + words[2].size() > max_compared_pattern_bytes) return std::nullopt;
    if (plain_match(folded(words[1]), service) && plain_match(folded(words[2]), peer.str())) return words[0] == "allow";
  }
  return true;
}

void fuzz(std::string_view text) {
  const auto question = words_of(next_line(text));
  require_judged_by_line(text, judge);
  const AllocationMeter meter;
  const auto parsed = Access::parse(text);
  require(meter.bytes() <= 128 * text.size() + 4096, "parsing allocates no more than the input explains");
  const auto* access = std::get_if<Access>(&parsed);
  const auto service = question.empty() ? std::nullopt : parse_service_part(question[0]);
  const auto peer = question.size() < 2 ? std::nullopt : EndpointName::parse(question[1]);
  if (access == nullptr || !service || !peer) return;
  const auto expected = plainly_allowed(text, *service, *peer);
  require(!expected || access->allows(*service, *peer) == *expected, "the first rule that matches decides");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sessionfs::fuzz::fuzz(sessionfs::fuzz::text_of(sessionfs::fuzz::input_of(data, size)));
  return 0;
}
