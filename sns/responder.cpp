#include "sns/responder.hpp"

#include <exception>
#include <stdexcept>
#include <utility>

namespace sessionfs::sns {
namespace {

Reply failed(Status status) {
  Reply reply;
  reply.status = status;
  return reply;
}

Reply certified(const Certificate& certificate, MemberId member = 0) {
  Reply reply;
  reply.status = Status::ok;
  reply.member = member;
  reply.certificate = certificate.der();
  return reply;
}

// What is to change, by a request whose name is `endpoint` or, for a service, `service`.
Change to_change(const Request& request, EndpointName endpoint, ServiceName service) {
  switch (request.operation) {
    case Operation::change_ep:
      return ChangeEndpoint{std::move(endpoint), request.generation, request.addresses};
    case Operation::del_ep:
      return DeleteEndpoint{std::move(endpoint)};
    case Operation::new_service:
      return NewService{std::move(service), request.port};
    case Operation::change_service:
      return ChangeService{std::move(service), request.port};
    case Operation::del_service:
      return DeleteService{std::move(service)};
    default:
      throw std::logic_error("not a change of an endpoint by its key");
  }
}

}  // namespace

struct Responder::Asked {
  const Request& request;
  const Signature& signature;
  std::vector<std::byte> signed_bytes;  // empty where no signature is needed
};

Responder::Responder(Storage storage)
    : storage_(std::move(storage)), authority_(storage_.authority()), table_(storage_.domain()) {
  storage_.load(table_);
}

Membership Responder::admit(const KeyPair& member_key, UnixTime now) {
  const MemberId id = storage_.admit(member_key.public_key(), now);
  if (id == 0) throw std::runtime_error("the domain " + storage_.domain() + " has too many members");
  return {storage_.domain(),
          {},
          authority_.certificate(),
          member_key,
          authority_.issue_member(id, member_key.public_key(), now),
          id};
}

Responder::Answer Responder::respond(Channel& channel, std::span<const std::byte> request, UnixTime now) {
  const DecodedRequest decoded = decode_request(request);
  Reply reply = failed(decoded.status);
  bool close = decoded.status != Status::ok;
  if (decoded.status == Status::ok && decoded.request.id <= channel.last_id) {
    reply.status = Status::bad_request;
    close = true;
  } else if (decoded.status == Status::ok) {
    channel.last_id = decoded.request.id;
    Asked asked{decoded.request, decoded.signature, {}};
    if (is_signed(decoded.request.operation))
      asked.signed_bytes = to_be_signed(channel.binding, request.first(decoded.signed_bytes));
    try {
      reply = answer(asked, now);
    } catch (const std::exception& trouble) {
      reply = failed(Status::internal);
      if (on_trouble) on_trouble(trouble.what());
    }
  }
  reply.id = decoded.request.id;
  reply.operation = decoded.operation;
  return {encode(reply), close};
}

Reply Responder::answer(const Asked& asked, UnixTime now) {
  switch (asked.request.operation) {
    case Operation::join:
      return join(asked, now);
    case Operation::new_ep:
      return new_ep(asked, now);
    case Operation::get_ep:
    case Operation::get_service:
      return get(asked);
    default:
      return change(asked, now);
  }
}

Reply Responder::join(const Asked& asked, UnixTime now) {
  const auto csr = parse_signing_request(asked.request.signing_request);
  if (!csr || !csr->name.empty()) return failed(Status::bad_request);
  const auto redeemed = storage_.redeem(asked.request.secret, csr->key, now);
  if (redeemed.status != Status::ok) return failed(redeemed.status);
  return certified(authority_.issue_member(redeemed.id, csr->key, now), redeemed.id);
}

Reply Responder::new_ep(const Asked& asked, UnixTime now) {
  const Request& request = asked.request;
  auto name = EndpointName::parse(request.name);
  if (!name) return failed(Status::bad_name);
  if (name->domain() != table_.domain()) return failed(Status::wrong_domain);
  const auto member = storage_.member_key(request.member);
  if (!member) return failed(Status::not_member);
  if (!verify(*member, asked.signed_bytes, asked.signature)) return failed(Status::bad_signature);
  const auto csr = parse_signing_request(request.signing_request);
  if (!csr || csr->name != *name) return failed(Status::bad_request);

  const Change change = NewEndpoint{*name, csr->key, request.generation, request.addresses};
  const Status status = table_.check(change);
  if (status != Status::ok) return failed(status);
  // Issued before it is stored: an endpoint that got no certificate must not take the name.
  const Certificate certificate = authority_.issue_endpoint(*name, csr->key, now);
  const Status stored = commit(change, request.member, now);
  return stored == Status::ok ? certified(certificate) : failed(stored);
}

Reply Responder::change(const Asked& asked, UnixTime now) {
  ServiceName service;
  if (is_about_service(asked.request.operation)) {
    auto parsed = ServiceName::parse(asked.request.name);
    if (!parsed) return failed(Status::bad_name);
    service = std::move(*parsed);
  } else {
    auto parsed = EndpointName::parse(asked.request.name);
    if (!parsed) return failed(Status::bad_name);
    service.endpoint = std::move(*parsed);
  }
  if (service.endpoint.domain() != table_.domain()) return failed(Status::wrong_domain);
  const Table::Endpoint* endpoint = table_.find(service.endpoint);
  if (endpoint == nullptr) return failed(Status::not_found);
  if (!verify(endpoint->key, asked.signed_bytes, asked.signature)) return failed(Status::bad_signature);
  return failed(commit(to_change(asked.request, service.endpoint, service), 0, now));
}

Reply Responder::get(const Asked& asked) const {
  Reply reply = failed(Status::bad_name);
  if (asked.request.operation == Operation::get_ep) {
    const auto name = EndpointName::parse(asked.request.name);
    if (name) reply.status = table_.get(*name, reply.info);
  } else {
    const auto name = ServiceName::parse(asked.request.name);
    if (name) reply.status = table_.get(*name, reply.info);
  }
  return reply;
}

Status Responder::commit(const Change& change, MemberId member, UnixTime now) {
  const Status status = table_.check(change);
  if (status != Status::ok) return status;
  storage_.store(change, member, now);
  table_.apply(change);
  return Status::ok;
}

}  // namespace sessionfs::sns
