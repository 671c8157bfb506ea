#include "engine/link_choice.hpp"

#include <algorithm>
#include <utility>

namespace sessionfs {
namespace {

Duration delay_after(std::size_t losses) {
  return std::min<Duration>(better_link_delay * (1LL << std::min(losses, max_counted_losses)),
                            longest_better_link_delay);
}

// "eth0 has no carrier", of the words that Policy::why_not() lets follow the name.
std::string sentence(const std::string& name, std::string_view why) {
  constexpr std::string_view its_speed = "its speed";
  if (why.starts_with("denied")) return name + " is " + std::string(why);
  if (why.starts_with(its_speed)) return "the speed of " + name + std::string(why.substr(its_speed.size()));
  return name + " " + std::string(why);
}

}  // namespace

void LinkChoice::set_policy(Policy policy, Time now) {
  policy_ = std::move(policy);
  for (auto& [name, link] : links_) {
    link.match = policy_.match(name, link.interface.kind);
    judge(link, Cause::user, now);
  }
  choose(Cause::user, now);
}

void LinkChoice::set_wish(std::optional<std::string> interface, Time now) {
  wish_ = std::move(interface);
  choose(Cause::user, now);
}

void LinkChoice::handle_interfaces(std::vector<Interface> interfaces, Time now) {
  if (interfaces.size() > max_link_interfaces) interfaces.resize(max_link_interfaces);
  if (interfaces == told_) return handle_timeout(now);
  told_ = std::move(interfaces);
  ++round_;
  for (const auto& interface : told_) {
    const auto [at, is_new] = links_.try_emplace(interface.name);
    Link& link = at->second;
    if (link.round == round_) continue;
    link.round = round_;
    if (!is_new && link.interface == interface) continue;
    if (is_new) link.why_not = "is new";
    if (is_new || link.interface.kind != interface.kind) link.match = policy_.match(interface.name, interface.kind);
    link.interface = interface;
    judge(link, Cause::system, now);
  }
  std::erase_if(links_, [&](const auto& entry) {
    const bool gone = entry.second.round != round_;
    if (gone && entry.second.why_not.empty()) handle_loss(entry.first, now);
    return gone;
  });
  choose(Cause::system, now);
}

void LinkChoice::handle_timeout(Time now) {
  if (timeout_ && *timeout_ <= now) choose(Cause::system, now);
}

bool LinkChoice::is_as_good(const std::string& name) const {
  if (std::ranges::find(order_, name) == order_.end()) return false;
  if (name == order_.front()) return true;
  if (wish_ == order_.front()) return false;
  auto rank = links_.at(name).rank;
  const auto& best = links_.at(order_.front()).rank;
  rank.name = best.name;
  return rank <= best;
}

std::optional<std::string> LinkChoice::current() const {
  if (order_.empty()) return std::nullopt;
  return order_.front();
}

bool LinkChoice::poll_changed() { return std::exchange(changed_, false); }

// --- Whether a link may be used, and since when -----------------------------------------------------------------

void LinkChoice::judge(Link& link, Cause cause, Time now) {
  const bool was_usable = link.why_not.empty();
  link.rank = Policy::rank(link.interface, link.match);
  link.why_not = policy_.why_not(link.interface, link.match);
  if (link.why_not.empty() == was_usable) return;
  link.taken_at.reset();
  if (was_usable) {
    if (cause == Cause::system) handle_loss(link.interface.name, now);
    return;
  }
  const bool flaps = cause == Cause::system && losses_of(link.interface.name, now) > losses_at_once;
  link.settled_at = flaps ? now + settle_delay : now;
}

void LinkChoice::handle_loss(const std::string& name, Time now) {
  auto& times = losses_[name];
  if (times.size() == max_counted_losses) times.erase(times.begin());
  times.push_back(now);
  if (losses_.size() > max_link_interfaces) forget_losses(now);
}

std::size_t LinkChoice::losses_of(const std::string& name, Time now) const {
  const auto found = losses_.find(name);
  if (found == losses_.end()) return 0;
  const auto& times = found->second;
  return static_cast<std::size_t>(std::ranges::count_if(times, [&](Time at) { return now - at < flap_memory; }));
}

void LinkChoice::forget_losses(Time now) {
  std::erase_if(losses_, [&](const auto& entry) { return now - entry.second.back() >= flap_memory; });
  if (losses_.size() <= max_link_interfaces) return;
  // The older half at a time: names that never come back must not cost a search each.
  std::vector<Time> last;
  for (const auto& [name, times] : losses_) last.push_back(times.back());
  const auto middle = last.begin() + static_cast<std::ptrdiff_t>(last.size() / 2);
  std::ranges::nth_element(last, middle);
  std::erase_if(losses_, [&](const auto& entry) { return entry.second.back() <= *middle; });
}

// --- The choice -------------------------------------------------------------------------------------------------

void LinkChoice::choose(Cause cause, Time now) {
  std::vector<Link*> usable;
  for (auto& [name, link] : links_)
    if (link.why_not.empty() && link.settled_at <= now) usable.push_back(&link);
  std::ranges::sort(usable, {}, [](const Link* link) -> const Policy::Rank& { return link->rank; });

  const Link* former = nullptr;
  if (!order_.empty()) {
    const auto at = std::ranges::find(usable, order_.front(), [](const Link* link) { return link->interface.name; });
    if (at != usable.end()) former = *at;
  }
  // Loopback is always there and leads to nobody else: what ranks before it is not worth a wait, nor is it to stay at.
  if (former != nullptr && former->rank.loopback && !usable.front()->rank.loopback) former = nullptr;
  watch_better(usable, former, now);
  const Link* chosen = pick(usable, former, cause, now);
  if (chosen != former) {
    const bool outdone = former != nullptr && cause == Cause::system && wish_ != chosen->interface.name;
    if (outdone) handle_loss(former->interface.name, now);  // or two that outdo each other in turn would alternate
    watch_better(usable, chosen, now);
  }
  wait_for_next(now);
  set_order(usable, chosen);
}

const LinkChoice::Link* LinkChoice::pick(const std::vector<Link*>& usable, const Link* former, Cause cause,
                                         Time now) const {
  if (wish_)
    for (const auto* link : usable)
      if (link->interface.name == *wish_) return link;
  if (former != nullptr && policy_.stay()) return former;
  for (const auto* link : usable)
    if (former == nullptr || link == former || cause == Cause::user || (link->taken_at && *link->taken_at <= now))
      return link;
  return nullptr;
}

// Which are better than the chosen one, and when each of them has been so for long enough.
void LinkChoice::watch_better(const std::vector<Link*>& usable, const Link* chosen, Time now) {
  const bool fixed = chosen == nullptr || policy_.stay() || wish_ == chosen->interface.name;
  bool better = !fixed;
  for (auto* link : usable) {
    better = better && link != chosen;
    if (!better)
      link->taken_at.reset();
    else if (!link->taken_at)
      link->taken_at = now + delay_after(losses_of(link->interface.name, now));
  }
}

void LinkChoice::wait_for_next(Time now) {
  timeout_.reset();
  const auto wait = [&](Time at) { timeout_ = std::min(timeout_.value_or(at), at); };
  for (const auto& [name, link] : links_) {
    if (!link.why_not.empty()) continue;
    if (link.settled_at > now) wait(link.settled_at);
    if (link.taken_at) wait(*link.taken_at);
  }
}

void LinkChoice::set_order(const std::vector<Link*>& usable, const Link* chosen) {
  std::vector<std::string> order;
  order.reserve(usable.size());
  if (chosen != nullptr) order.push_back(chosen->interface.name);
  for (const auto* link : usable)
    if (link != chosen) order.push_back(link->interface.name);
  if (order == order_) return;
  order_ = std::move(order);
  changed_ = true;
}

// --- Why ----------------------------------------------------------------------------------------------------------

std::string LinkChoice::reason() const {
  std::string text = order_.empty() ? "none: " + why_none() : shown(order_.front()) + ": " + why_current();
  if (!wish_ || (!order_.empty() && order_.front() == *wish_)) return text;
  return text + "; " + sentence(shown(*wish_) + ", asked for by rebind,", why_not(*wish_));
}

std::string LinkChoice::why_current() const {
  const auto rank_at = [this](std::size_t place) -> const Policy::Rank& { return links_.at(order_[place]).rank; };
  if (wish_ == order_.front()) return "asked for by rebind";
  if (order_.size() == 1) return "the only one that may be used";
  // Behind the current one the order is by rank.
  if (rank_at(0) < rank_at(1)) return why_best(rank_at(0), rank_at(1));
  const auto best = shown(order_[1]);
  return policy_.stay() ? "stay, although " + best + " is better"
                        : best + " is better, and is taken when it has been so for a while";
}

std::string LinkChoice::why_best(const Policy::Rank& best, const Policy::Rank& next) const {
  std::string preferred;
  if (best.preferred != SIZE_MAX) preferred = "preferred by: " + policy_.preferred_by(best.preferred);
  if (best.preferred != next.preferred) return preferred;
  if (!preferred.empty()) preferred += ", and ";
  if (best.loopback != next.loopback) return preferred + "the only one besides loopback";
  if (best.metered != next.metered) return preferred + "not metered";
  if (best.slowness != next.slowness) return preferred + "the fastest";
  if (best.one_family != next.one_family) return preferred + "has both IPv4 and IPv6";
  return preferred + "the first by name of equal ones";
}

std::string LinkChoice::why_none() const {
  if (links_.empty()) return "there is no interface";
  std::vector<const Link*> links;
  for (const auto& [name, link] : links_) links.push_back(&link);
  const auto named = std::min(links.size(), max_interfaces_in_reason);
  // What would be used first if it could is what one wants to know of.
  std::ranges::partial_sort(links, links.begin() + static_cast<std::ptrdiff_t>(named), {},
                            [](const Link* link) -> const Policy::Rank& { return link->rank; });
  std::string text;
  for (std::size_t i = 0; i < named; ++i) {
    const auto& name = links[i]->interface.name;
    text += (i > 0 ? ", " : "") + sentence(shown(name), why_not(name));
  }
  return named < links.size() ? text + " and " + std::to_string(links.size() - named) + " more" : text;
}

std::string LinkChoice::why_not(const std::string& name) const {
  const auto found = links_.find(name);
  if (found == links_.end()) return "is not there";
  if (!found->second.why_not.empty()) return found->second.why_not;
  return "has been lost too often just now, and has to stay for " +
         std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(settle_delay).count()) + " ms first";
}

}  // namespace sessionfs
