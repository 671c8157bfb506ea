// How a server shares itself out: turns, commits, news, and connections that only wait.
#include <sys/resource.h>
#include <time.h>

#include <cstdlib>
#include <iostream>
#include <latch>
#include <string>

#include "tests/sns/running_server.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::seconds;

class ServerTurnsTest : public ServerTest {
 protected:
  const std::string name_ = "alice@verkstad.net";

  void make_alice() {
    Client client(io_, config());
    ASSERT_EQ(Asker(io_, client).new_ep(alice_, key_), Status::ok);
  }
  // Does `work` while the server does nothing: what is sent meanwhile it finds all at once.
  template <class Work>
  void while_server_waits(Work work) {
    std::latch waits(1);
    std::latch go_on(1);
    std::thread holder([&] {
      server_->with_responder<bool>([&](Responder&) {
        waits.count_down();
        go_on.wait();
        return true;
      });
    });
    waits.wait();
    work();
    go_on.count_down();
    holder.join();
  }
  Request new_service(int number) {
    return request_for(Operation::new_service, "s" + std::to_string(number) + ".alice@verkstad.net");
  }
  std::size_t services() {
    return server_->with_responder<std::size_t>(
        [&](Responder& responder) { return responder.table().find(alice_)->services.size(); });
  }
  std::vector<std::unique_ptr<RawConnection>> connect_many(int count, const char* from = "127.0.0.1") {
    std::vector<std::unique_ptr<RawConnection>> made;
    for (int i = 0; i < count; ++i) made.push_back(std::make_unique<RawConnection>(io_, *server_, from));
    return made;
  }
};

// --- connections that only wait ------------------------------------------------------------------------------------

TEST_F(ServerTurnsTest, WhoWatchesIsNotIdle) {
  ServerLimits limits;
  limits.idle = milliseconds(200);
  start("127.0.0.1", 0, limits);
  RawConnection watching(io_, *server_);
  ASSERT_EQ(watching.ask(request_for(Operation::watch, name_))->status, Status::not_found);
  for (int i = 0; i < 3; ++i) {
    RawConnection idle(io_, *server_);
    EXPECT_FALSE(idle.receive()) << "closed";
  }
  make_alice();
  const auto told = watching.receive();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->status, Status::ok);
  EXPECT_EQ(told->id, 1U);
  ASSERT_EQ(watching.ask(request_for(Operation::unwatch, name_))->status, Status::ok);
  EXPECT_FALSE(watching.receive()) << "now it is idle";
}

TEST_F(ServerTurnsTest, APartOfARecordCostsNoTime) {
  start();
  RawConnection raw(io_, *server_);
  ASSERT_EQ(raw.ask(request_for(Operation::watch, name_))->status, Status::not_found);
  const std::array<unsigned char, 7> begun{0x17, 3, 3, 0, 100, 1, 2};  // of a record (RFC 8446, 5.1)
  asio::write(raw.stream.next_layer(), asio::buffer(begun));
  const auto used = [this] {
    return server_->with_responder<double>([](Responder&) {
      timespec time{};
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    });
  };
  expect_served();  // by now it has seen the record
  const double before = used();
  std::this_thread::sleep_for(seconds(1));
  EXPECT_LT(used() - before, 0.25) << "it waits for the rest of it";
}

// --- commits ------------------------------------------------------------------------------------------------------

TEST_F(ServerTurnsTest, ChangesOfManyConnectionsAreKeptTogether) {
  constexpr int count = 60;
  start();
  make_alice();
  auto connections = connect_many(count);
  const auto log_bytes = [this] { return std::filesystem::file_size(folder_.path() / "sns.sqlite-wal"); };
  const auto before = log_bytes();
  while_server_waits([&] {
    for (int i = 0; i < count; ++i) connections[static_cast<std::size_t>(i)]->send(new_service(i), key_);
  });
  for (const auto& each : connections) EXPECT_EQ(each->receive()->status, Status::ok);
  EXPECT_EQ(services(), static_cast<std::size_t>(count));
  Table stored("verkstad.net");
  Storage::attach(folder_.path()).load(stored);
  EXPECT_EQ(stored.find(alice_)->services.size(), static_cast<std::size_t>(count));
  // Each commit writes a page at least.
  EXPECT_LT((log_bytes() - before) / 4096, count / 2) << "fewer writes than changes";
}

TEST_F(ServerTurnsTest, ManyRequestsAreAnsweredInTheirOrder) {
  constexpr int count = 500;
  start();
  make_alice();
  RawConnection raw(io_, *server_);
  std::vector<std::byte> all;
  for (int i = 0; i < count; ++i) {
    const auto frame = i % 3 == 0 ? raw.frame(new_service(i), key_) : raw.frame(request_for(Operation::get_ep, name_));
    all.insert(all.end(), frame.begin(), frame.end());
  }
  bool sent = false;
  asio::async_write(raw.stream, asio::buffer(all), [&](error_code error, std::size_t) { sent = !error; });
  for (std::uint64_t id = 1; id <= count; ++id) {
    const auto reply = raw.receive();
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->id, id);
    ASSERT_EQ(reply->status, Status::ok);
  }
  EXPECT_TRUE(sent);
  EXPECT_EQ(services(), 167U);
}

// --- fairness -----------------------------------------------------------------------------------------------------

// By what the table holds when the other address's last request is carried out.
TEST_F(ServerTurnsTest, AFloodFromOneAddressLeavesAnotherItsShare) {
  constexpr int flooding = 150;
  constexpr int requests = 6;
  start();
  make_alice();
  {
    Client client(io_, config());
    ASSERT_EQ(Asker(io_, client).new_ep(endpoint("bob@verkstad.net"), key_), Status::ok);
  }
  auto flood = connect_many(flooding);
  RawConnection other(io_, *server_, "127.0.0.2");
  std::size_t served = 0;
  auto channel = server_->with_responder<std::shared_ptr<Responder::Channel>>([&](Responder& responder) {
    auto made = std::make_shared<Responder::Channel>(responder, ChannelBinding{});
    auto watch = request_for(Operation::watch, "bob@verkstad.net");
    watch.id = 1;
    responder.respond(*made, encode(watch), real_time());
    made->on_news = [&] { served = responder.table().find(alice_)->services.size(); };
    return made;
  });
  while_server_waits([&] {
    for (int i = 0; i < flooding; ++i) {
      std::vector<std::byte> all;
      for (int k = 0; k < requests; ++k) {
        const auto frame = flood[static_cast<std::size_t>(i)]->frame(new_service(i * requests + k), key_);
        all.insert(all.end(), frame.begin(), frame.end());
      }
      asio::write(flood[static_cast<std::size_t>(i)]->stream, asio::buffer(all));
    }
    // Enough for ten turns, then a change that is seen.
    std::vector<std::byte> all;
    for (std::size_t i = 0; i < 10 * max_requests_per_turn; ++i) {
      const auto frame = other.frame(request_for(Operation::get_ep, name_));
      all.insert(all.end(), frame.begin(), frame.end());
    }
    const auto last = other.frame(request_for(Operation::change_ep, "bob@verkstad.net", at(2)), key_);
    all.insert(all.end(), last.begin(), last.end());
    asio::write(other.stream, asio::buffer(all));
  });
  for (std::size_t i = 0; i < 10 * max_requests_per_turn + 1; ++i) ASSERT_EQ(other.receive()->status, Status::ok);
  for (const auto& each : flood)
    for (int k = 0; k < requests; ++k) EXPECT_EQ(each->receive()->status, Status::ok);
  server_->with_responder<bool>([&](Responder&) {
    channel.reset();
    return true;
  });
  // Turn by turn with all of the flood's connections it would have come after nearly all of it.
  EXPECT_LT(served, flooding * requests / 2U);
  EXPECT_EQ(services(), static_cast<std::size_t>(flooding * requests));
}

// By what another address finds that asks when the request has come whole, but has not been taken in.
TEST_F(ServerTurnsTest, ARequestInVerySmallRecordsTakesManyTurns) {
  start();
  make_alice();
  RawConnection small(io_, *server_);
  RawConnection other(io_, *server_, "127.0.0.2");
  while_server_waits([&] {
    const auto frame = small.frame(request_for(Operation::change_ep, name_, at(2)), key_);
    ASSERT_GT(frame.size(), 2 * max_requests_per_turn);
    for (const std::byte& each : frame) asio::write(small.stream, asio::buffer(&each, 1));
    other.send(request_for(Operation::get_ep, name_));
    std::this_thread::sleep_for(milliseconds(200));  // until both have arrived
  });
  EXPECT_EQ(other.receive()->info.generation, 1U);
  EXPECT_EQ(small.receive()->status, Status::ok);
  EXPECT_EQ(other.ask(request_for(Operation::get_ep, name_))->info.generation, 2U);
}

// --- news ---------------------------------------------------------------------------------------------------------

TEST_F(ServerTurnsTest, WhoDoesNotReadItsNewsIsClosedAndNobodyElse) {
  constexpr int count = 64;
  ServerLimits limits;
  limits.write = milliseconds(500);
  start("127.0.0.1", 0, limits);
  const auto name = [](int i) { return "e" + std::to_string(i) + "@verkstad.net"; };
  const std::vector<Address> addresses(max_addresses, v6(1, 4700));
  server_->with_responder<bool>([&](Responder& responder) {
    Responder::Channel made(responder, ChannelBinding{});
    for (int i = 0; i < count; ++i) {
      auto request = request_for(Operation::new_ep, name(i));
      request.id = static_cast<std::uint64_t>(i) + 1;
      request.addresses = addresses;
      request.member = server_->member().member_id;
      request.signing_request = make_signing_request(key_, endpoint(name(i)));
      auto body = encode(request);
      const auto signature = server_->member().member_key.sign(to_be_signed({}, body));
      body.insert(body.end(), signature.begin(), signature.end());
      EXPECT_EQ(decode_reply(responder.respond(made, body, real_time()).reply)->status, Status::ok);
    }
    return responder.commit();
  });
  RawConnection slow(io_, *server_);
  RawConnection honest(io_, *server_);
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(slow.ask(request_for(Operation::watch, name(i)))->status, Status::ok);
    if (i == 0) ASSERT_EQ(honest.ask(request_for(Operation::watch, name(i)))->status, Status::ok);
  }
  std::uint64_t generation = 1;
  const auto limit = std::chrono::steady_clock::now() + test_limit;
  while (server_->connections() > 1 && std::chrono::steady_clock::now() < limit) {
    ++generation;
    server_->with_responder<bool>([&](Responder& responder) {
      Responder::Channel changing(responder, ChannelBinding{});
      for (int i = 0; i < count; ++i) {
        auto request = request_for(Operation::change_ep, name(i), at(generation));
        request.id = static_cast<std::uint64_t>(i) + 1;
        request.addresses = addresses;
        auto body = encode(request);
        const auto signature = key_.sign(to_be_signed({}, body));
        body.insert(body.end(), signature.begin(), signature.end());
        EXPECT_EQ(decode_reply(responder.respond(changing, body, real_time()).reply)->status, Status::ok);
      }
      return responder.commit();
    });
    const auto told = honest.receive();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->info.generation, generation) << "who reads is told each time";
  }
  EXPECT_EQ(server_->connections(), 1U) << "who does not is closed";
}

// From several addresses, as each may have so many that only watch. Of both ends of each connection this process holds
// a descriptor, so the 10,000 that a server has to bear take more of them than is usual:
//
//   ulimit -n 24000 && SESSIONFS_WATCHERS=10000 sns_test --gtest_filter='*ThousandsThatWatch*'
//
// It prints how many there were.
TEST_F(ServerTurnsTest, ThousandsThatWatchAreAllTold) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  const auto room = files.rlim_max > 200 ? (files.rlim_max - 200) / 2 : 0;
  const char* wanted = std::getenv("SESSIONFS_WATCHERS");
  const int count = static_cast<int>(std::min<rlim_t>(wanted != nullptr ? std::stoul(wanted) : 2000, room));
  start();
  std::vector<std::unique_ptr<RawConnection>> all;
  constexpr int from_one_address = max_watching_channels_per_address;
  for (int i = 0; i < count; ++i) {
    const auto from = "127.0.0." + std::to_string(2 + i / from_one_address);
    all.push_back(std::make_unique<RawConnection>(io_, *server_, from.c_str()));
  }
  for (const auto& each : all) each->send(request_for(Operation::watch, name_));
  for (const auto& each : all) ASSERT_EQ(each->receive()->status, Status::not_found);
  EXPECT_EQ(server_->connections(), all.size());
  make_alice();
  for (const auto& each : all) {
    const auto told = each->receive();
    ASSERT_TRUE(told);
    ASSERT_EQ(told->status, Status::ok);
    ASSERT_EQ(told->info.addresses, std::vector{v4(1, 4700)});
  }
  RawConnection more(io_, *server_);
  EXPECT_EQ(more.ask(request_for(Operation::get_ep, name_))->status, Status::ok) << "and others are served";
  std::cout << count << " connections that watch were told\n";
}

}  // namespace
}  // namespace sessionfs::sns
