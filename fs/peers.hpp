// Other endpoints: where they are, by the name servers of their domains, and whether they are who they say.
//
// While a domain's name server does not answer, sessions go on between the places that are known, and a peer is
// believed by its certificate alone. A peer that somebody waits for is watched: its name server tells the moment it is
// somewhere else.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "engine/name.hpp"
#include "fs/authorities.hpp"
#include "fs/names.hpp"
#include "fs/runtime.hpp"
#include "fs/transport/identity.hpp"

namespace sessionfs::fs {

/// Peers of which the last answer of their name server is remembered.
inline constexpr std::size_t max_known_peers = 4096;
/// Domains of which it is remembered that their name server has not answered.
inline constexpr std::size_t max_silent_domains = 1024;
/// A key that the name server has told is believed this long without asking again.
inline constexpr Duration key_lifetime = std::chrono::seconds(60);
/// A peer is watched this long after somebody has last looked for it; who waits looks at least every 30 s.
inline constexpr Duration watch_time = std::chrono::seconds(120);

/// A name server that has not answered within this time is not waited for where a place of the peer is known.
inline constexpr std::chrono::milliseconds known_place_delay{150};

class Peers final : public Trust {
 public:
  /// `is_here`: whether an endpoint resides at this host. `moved`: a peer is somewhere else than it was said to be.
  Peers(boost::asio::io_context& io, Names& names, Authorities& authorities,
        std::function<bool(const EndpointName&)> is_here, std::function<void(const EndpointName&)> moved);

  /// Where `peer` is; `first`: its `service` is asked for too, and must exist. `done` is called once, and later.
  void resolve(const EndpointName& peer, const std::string& service, bool first,
               const std::function<void(Runtime::Resolved)>& done);

  [[nodiscard]] std::vector<X509*> authorities(std::string_view domain) const override;
  void vet(const EndpointName& peer, X509* certificate, bool vouched, Verdict done) override;

  /// When the peer's host was last heard of, if its name server says that this is too long ago.
  [[nodiscard]] std::optional<sns::UnixTime> away_since(const EndpointName& peer) const;

  /// To be called now and then: ends watches that nobody needs.
  void end_old_watches();

 private:
  using Client = std::shared_ptr<sns::Client>;
  using Answer = std::function<void(Runtime::Resolved)>;
  struct Known {
    sns::EndpointInfo info;
    Time asked{};
  };
  struct Watched {
    Time looked{};  // when somebody has last looked for it
    Client client;  // that tells of it
    std::optional<sns::EndpointInfo>
        told;  // where it was when those who wait were last told to try, or the watch began
  };

  void heard(std::string_view domain, const sns::Client& client, sns::Status status);
  void note(const EndpointName& peer, sns::Status status, const sns::EndpointInfo& info, bool is_used);
  void watch(const EndpointName& peer, const Client& client);
  void resolve_first(const EndpointName& peer, const std::string& service, const Client& client, const Answer& done);
  void resolve_again(const EndpointName& peer, const Client& client, const Answer& done);
  void resolved(const EndpointName& peer, sns::Status status, const Answer& done);
  [[nodiscard]] bool is_fresh(const EndpointName& peer) const;
  [[nodiscard]] bool answers(std::string_view domain) const { return !silent_.contains(domain); }
  [[nodiscard]] std::string verdict(const EndpointName& peer, const sns::Certificate& certificate,
                                    const sns::PublicKey& key, bool vouched, sns::Status status,
                                    const sns::EndpointInfo& info) const;
  [[nodiscard]] static Time now();

  boost::asio::io_context& io_;
  Names& names_;
  Authorities& authorities_;
  std::function<bool(const EndpointName&)> is_here_;
  std::function<void(const EndpointName&)> moved_;
  std::unordered_map<EndpointName, Known> known_;
  std::map<EndpointName, Watched> watched_;
  std::set<std::string, std::less<>> silent_;  // domains whose name server has not answered last
};

}  // namespace sessionfs::fs
