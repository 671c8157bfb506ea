#include "sns/backup_text.hpp"

#include <arpa/inet.h>

#include "sns/backup.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::size_t max_quoted_bytes = 60;

}  // namespace

std::string quoted(std::string_view text) {
  std::string shown(text.substr(0, max_quoted_bytes));
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return "'" + shown + (text.size() > max_quoted_bytes ? "...'" : "'");
}

BackupLines::BackupLines(const std::function<std::size_t(std::span<char>)>& read)
    : read_(read), room_(backup_piece_bytes + max_backup_line_bytes) {}

void BackupLines::too_long() { throw BadLine("it is longer than " + std::to_string(max_backup_line_bytes) + " bytes"); }

std::optional<std::string_view> BackupLines::next() {
  ++number_;
  for (std::size_t looked = 0;;) {
    const std::string_view rest(room_.data() + at_, filled_ - at_);
    const auto end = rest.find('\n', looked);
    if (end != std::string_view::npos || ended_) {
      if (rest.empty()) return std::nullopt;
      const auto line = rest.substr(0, end);
      at_ += std::min(rest.size(), line.size() + 1);
      if (line.size() > max_backup_line_bytes) too_long();
      return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
    }
    looked = rest.size();
    if (looked > max_backup_line_bytes) too_long();
    std::copy(room_.begin() + static_cast<std::ptrdiff_t>(at_), room_.begin() + static_cast<std::ptrdiff_t>(filled_),
              room_.begin());
    filled_ -= at_;
    at_ = 0;
    const std::size_t more = read_(std::span(room_).subspan(filled_));
    filled_ += more;
    ended_ = more == 0;
  }
}
std::optional<UnixTime> parse_time(std::string_view text) {
  constexpr std::string_view form = "0000-00-00T00:00:00Z";
  if (text.size() != form.size()) return std::nullopt;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == '0' ? !is_digit : text[i] != form[i]) return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t digits) {
    return *parse_number<unsigned>(text.substr(at, digits));
  };
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(number(0, 4))),
                                         std::chrono::month(number(5, 2)), std::chrono::day(number(8, 2)));
  const auto hours = number(11, 2);
  const auto minutes = number(14, 2);
  const auto seconds = number(17, 2);
  if (!date.ok() || date.year() < std::chrono::year(1970) || hours > 23 || minutes > 59 || seconds > 59)
    return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
         std::chrono::seconds(seconds);
}

std::optional<Address> parse_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  Address address;
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    address.family = Family::v6;
  }
  const int family = address.family == Family::v6 ? AF_INET6 : AF_INET;
  // inet_pton() reads up to the first 0 only.
  if (!port || host.find('\0') != std::string::npos || ::inet_pton(family, host.c_str(), address.ip.data()) != 1)
    return std::nullopt;
  address.port = *port;
  return is_usable(address) ? std::optional(address) : std::nullopt;
}

}  // namespace sessionfs::sns
