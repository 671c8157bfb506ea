#include "fs/sessionctl/top/flows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace sessionfs::ctl {
namespace {

using Sessions = std::map<std::pair<std::string_view, std::string_view>, const SessionReport*>;

Sessions sessions_of(const HostReport& host) {
  Sessions all;
  for (const auto& endpoint : host.endpoints)
    for (const auto& session : endpoint.sessions) all[{endpoint.name, session.name}] = &session;
  return all;
}

// A stream that is shorter than before is another one's.
Count rate(const Count& before, const Count& now, std::chrono::duration<double> time) {
  if (!before || !now || *now < *before || time.count() <= 0) return std::nullopt;
  return static_cast<std::uint64_t>(static_cast<double>(*now - *before) / time.count());
}

int rank(const std::string& state) {
  constexpr std::array<std::string_view, 6> order{"interrupted", "resuming", "suspended", "moving", "active", "closed"};
  return static_cast<int>(std::ranges::find(order, state) - order.begin());
}

auto place(const Flow& flow) {
  const auto doublings = std::bit_width(flow.in.value_or(0) + flow.out.value_or(0));
  return std::tuple(-static_cast<int>(doublings), rank(flow.session.state), std::string_view(flow.endpoint),
                    std::string_view(flow.session.name));
}

}  // namespace

std::vector<Flow> flows(const std::optional<Look>& before, const Look& now) {
  const auto known = before ? sessions_of(before->host) : Sessions();
  std::vector<Flow> all;
  for (const auto& endpoint : now.host.endpoints) {
    for (const auto& session : endpoint.sessions) {
      Flow flow{endpoint.name, session, std::nullopt, std::nullopt};
      if (const auto then = known.find({endpoint.name, session.name}); then != known.end()) {
        flow.in = rate(then->second->received, session.received, now.at - before->at);
        flow.out = rate(then->second->acked, session.acked, now.at - before->at);
      }
      all.push_back(std::move(flow));
    }
  }
  std::ranges::sort(all, {}, place);
  return all;
}

}  // namespace sessionfs::ctl
