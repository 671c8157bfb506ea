// A name server with its table and its database: requests of members, owners and strangers, in any order.
//
// input: requests as in asked.hpp
#include "sns/responder.hpp"

#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "tests/fuzz/asked.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr UnixTime now{std::chrono::seconds(1'800'000'000)};
constexpr std::size_t max_requests = 24;

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// A database as every run starts from it, made once: its authority's key is random.
struct Beginning {
  Beginning() {
    const TemporaryFolder folder;
    {
      Responder responder(Storage::open(folder.path(), std::string(asked_domain), now, Durability::process));
      for (std::uint8_t i = 1; i <= asked_keys; ++i) keys.push_back(test_key(i));
      for (std::size_t i = 0; i < 2; ++i) members.push_back(responder.admit(keys[i], now).member_id);
      for (std::uint8_t i = 0; i < asked_known_tokens; ++i) {
        const auto expires = i < asked_good_tokens ? now + std::chrono::hours(1) : now - std::chrono::hours(1);
        require(responder.storage().add_token(asked_secret(i), expires, now), "a token can be made");
      }
    }
    database = content_of(std::filesystem::path(folder.path()) / "sns.sqlite");
    require(!database.empty(), "a name server has a database");
  }
  std::vector<KeyPair> keys;  // by number, from 1
  std::vector<MemberId> members;
  std::string database;
};

const Beginning& beginning() {
  static const Beginning made;
  return made;
}

class Server {
 public:
  Server() : responder_(open()) {
    channel_.binding.fill(std::byte{7});
    responder_.on_trouble = [](const std::string& what) {
      std::fprintf(stderr, "trouble: %s\n", what.c_str());
      require(false, "no request troubles the database");
    };
    for (std::size_t i = 0; i < beginning().members.size(); ++i) members_[beginning().members[i]] = i + 1;
  }
  ~Server() { require_stored(); }

  void ask(const Asked& asked, Choices& choices);
  void ask_bytes(Bytes body);

 private:
  // What is known of an endpoint from the answers.
  struct Known {
    std::size_t key = 0;
    std::uint64_t generation = 0;
    std::vector<Address> addresses;
    std::map<std::string, std::uint16_t> services;
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

  Reply answer(Bytes body);
  void note(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
            const Reply& reply);
  void note_change(const Request& request, std::size_t signer);
  void require_table(const Table& table) const;
  void require_stored() const;

  Responder responder_;
  Responder::Channel channel_;
  std::map<MemberId, std::size_t> members_;  // the numbers of their keys
  std::map<EndpointName, Known> known_;
};

// What must be true of every answer.
Reply Server::answer(Bytes body) {
  const auto last_id = channel_.last_id;
  const DecodedRequest decoded = decode_request(body);
  const auto answer = responder_.respond(channel_, body, now);
  require(answer.reply.size() <= max_frame_bytes, "a reply fits into a frame");
  const auto reply = decode_reply(answer.reply);
  require(reply.has_value(), "a reply can be read");
  require(reply->id == decoded.request.id && reply->operation == decoded.operation, "a reply says what it answers");
  require(reply->status != Status::internal, "a server blames itself for nothing that is asked");
  const bool good = decoded.status == Status::ok && decoded.request.id > last_id;
  require(answer.close == !good, "who does not speak the protocol is let go, and nobody else");
  require(good || (reply->status != Status::ok && channel_.last_id == last_id), "what is no request changes nothing");
  require(!good || channel_.last_id == decoded.request.id, "ids grow");
  return *reply;
}

void Server::ask_bytes(Bytes body) {
  const Reply reply = answer(body);
  const DecodedRequest decoded = decode_request(body);
  // A signature cannot be guessed; JOIN and GET need none.
  if (decoded.status != Status::ok || is_signed(decoded.request.operation)) {
    require(reply.status != Status::ok, "nothing is changed without a signature");
  } else if (decoded.request.operation == Operation::join && reply.status == Status::ok) {
    const auto request = parse_signing_request(decoded.request.signing_request);
    require(request.has_value(), "who joins has signed its request");
    const auto& keys = beginning().keys;
    const auto key = std::ranges::find(keys, request->key, &KeyPair::public_key);
    members_.emplace(reply.member, static_cast<std::size_t>(key - keys.begin()) + 1);
  }
  require_table(responder_.table());
}

void Server::ask(const Asked& asked, Choices& choices) {
  const auto& keys = beginning().keys;
  Request request;
  request.operation = asked.operation;
  request.id = asked.id == 0 ? channel_.last_id + 1 : spread(asked.id);
  request.generation = spread(asked.generation);
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
  request.signing_request = make_signing_request(keys[csr_key], csr_name.value_or(EndpointName()));

  auto body = encode(request);
  const bool altered = asked.error_bits != 0;
  body[asked.error_place % body.size()] ^= std::byte{asked.error_bits};
  const std::size_t signer = asked.signer % (keys.size() + 1);
  if (is_signed(request.operation)) {
    const auto signature = signer == 0
                               ? Signature{}
                               : keys[signer - 1].sign(to_be_signed(channel_.binding, std::as_bytes(std::span(body))));
    body.insert(body.end(), signature.begin(), signature.end());
  }
  const Reply reply = answer(body);
  const DecodedRequest decoded = decode_request(body);
  if (reply.status != Status::ok) return require_table(responder_.table());
  if (altered && decoded.request.signing_request != request.signing_request) {
    require(decoded.request.operation != Operation::new_ep && decoded.request.operation != Operation::join,
            "an altered signing request is refused");
  }
  note(decoded.request, is_signed(decoded.request.operation) ? signer : 0, csr_key + 1,
       csr_name.value_or(EndpointName()), reply);
  require_table(responder_.table());
}

// A request that was answered with ok: whoever asked was allowed to, and from now on it is so.
void Server::note(const Request& request, std::size_t signer, std::size_t csr_key, const EndpointName& csr_name,
                  const Reply& reply) {
  const auto& keys = beginning().keys;
  if (request.operation == Operation::join) {
    require(csr_name.empty() && request.secret[0] < std::byte{asked_good_tokens}, "one joins with a good token");
    require(reply.member != 0, "a member has a number");
    const auto [member, added] = members_.emplace(reply.member, csr_key);
    require(added || member->second == csr_key, "a member's number is its own");
    require(Certificate::from_der(reply.certificate).public_key() == keys[csr_key - 1].public_key(),
            "a certificate is for the key that asked");
  } else if (request.operation == Operation::new_ep) {
    const auto name = EndpointName::parse(request.name);
    require(name && *name == csr_name && name->domain() == asked_domain, "a new endpoint has a name of the domain");
    const auto member = members_.find(request.member);
    require(member != members_.end() && member->second == signer, "a member makes endpoints, and proves to be it");
    const auto certificate = Certificate::from_der(reply.certificate);
    require(certified_name(certificate.get()) == name, "a certificate is for the name that was asked for");
    require(certificate.public_key() == keys[csr_key - 1].public_key(), "and for the key");
    require(verify_chain(certificate.get(), responder_.authority().certificate().get(), X509_PURPOSE_SSL_SERVER, now),
            "and holds");
    auto [known, added] = known_.try_emplace(*name);
    require(added || known->second.key == csr_key, "a name that is taken is not taken by another key");
    require(added || known->second.generation <= request.generation, "generations do not go back");
    known->second.key = csr_key;
    known->second.generation = request.generation;
    known->second.addresses = request.addresses;
  } else if (is_signed(request.operation)) {
    note_change(request, signer);
  } else {
    const auto whole = request.operation == Operation::get_service ? ServiceName::parse(request.name) : std::nullopt;
    const auto name = whole ? std::optional(whole->endpoint) : EndpointName::parse(request.name);
    require(name && known_.contains(*name), "only what was made is found");
    require(reply.info.generation == known_.at(*name).generation, "it is found as it was announced");
    if (whole) require(known_.at(*name).services.contains(whole->service), "only services that were made are found");
  }
}

void Server::note_change(const Request& request, std::size_t signer) {
  const auto service = is_about_service(request.operation) ? ServiceName::parse(request.name) : std::nullopt;
  const auto name = service ? std::optional(service->endpoint) : EndpointName::parse(request.name);
  require(name && known_.contains(*name), "only what was made is changed");
  auto& known = known_.at(*name);
  require(signer != 0 && known.key == signer, "an endpoint's own key changes it, and no other");
  switch (request.operation) {
    case Operation::change_ep:
      require(known.generation <= request.generation, "generations do not go back");
      known.generation = request.generation;
      known.addresses = request.addresses;
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
    require(endpoint->generation == known.generation && endpoint->addresses == known.addresses &&
                endpoint->key == beginning().keys[known.key - 1].public_key(),
            "an endpoint is as it was announced");
    require(endpoint->services.size() == known.services.size(), "its services are there");
    for (const auto& service : endpoint->services)
      require(known.services.contains(service.name) && known.services.at(service.name) == service.port,
              "a service is as it was announced");
    EndpointInfo info;
    require(table.get(name, info) == Status::ok && info.addresses.size() <= max_addresses, "an endpoint is found");
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
    if (operation == 0xff) {
      server.ask_bytes(choices.field());
      continue;
    }
    asked.operation = static_cast<Operation>(1 + operation % 9);
    for (auto* field : {&asked.name, &asked.generation, &asked.addresses, &asked.member, &asked.csr_key,
                        &asked.csr_name, &asked.token})
      *field = choices.byte();
    asked.port = choices.word();
    for (auto* field : {&asked.signer, &asked.id, &asked.error_place, &asked.error_bits}) *field = choices.byte();
    server.ask(asked, choices);
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sessionfs::fuzz::fuzz(sessionfs::fuzz::input_of(data, size));
  return 0;
}
