// The client over the responder in the same process, and over transports that misbehave.
#include "sns/client.hpp"

#include <map>

#include "tests/sns/fixtures.hpp"
#include "tests/sns/scripted_transport.hpp"

namespace sessionfs::sns {
namespace {

class LocalClientTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  asio::io_context io_;
  Responder responder_{Storage::open(folder_.path(), "local", real_time(), Durability::process)};
  Client client_{io_, responder_, responder_.admit(KeyPair::generate(), real_time())};
  Asker ask_{io_, client_};
  KeyPair key_ = KeyPair::generate();
  EndpointName alice_ = endpoint("alice@local");
};

TEST_F(LocalClientTest, TheEightRequests) {
  EXPECT_EQ(ask_.get_ep(alice_), Status::not_found);
  ASSERT_EQ(ask_.new_ep(alice_, key_, at(1), {}), Status::ok);
  ASSERT_TRUE(ask_.registered.certificate);
  EXPECT_EQ(certified_name(ask_.registered.certificate->get()), alice_);
  EXPECT_EQ(ask_.registered.lease, default_lease);
  EXPECT_EQ(ask_.new_ep(alice_, KeyPair::generate()), Status::exists);
  EXPECT_EQ(ask_.change_ep(alice_, key_, at(2), {v4(5, 5)}), Status::ok);
  EXPECT_EQ(ask_.change_ep(alice_, key_, at(1), {}), Status::stale_generation);
  EXPECT_EQ(ask_.get_ep(alice_), Status::ok);
  EXPECT_EQ(ask_.info, (EndpointInfo{2, key_.public_key(), {v4(5, 5)}, {}}));
  const auto file = service("file.alice@local");
  EXPECT_EQ(ask_.new_service(file, key_, at(2)), Status::ok);
  EXPECT_EQ(ask_.new_service(file, key_, at(2)), Status::exists);
  EXPECT_EQ(ask_.change_service(file, key_, 77, at(2)), Status::ok);
  EXPECT_EQ(ask_.get_service(file), Status::ok);
  EXPECT_EQ(ask_.info.addresses, std::vector{v4(5, 77)});
  EXPECT_EQ(ask_.del_service(file, KeyPair::generate(), at(2)), Status::bad_signature);
  EXPECT_EQ(ask_.del_service(file, key_, at(2)), Status::ok);
  EXPECT_EQ(ask_.get_service(file), Status::not_found);
  EXPECT_EQ(ask_.del_ep(alice_, key_, at(2)), Status::ok);
  EXPECT_EQ(ask_.get_ep(alice_), Status::not_found);
}

TEST_F(LocalClientTest, WhatCannotBeAskedIsRefused) {
  EXPECT_EQ(ask_.new_ep(endpoint("a@example.com"), key_), Status::wrong_domain);
  EXPECT_EQ(ask_.get_ep(endpoint("a@example.com")), Status::wrong_domain);
  EXPECT_EQ(ask_.del_ep(endpoint("a@example.com"), key_), Status::wrong_domain);
  EXPECT_EQ(ask_.change_ep(alice_, key_, at(1), std::vector(max_addresses + 1, v4(1, 1))), Status::bad_request);
  EXPECT_EQ(ask_.change_ep(alice_, KeyPair(), at(1), {}), Status::bad_request);
  Client::Config config;
  config.domain = "LOCAL";
  Client stranger(io_, responder_, config);
  Asker ask(io_, stranger);
  EXPECT_EQ(ask.new_ep(alice_, key_), Status::not_member);
  EXPECT_EQ(ask.get_ep(alice_), Status::not_found);
}

TEST_F(LocalClientTest, ManyCallsAreUnderWayAtOnce) {
  ASSERT_EQ(ask_.new_ep(alice_, key_), Status::ok);
  int ended = 0;
  for (int i = 0; i < 200; ++i) {
    client_.new_service({"s" + std::to_string(i), alice_}, key_, at(1), [&](Status status) {
      EXPECT_EQ(status, Status::ok);
      ++ended;
    });
  }
  EXPECT_EQ(ended, 0);
  run_until(io_, [&] { return ended == 200; });
  EXPECT_EQ(responder_.table().find(alice_)->services.size(), 200U);
}

TEST_F(LocalClientTest, ADestroyedClientCallsNobody) {
  bool called = false;
  {
    Client other(io_, responder_, responder_.admit(KeyPair::generate(), real_time()));
    other.get_ep(alice_, [&](Status, const EndpointInfo&) { called = true; });
    other.get_ep(endpoint("a@example.com"), [&](Status, const EndpointInfo&) { called = true; });
  }
  ASSERT_EQ(ask_.new_ep(alice_, key_), Status::ok);
  io_.restart();
  io_.run_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(called);
}

TEST_F(LocalClientTest, AClientMayGoInsideItsCallback) {
  auto other = std::make_unique<Client>(io_, responder_, responder_.admit(KeyPair::generate(), real_time()));
  bool second = false;
  other->get_ep(alice_, [&](Status, const EndpointInfo&) { other.reset(); });
  other->get_ep(alice_, [&](Status, const EndpointInfo&) { second = true; });
  run_until(io_, [&] { return !other; });
  ASSERT_EQ(ask_.get_ep(alice_), Status::not_found);
  EXPECT_FALSE(second);
}

TEST_F(CallsTest, RepliesMayComeInAnyOrder) {
  start(test_limit);
  get(1);
  get(2);
  ASSERT_TRUE(wait_received(2));
  reply(2, Status::not_found);
  reply(99, Status::limit);  // nobody waits for it
  EXPECT_EQ(ended_, (std::map<int, Status>{{2, Status::not_found}}));
  reply(1, Status::wrong_domain);
  EXPECT_EQ(ended_.at(1), Status::wrong_domain);
  EXPECT_EQ(script_.opened, 1);
}

TEST_F(CallsTest, WhatCannotBeOpenedEndsTheCalls) {
  for (const auto status : {Status::unreachable, Status::untrusted}) {
    script_.open_status = status;
    start(test_limit);
    get(1);
    get(2);
    ASSERT_TRUE(run_until(io_, [&] { return ended_.size() == 2; }));
    EXPECT_EQ(ended_, (std::map<int, Status>{{1, status}, {2, status}}));
    ended_.clear();
    calls_->close();
  }
}

TEST_F(CallsTest, ASilentServerTimesOut) {
  start(std::chrono::milliseconds(30));
  get(1);
  ASSERT_TRUE(run_until(io_, [&] { return !ended_.empty(); }));
  EXPECT_EQ(ended_.at(1), Status::timed_out);
  EXPECT_EQ(script_.received.size(), 1U);
  get(2);  // over a new connection
  ASSERT_TRUE(run_until(io_, [&] { return ended_.size() == 2; }));
  EXPECT_EQ(script_.opened, 2);
}

TEST_F(CallsTest, AConnectionThatHasFallenSilentIsReplacedWhileThereIsTime) {
  start(std::chrono::seconds(6));
  get(1);
  ASSERT_TRUE(wait_received(1));
  reply(1, Status::not_found);
  get(2);
  get(3);
  ASSERT_TRUE(wait_received(5)) << "both are sent again";
  EXPECT_EQ(script_.opened, 2);
  EXPECT_FALSE(ended_.contains(2));
  reply(1, Status::not_found);
  reply(2, Status::not_found);
  EXPECT_EQ(ended_.at(2), Status::not_found);
  EXPECT_EQ(ended_.at(3), Status::not_found);
}

TEST_F(CallsTest, AConnectionThatNeverOpensTimesOut) {
  script_.opens = false;
  start(std::chrono::milliseconds(30));
  get(1);
  ASSERT_TRUE(run_until(io_, [&] { return !ended_.empty(); }));
  EXPECT_EQ(ended_.at(1), Status::timed_out);
}

TEST_F(CallsTest, ABreakOfAConnectionThatHasWorkedIsTriedOnceMore) {
  start(test_limit);
  get(1);
  ASSERT_TRUE(wait_received(1));
  reply(1, Status::not_found);
  get(2);
  script_.handlers.broken();
  ASSERT_TRUE(wait_received(3));
  EXPECT_EQ(script_.received[2].name, "2");
  EXPECT_EQ(script_.received[2].id, 1U) << "ids begin anew on each connection";
  get(3);
  ASSERT_TRUE(wait_received(4));
  reply(2, Status::not_found);
  script_.handlers.broken();
  EXPECT_EQ(ended_.at(2), Status::unreachable) << "not a third time";
}

TEST_F(CallsTest, ABreakBeforeTheFirstAnswerEndsTheCalls) {
  start(test_limit);
  get(1);
  ASSERT_TRUE(wait_received(1));
  script_.handlers.broken();
  EXPECT_EQ(ended_.at(1), Status::unreachable);
  EXPECT_EQ(script_.opened, 1);
}

TEST_F(CallsTest, ATimeoutDoesNotTakeAnothersPlace) {
  // The first call must be answered in time; on a slow machine that takes a longer time limit.
  for (std::chrono::milliseconds limit(50); ended_[1] != Status::not_found; limit *= 2) {
    if (calls_) calls_->close();
    script_.received.clear();
    start(limit);
    get(1);
    ASSERT_TRUE(wait_received(1));
    reply(1, Status::not_found);
  }
  get(2);
  script_.handlers.broken();  // 2 waits to be sent again, with the id of the old connection
  ASSERT_TRUE(run_until(io_, [&] { return ended_.contains(2); }));
  EXPECT_EQ(ended_.at(2), Status::timed_out);
}

TEST_F(CallsTest, NonsenseBreaksTheConnection) {
  start(test_limit);
  for (int i = 1; i <= 2; ++i) {
    get(i);
    ASSERT_TRUE(wait_received(static_cast<std::size_t>(i)));
    if (i == 1) {
      script_.handlers.received(std::vector(5, std::byte{0xff}));
    } else {
      reply(0, Status::bad_request);
    }
    EXPECT_EQ(ended_.at(i), Status::unreachable);
  }
}

TEST_F(CallsTest, ThereIsALimitOfCalls) {
  start(test_limit);
  for (std::size_t i = 0; i < max_calls_under_way; ++i) get(static_cast<int>(i));
  get(-1);
  ASSERT_TRUE(run_until(io_, [&] { return ended_.contains(-1); }));
  EXPECT_EQ(ended_, (std::map<int, Status>{{-1, Status::limit}}));
}

TEST(AddressTest, ComesBackFromAsio) {
  for (const Address& address : {v4(7, 4700), v6(9, 1)}) EXPECT_EQ(to_address(to_endpoint(address)), address);
  EXPECT_EQ(to_string(v4(7, 4700)), "10.0.0.7:4700");
  EXPECT_EQ(to_string(v6(9, 1)), "[2001:db8::9]:1");
  EXPECT_EQ(to_address({asio::ip::make_address("::ffff:10.0.0.7"), 5}), v4(7, 5));
}

}  // namespace
}  // namespace sessionfs::sns
