#include "fs/paths.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <iterator>

#include "fs/ways.hpp"

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

Policy parsed(const std::string& text) {
  auto policy = Policy::parse(text);
  return std::holds_alternative<Policy>(policy) ? std::get<Policy>(std::move(policy)) : Policy();
}

}  // namespace

Paths::Paths(asio::io_context& io, std::function<void()> changed)
    : io_(io), changed_(std::move(changed)), links_(io, [this] { links_changed(); }), timer_(io) {
  default_.handle_interfaces(interfaces({}), now());
  (void)default_.poll_changed();
}

// --- the endpoints --------------------------------------------------------------------------------------------------

void Paths::set_policy(const EndpointName& endpoint, const std::string& policy) {
  const auto [entry, is_new] = choices_.try_emplace(endpoint);
  LinkChoice& choice = entry->second;
  auto rules = parsed(policy);
  choice.handle_interfaces(interfaces(rules), now());
  choice.set_policy(std::move(rules), now());
  if (is_new) (void)choice.poll_changed();  // nothing uses it yet
  settle();
}

void Paths::remove(const EndpointName& endpoint) { choices_.erase(endpoint); }

int Paths::rebind(const EndpointName& endpoint, const std::optional<std::string>& interface, std::string& why) {
  const auto choice = choices_.find(endpoint);
  if (choice == choices_.end()) return ESTALE;
  if (interface) {
    if (find(*interface) == nullptr) {
      why = "rebind: there is no interface " + *interface + "; status of the mount lists those there are";
      return ENODEV;
    }
    if (const auto fault = why_never(choice->second.policy(), *interface); !fault.empty()) {
      why = "rebind: " + *interface + " " + fault + "; change the policy, or choose another interface";
      return EACCES;
    }
  }
  choice->second.set_wish(interface, now());
  settle();
  return 0;
}

// --- what they may use now ------------------------------------------------------------------------------------------

const LinkChoice& Paths::of(const EndpointName& endpoint) const {
  const auto found = choices_.find(endpoint);
  return found == choices_.end() ? default_ : found->second;
}

const Link* Paths::find(const std::string& interface) const {
  const auto found =
      std::ranges::find_if(links_.links(), [&](const auto& link) { return link.interface.name == interface; });
  return found == links_.links().end() ? nullptr : &*found;
}

// By the loopback interface others are reached only when there is no other one, or the policy says so.
std::vector<Interface> Paths::interfaces(const Policy& policy) const {
  auto all = links_.interfaces();
  const auto is_loopback = [](const Interface& each) { return each.kind == LinkKind::loopback; };
  if (std::ranges::all_of(all, is_loopback)) return all;
  std::erase_if(all, [&](const Interface& each) {
    return is_loopback(each) && policy.match(each.name, each.kind).preferred == SIZE_MAX;
  });
  return all;
}

std::string Paths::why_never(const Policy& policy, const std::string& interface) const {
  auto all = interfaces(policy);
  const auto wanted = std::ranges::find(all, interface, &Interface::name);
  if (wanted == all.end()) return "leads to no other host, and is used only when the policy prefers it";
  if (!wanted->carrier) wanted->speed_mbits = UINT32_MAX;  // it is not known yet
  wanted->carrier = wanted->ipv4 = wanted->ipv6 = true;
  return policy.why_not(*wanted);
}

bool Paths::is_own(const Address& address) const {
  return address.is_loopback() || links_.interface_of(address).has_value();
}

std::vector<Paths::Address> Paths::addresses(const EndpointName& endpoint) const {
  const LinkChoice& choice = of(endpoint);
  return links_.addresses(choice.order(), choice.policy().allows_ipv4(), choice.policy().allows_ipv6());
}

std::vector<Way> Paths::ways(const EndpointName& endpoint, const std::vector<Endpoint>& peer, bool move) const {
  const Policy& policy = of(endpoint).policy();
  std::vector<Way> ways;
  std::vector<Endpoint> others;
  for (const auto& address : peer) {
    // What stays on this host goes by no interface.
    if (is_own(address.address()))
      ways.emplace_back(address);
    else if (address.address().is_v4() ? policy.allows_ipv4() : policy.allows_ipv6())
      others.push_back(address);
  }
  auto names = of(endpoint).order();
  names.resize(std::min(names.size(), move ? 1 : max_interfaces_tried));
  std::vector<const Link*> links;
  for (const auto& name : names)
    if (const Link* link = find(name)) links.push_back(link);
  std::ranges::move(ways_by(links, others), std::back_inserter(ways));
  return ways;
}

Paths::Carries Paths::carries(const EndpointName& endpoint, const SecureConnection& connection) const {
  const auto local = connection.local_endpoint().address();
  if (local.is_unspecified() || is_own(connection.remote_endpoint().address())) return Carries::best;
  const auto interface = links_.interface_of(local);
  const LinkChoice& choice = of(endpoint);
  if (!interface || std::ranges::find(choice.order(), *interface) == choice.order().end()) return Carries::no;
  return *interface == choice.order().front() ? Carries::best : Carries::yes;
}

std::string Paths::better_link(const EndpointName& endpoint, const SecureConnection& connection, bool by_peer) const {
  const LinkChoice& choice = of(endpoint);
  if (choice.order().empty() || carries(endpoint, connection) == Carries::best) return "";
  const auto interface = links_.interface_of(connection.local_endpoint().address());
  return by_peer && interface && choice.is_as_good(*interface) ? "" : choice.order().front();
}

std::string Paths::choice(const EndpointName& endpoint) const { return of(endpoint).reason(); }

// --- changes --------------------------------------------------------------------------------------------------------

void Paths::links_changed() {
  default_.handle_interfaces(interfaces({}), now());
  (void)default_.poll_changed();
  for (auto& [endpoint, choice] : choices_) {
    choice.handle_interfaces(interfaces(choice.policy()), now());
    (void)choice.poll_changed();
  }
  changed_();  // an address may have changed, which no choice shows
  settle();
}

void Paths::settle() {
  bool told = default_.poll_changed();
  auto next = default_.next_timeout();
  for (auto& [endpoint, choice] : choices_) {
    told = choice.poll_changed() || told;
    if (const auto at = choice.next_timeout(); at && (!next || *at < *next)) next = at;
  }
  if (told) asio::post(io_, changed_);
  if (!next) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(*next));
  timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (stopped) return;
    default_.handle_timeout(now());
    for (auto& [endpoint, choice] : choices_) choice.handle_timeout(now());
    settle();
  });
}

}  // namespace sessionfs::fs
