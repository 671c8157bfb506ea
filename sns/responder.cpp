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

// Where a reply's status stands: behind version, operation and id, in all versions.
constexpr std::size_t status_at = 10;

// What is to change; of an endpoint's name the service is empty.
Change to_change(const Request& request, const ServiceName& name) {
  switch (request.operation) {
    case Operation::del_ep:
      return DeleteEndpoint{name.endpoint, request.residence};
    case Operation::new_service:
      return NewService{name, request.residence, request.port};
    case Operation::change_service:
      return ChangeService{name, request.residence, request.port};
    case Operation::del_service:
      return DeleteService{name, request.residence};
    default:
      throw std::logic_error("not a change of an endpoint by its key");
  }
}

}  // namespace

struct Responder::Asked {
  Channel& channel;
  const Request& request;
  const Signature& signature;
  std::vector<std::byte> signed_bytes;  // empty where no signature is needed
};

Responder::Responder(Storage storage, std::chrono::seconds lease)
    : storage_(std::move(storage)),
      authority_(storage_.authority()),
      table_(storage_.domain(), lease),
      foreign_changes_(storage_.foreign_changes()) {
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

void Responder::trouble(const std::string& what) const {
  if (on_trouble) on_trouble(what);
}

// --- requests -----------------------------------------------------------------------------------------------------

Responder::Answer Responder::respond(Channel& channel, std::span<const std::byte> request, UnixTime now) {
  const DecodedRequest decoded = decode_request(request);
  Reply reply = failed(decoded.status);
  Answer out;
  out.close = decoded.status != Status::ok;
  if (decoded.status == Status::ok && decoded.request.id <= channel.last_id_) {
    reply.status = Status::bad_request;
    out.close = true;
  } else if (decoded.status == Status::ok) {
    channel.last_id_ = decoded.request.id;
    Asked asked{channel, decoded.request, decoded.signature, {}};
    if (is_signed(decoded.request.operation))
      asked.signed_bytes = to_be_signed(channel.binding_, request.first(decoded.signed_bytes));
    try {
      reply = answer(asked, now);
    } catch (const std::exception& error) {
      reply = failed(Status::internal);
      trouble(error.what());
    }
  }
  reply.id = decoded.request.id;
  reply.operation = decoded.operation;
  out.reply = encode(reply);
  // Also what changes nothing by itself, like a renewal, may rest on what is not kept yet.
  const bool is_made = reply.status == Status::ok || reply.status == Status::internal;
  out.costly = decoded.status == Status::ok &&
               (is_signed(decoded.request.operation) || decoded.request.operation == Operation::join);
  out.uncommitted = is_made && out.costly && storage_.in_batch();
  return out;
}

Reply Responder::answer(const Asked& asked, UnixTime now) {
  switch (asked.request.operation) {
    case Operation::join:
      return join(asked, now);
    case Operation::new_ep:
      return new_ep(asked, now);
    case Operation::get_ep:
    case Operation::get_service:
      return get(asked.request);
    case Operation::watch:
    case Operation::unwatch:
      return watch(asked.channel, asked.request);
    default:
      return change(asked, now);
  }
}

Reply Responder::join(const Asked& asked, UnixTime now) {
  const auto csr = parse_signing_request(asked.request.signing_request);
  if (!csr || !csr->name.empty()) return failed(Status::bad_request);
  const auto redeemed = storage_.redeem(asked.request.secret, csr->key, now);
  if (redeemed.status != Status::ok) return failed(redeemed.status);
  Reply reply = failed(Status::ok);
  reply.member = redeemed.id;
  reply.certificate = authority_.issue_member(redeemed.id, csr->key, now).der();
  return reply;
}

Reply Responder::new_ep(const Asked& asked, UnixTime now) {
  const Request& request = asked.request;
  auto name = EndpointName::parse(request.name);
  if (!name) return failed(Status::bad_name);
  if (name->domain() != table_.domain()) return failed(Status::wrong_domain);
  const auto member = storage_.member(request.member);
  if (member.status != Status::ok) return failed(member.status);
  if (!verify(member.key, asked.signed_bytes, asked.signature)) return failed(Status::bad_signature);
  const auto csr = parse_signing_request(request.signing_request);
  if (!csr || csr->name != *name) return failed(Status::bad_request);

  const Change change = NewEndpoint{*name, csr->key, request.residence, request.addresses};
  const Status status = table_.check(change);
  if (status != Status::ok) return failed(status);
  // Issued before it is stored: an endpoint that got no certificate must not take the name.
  const Certificate certificate = authority_.issue_endpoint(*name, csr->key, now);
  Reply reply = failed(make(change, request.member, now));
  reply.lease = table_.lease();
  reply.certificate = certificate.der();
  return reply;
}

Reply Responder::change(const Asked& asked, UnixTime now) {
  ServiceName name;
  if (is_about_service(asked.request.operation)) {
    auto parsed = ServiceName::parse(asked.request.name);
    if (!parsed) return failed(Status::bad_name);
    name = std::move(*parsed);
  } else {
    auto parsed = EndpointName::parse(asked.request.name);
    if (!parsed) return failed(Status::bad_name);
    name.endpoint = std::move(*parsed);
  }
  if (name.endpoint.domain() != table_.domain()) return failed(Status::wrong_domain);
  const Table::Endpoint* known = table_.find(name.endpoint);
  if (known == nullptr) return failed(Status::not_found);
  if (!verify(known->key, asked.signed_bytes, asked.signature)) return failed(Status::bad_signature);
  if (asked.request.operation == Operation::change_ep) return change_ep(asked, name.endpoint, *known, now);
  return failed(make(to_change(asked.request, name), 0, now));
}

// Its certificate may have run out long ago: that it signs by its key is what proves it.
Reply Responder::change_ep(const Asked& asked, const EndpointName& name, const Table::Endpoint& known, UnixTime now) {
  const Request& request = asked.request;
  Reply reply;
  if (!request.signing_request.empty()) {
    const auto csr = parse_signing_request(request.signing_request);
    if (!csr || csr->name != name || csr->key != known.key) return failed(Status::bad_request);
    if (!known.revoked) reply.certificate = authority_.issue_endpoint(name, csr->key, now).der();
  }
  reply.status = make(ChangeEndpoint{name, request.residence, request.addresses, asked.channel.order_}, 0, now);
  reply.lease = table_.lease();
  return reply;
}

Reply Responder::get(const Request& request) const {
  Reply reply = failed(Status::bad_name);
  if (request.operation == Operation::get_service) {
    const auto name = ServiceName::parse(request.name);
    if (name) reply.status = table_.get(*name, reply.info);
  } else {
    const auto name = EndpointName::parse(request.name);
    if (name) reply.status = table_.get(*name, reply.info);
  }
  return reply;
}

// --- changes ------------------------------------------------------------------------------------------------------

Status Responder::make(const Change& change, MemberId member, UnixTime now) {
  Status status = table_.check(change);
  if (status != Status::ok) return status;
  const EndpointName& name = subject(change);
  if (table_.is_renewal(change)) {
    table_.apply(change);
    return Status::ok;
  }
  if (!storage_.in_batch()) {
    storage_.begin_batch();
    // From here to the commit no other process changes anything. What one has revoked before must not be undone.
    refresh();
    status = table_.check(change);
    if (status != Status::ok) {
      storage_.end_batch();
      return status;
    }
  }
  storage_.store(change, member, now);
  before_.emplace_back(name, table_.copy(name));
  table_.apply(change);
  return Status::ok;
}

bool Responder::commit() {
  if (!storage_.in_batch()) return true;
  try {
    storage_.end_batch();
  } catch (const std::exception& error) {
    trouble(error.what());
    take_back();
    return false;
  }
  for (const auto& [name, endpoint] : std::exchange(before_, {})) make_known(name);
  return true;
}

void Responder::take_back() {
  auto changes = std::exchange(before_, {});
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    table_.put_back(change->first, std::move(change->second));
    make_known(change->first);  // whoever has asked meanwhile has been told what is no more
  }
}

void Responder::to_failed(Answer& answer) {
  answer.reply.resize(status_at + 1);
  answer.reply[status_at] = static_cast<std::byte>(Status::internal);
}

void Responder::tick(std::chrono::seconds clock, UnixTime now) {
  try {
    const auto gone = table_.advance(clock, now);
    for (const auto& name : gone) make_known(name);
    for (const auto& name : gone) {
      storage_.begin_batch();
      storage_.store_away(name, *table_.find(name)->away_since);
    }
    if (before_.empty()) storage_.end_batch();
    refresh();
  } catch (const std::exception& error) {
    trouble(error.what());
  }
}

// What a tool has revoked meanwhile. It has been stored; when this fails it is tried again by the next call.
void Responder::refresh() {
  const auto changes = storage_.foreign_changes();
  if (foreign_changes_ == changes) return;
  for (const auto& name : storage_.revoked()) {
    const Table::Endpoint* known = table_.find(name);
    if (known == nullptr || known->revoked) continue;
    table_.apply(RevokeEndpoint{name});
    make_known(name);
  }
  foreign_changes_ = changes;
}

// --- watches ------------------------------------------------------------------------------------------------------

Responder::Channel::Channel(Responder& responder, const ChannelBinding& binding, Origin* origin)
    : responder_(responder),
      binding_(binding),
      origin_(origin == nullptr ? own_origin_ : *origin),
      order_(++responder.last_order_) {}

Responder::Channel::~Channel() {
  while (!watches_.empty()) responder_.end_watch(*this, watches_.begin());
}

bool Responder::may_watch(const Channel& channel) const {
  const Origin& origin = channel.origin_;
  return channel.watches_.size() < max_watches_per_channel && origin.watches < max_watches_per_address &&
         (channel.watches() || origin.watching_channels < max_watching_channels_per_address) && watches_ < max_watches;
}

void Responder::end_watch(Channel& channel, std::map<EndpointName, std::uint64_t>::iterator watch) {
  const auto found = watchers_.find(watch->first);
  std::erase(found->second, &channel);
  if (found->second.empty()) watchers_.erase(found);
  channel.news_.erase(watch->first);
  channel.watches_.erase(watch);
  --watches_;
  --channel.origin_.watches;
  if (!channel.watches()) --channel.origin_.watching_channels;
}

Reply Responder::watch(Channel& channel, const Request& request) {
  const auto name = EndpointName::parse(request.name);
  if (!name) return failed(Status::bad_name);
  if (name->domain() != table_.domain()) return failed(Status::wrong_domain);
  const auto known = channel.watches_.find(*name);
  if (request.operation == Operation::unwatch) {
    if (known == channel.watches_.end()) return failed(Status::not_found);
    end_watch(channel, known);
    return failed(Status::ok);
  }
  if (known == channel.watches_.end()) {
    if (!may_watch(channel)) return failed(Status::limit);
    watchers_[*name].push_back(&channel);
    ++watches_;
    ++channel.origin_.watches;
    if (!channel.watches()) ++channel.origin_.watching_channels;
  }
  channel.watches_[*name] = request.id;
  return get(request);
}

void Responder::make_known(const EndpointName& name) {
  const auto found = watchers_.find(name);
  if (found == watchers_.end()) return;
  for (Channel* channel : found->second) {
    const bool first = channel->news_.empty();
    channel->news_.insert(name);
    if (first && channel->on_news) channel->on_news();
  }
}

std::vector<std::vector<std::byte>> Responder::take_news(Channel& channel, std::size_t limit) {
  std::vector<std::vector<std::byte>> replies;
  while (!channel.news_.empty() && replies.size() < limit) {
    const auto name = channel.news_.extract(channel.news_.begin()).value();
    Reply reply;
    reply.id = channel.watches_.at(name);
    reply.operation = static_cast<std::uint8_t>(Operation::watch);
    reply.status = table_.get(name, reply.info);
    replies.push_back(encode(reply));
  }
  if (!channel.news_.empty() && channel.on_news) channel.on_news();
  return replies;
}

}  // namespace sessionfs::sns
