// A responder with one member and one connection to it.
#pragma once

#include "sns/responder.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {

class ResponderFixture : public ::testing::Test {
 protected:
  static ChannelBinding binding(std::uint8_t number) {
    ChannelBinding made{};
    made[0] = std::byte{number};
    return made;
  }

  // By the residence at(1), if nothing else is said.
  Request request(Operation operation, std::string name) {
    Request out;
    out.id = ++last_id_;
    out.operation = operation;
    out.name = std::move(name);
    out.residence = at(1);
    return out;
  }
  Request new_ep(const std::string& name, const KeyPair& key) {
    Request out = request(Operation::new_ep, name);
    out.addresses = {v4(1, 4700)};
    out.member = member_.member_id;
    const auto parsed = EndpointName::parse(name);
    out.signing_request = make_signing_request(key, parsed ? *parsed : EndpointName());
    return out;
  }
  Request change_alice(const Residence& residence, std::vector<Address> addresses) {
    Request out = request(Operation::change_ep, "alice@verkstad.net");
    out.residence = residence;
    out.addresses = std::move(addresses);
    return out;
  }

  static std::vector<std::byte> signed_body(const Request& what, const KeyPair& by, const ChannelBinding& where) {
    auto body = encode(what);
    const auto signature = by.sign(to_be_signed(where, body));
    body.insert(body.end(), signature.begin(), signature.end());
    return body;
  }
  static Reply read(const Responder::Answer& answer) {
    auto reply = decode_reply(answer.reply);
    EXPECT_TRUE(reply);
    return reply.value_or(Reply());
  }
  // What was changed is kept before the answer is looked at.
  Reply ask_bytes(std::span<const std::byte> body, bool closes = false) {
    auto answer = responder_.respond(channel_, body, now_);
    EXPECT_EQ(answer.close, closes);
    const bool kept = responder_.commit();
    if (answer.uncommitted && !kept) Responder::to_failed(answer);
    return read(answer);
  }
  Reply ask(const Request& what, const KeyPair& by = {}) {
    Reply reply = ask_bytes(by ? signed_body(what, by, binding(7)) : encode(what));
    EXPECT_EQ(reply.id, what.id);
    EXPECT_EQ(reply.operation, static_cast<std::uint8_t>(what.operation));
    return reply;
  }
  // Nothing is kept before the next commit().
  Responder::Answer ask_only(const Request& what, const KeyPair& by = {}) {
    return responder_.respond(channel_, by ? signed_body(what, by, binding(7)) : encode(what), now_);
  }
  Status make_alice() { return ask(new_ep("alice@verkstad.net", alice_key_), member_.member_key).status; }

  // The news of a channel, read.
  std::vector<Reply> news(Responder::Channel& channel, std::size_t limit = 100) {
    std::vector<Reply> out;
    for (const auto& body : responder_.take_news(channel, limit)) out.push_back(decode_reply(body).value());
    return out;
  }

  TemporaryFolder folder_;
  UnixTime now_ = test_time;
  Responder responder_{Storage::open(folder_.path(), "verkstad.net", test_time)};
  Membership member_ = responder_.admit(KeyPair::generate(), test_time);
  KeyPair alice_key_ = KeyPair::generate();
  EndpointName alice_ = endpoint("alice@verkstad.net");
  Responder::Channel channel_{responder_, binding(7)};
  std::uint64_t last_id_ = 0;
};

}  // namespace sessionfs::sns
