#include "sns/client.hpp"

#include <openssl/x509v3.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "sns/authority.hpp"
#include "sns/calls.hpp"
#include "sns/tls.hpp"
#include "sns/transport.hpp"

namespace sessionfs::sns {
namespace {

Trust trust_in(const Client::Config& config) {
  return {config.domain, config.ca ? config.ca.fingerprint() : Fingerprint{}, config.ca,
          config.first_use && !config.ca};
}

// The certificate of a reply, if it is for `key`.
std::optional<Certificate> certificate_for(const PublicKey& key, const Reply& reply) {
  try {
    auto certificate = Certificate::from_der(reply.certificate);
    if (certificate.public_key() == key) return certificate;
  } catch (const std::exception&) {  // then it is none
  }
  return std::nullopt;
}

Request request_for(Operation operation, std::string name, const Residence& residence = {}) {
  Request request;
  request.operation = operation;
  request.name = std::move(name);
  request.residence = residence;
  return request;
}

}  // namespace

Client::Config::Config(const Membership& membership)
    : domain(membership.domain),
      servers(membership.servers),
      ca(membership.ca),
      member_key(membership.member_key),
      member_id(membership.member_id) {}

Client::Client(asio::io_context& io, std::unique_ptr<Transport> transport, Config config)
    : config_(std::move(config)), calls_(std::make_shared<Calls>(io, std::move(transport), config_.timeout)) {
  config_.domain = parse_domain(config_.domain).value_or(config_.domain);
}

Client::Client(asio::io_context& io, const Config& config)
    : Client(io, make_tls_transport(io, {config.servers, config.ask_dns ? config.domain : ""}, trust_in(config)),
             config) {}

Client::Client(asio::io_context& io, Responder& responder, Config config)
    : Client(io, make_local_transport(io, responder), std::move(config)) {}

Client::~Client() { calls_->close(); }

const Certificate& Client::authority() const { return calls_->ca(); }

void Client::reconnect() { calls_->reconnect(); }

void Client::change_registration(Request request, const EndpointName& name, const KeyPair& key, const KeyPair& signer,
                                 RegisteredDone done) {
  const auto refuse = [&](Status status) {
    calls_->refuse(status, [done](const Reply& reply) { done(reply.status, {}); });
  };
  if (name.domain() != config_.domain) return refuse(Status::wrong_domain);
  if (!key || request.addresses.size() > max_addresses) return refuse(Status::bad_request);
  if (!signer) return refuse(Status::not_member);
  const bool certify = !request.signing_request.empty();
  calls_->call(std::move(request), signer, [name, key, certify, done](const Reply& reply) {
    if (reply.status != Status::ok) return done(reply.status, {});
    Registered registered{std::nullopt, reply.lease};
    if (certify) registered.certificate = certificate_for(key.public_key(), reply);
    if (certify && (!registered.certificate || certified_name(registered.certificate->get()) != name))
      return done(Status::untrusted, {});
    done(Status::ok, registered);
  });
}

void Client::new_ep(const EndpointName& name, const KeyPair& key, const Residence& residence,
                    std::vector<Address> addresses, RegisteredDone done) {
  Request request = request_for(Operation::new_ep, name.str(), residence);
  request.addresses = std::move(addresses);
  request.member = config_.member_id;
  if (key) request.signing_request = make_signing_request(key, name);
  change_registration(std::move(request), name, key, config_.member_id != 0 ? config_.member_key : KeyPair(),
                      std::move(done));
}

void Client::change_ep(const EndpointName& name, const KeyPair& key, const Residence& residence,
                       std::vector<Address> addresses, bool certify, RegisteredDone done) {
  Request request = request_for(Operation::change_ep, name.str(), residence);
  request.addresses = std::move(addresses);
  if (key && certify) request.signing_request = make_signing_request(key, name);
  change_registration(std::move(request), name, key, key, std::move(done));
}

void Client::change(Request request, const EndpointName& name, const KeyPair& key, Done done) {
  auto ended = [done = std::move(done)](const Reply& reply) { done(reply.status); };
  if (name.domain() != config_.domain) return calls_->refuse(Status::wrong_domain, std::move(ended));
  if (!key) return calls_->refuse(Status::bad_request, std::move(ended));
  calls_->call(std::move(request), key, std::move(ended));
}

void Client::get(Request request, const EndpointName& name, InfoDone done) {
  auto ended = [done = std::move(done)](const Reply& reply) { done(reply.status, reply.info); };
  if (name.domain() != config_.domain) return calls_->refuse(Status::wrong_domain, std::move(ended));
  calls_->call(std::move(request), {}, std::move(ended));
}

void Client::del_ep(const EndpointName& name, const KeyPair& key, const Residence& residence, Done done) {
  change(request_for(Operation::del_ep, name.str(), residence), name, key, std::move(done));
}

void Client::get_ep(const EndpointName& name, InfoDone done) {
  get(request_for(Operation::get_ep, name.str()), name, std::move(done));
}

void Client::new_service(const ServiceName& name, const KeyPair& key, const Residence& residence, Done done,
                         std::uint16_t port) {
  Request request = request_for(Operation::new_service, name.str(), residence);
  request.port = port;
  change(std::move(request), name.endpoint, key, std::move(done));
}

void Client::change_service(const ServiceName& name, const KeyPair& key, const Residence& residence, std::uint16_t port,
                            Done done) {
  Request request = request_for(Operation::change_service, name.str(), residence);
  request.port = port;
  change(std::move(request), name.endpoint, key, std::move(done));
}

void Client::del_service(const ServiceName& name, const KeyPair& key, const Residence& residence, Done done) {
  change(request_for(Operation::del_service, name.str(), residence), name.endpoint, key, std::move(done));
}

void Client::get_service(const ServiceName& name, InfoDone done) {
  get(request_for(Operation::get_service, name.str()), name.endpoint, std::move(done));
}

void Client::watch(const EndpointName& name, InfoDone news) {
  calls_->watch(name.str(), [news = std::move(news)](const Reply& reply) { news(reply.status, reply.info); });
}

void Client::unwatch(const EndpointName& name) { calls_->unwatch(name.str()); }

void join(asio::io_context& io, const JoinToken& token, JoinDone done, std::chrono::milliseconds timeout,
          const KeyPair& key) {
  const auto calls = std::make_shared<Calls>(
      io, make_tls_transport(io, {token.servers, ""}, {token.domain, token.ca, {}, false}), timeout);
  Request request;
  request.operation = Operation::join;
  request.secret = token.secret;
  request.signing_request = make_signing_request(key, {});
  // What is under way keeps the calls alive; they must not keep themselves.
  const auto ended = [weak = std::weak_ptr(calls), token, key, done = std::move(done)](const Reply& reply) {
    const auto self = weak.lock();
    if (reply.status != Status::ok || !self) return done(reply.status, {});
    const Certificate ca = self->ca();
    auto certificate = certificate_for(key.public_key(), reply);
    self->close();
    if (!certificate || !verify_chain(certificate->get(), ca.get(), X509_PURPOSE_SSL_CLIENT, wall_time()))
      return done(Status::untrusted, {});
    done(Status::ok, {token.domain, token.servers, ca, key, std::move(*certificate), reply.member});
  };
  calls->call(std::move(request), {}, ended);
}

asio::ip::tcp::endpoint to_endpoint(const Address& address) {
  if (address.family == Family::v4) {
    asio::ip::address_v4::bytes_type bytes{};
    std::copy_n(address.ip.begin(), bytes.size(), bytes.begin());
    return {asio::ip::address_v4(bytes), address.port};
  }
  asio::ip::address_v6::bytes_type bytes{};
  std::copy(address.ip.begin(), address.ip.end(), bytes.begin());
  return {asio::ip::address_v6(bytes), address.port};
}

Address to_address(const asio::ip::tcp::endpoint& endpoint) {
  Address address;
  address.port = endpoint.port();
  auto ip = endpoint.address();
  if (ip.is_v6() && ip.to_v6().is_v4_mapped()) ip = asio::ip::make_address_v4(asio::ip::v4_mapped, ip.to_v6());
  if (ip.is_v4()) {
    const auto bytes = ip.to_v4().to_bytes();
    std::copy(bytes.begin(), bytes.end(), address.ip.begin());
  } else {
    address.family = Family::v6;
    const auto bytes = ip.to_v6().to_bytes();
    std::copy(bytes.begin(), bytes.end(), address.ip.begin());
  }
  return address;
}

std::string to_string(const Address& address) {
  const auto endpoint = to_endpoint(address);
  const auto ip = endpoint.address().to_string();
  return (address.family == Family::v4 ? ip : "[" + ip + "]") + ":" + std::to_string(address.port);
}

}  // namespace sessionfs::sns
