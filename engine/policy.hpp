// Which interfaces an endpoint may use: the rules of its file `policy` (thesis 3.6).
//
//   prefer eth* wlan*       interface names (globs) or kinds: wired, wireless, cellular, vpn, loopback
//   require speed>=1000     Mbit/s; also family=ipv4 and family=ipv6
//   deny wwan*
//   stay                    change only when the current interface is lost
//
// One rule a line; `#` starts a comment.
#pragma once

#include <optional>
#include <string_view>

#include "engine/access.hpp"

namespace sessionfs {

/// The first line of `text` that is no rule; nothing when all are.
std::optional<RuleError> check_policy(std::string_view text);

}  // namespace sessionfs
