// The seeds of what is about names, members and keys.
#include <openssl/x509v3.h>

#include "engine/bytes.hpp"
#include "fs/membership_file.hpp"
#include "sns/authority.hpp"
#include "sns/join_token.hpp"
#include "sns/table.hpp"
#include "tests/fuzz/asked.hpp"
#include "tests/fuzz/keys.hpp"
#include "tests/fuzz/make_corpus.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr UnixTime now{std::chrono::seconds(1'800'000'000)};

Address v4() { return {Family::v4, {10, 0, 0, 1}, 4700, Protocol::tls_tcp}; }
Address v6() { return {Family::v6, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 4700, Protocol::tls_tcp}; }

void make_wire_seeds(Corpus& corpus) {
  const auto csr = make_signing_request(test_key(1), EndpointName());
  for (int operation = 1; operation <= asked_operations; ++operation) {
    Request request;
    request.id = 1;
    request.operation = static_cast<Operation>(operation);
    request.name = is_about_service(request.operation) ? "file.alice@verkstad.net" : "alice@verkstad.net";
    request.residence.generation = 1;
    request.residence.mark.fill(std::byte{1});
    request.addresses = {v4(), v6()};
    request.member = 1;
    request.signing_request = csr;
    request.port = 4800;
    request.secret = asked_secret(0);
    auto body = encode(request);
    if (is_signed(request.operation)) body.resize(body.size() + sizeof(Signature), std::byte{5});
    std::vector<std::byte> frame;
    append_frame(frame, body);
    corpus.add("sns_wire", "request_" + std::to_string(operation), frame);

    Reply reply;
    reply.id = 1;
    reply.operation = static_cast<std::uint8_t>(operation);
    reply.status = Status::ok;
    reply.info = {1, test_key(1).public_key(), {v6(), v4()}, now};
    reply.member = 1;
    reply.lease = default_lease;
    reply.certificate = {std::byte{0x30}, std::byte{0}};
    corpus.add("sns_wire", "reply_" + std::to_string(operation), encode(reply));
  }
  Reply denied;
  denied.operation = 1;
  denied.status = Status::not_member;
  corpus.add("sns_wire", "denied", encode(denied));
  corpus.add("sns_wire", "addresses", encode_addresses({v4(), v6(), v4()}));
}

class Requests {
 public:
  Requests& ask(const Asked& asked, std::initializer_list<int> more = {}) {
    put({static_cast<int>(asked.operation) - 1, asked.name, asked.generation, asked.mark, asked.addresses, asked.member,
         asked.csr_key, asked.csr_name, asked.token, asked.port >> 8, asked.port & 255, asked.connection, asked.signer,
         asked.id, asked.error_place, asked.error_bits});
    put(more);
    return *this;
  }
  Requests& raw(Bytes body) {
    put({asked_raw, static_cast<int>(body.size())});
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    return *this;
  }
  // `key` makes the endpoint of this name as the member of the same key.
  Requests& new_ep(int name, int key) {
    Asked asked;
    asked.operation = Operation::new_ep;
    asked.name = asked.csr_name = static_cast<std::uint8_t>(name);
    asked.generation = asked.addresses = 1;
    asked.member = asked.csr_key = static_cast<std::uint8_t>(key - 1);
    asked.signer = static_cast<std::uint8_t>(key);
    return ask(asked, {0, 10, 0, 0, 1, 0x12, 0x5c});
  }
  Requests& plain(Operation operation, int name, int signer, int generation = 1, int mark = 0, int connection = 0) {
    Asked asked;
    asked.operation = operation;
    asked.name = static_cast<std::uint8_t>(name);
    asked.generation = static_cast<std::uint8_t>(generation);
    asked.mark = static_cast<std::uint8_t>(mark);
    asked.connection = static_cast<std::uint8_t>(connection);
    asked.csr_name = asked_no_csr;
    asked.signer = static_cast<std::uint8_t>(signer);
    asked.port = 4800;
    return ask(asked);
  }
  // A new certificate for the key's endpoint of this name.
  Requests& certify(int name, int key) {
    Asked asked;
    asked.operation = Operation::change_ep;
    asked.name = asked.csr_name = static_cast<std::uint8_t>(name);
    asked.generation = 1;
    asked.csr_key = static_cast<std::uint8_t>(key - 1);
    asked.signer = static_cast<std::uint8_t>(key);
    return ask(asked);
  }
  Requests& tick(int seconds) {
    put({asked_tick, seconds});
    return *this;
  }
  Requests& revoke(int name) {
    put({asked_revoke, name});
    return *this;
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void put(std::initializer_list<int> values) {
    for (const int one : values) bytes_.push_back(std::byte(one));
  }
  std::vector<std::byte> bytes_;
};

void make_responder_seeds(Corpus& corpus) {
  using enum Operation;
  corpus.add("responder", "new_ep", Requests().new_ep(0, 1).plain(get_ep, 5, 0).bytes());
  Requests life;
  life.new_ep(0, 1).plain(new_service, 2, 1).plain(get_service, 2, 0).plain(change_service, 2, 1);
  life.plain(change_ep, 0, 1, 2).plain(del_service, 2, 1, 2).plain(del_ep, 0, 1, 2);
  corpus.add("responder", "life", life.bytes());
  Requests thieves;
  thieves.new_ep(0, 1).new_ep(1, 2).new_ep(0, 2).plain(change_ep, 0, 2, 2).plain(new_service, 3, 0).plain(del_ep, 1, 1);
  corpus.add("responder", "thieves", thieves.bytes());
  Requests residences;
  residences.new_ep(0, 1).plain(change_ep, 0, 1, 2, 1).plain(change_ep, 0, 1, 2, 2).plain(change_ep, 0, 1, 2, 1, 1);
  residences.plain(change_ep, 0, 1, 2, 1, 0).plain(del_ep, 0, 1, 2, 2).plain(new_service, 2, 1, 2, 1);
  corpus.add("responder", "residences", residences.bytes());
  Requests watches;
  watches.plain(watch, 0, 0)
      .new_ep(0, 1)
      .tick(91)
      .tick(91)
      .certify(0, 1)
      .plain(change_ep, 0, 1, 2)
      .plain(unwatch, 5, 0);
  corpus.add("responder", "watches", watches.bytes());
  Requests revoked;
  revoked.new_ep(0, 1).plain(new_service, 2, 1).revoke(0).certify(0, 1).plain(get_ep, 0, 0).new_ep(0, 1).new_ep(0, 2);
  corpus.add("responder", "revoked", revoked.bytes());
  Asked asked;
  asked.operation = join;
  asked.csr_key = 2;
  asked.csr_name = 255;
  Requests joins;
  joins.ask(asked).ask(asked);
  asked.csr_key = 3;
  joins.ask(asked);
  asked.token = 2;
  joins.ask(asked);
  corpus.add("responder", "joins", joins.bytes());
  Request get;
  get.id = 9;
  get.name = "alice@verkstad.net";
  corpus.add("responder", "raw", Requests().new_ep(0, 2).raw(encode(get)).raw(bytes_of("GET / HTTP/1.1\r\n")).bytes());
  Asked altered;
  altered.operation = change_ep;
  altered.generation = 0xfe;
  altered.signer = 1;
  altered.id = 200;
  altered.error_place = 3;
  altered.error_bits = 1;
  corpus.add("responder", "altered", Requests().new_ep(0, 1).ask(altered).plain(get_ep, 0, 0).bytes());
}

void make_token_seeds(Corpus& corpus) {
  JoinToken token{"verkstad.net", {"sns.verkstad.net:4701"}, {}, asked_secret(1)};
  const auto add = [&](const char* name) {
    corpus.add("join_token", name, format(token));
    // The content alone: behind the prefix, and without the checksum.
    std::vector<std::byte> content;
    ByteWriter out(content);
    out.number(static_cast<std::uint8_t>(token.domain.size()));
    out.raw(bytes_of(token.domain));
    out.number(static_cast<std::uint8_t>(token.servers.size()));
    for (const auto& server : token.servers) {
      out.number(static_cast<std::uint8_t>(server.size()));
      out.raw(bytes_of(server));
    }
    out.raw(token.ca);
    out.raw(token.secret);
    corpus.add("join_token", std::string(name) + "_content", content);
  };
  add("one");
  token.servers = {"10.0.0.1", "[2001:db8::1]:4701", "2001:db8::2", "host:0"};
  add("four");
}

void make_identity_seeds(Corpus& corpus) {
  const EndpointName name = EndpointName::parse("alice@verkstad.net").value();
  const KeyPair key = test_key(2);
  const Authority authority = Authority::create("verkstad.net", now);
  corpus.add("identity", "request", joined({0}, make_signing_request(key, name)));
  corpus.add("identity", "request_of_member", joined({0}, make_signing_request(key, {})));
  const auto certificate = authority.issue_endpoint(name, key.public_key(), now);
  corpus.add("identity", "certificate", joined({1}, certificate.der()));
  corpus.add("identity", "certificate_of_server", joined({1}, authority.issue_server(key.public_key(), now).der()));
  corpus.add("identity", "pem", joined({2}, bytes_of(certificate.pem())));
  corpus.add("identity", "key", joined({2}, bytes_of(key.pem())));
  // Of a subjectAltName: a list of e-mail addresses (81), URIs (86), DNS names (82).
  const auto named = [](int tag, std::string_view text) {
    return joined({tag, static_cast<int>(text.size())}, bytes_of(text));
  };
  const auto list = [](std::initializer_list<std::vector<std::byte>> entries) {
    std::vector<std::byte> all;
    for (const auto& entry : entries) all.insert(all.end(), entry.begin(), entry.end());
    return joined({0x30, static_cast<int>(all.size())}, all);
  };
  const auto email = named(0x81, name.str());
  corpus.add("identity", "name", joined({3}, list({email})));
  corpus.add("identity", "name_critical", joined({7}, list({named(0x82, "host"), email})));
  corpus.add("identity", "name_twice", joined({11}, list({email})));
  corpus.add("identity", "two_names", joined({3}, list({email, email})));
  corpus.add("identity", "uri", joined({3}, list({named(0x86, "sessionfs:sns:verkstad.net")})));
}

void make_membership_seeds(Corpus& corpus) {
  const Authority authority = Authority::create("verkstad.net", now);
  const KeyPair key = test_key(3);
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/membership.toml";
  fs::save_membership(path, {"verkstad.net",
                             {"sns.verkstad.net:4701", "[2001:db8::1]:4701"},
                             authority.certificate(),
                             key,
                             authority.issue_member(7, key.public_key(), now),
                             7});
  std::string text;
  if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
    char buffer[8192];
    text.assign(buffer, std::fread(buffer, 1, sizeof(buffer), file));
    std::fclose(file);
  }
  corpus.add("membership", "whole", text);
  corpus.add("membership", "short", "domain = \"verkstad.net\"\nservers = []\nmember_id = 7\nauthority = \"\"\n");
}

}  // namespace

void make_sns_seeds(Corpus& corpus) {
  make_wire_seeds(corpus);
  make_responder_seeds(corpus);
  make_token_seeds(corpus);
  make_identity_seeds(corpus);
  make_membership_seeds(corpus);
}

}  // namespace sessionfs::fuzz
