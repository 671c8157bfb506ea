#include "fs/peers.hpp"

#include <openssl/x509v3.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "sns/tls.hpp"

namespace sessionfs::fs {
namespace {

DialFailure failure_of(sns::Status status) {
  switch (status) {
    case sns::Status::not_found:
    case sns::Status::wrong_domain:
      return DialFailure::no_endpoint;
    case sns::Status::timed_out:
      return DialFailure::timed_out;
    case sns::Status::untrusted:
    case sns::Status::revoked:
      return DialFailure::untrusted;
    default:
      return DialFailure::unreachable;
  }
}

Runtime::Addresses addresses_of(const sns::EndpointInfo& info) {
  Runtime::Addresses addresses;
  for (const auto& address : info.addresses) addresses.push_back(sns::to_endpoint(address));
  return addresses;
}

}  // namespace

Peers::Peers(boost::asio::io_context& io, Names& names, Authorities& authorities,
             std::function<bool(const EndpointName&)> is_here, std::function<void(const EndpointName&)> moved)
    : io_(io), names_(names), authorities_(authorities), is_here_(std::move(is_here)), moved_(std::move(moved)) {}

Time Peers::now() { return std::chrono::steady_clock::now().time_since_epoch(); }

// What a name server's answer says of the server itself.
void Peers::heard(std::string_view domain, const sns::Client& client, sns::Status status) {
  if (!is_silence(status)) {
    if (const auto silent = silent_.find(domain); silent != silent_.end()) silent_.erase(silent);
  } else {
    if (silent_.size() >= max_silent_domains) silent_.clear();
    silent_.emplace(domain);
  }
  if (sns::is_wire_status(static_cast<std::uint8_t>(status)))
    authorities_.learn(std::string(domain), client.authority());
}

// What it says of an endpoint. `is_used`: somebody tries there now. All others who wait are told what is news to them,
// whoever has asked.
void Peers::note(const EndpointName& peer, sns::Status status, const sns::EndpointInfo& info, bool is_used) {
  if (status == sns::Status::not_found || status == sns::Status::revoked) known_.erase(peer);
  if (status != sns::Status::ok) return;
  if (known_.size() >= max_known_peers && !known_.contains(peer)) known_.clear();
  known_[peer] = {info, now()};
  const auto watched = watched_.find(peer);
  if (is_used || watched == watched_.end() || watched->second.told == info) return;
  watched->second.told = info;
  if (!info.addresses.empty() && !info.away_since) boost::asio::post(io_, [this, peer] { moved_(peer); });
}

bool Peers::is_fresh(const EndpointName& peer) const {
  const auto known = known_.find(peer);
  return known != known_.end() && now() - known->second.asked < key_lifetime;
}

// --- where they are -----------------------------------------------------------------------------------------------

void Peers::resolve(const EndpointName& peer, const std::string& service, bool first, const Answer& done) {
  const auto client = names_.client_of(std::string(peer.domain()));
  if (client == nullptr) return boost::asio::post(io_, [done] { done(DialFailure::unreachable); });
  if (first) return resolve_first(peer, service, client, done);
  watch(peer, client);
  resolve_again(peer, client, done);
}

// A service may have a port of its own: that is not where the endpoint is.
void Peers::resolve_first(const EndpointName& peer, const std::string& service, const Client& client,
                          const Answer& done) {
  client->get_service({service, peer}, [this, peer, client, done](sns::Status status, const sns::EndpointInfo& info) {
    heard(peer.domain(), *client, status);
    if (status == sns::Status::revoked) note(peer, status, info, false);  // that is the endpoint
    if (status != sns::Status::ok) return done(failure_of(status));
    if (is_here_(peer)) return done(names_.own_addresses());
    if (info.addresses.empty() || info.away_since) return done(DialFailure::unreachable);
    done(addresses_of(info));
  });
  if (is_here_(peer) || is_fresh(peer)) return;
  // The session will want to know when its connection has broken, which may be when no name server can be asked.
  client->get_ep(peer, [this, peer, client](sns::Status status, const sns::EndpointInfo& info) {
    heard(peer.domain(), *client, status);
    note(peer, status, info, false);
  });
}

void Peers::resolve_again(const EndpointName& peer, const Client& client, const Answer& done) {
  // Nobody waits for a server that did not answer before: what is known may be true still.
  const bool waits = answers(peer.domain()) || !known_.contains(peer);
  if (!waits) boost::asio::post(io_, [this, peer, done] { resolved(peer, sns::Status::unreachable, done); });
  // Nor for one that may be silent now, when the way to it has broken together with the session's.
  const auto answered = std::make_shared<bool>(!waits);
  if (waits && known_.contains(peer)) {
    const auto patience = std::make_shared<boost::asio::steady_timer>(io_, known_place_delay);
    patience->async_wait([this, peer, answered, patience, done](const boost::system::error_code&) {
      if (!std::exchange(*answered, true)) resolved(peer, sns::Status::unreachable, done);
    });
  }
  client->get_ep(peer, [this, peer, client, answered, done](sns::Status status, const sns::EndpointInfo& info) {
    const bool is_used = !std::exchange(*answered, true);
    heard(peer.domain(), *client, status);
    note(peer, status, info, is_used);
    if (is_used) resolved(peer, status, done);
  });
}

void Peers::resolved(const EndpointName& peer, sns::Status status, const Answer& done) {
  if (is_here_(peer)) return done(names_.own_addresses());
  const auto known = known_.find(peer);
  if (known == known_.end() || (status != sns::Status::ok && !is_silence(status))) return done(failure_of(status));
  // The last place is tried all the same when its host is away: that it says nothing may be the name server's trouble.
  auto addresses = addresses_of(known->second.info);
  if (addresses.empty()) return done(DialFailure::unreachable);
  done(std::move(addresses));
}

void Peers::watch(const EndpointName& peer, const Client& client) {
  if (is_here_(peer)) return;
  const auto [entry, is_new] = watched_.try_emplace(peer);
  Watched& watched = entry->second;
  watched.looked = now();
  if (watched.client == client) return;
  if (watched.client != nullptr) watched.client->unwatch(peer);
  watched.client = client;
  if (const auto known = known_.find(peer); is_new && known != known_.end()) watched.told = known->second.info;
  client->watch(peer, [this, peer, teller = client.get()](sns::Status status, const sns::EndpointInfo& info) {
    heard(peer.domain(), *teller, status);
    note(peer, status, info, false);
  });
}

void Peers::end_old_watches() {
  for (auto entry = watched_.begin(); entry != watched_.end();) {
    const auto watched = entry++;
    if (now() - watched->second.looked < watch_time) continue;
    watched->second.client->unwatch(watched->first);
    watched_.erase(watched);
  }
}

std::optional<sns::UnixTime> Peers::away_since(const EndpointName& peer) const {
  const auto known = known_.find(peer);
  return known == known_.end() ? std::nullopt : known->second.info.away_since;
}

// --- who they are -------------------------------------------------------------------------------------------------

std::vector<X509*> Peers::authorities(std::string_view domain) const {
  X509* authority = authorities_.find(domain);
  return authority == nullptr ? std::vector<X509*>() : std::vector{authority};
}

void Peers::vet(const EndpointName& peer, X509* certificate, bool vouched, Verdict done) {
  const auto shown = sns::Certificate::share(certificate);
  sns::PublicKey key{};
  try {
    key = shown.public_key();
  } catch (const std::exception& error) {
    return done(error.what());
  }
  const std::string domain(peer.domain());
  const bool is_known = is_fresh(peer) && known_.at(peer).info.public_key == key;
  const auto client = names_.client_of(domain);
  if (vouched && (is_known || is_here_(peer) || client == nullptr)) return done("");
  if (client == nullptr) return done("there is no name server to ask whether it is who it says");
  // Nobody waits for a server that did not answer before, but it is asked, so that the next one knows.
  const bool waits = !vouched || answers(domain);
  if (!waits) done("");
  client->get_ep(peer, [this, peer, shown, key, vouched, waits, client, done = std::move(done)](
                           sns::Status status, const sns::EndpointInfo& info) {
    heard(peer.domain(), *client, status);
    const auto why = verdict(peer, shown, key, vouched, status, info);
    if (waits) done(why);
    // After that: whom the peer has just reached need not look for it.
    note(peer, status, info, false);
    // Anybody can claim to be of any domain. The client is in use until this answer is done with.
    if (!vouched && !why.empty())
      boost::asio::post(io_, [this, domain = std::string(peer.domain())] { names_.let_go(domain); });
  });
}

std::string Peers::verdict(const EndpointName& peer, const sns::Certificate& certificate, const sns::PublicKey& key,
                           bool vouched, sns::Status status, const sns::EndpointInfo& info) const {
  if (status == sns::Status::revoked) return "its domain has revoked its key";
  if (status == sns::Status::ok && info.public_key != key) return "its domain knows " + peer.str() + " by another key";
  // One that was removed still delivers what was written before.
  if (vouched) return "";
  X509* authority = authorities_.find(peer.domain());
  if (authority == nullptr)
    return "the name server of " + std::string(peer.domain()) + " cannot be asked whether it is who it says (" +
           std::string(sns::describe(status)) + ")";
  if (!sns::verify_chain(certificate.get(), authority, X509_PURPOSE_SSL_CLIENT, sns::wall_time()))
    return "the authority of " + std::string(peer.domain()) + " does not vouch for it";
  return "";
}

}  // namespace sessionfs::fs
