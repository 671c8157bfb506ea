// A client's watches: over TLS, within one process, and over connections that break.
#include "tests/sns/running_server.hpp"
#include "tests/sns/scripted_transport.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::seconds;

// What a watch has told.
struct Told {
  std::vector<std::pair<Status, EndpointInfo>> all;
  [[nodiscard]] std::size_t size() const { return all.size(); }
  [[nodiscard]] Status status() const { return all.back().first; }
  [[nodiscard]] const EndpointInfo& info() const { return all.back().second; }
  Client::InfoDone note() {
    return [this](Status status, const EndpointInfo& info) { all.emplace_back(status, info); };
  }
};

// --- over TLS and within one process -------------------------------------------------------------------------------

class WatchTest : public ServerTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("TLS")) {
      start();
    } else {
      responder_.emplace(Storage::open(folder_.path(), "verkstad.net", real_time(), Durability::process));
    }
  }
  std::unique_ptr<Client> client() {
    if (server_) return std::make_unique<Client>(io_, config());
    return std::make_unique<Client>(io_, *responder_, responder_->admit(KeyPair::generate(), real_time()));
  }
  bool wait(std::size_t count) {
    return run_until(io_, [&] { return told_.size() >= count; });
  }

  std::optional<Responder> responder_;
  Told told_;
};

INSTANTIATE_TEST_SUITE_P(Ways, WatchTest, ::testing::Values("TLS", "local"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(WatchTest, ItIsToldAtOnceAndOfWhatOthersChange) {
  const auto watching = client();
  const auto changing = client();
  Asker ask(io_, *changing);
  watching->watch(alice_, told_.note());
  EXPECT_EQ(told_.size(), 0U) << "not from inside the call";
  ASSERT_TRUE(wait(1));
  EXPECT_EQ(told_.status(), Status::not_found);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  ASSERT_TRUE(wait(2));
  EXPECT_EQ(told_.status(), Status::ok);
  EXPECT_EQ(told_.info(), (EndpointInfo{1, key_.public_key(), {v4(1, 4700)}, {}}));
  ASSERT_EQ(ask.change_ep(alice_, key_, at(2, 2), {v6(2, 1)}), Status::ok);
  ASSERT_TRUE(wait(3));
  EXPECT_EQ(told_.info().generation, 2U);
  EXPECT_EQ(told_.info().addresses, std::vector{v6(2, 1)});
  ASSERT_EQ(ask.del_ep(alice_, key_, at(2, 2)), Status::ok);
  ASSERT_TRUE(wait(4));
  EXPECT_EQ(told_.status(), Status::not_found);
}

TEST_P(WatchTest, OneClientWatchesAndChanges) {
  const auto both = client();
  Asker ask(io_, *both);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  both->watch(alice_, told_.note());
  ASSERT_TRUE(wait(1));
  EXPECT_EQ(told_.info().generation, 1U);
  for (std::uint64_t i = 2; i < 6; ++i) {
    const auto before = told_.size();
    ASSERT_EQ(ask.change_ep(alice_, key_, at(i), {v4(1, 1)}), Status::ok);
    ASSERT_TRUE(wait(before + 1));
    EXPECT_EQ(told_.info().generation, i);
  }
}

TEST_P(WatchTest, AfterUnwatchNothingIsTold) {
  const auto watching = client();
  const auto changing = client();
  Asker ask(io_, *changing);
  Told other;
  watching->watch(alice_, told_.note());
  watching->watch(endpoint("bob@verkstad.net"), other.note());
  ASSERT_TRUE(wait(1));
  watching->unwatch(alice_);
  watching->unwatch(endpoint("nobody@verkstad.net"));
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  ASSERT_EQ(ask.new_ep(endpoint("bob@verkstad.net"), key_), Status::ok);
  ASSERT_TRUE(run_until(io_, [&] { return other.size() >= 2; }));
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_EQ(Asker(io_, *watching).get_ep(alice_), Status::ok) << "its answers are told apart";
}

TEST_P(WatchTest, ASecondWatchReplacesTheFirst) {
  const auto watching = client();
  Asker ask(io_, *watching);
  Told second;
  watching->watch(alice_, told_.note());
  ASSERT_TRUE(wait(1));
  watching->watch(alice_, second.note());
  ASSERT_TRUE(run_until(io_, [&] { return second.size() >= 1; }));
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  ASSERT_TRUE(run_until(io_, [&] { return second.size() >= 2; }));
  EXPECT_EQ(told_.size(), 1U);
}

TEST_P(WatchTest, AWatchMayEndItselfOrItsClient) {
  auto watching = client();
  int first = 0;
  watching->watch(alice_, [&](Status, const EndpointInfo&) {
    ++first;
    watching->unwatch(alice_);
  });
  ASSERT_TRUE(run_until(io_, [&] { return first > 0; }));
  watching->watch(alice_, [&](Status, const EndpointInfo&) { watching.reset(); });
  ASSERT_TRUE(run_until(io_, [&] { return !watching; }));
  const auto changing = client();
  ASSERT_EQ(Asker(io_, *changing).new_ep(alice_, key_), Status::ok);
  EXPECT_EQ(first, 1);
}

TEST_P(WatchTest, AfterAChangeOfTheNetworkAllIsToldAgain) {
  const auto watching = client();
  const auto changing = client();
  watching->reconnect();  // before there is a connection
  watching->watch(alice_, told_.note());
  ASSERT_TRUE(wait(1));
  std::optional<Status> asked;
  watching->get_ep(alice_, [&](Status status, const EndpointInfo&) { asked = status; });
  watching->reconnect();
  ASSERT_TRUE(wait(2));
  EXPECT_EQ(told_.status(), Status::not_found);
  ASSERT_TRUE(run_until(io_, [&] { return asked.has_value(); }));
  EXPECT_EQ(*asked, Status::not_found) << "what was under way is sent again";
  ASSERT_EQ(Asker(io_, *changing).new_ep(alice_, key_), Status::ok);
  ASSERT_TRUE(wait(3));
  EXPECT_EQ(told_.status(), Status::ok);
}

TEST_P(WatchTest, NamesOfOtherDomainsAreToldSo) {
  const auto watching = client();
  watching->watch(endpoint("alice@example.com"), told_.note());
  ASSERT_TRUE(wait(1));
  EXPECT_EQ(told_.status(), Status::wrong_domain);
}

// --- servers that come and go --------------------------------------------------------------------------------------

using WatchServerTest = ServerTest;

TEST_F(WatchServerTest, AfterARestartAllIsToldAgain) {
  start();
  const auto port = server_->endpoint().port();
  Client watching(io_, config());
  Told told;
  watching.watch(alice_, told.note());
  ASSERT_TRUE(run_until(io_, [&] { return told.size() >= 1; }));
  server_.reset();
  start("127.0.0.1", port);
  Client changing(io_, config());
  ASSERT_EQ(Asker(io_, changing).new_ep(alice_, key_), Status::ok);
  ASSERT_TRUE(run_until(io_, [&] { return told.status() == Status::ok; }));
  EXPECT_EQ(told.info().generation, 1U);
  // And once more, with nobody there for a while.
  server_.reset();
  EXPECT_EQ(Asker(io_, changing).get_ep(alice_), Status::unreachable);
  const auto before = told.size();
  start("127.0.0.1", port);
  ASSERT_TRUE(run_until(io_, [&] { return told.size() > before; }));
  EXPECT_EQ(told.info().generation, 1U);
  ASSERT_EQ(Asker(io_, changing).change_ep(alice_, key_, at(2), {}), Status::ok);
  ASSERT_TRUE(run_until(io_, [&] { return told.info().generation == 2; }));
}

TEST_F(WatchServerTest, AVanishedHostIsToldToBeAway) {
  start("127.0.0.1", 0, {}, seconds(1));
  Client client(io_, config());
  Told told;
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  EXPECT_EQ(ask.registered.lease, seconds(1));
  client.watch(alice_, told.note());
  ASSERT_TRUE(run_until(io_, [&] { return told.size() >= 1 && told.info().away_since; }));
  EXPECT_EQ(told.info().addresses, std::vector{v4(1, 4700)});
  const auto before = told.size();
  ASSERT_EQ(ask.change_ep(alice_, key_, at(1), {v4(1, 4700)}), Status::ok);
  ASSERT_TRUE(run_until(io_, [&] { return told.size() > before; }));
  EXPECT_EQ(told.all[before].second.away_since, std::nullopt) << "it is back";
}

TEST_F(WatchServerTest, ARevocationByAToolIsTold) {
  start();
  Client client(io_, config());
  Told told;
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  client.watch(alice_, told.note());
  ASSERT_TRUE(run_until(io_, [&] { return told.size() == 1; }));
  Storage::attach(folder_.path()).store(RevokeEndpoint{alice_}, 0, real_time());
  ASSERT_TRUE(run_until(io_, [&] { return told.size() == 2; }));
  EXPECT_EQ(told.status(), Status::revoked);
  EXPECT_EQ(ask.change_ep(alice_, key_, at(2), {}, true), Status::revoked);
  EXPECT_EQ(ask.new_ep(alice_, KeyPair::generate()), Status::ok);
}

TEST_F(WatchServerTest, ACertificateIsRenewedByTheWay) {
  start();
  Client client(io_, config());
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  ASSERT_EQ(ask.change_ep(alice_, key_, at(1), {v4(1, 4700)}), Status::ok);
  EXPECT_FALSE(ask.registered.certificate);
  EXPECT_EQ(ask.registered.lease, default_lease);
  ASSERT_EQ(ask.change_ep(alice_, key_, at(1), {v4(1, 4700)}, true), Status::ok);
  ASSERT_TRUE(ask.registered.certificate);
  EXPECT_EQ(certified_name(ask.registered.certificate->get()), alice_);
}

// --- over connections that break -----------------------------------------------------------------------------------

class WatchCallsTest : public CallsTest {
 protected:
  void watch() {
    calls_->watch("alice@verkstad.net", [this](const Reply& reply) { told_.push_back(reply.status); });
  }
  void tell(std::uint64_t id, Status status) {
    Reply reply;
    reply.id = id;
    reply.operation = static_cast<std::uint8_t>(Operation::watch);
    reply.status = status;
    script_.handlers.received(encode(reply));
  }
  std::vector<Status> told_;
};

TEST_F(WatchCallsTest, AnswersOfOneWatchComeAgainAndAgain) {
  start(test_limit);
  watch();
  ASSERT_TRUE(wait_received(1));
  EXPECT_EQ(script_.received[0].operation, Operation::watch);
  for (int i = 0; i < 3; ++i) tell(1, Status::not_found);
  tell(2, Status::limit);  // of nothing that was asked
  EXPECT_EQ(told_, std::vector(3, Status::not_found));
  EXPECT_EQ(script_.opened, 1);
}

TEST_F(WatchCallsTest, AConnectionThatHasWorkedIsMadeAgainAtOnce) {
  start(test_limit);
  watch();
  ASSERT_TRUE(wait_received(1));
  tell(1, Status::not_found);
  script_.handlers.broken();
  EXPECT_EQ(script_.opened, 2);
  ASSERT_TRUE(wait_received(2));
  EXPECT_EQ(script_.received[1].operation, Operation::watch);
  tell(1, Status::revoked);
  EXPECT_EQ(told_, (std::vector{Status::not_found, Status::revoked}));
}

TEST_F(WatchCallsTest, AServerThatCannotBeReachedIsTriedAgain) {
  script_.open_status = Status::unreachable;
  start(test_limit);
  watch();
  ASSERT_TRUE(run_until(io_, [&] { return script_.opened >= 2; }));
  EXPECT_TRUE(told_.empty());
  script_.open_status = Status::ok;
  ASSERT_TRUE(wait_received(1));
}

TEST_F(WatchCallsTest, AChangeOfTheNetworkDoesNotWaitForTheNextAttempt) {
  script_.open_status = Status::unreachable;
  start(test_limit);
  watch();
  ASSERT_TRUE(run_until(io_, [&] { return script_.opened >= 1 && io_.poll() == 0; }));
  const int before = script_.opened;
  calls_->reconnect();
  EXPECT_EQ(script_.opened, before + 1);
  calls_->unwatch("alice@verkstad.net");
}

TEST_F(WatchCallsTest, WhatTheServerHasNoRoomForIsAskedAgain) {
  start(test_limit);
  watch();
  ASSERT_TRUE(wait_received(1));
  tell(1, Status::limit);
  EXPECT_EQ(told_, std::vector{Status::limit}) << "it is said";
  ASSERT_TRUE(wait_received(2));
  EXPECT_EQ(script_.received[1].operation, Operation::watch);
  EXPECT_EQ(script_.received[1].name, "alice@verkstad.net");
  tell(1, Status::ok);  // of the watch that there is not
  tell(2, Status::not_found);
  tell(2, Status::ok);
  EXPECT_EQ(told_, (std::vector{Status::limit, Status::not_found, Status::ok}));
  EXPECT_EQ(script_.opened, 1) << "all by one connection";
}

TEST_F(WatchCallsTest, WhatIsNotWatchedAnyMoreIsNotAskedAgain) {
  start(test_limit);
  watch();
  ASSERT_TRUE(wait_received(1));
  tell(1, Status::limit);
  calls_->unwatch("alice@verkstad.net");
  io_.run_for(first_watch_delay + std::chrono::milliseconds(200));
  for (std::size_t i = 1; i < script_.received.size(); ++i)
    EXPECT_EQ(script_.received[i].operation, Operation::unwatch);
}

TEST_F(WatchCallsTest, OneWatchMoreThanThereIsRoomForIsToldSo) {
  start(test_limit);
  for (std::size_t i = 0; i < max_client_watches; ++i) calls_->watch(std::to_string(i), [](const Reply&) {});
  watch();
  ASSERT_TRUE(run_until(io_, [&] { return !told_.empty(); }));
  EXPECT_EQ(told_, std::vector{Status::limit});
  calls_->unwatch("7");
  watch();
  ASSERT_TRUE(wait_received(max_client_watches + 1));
  EXPECT_EQ(script_.received.back().name, "alice@verkstad.net");
}

TEST_F(WatchCallsTest, WithoutAWatchOrACallNothingIsOpened) {
  start(test_limit);
  calls_->reconnect();
  EXPECT_EQ(script_.opened, 0);
  script_.open_status = Status::unreachable;
  watch();
  calls_->unwatch("alice@verkstad.net");
  calls_->reconnect();
  io_.run_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(script_.received.empty());
}

}  // namespace
}  // namespace sessionfs::sns
