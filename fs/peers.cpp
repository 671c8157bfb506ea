#include "fs/peers.hpp"

#include <openssl/x509v3.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>

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

bool is_silence(sns::Status status) { return status == sns::Status::unreachable || status == sns::Status::timed_out; }

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

bool Peers::answers(const std::string& domain) const {
  const auto found = answers_.find(domain);
  return found == answers_.end() || found->second;
}

// What a name server has said, or that it has said nothing.
void Peers::note(const EndpointName& peer, sns::Status status, const sns::EndpointInfo& info) {
  const std::string domain(peer.domain());
  answers_[domain] = !is_silence(status);
  if (const sns::Client* client = names_.client_of(domain)) authorities_.learn(domain, client->authority());
  if (status == sns::Status::not_found || status == sns::Status::revoked) known_.erase(peer);
  if (status != sns::Status::ok) return;
  if (known_.size() >= max_known_peers && !known_.contains(peer)) known_.clear();
  known_[peer] = {info, now()};
}

// --- where they are -----------------------------------------------------------------------------------------------

void Peers::resolve(const EndpointName& peer, const std::string& service, bool first,
                    const std::function<void(Runtime::Resolved)>& done) {
  const std::string domain(peer.domain());
  sns::Client* client = names_.client_of(domain);
  if (client == nullptr) return boost::asio::post(io_, [done] { done(DialFailure::unreachable); });
  if (!first) watch(peer);
  // Nobody waits for a server that did not answer before: what is known may be true still.
  const bool waits = first || answers(domain) || !known_.contains(peer);
  if (!waits) boost::asio::post(io_, [this, peer, done] { resolved(peer, false, sns::Status::unreachable, done); });
  // Nor for one that may be silent now, when the way to it has broken together with the session's.
  const auto answered = std::make_shared<bool>(!waits);
  if (waits && !first && known_.contains(peer)) {
    const auto patience = std::make_shared<boost::asio::steady_timer>(io_, known_place_delay);
    patience->async_wait([this, peer, answered, patience, done](const boost::system::error_code&) {
      if (!std::exchange(*answered, true)) resolved(peer, false, sns::Status::unreachable, done);
    });
  }
  auto found = [this, peer, first, answered, done](sns::Status status, const sns::EndpointInfo& info) {
    note(peer, status, info);
    if (!std::exchange(*answered, true)) resolved(peer, first, status, done);
  };
  if (first) return client->get_service({service, peer}, std::move(found));
  client->get_ep(peer, std::move(found));
}

void Peers::resolved(const EndpointName& peer, bool first, sns::Status status,
                     const std::function<void(Runtime::Resolved)>& done) {
  if (is_here_(peer) && (status == sns::Status::ok || !first)) return done(names_.own_addresses());
  const auto known = known_.find(peer);
  if (known == known_.end() || (first && status != sns::Status::ok)) return done(failure_of(status));
  if (status != sns::Status::ok && !is_silence(status)) return done(failure_of(status));
  auto addresses = addresses_of(known->second.info);
  // A session that stands tries the last place all the same: that the host says nothing may be the name server's
  // trouble.
  if (addresses.empty() || (first && known->second.info.away_since)) return done(DialFailure::unreachable);
  done(std::move(addresses));
}

void Peers::watch(const EndpointName& peer) {
  const bool watches = watched_.contains(peer);
  watched_[peer] = now();
  if (watches || is_here_(peer)) return;
  names_.client_of(std::string(peer.domain()))
      ->watch(peer, [this, peer](sns::Status status, const sns::EndpointInfo& info) {
        const auto before = known_.find(peer);
        const bool is_news = before == known_.end() || before->second.info != info;
        note(peer, status, info);
        if (status == sns::Status::ok && is_news && !info.addresses.empty() && !info.away_since) moved_(peer);
      });
}

void Peers::end_old_watches() {
  for (auto entry = watched_.begin(); entry != watched_.end();) {
    const auto watch = entry++;
    if (now() - watch->second < watch_time) continue;
    if (sns::Client* client = names_.client_of(std::string(watch->first.domain()))) client->unwatch(watch->first);
    watched_.erase(watch);
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
  const auto known = known_.find(peer);
  const bool is_known =
      known != known_.end() && now() - known->second.asked < key_lifetime && known->second.info.public_key == key;
  sns::Client* client = names_.client_of(domain);
  if (vouched && (is_known || is_here_(peer) || client == nullptr)) return done("");
  if (client == nullptr) return done("there is no name server to ask whether it is who it says");
  // Nobody waits for a server that did not answer before, but it is asked, so that the next one knows.
  const bool waits = !vouched || answers(domain);
  if (!waits) done("");
  client->get_ep(peer, [this, peer, shown, key, vouched, waits, done = std::move(done)](sns::Status status,
                                                                                        const sns::EndpointInfo& info) {
    note(peer, status, info);
    if (waits) done(verdict(peer, shown, key, vouched, status, info));
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
  const auto wall = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (!sns::verify_chain(certificate.get(), authority, X509_PURPOSE_SSL_CLIENT, wall))
    return "the authority of " + std::string(peer.domain()) + " does not vouch for it";
  return "";
}

}  // namespace sessionfs::fs
