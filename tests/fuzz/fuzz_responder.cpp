// A name server with its table and its database: requests of members, owners and strangers, in any order, over two
// connections, while time passes and endpoints are revoked. Each request is committed before the next.
//
// input: requests as in asked.hpp
#include "sns/responder.hpp"

#include <openssl/x509v3.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include "tests/fuzz/asked_server.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr std::size_t max_requests = 24;

class Server {
 public:
  Server() : responder_(open()) {
    responder_.on_trouble = [](const std::string& what) {
      std::fprintf(stderr, "trouble: %s\n", what.c_str());
      require(false, "no request troubles the database");
    };
    for (std::size_t i = 0; i < beginning().members.size(); ++i) members_[beginning().members[i]] = i + 1;
  }
  ~Server() { require_stored(); }

  void ask(const Asked& asked, Choices& choices);
  void ask_bytes(Bytes body);
  void tick(std::uint8_t seconds);
  void revoke(std::uint8_t name);

 private:
  // What is known of an endpoint from the answers.
  struct Known {
    std::size_t key = 0;
    Residence residence;
    std::vector<Address> addresses;
    std::map<std::string, std::uint16_t> services;
    std::size_t connection = 0;  // by which the last CHANGE_EP came
    std::chrono::seconds heard{};
    std::optional<UnixTime> away_since;
    bool revoked = false;
  };
  static const std::string& folder() {
    static const TemporaryFolder made;
    return made.path();
  }
  static Storage open() {
    for (const auto& entry : std::filesystem::directory_iterator(folder())) std::filesystem::remove(entry.path());
    std::ofstream(std::filesystem::path(folder()) / "sns.sqlite", std::ios::binary) << beginning().database;
    return Storage::open(folder(), std::string(asked_domain), now, Durability::process);
  }

  [[nodiscard]] UnixTime time() const { return now + clock_; }
  Reply answer(Connection& connection, Bytes body);
  void note(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
            const Reply& reply, std::size_t connection);
  void note_new(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
                const Reply& reply);
  void note_change(const Request& request, std::size_t signer, const Reply& reply, std::size_t connection);
  void note_watch(Connection& connection, const Request& request, const Reply& reply);
  void require_certificate(const Reply& reply, const EndpointName& name, std::size_t key) const;
  void require_told();
  void require_table(const Table& table) const;
  void require_stored() const;

  Responder responder_;
  std::array<Connection, asked_connections> connections_{Connection(responder_, 7), Connection(responder_, 8)};
  std::chrono::seconds clock_{};
  std::map<MemberId, std::size_t> members_;  // the numbers of their keys
  std::map<EndpointName, Known> known_;
};

// What must be true of every answer.
Reply Server::answer(Connection& connection, Bytes body) {
  const DecodedRequest decoded = decode_request(body);
  const auto answer = responder_.respond(connection.channel, body, time());
  require(responder_.commit(), "what is asked can be kept");
  require(answer.reply.size() <= max_frame_bytes, "a reply fits into a frame");
  const auto reply = decode_reply(answer.reply);
  require(reply.has_value(), "a reply can be read");
  require(reply->id == decoded.request.id && reply->operation == decoded.operation, "a reply says what it answers");
  require(reply->status != Status::internal, "a server blames itself for nothing that is asked");
  const bool good = decoded.status == Status::ok && decoded.request.id > connection.last_id;
  require(answer.close == !good, "who does not speak the protocol is let go, and nobody else");
  require(good || reply->status != Status::ok, "what is no request changes nothing");
  require(!answer.uncommitted || (reply->status == Status::ok && is_signed(decoded.request.operation)),
          "only what has changed something has to be kept");
  if (!good) return *reply;
  connection.last_id = decoded.request.id;
  require(responder_.respond(connection.channel, body, time()).close, "ids grow");
  note_watch(connection, decoded.request, *reply);
  return *reply;
}

void Server::ask_bytes(Bytes body) {
  const Reply reply = answer(connections_[0], body);
  const DecodedRequest decoded = decode_request(body);
  // A signature cannot be guessed; JOIN, GET and WATCH need none.
  if (decoded.status != Status::ok || is_signed(decoded.request.operation)) {
    require(reply.status != Status::ok, "nothing is changed without a signature");
  } else if (decoded.request.operation == Operation::join && reply.status == Status::ok) {
    const auto request = parse_signing_request(decoded.request.signing_request);
    require(request.has_value(), "who joins has signed its request");
    const auto& keys = beginning().keys;
    const auto key = std::ranges::find(keys, request->key, &KeyPair::public_key);
    members_.emplace(reply.member, static_cast<std::size_t>(key - keys.begin()) + 1);
  }
  require_told();
  require_table(responder_.table());
}

void Server::tick(std::uint8_t seconds) {
  clock_ += std::chrono::seconds(seconds);
  responder_.tick(clock_, time());
  for (auto& [name, known] : known_) {
    const auto away = responder_.table().find(name)->away_since;
    require(!known.away_since || away == known.away_since, "who is away stays so until he is back");
    if (away && !known.away_since) {
      require(clock_ - known.heard > default_lease && *away == now + known.heard, "a lease is as long as was said");
      require(!known.revoked, "who is revoked is not away");
    }
    known.away_since = away;
  }
  require_told();
  require_table(responder_.table());
}

void Server::revoke(std::uint8_t name) {
  const auto endpoint = EndpointName::parse(asked_names[name % asked_names.size()]);
  if (!endpoint || !known_.contains(*endpoint)) return;
  Storage::attach(folder()).store(RevokeEndpoint{*endpoint}, 0, time());
  Known& known = known_.at(*endpoint);
  known.revoked = true;
  known.addresses.clear();
  known.services.clear();
  tick(0);
}

// Whoever watches knows what is so now.
void Server::require_told() {
  for (auto& connection : connections_) {
    while (std::exchange(connection.has_news, false)) {
      const auto bodies = responder_.take_news(connection.channel, 1);
      require(bodies.size() == 1, "announced news are there");
      const auto reply = decode_reply(bodies[0]);
      require(reply && reply->operation == static_cast<std::uint8_t>(Operation::watch), "news are answers to a watch");
      const auto watch =
          std::ranges::find(connection.watches, reply->id, [](const auto& one) { return one.second.id; });
      require(watch != connection.watches.end(), "only what is watched is told");
      watch->second = *reply;
    }
    require(responder_.take_news(connection.channel, 1).empty(), "all news are announced");
    require(connection.channel.watches() == !connection.watches.empty(), "a connection watches what it has asked for");
    for (const auto& [name, told] : connection.watches) {
      EndpointInfo info;
      require(told.status == responder_.table().get(name, info) && told.info == info, "all changes are told");
    }
  }
}

void Server::note_watch(Connection& connection, const Request& request, const Reply& reply) {
  if (request.operation != Operation::watch && request.operation != Operation::unwatch) return;
  const auto name = EndpointName::parse(request.name);
  const bool can = name && name->domain() == asked_domain;
  require(can == (reply.status != Status::bad_name && reply.status != Status::wrong_domain), "names are checked");
  if (!can) return;
  if (request.operation == Operation::watch) {
    connection.watches[*name] = reply;
  } else {
    require((connection.watches.erase(*name) == 1) == (reply.status == Status::ok), "a watch ends once");
  }
}

void Server::ask(const Asked& asked, Choices& choices) {
  const auto& keys = beginning().keys;
  Request request;
  request.operation = asked.operation;
  auto& connection = connections_[asked.connection % asked_connections];
  request.id = asked.id == 0 ? connection.last_id + 1 : spread(asked.id);
  request.residence.generation = spread(asked.generation);
  request.residence.mark.fill(std::byte(asked.mark % asked_marks));
  for (std::size_t i = 0; i < asked.addresses % (max_addresses + 2); ++i) {
    Address address;
    address.family = choices.byte() % 2 == 0 ? Family::v4 : Family::v6;
    const auto ip = choices.bytes(address.family == Family::v4 ? 4 : 16);
    std::ranges::transform(ip, address.ip.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    address.port = choices.word();
    request.addresses.push_back(address);
  }
  request.name = asked.name < asked_names.size() ? asked_names[asked.name] : text_of(choices.field());
  request.member = asked.member < beginning().members.size() ? beginning().members[asked.member] : spread(asked.member);
  request.secret = asked_secret(asked.token);
  request.port = asked.port;
  const std::size_t csr_key = asked.csr_key % keys.size();
  const auto csr_name = asked.csr_name < asked_names.size() ? EndpointName::parse(asked_names[asked.csr_name])
                                                            : std::optional<EndpointName>();
  if (asked.operation != Operation::change_ep || asked.csr_name != asked_no_csr)
    request.signing_request = make_signing_request(keys[csr_key], csr_name.value_or(EndpointName()));

  auto body = encode(request);
  const bool altered = asked.error_bits != 0;
  body[asked.error_place % body.size()] ^= std::byte{asked.error_bits};
  const std::size_t signer = asked.signer % (keys.size() + 1);
  if (is_signed(request.operation)) {
    const auto signature =
        signer == 0 ? Signature{}
                    : keys[signer - 1].sign(to_be_signed(connection.binding, std::as_bytes(std::span(body))));
    body.insert(body.end(), signature.begin(), signature.end());
  }
  const Reply reply = answer(connection, body);
  const DecodedRequest decoded = decode_request(body);
  if (reply.status == Status::ok) {
    if (altered && decoded.request.signing_request != request.signing_request)
      require(decoded.request.signing_request.empty(), "an altered signing request is refused");
    note(decoded.request, is_signed(decoded.request.operation) ? signer : 0, csr_key + 1,
         csr_name.value_or(EndpointName()), reply, asked.connection % asked_connections);
  }
  require_told();
  require_table(responder_.table());
}

void Server::require_certificate(const Reply& reply, const EndpointName& name, std::size_t key) const {
  const auto certificate = Certificate::from_der(reply.certificate);
  require(certified_name(certificate.get()) == name, "a certificate is for the name that was asked for");
  require(certificate.public_key() == beginning().keys[key - 1].public_key(), "and for the key");
  require(verify_chain(certificate.get(), responder_.authority().certificate().get(), X509_PURPOSE_SSL_SERVER, time()),
          "and holds");
}

// A request that was answered with ok: whoever asked was allowed to, and from now on it is so.
void Server::note(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
                  const Reply& reply, std::size_t connection) {
  const auto& keys = beginning().keys;
  if (request.operation == Operation::join) {
    require(csr_name.empty() && request.secret[0] < std::byte{asked_good_tokens}, "one joins with a good token");
    require(reply.member != 0, "a member has a number");
    const auto [member, added] = members_.emplace(reply.member, csr_key);
    require(added || member->second == csr_key, "a member's number is its own");
    require(Certificate::from_der(reply.certificate).public_key() == keys[csr_key - 1].public_key(),
            "a certificate is for the key that asked");
  } else if (request.operation == Operation::new_ep) {
    note_new(request, signer, csr_key, csr_name, reply);
  } else if (is_signed(request.operation)) {
    note_change(request, signer, reply, connection);
  } else if (request.operation != Operation::unwatch) {
    const auto whole = request.operation == Operation::get_service ? ServiceName::parse(request.name) : std::nullopt;
    const auto name = whole ? std::optional(whole->endpoint) : EndpointName::parse(request.name);
    require(name && known_.contains(*name) && !known_.at(*name).revoked, "only what was made is found");
    require(reply.info.generation == known_.at(*name).residence.generation, "it is found as it was announced");
    if (whole) require(known_.at(*name).services.contains(whole->service), "only services that were made are found");
  }
}

void Server::note_new(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
                      const Reply& reply) {
  const auto name = EndpointName::parse(request.name);
  require(name && *name == csr_name && name->domain() == asked_domain, "a new endpoint has a name of the domain");
  const auto member = members_.find(request.member);
  require(member != members_.end() && member->second == signer, "a member makes endpoints, and proves to be it");
  require_certificate(reply, *name, csr_key);
  auto [place, added] = known_.try_emplace(*name);
  Known& known = place->second;
  require(added || (known.key == csr_key) != known.revoked, "a name is taken by another key once the first is revoked");
  if (known.revoked) known = {};
  require(known.key == 0 || request.residence.generation > known.residence.generation ||
              request.residence == known.residence,
          "a residence is taken over by a higher generation");
  known.key = csr_key;
  known.residence = request.residence;
  known.addresses = request.addresses;
  known.heard = clock_;
  known.away_since.reset();
}

void Server::note_change(const Request& request, std::size_t signer, const Reply& reply, std::size_t connection) {
  const auto service = is_about_service(request.operation) ? ServiceName::parse(request.name) : std::nullopt;
  const auto name = service ? std::optional(service->endpoint) : EndpointName::parse(request.name);
  require(name && known_.contains(*name), "only what was made is changed");
  auto& known = known_.at(*name);
  require(signer != 0 && known.key == signer, "an endpoint's own key changes it, and no other");
  require(!known.revoked, "a revoked key changes nothing");
  require(request.operation == Operation::change_ep || request.residence == known.residence,
          "only the known residence changes it");
  switch (request.operation) {
    case Operation::change_ep:
      require(request.residence.generation > known.residence.generation ||
                  (request.residence == known.residence && connection >= known.connection),
              "a residence is taken over by a higher generation, or told of by a newer connection");
      require(reply.certificate.empty() == request.signing_request.empty(), "a certificate is given to who asks");
      if (!reply.certificate.empty()) require_certificate(reply, *name, known.key);
      known.residence = request.residence;
      known.addresses = request.addresses;
      known.connection = connection;
      known.heard = clock_;
      known.away_since.reset();
      break;
    case Operation::del_ep:
      known_.erase(*name);
      break;
    case Operation::new_service:
      require(known.services.emplace(service->service, request.port).second, "a service is made once");
      break;
    case Operation::change_service:
      require(known.services.contains(service->service), "only a service that was made is changed");
      known.services[service->service] = request.port;
      break;
    default:
      require(known.services.erase(service->service) == 1, "only a service that was made is deleted");
  }
}

void Server::require_table(const Table& table) const {
  require(table.size() == known_.size(), "the table has what was answered with ok, and no more");
  for (const auto& [name, known] : known_) {
    const auto* endpoint = table.find(name);
    require(endpoint != nullptr, "an endpoint that was made is there");
    require(endpoint->residence == known.residence && endpoint->addresses == known.addresses &&
                endpoint->key == beginning().keys[known.key - 1].public_key(),
            "an endpoint is as it was announced");
    require(endpoint->away_since == known.away_since && endpoint->revoked == known.revoked,
            "it is away or revoked when it was told so");
    require(endpoint->services.size() == known.services.size(), "its services are there");
    for (const auto& service : endpoint->services)
      require(known.services.contains(service.name) && known.services.at(service.name) == service.port,
              "a service is as it was announced");
    EndpointInfo info;
    require(table.get(name, info) == (known.revoked ? Status::revoked : Status::ok), "an endpoint is found");
    require(info.addresses.size() <= max_addresses, "addresses are bounded");
  }
}

// What another server would serve from this database.
void Server::require_stored() const {
  Table table{std::string(asked_domain)};
  Storage::attach(folder()).load(table);
  require_table(table);
}

void fuzz(Bytes input) {
  Choices choices(input);
  Server server;
  for (std::size_t i = 0; i < max_requests && !choices.empty(); ++i) {
    Asked asked;
    const std::uint8_t operation = choices.byte();
    if (operation == asked_raw) {
      server.ask_bytes(choices.field());
      continue;
    }
    if (operation == asked_tick) {
      server.tick(choices.byte());
      continue;
    }
    if (operation == asked_revoke) {
      server.revoke(choices.byte());
      continue;
    }
    asked.operation = static_cast<Operation>(1 + operation % asked_operations);
    for (auto* field : {&asked.name, &asked.generation, &asked.mark, &asked.addresses, &asked.member, &asked.csr_key,
                        &asked.csr_name, &asked.token})
      *field = choices.byte();
    asked.port = choices.word();
    for (auto* field : {&asked.connection, &asked.signer, &asked.id, &asked.error_place, &asked.error_bits})
      *field = choices.byte();
    server.ask(asked, choices);
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sessionfs::fuzz::fuzz(sessionfs::fuzz::input_of(data, size));
  return 0;
}
