#include "sns/types.hpp"

#include <ctime>

namespace sessionfs::sns {

std::string to_text(UnixTime time) {
  const std::time_t seconds = to_seconds(time);
  std::tm parts{};
  char text[32];
  if (::gmtime_r(&seconds, &parts) == nullptr) return "unknown";
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

bool is_wire_status(std::uint8_t number) { return number <= static_cast<std::uint8_t>(Status::revoked); }

std::string_view describe(Status status) {
  switch (status) {
    case Status::ok:
      return "done";
    case Status::exists:
      return "this name is taken; choose another one";
    case Status::not_found:
      return "there is no such endpoint or service; check the name";
    case Status::not_member:
      return "this host is no member of the domain; join it with a token of: snsd token";
    case Status::bad_signature:
      return "the request is not signed by the key that owns this name; only the endpoint's own key can change it";
    case Status::stale_generation:
      return "the endpoint resides elsewhere by now; a residence with a higher generation has been announced";
    case Status::bad_name:
      return "this is no valid name; endpoints are called object@domain, services service.object@domain";
    case Status::wrong_domain:
      return "this name belongs to another domain; ask that domain's name server";
    case Status::bad_request:
      return "the name server does not understand the request; check that both run the same version";
    case Status::unsupported_version:
      return "the name server speaks another version of the protocol; update the older one";
    case Status::token_expired:
      return "this token has expired; ask for a new one with: snsd token";
    case Status::token_used:
      return "this token has been used; ask for a new one with: snsd token";
    case Status::token_unknown:
      return "the name server does not know this token; ask for a new one with: snsd token";
    case Status::limit:
      return "a limit of the name server is reached; remove what is not needed, or try again later";
    case Status::internal:
      return "the name server has a problem of its own; look at its log";
    case Status::revoked:
      return "the domain has revoked this key; ask its administrator, and see: snsd revoke --help";
    case Status::unreachable:
      return "the domain's name server cannot be reached; check its address and that snsd runs there";
    case Status::timed_out:
      return "the domain's name server has not answered in time; check its address and that snsd runs there";
    case Status::untrusted:
      return "who answers at the name server's address cannot prove to be it; check the address or join again";
  }
  return "unknown status";
}

}  // namespace sessionfs::sns
