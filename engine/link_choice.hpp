// Which interface an endpoint uses now, and why: its policy, its user's wish (`rebind INTERFACE`), what interfaces
// there are, and how steady they were (thesis 3.6, 6.3). One for each endpoint.
//
// The choice, in this order:
//   1. the wish, while it may be used. A wish for another one has no effect; reason() says so.
//   2. the current one, while it may be used, when the policy says stay;
//   3. the best by the policy's rank.
//
// Damping. At once: the first choice; the best of the others when the current one can no longer be used; a wish; a
// change of the policy or of the wish. All else waits: a better interface is taken when it has been usable, and better,
// without a break for better_link_delay, doubled for each time within the flap_memory before that it was lost or left
// for a better one. An interface that was lost more than losses_at_once times within flap_memory may only be used
// after settle_delay without a loss, even when there is no other: so one that flaps all the time changes nothing.
//
// Loopback is no current one in this sense: others that rank before it are taken at once, whatever stay says.
//
// A loss is: the interface could be used, and then is gone or can no more, other than by a change of the policy.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/interface.hpp"
#include "engine/policy.hpp"
#include "engine/time.hpp"

namespace sessionfs {

inline constexpr Duration better_link_delay = std::chrono::seconds(1);
inline constexpr Duration longest_better_link_delay = std::chrono::seconds(60);
inline constexpr Duration flap_memory = std::chrono::seconds(60);
inline constexpr Duration settle_delay = std::chrono::milliseconds(50);
inline constexpr std::size_t losses_at_once = 4;
inline constexpr std::size_t max_counted_losses = 6;      // the delay is the longest by then
inline constexpr std::size_t max_link_interfaces = 4096;  // of those told at once, and of names with remembered losses
inline constexpr std::size_t max_interfaces_in_reason = 8;

class LinkChoice {
 public:
  void set_policy(Policy policy, Time now);

  /// As long as that interface may be used it is chosen; without a wish the policy's pick is.
  void set_wish(std::optional<std::string> interface, Time now);

  /// All that are present, after each change. Of several with one name the first counts; those beyond
  /// max_link_interfaces are not looked at.
  void handle_interfaces(std::vector<Interface> interfaces, Time now);

  /// At next_timeout(), or at any other time.
  void handle_timeout(Time now);
  [[nodiscard]] std::optional<Time> next_timeout() const { return timeout_; }

  /// The one chosen now; nothing: none may be used.
  [[nodiscard]] std::optional<std::string> current() const;

  /// Whether `name` may be used and nothing but its name puts it behind the current one: what goes by it may stay
  /// there.
  [[nodiscard]] bool is_as_good(const std::string& name) const;

  /// All that may be used: the chosen one, then the others by rank. The order in which to try them.
  [[nodiscard]] const std::vector<std::string>& order() const { return order_; }

  /// One line for status: "eth0: preferred by: prefer eth*"; "none: eth0 has no carrier". Bounded in length.
  [[nodiscard]] std::string reason() const;

  /// True once after current() or order() changed.
  bool poll_changed();

  [[nodiscard]] const Policy& policy() const { return policy_; }

  /// Names with remembered losses, of present interfaces and of former ones: at most max_link_interfaces.
  [[nodiscard]] std::size_t remembered() const { return losses_.size(); }

 private:
  struct Link {
    Interface interface;
    Policy::Match match;
    Policy::Rank rank;
    std::string why_not;           // by the policy and the system; empty: it may be used, once settled
    Time settled_at{};             // when it may
    std::optional<Time> taken_at;  // it is better than the current one, and is taken then
    std::size_t round = 0;         // of handle_interfaces(), in which it was told last
  };
  enum class Cause { system, user };  // of a change: only what the system does is damped

  void judge(Link& link, Cause cause, Time now);
  void handle_loss(const std::string& name, Time now);
  [[nodiscard]] std::size_t losses_of(const std::string& name, Time now) const;
  void forget_losses(Time now);

  void choose(Cause cause, Time now);
  const Link* pick(const std::vector<Link*>& usable, const Link* former, Cause cause, Time now) const;
  void watch_better(const std::vector<Link*>& usable, const Link* chosen, Time now);
  void wait_for_next(Time now);
  void set_order(const std::vector<Link*>& usable, const Link* chosen);

  [[nodiscard]] std::string why_current() const;
  [[nodiscard]] std::string why_best(const Policy::Rank& best, const Policy::Rank& next) const;
  [[nodiscard]] std::string why_none() const;
  [[nodiscard]] std::string why_not(const std::string& name) const;

  Policy policy_;
  std::optional<std::string> wish_;
  std::vector<Interface> told_;  // as handle_interfaces() got them last
  std::size_t round_ = 0;
  std::map<std::string, Link> links_;                          // the present ones
  std::unordered_map<std::string, std::vector<Time>> losses_;  // the last max_counted_losses of each name
  std::vector<std::string> order_;                             // begins with the current one
  std::optional<Time> timeout_;
  bool changed_ = false;
};

}  // namespace sessionfs
