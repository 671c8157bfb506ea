// Watches: who is told what, and when.
#include "tests/sns/responder_fixture.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::seconds;

class ResponderWatchTest : public ResponderFixture {
 protected:
  ResponderWatchTest() {
    watcher_.on_news = [this] { ++signals_; };
  }
  Reply ask_watcher(Operation operation, const std::string& name) {
    Request what;
    what.id = ++watcher_id_;
    what.operation = operation;
    what.name = name;
    const auto answer = responder_.respond(watcher_, encode(what), now_);
    EXPECT_FALSE(answer.uncommitted) << "it changes nothing";
    return read(answer);
  }
  Reply watch(const std::string& name = "alice@verkstad.net") { return ask_watcher(Operation::watch, name); }
  Status unwatch(const std::string& name = "alice@verkstad.net") {
    return ask_watcher(Operation::unwatch, name).status;
  }
  void move_alice(std::uint64_t generation, std::uint8_t where) {
    ASSERT_EQ(ask(change_alice(at(generation), {v4(where, 4700)}), alice_key_).status, Status::ok);
  }

  Responder::Channel watcher_{responder_, binding(9)};
  std::uint64_t watcher_id_ = 0;
  int signals_ = 0;
};

TEST_F(ResponderWatchTest, TheFirstAnswerIsThatOfGet) {
  EXPECT_FALSE(watcher_.watches());
  EXPECT_EQ(watch().status, Status::not_found);
  EXPECT_TRUE(watcher_.watches());
  ASSERT_EQ(make_alice(), Status::ok);
  const auto reply = watch("ALICE@verkstad.net");
  EXPECT_EQ(reply.status, Status::ok);
  EXPECT_EQ(reply.info, (EndpointInfo{1, alice_key_.public_key(), {v4(1, 4700)}, {}}));
  EXPECT_EQ(watch("no name").status, Status::bad_name);
  EXPECT_EQ(watch("file.alice@verkstad.net").status, Status::not_found) << "this is an endpoint's name, too";
  EXPECT_EQ(watch("alice@example.com").status, Status::wrong_domain);
}

TEST_F(ResponderWatchTest, EachKindOfChangeIsTold) {
  const auto id = watch().id;
  const auto told = [&](const std::string& what) {
    SCOPED_TRACE(what);
    EXPECT_EQ(std::exchange(signals_, 0), 1);
    const auto replies = news(watcher_);
    EXPECT_EQ(replies.size(), 1U);
    if (replies.empty()) return Reply();
    EXPECT_EQ(replies[0].id, id) << "that of the request";
    EXPECT_EQ(replies[0].operation, static_cast<std::uint8_t>(Operation::watch));
    return replies[0];
  };
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_EQ(told("made").info.addresses, std::vector{v4(1, 4700)});
  move_alice(2, 5);
  EXPECT_EQ(told("moved").info, (EndpointInfo{2, alice_key_.public_key(), {v4(5, 4700)}, {}}));
  responder_.tick(default_lease + seconds(1), now_);
  responder_.tick(2 * default_lease, now_);
  EXPECT_TRUE(told("away").info.away_since);
  move_alice(2, 5);
  EXPECT_EQ(told("back").info.away_since, std::nullopt);
  Request end = request(Operation::del_ep, "alice@verkstad.net");
  end.residence = at(2);
  ASSERT_EQ(ask(end, alice_key_).status, Status::ok);
  EXPECT_EQ(told("deleted").status, Status::not_found);
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_EQ(told("made again").status, Status::ok);
  Storage::attach(folder_.path()).store(RevokeEndpoint{alice_}, 0, now_);
  responder_.tick(2 * default_lease + seconds(1), now_);
  EXPECT_EQ(told("revoked").status, Status::revoked);
}

TEST_F(ResponderWatchTest, WhatChangesNothingIsNotTold) {
  ASSERT_EQ(make_alice(), Status::ok);
  watch();
  move_alice(1, 1);  // a renewal
  EXPECT_EQ(ask(change_alice(at(1, 2), {}), alice_key_).status, Status::stale_generation);
  EXPECT_EQ(ask(change_alice(at(2), {}), KeyPair::generate()).status, Status::bad_signature);
  ASSERT_EQ(ask(new_ep("bob@verkstad.net", alice_key_), member_.member_key).status, Status::ok);
  EXPECT_EQ(signals_, 0);
  EXPECT_TRUE(news(watcher_).empty());
}

TEST_F(ResponderWatchTest, OfManyChangesOnlyTheLastIsTold) {
  watch();
  ASSERT_EQ(make_alice(), Status::ok);
  for (std::uint8_t i = 2; i < 50; ++i) move_alice(i, i);
  EXPECT_EQ(signals_, 1) << "not again before it is taken";
  const auto replies = news(watcher_);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].info.generation, 49U);
  EXPECT_TRUE(news(watcher_).empty());
  move_alice(60, 60);
  EXPECT_EQ(signals_, 2);
  EXPECT_EQ(news(watcher_).size(), 1U);
}

TEST_F(ResponderWatchTest, NewsAreTakenInPortions) {
  constexpr int count = 10;
  const auto name = [](int i) { return "e" + std::to_string(i) + "@verkstad.net"; };
  for (int i = 0; i < count; ++i) watch(name(i));
  for (int i = 0; i < count; ++i) ASSERT_EQ(ask(new_ep(name(i), alice_key_), member_.member_key).status, Status::ok);
  EXPECT_EQ(signals_, 1);
  EXPECT_EQ(news(watcher_, 4).size(), 4U);
  EXPECT_EQ(signals_, 2) << "there is more";
  EXPECT_EQ(news(watcher_, 4).size(), 4U);
  EXPECT_EQ(news(watcher_, 4).size(), 2U);
  EXPECT_EQ(signals_, 3) << "and now no more";
  EXPECT_TRUE(news(watcher_, 4).empty());
}

TEST_F(ResponderWatchTest, NewsComeWithTheCommitAndNotBefore) {
  ASSERT_EQ(make_alice(), Status::ok);
  watch();
  const auto answer = ask_only(change_alice(at(2), {v4(2, 2)}), alice_key_);
  EXPECT_TRUE(answer.uncommitted);
  EXPECT_EQ(signals_, 0);
  EXPECT_TRUE(news(watcher_).empty());
  EXPECT_TRUE(responder_.commit());
  EXPECT_EQ(signals_, 1);
  EXPECT_EQ(news(watcher_).size(), 1U);
}

TEST_F(ResponderWatchTest, UnwatchEndsIt) {
  EXPECT_EQ(unwatch(), Status::not_found);
  EXPECT_EQ(unwatch("no name"), Status::bad_name);
  watch();
  watch("bob@verkstad.net");
  EXPECT_EQ(unwatch(), Status::ok);
  EXPECT_TRUE(watcher_.watches());
  EXPECT_EQ(unwatch("bob@verkstad.net"), Status::ok);
  EXPECT_FALSE(watcher_.watches());
  EXPECT_EQ(unwatch(), Status::not_found);
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_EQ(signals_, 0);

  watch();
  move_alice(2, 2);
  EXPECT_EQ(signals_, 1);
  EXPECT_EQ(unwatch(), Status::ok) << "while there are news of it";
  EXPECT_TRUE(news(watcher_).empty());
}

TEST_F(ResponderWatchTest, ASecondWatchOfAConnectionTakesTheFirstOnesPlace) {
  watch();
  const auto second = watch();
  ASSERT_EQ(make_alice(), Status::ok);
  const auto replies = news(watcher_);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].id, second.id);
  EXPECT_EQ(unwatch(), Status::ok);
  EXPECT_FALSE(watcher_.watches());
}

TEST_F(ResponderWatchTest, AllWhoWatchAreToldAndWhoIsGoneIsNot) {
  watch();
  {
    Responder::Channel gone(responder_, binding(1));
    gone.on_news = [] { ADD_FAILURE() << "of a connection that is no more"; };
    Request what;
    what.id = 1;
    what.operation = Operation::watch;
    what.name = "alice@verkstad.net";
    EXPECT_EQ(read(responder_.respond(gone, encode(what), now_)).status, Status::not_found);
  }
  EXPECT_EQ(ask(request(Operation::watch, "alice@verkstad.net")).status, Status::not_found);
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_EQ(signals_, 1);
  EXPECT_EQ(news(watcher_).size(), 1U);
  EXPECT_EQ(news(channel_).size(), 1U) << "also who has changed it";
}

TEST_F(ResponderWatchTest, AConnectionHasALimitOfWatches) {
  for (std::size_t i = 0; i < max_watches_per_channel; ++i)
    ASSERT_EQ(watch("e" + std::to_string(i) + "@verkstad.net").status, Status::not_found);
  EXPECT_EQ(watch().status, Status::limit);
  EXPECT_EQ(watch("e7@verkstad.net").status, Status::not_found) << "one that it has already";
  EXPECT_EQ(unwatch("e7@verkstad.net"), Status::ok);
  EXPECT_EQ(watch().status, Status::not_found);
  Responder::Channel other(responder_, binding(1));
  Request what;
  what.id = 1;
  what.operation = Operation::watch;
  what.name = "e7@verkstad.net";
  EXPECT_EQ(read(responder_.respond(other, encode(what), now_)).status, Status::not_found) << "others have their own";
}

// --- limits of an address ----------------------------------------------------------------------------------------

// Each asks for one name of its own.
class ManyWatchers {
 public:
  ManyWatchers(Responder& responder, Responder::Origin& origin) : responder_(responder), origin_(origin) {}
  Status add(int watches) {
    channels_.push_back(std::make_unique<Responder::Channel>(responder_, ChannelBinding{}, &origin_));
    Status status = Status::ok;
    for (int i = 0; i < watches; ++i) status = watch(*channels_.back(), i + 1);
    return status;
  }
  void drop() { channels_.pop_back(); }

 private:
  Status watch(Responder::Channel& channel, int id) {
    Request what;
    what.id = static_cast<std::uint64_t>(id);
    what.operation = Operation::watch;
    what.name = "e" + std::to_string(id) + "@verkstad.net";
    return decode_reply(responder_.respond(channel, encode(what), test_time).reply)->status;
  }
  Responder& responder_;
  Responder::Origin& origin_;
  std::vector<std::unique_ptr<Responder::Channel>> channels_;
};

TEST_F(ResponderWatchTest, AnAddressHasALimitOfWatches) {
  Responder::Origin origin;
  Responder::Origin elsewhere;
  ManyWatchers one(responder_, origin);
  ManyWatchers other(responder_, elsewhere);
  constexpr int each = max_watches_per_channel;
  for (std::size_t i = 0; i < max_watches_per_address / max_watches_per_channel; ++i)
    ASSERT_EQ(one.add(each), Status::not_found);
  EXPECT_EQ(one.add(1), Status::limit);
  EXPECT_EQ(other.add(1), Status::not_found) << "others have their own";
  one.drop();
  one.drop();
  EXPECT_EQ(origin.watches, max_watches_per_address - max_watches_per_channel);
  EXPECT_EQ(one.add(1), Status::not_found) << "there is room again";
}

TEST_F(ResponderWatchTest, OfAnAddressSoManyConnectionsMayWatch) {
  Responder::Origin origin;
  ManyWatchers one(responder_, origin);
  for (std::size_t i = 0; i < max_watching_channels_per_address; ++i) ASSERT_EQ(one.add(2), Status::not_found);
  EXPECT_EQ(one.add(1), Status::limit);
  one.drop();
  one.drop();
  EXPECT_EQ(origin.watching_channels, max_watching_channels_per_address - 1);
  EXPECT_EQ(one.add(1), Status::not_found) << "there is room again";
  EXPECT_EQ(watch().status, Status::not_found) << "who comes from this process is not counted";
}

// --- leases -------------------------------------------------------------------------------------------------------

TEST_F(ResponderWatchTest, WhoRenewsInTimeIsNotAway) {
  ASSERT_EQ(make_alice(), Status::ok);
  watch();
  seconds clock{0};
  for (int i = 0; i < 20; ++i) {
    clock += default_lease / 3;
    responder_.tick(clock, now_ + clock);
    const auto reply = ask(change_alice(at(1), {v4(1, 4700)}), alice_key_);
    ASSERT_EQ(reply.status, Status::ok);
    EXPECT_EQ(reply.lease, default_lease);
  }
  EXPECT_EQ(signals_, 0);
  const auto last_heard = clock;
  clock += default_lease + seconds(1);
  responder_.tick(clock, now_ + clock);
  clock += default_lease / 4 + seconds(1);
  responder_.tick(clock, now_ + clock);
  EXPECT_EQ(signals_, 1);
  EXPECT_EQ(news(watcher_).at(0).info.away_since, now_ + last_heard);
  // A restart knows it, too.
  Table table("verkstad.net");
  responder_.storage().load(table);
  EXPECT_EQ(table.find(alice_)->away_since, now_ + last_heard);
  Table attached("verkstad.net");
  Storage::attach(folder_.path()).load(attached);
  EXPECT_EQ(attached.find(alice_)->away_since, now_ + last_heard);
}

}  // namespace
}  // namespace sessionfs::sns
