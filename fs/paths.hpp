// By which of this host's interfaces each endpoint is reached and reaches others: what its policy makes of the links
// (thesis 3.6, 4.7.2). The links are watched here; what follows from a change the layers above decide (thesis 3.1.6).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/link_choice.hpp"
#include "engine/name.hpp"
#include "engine/time.hpp"
#include "fs/link_watch.hpp"
#include "fs/transport/address_race.hpp"
#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

/// A peer is tried by this many of our interfaces; others that may be used, too, are left out.
inline constexpr std::size_t max_interfaces_tried = 4;

class Paths {
 public:
  using Address = boost::asio::ip::address;
  using Endpoint = boost::asio::ip::tcp::endpoint;

  /// `changed`: links, addresses or the choice of an endpoint have changed. Comes from the loop, never from a call.
  Paths(boost::asio::io_context& io, std::function<void()> changed);

  // --- the endpoints; one that is not known is treated as by an empty policy ------------------------------------
  /// `policy` has been checked by check_policy().
  void set_policy(const EndpointName& endpoint, const std::string& policy);
  void remove(const EndpointName& endpoint);
  /// The endpoint moves to `interface`, and stays for as long as that can be used; nothing: back to what the policy
  /// picks. Returns an errno, and says in `why`: ENODEV there is no such interface, EACCES the policy forbids it.
  int rebind(const EndpointName& endpoint, const std::optional<std::string>& interface, std::string& why);

  // --- what they may use now --------------------------------------------------------------------------------------
  [[nodiscard]] std::vector<Address> addresses(const EndpointName& endpoint) const;
  /// How to reach a peer at one of `peer`, best first (see ways_by()); `move`: by the best interface alone.
  [[nodiscard]] std::vector<Way> ways(const EndpointName& endpoint, const std::vector<Endpoint>& peer, bool move) const;
  enum class Carries : std::uint8_t { no, yes, best };
  /// What a connection of the endpoint's is worth.
  [[nodiscard]] Carries carries(const EndpointName& endpoint, const SecureConnection& connection) const;
  /// The interface that is better than that of a connection; empty: there is none. One that the peer has made
  /// (`by_peer`) stays where another link is as good.
  [[nodiscard]] std::string better_link(const EndpointName& endpoint, const SecureConnection& connection,
                                        bool by_peer) const;

  // --- in words, for `status` -------------------------------------------------------------------------------------
  /// The interface, and why it was chosen.
  [[nodiscard]] std::string choice(const EndpointName& endpoint) const;
  [[nodiscard]] const LinkWatch& links() const { return links_; }

 private:
  [[nodiscard]] const LinkChoice& of(const EndpointName& endpoint) const;
  [[nodiscard]] bool is_own(const Address& address) const;
  [[nodiscard]] const Link* find(const std::string& interface) const;
  /// What an endpoint has to choose from.
  [[nodiscard]] std::vector<Interface> interfaces(const Policy& policy) const;
  /// Why the policy keeps an endpoint from an interface, whatever carrier and addresses it may get; empty: it does not.
  [[nodiscard]] std::string why_never(const Policy& policy, const std::string& interface) const;
  void links_changed();
  /// Tells of what has changed, and waits for the next moment at which something may.
  void settle();

  boost::asio::io_context& io_;
  std::function<void()> changed_;
  LinkWatch links_;
  boost::asio::steady_timer timer_;
  LinkChoice default_;
  std::map<EndpointName, LinkChoice> choices_;
};

}  // namespace sessionfs::fs
