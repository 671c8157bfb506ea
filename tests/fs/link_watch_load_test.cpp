// How often a LinkWatch speaks, and what it does when there is much to say.
#include "fs/link_watch.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "tests/fs/link_watch_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

// --- how often it is told ---------------------------------------------------------------------------------------

TEST_F(LinkWatchTest, WhatDoesNotConcernUsIsNotTold) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  start();
  wait_until([&] { return interface("v0").carrier; }, "the cable is plugged in");
  EXPECT_EQ(calls_for([] {}), 0U);
  EXPECT_EQ(calls_for([] { ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:02 dev v0"); }), 0U);
  EXPECT_EQ(calls_for([] { ip("link set v0 mtu 1400 txqueuelen 5"); }), 0U);
  EXPECT_EQ(calls_for([] { ip("link set v0 alias desk"); }), 0U);
  EXPECT_EQ(calls_for([] { ip("route add 10.9.0.0/16 via 10.0.0.2 metric 5"); }), 0U);
  EXPECT_EQ(calls_for([] { ip("address change 10.0.0.1/24 dev v0 metric 50"); }), 0U);
  EXPECT_EQ(calls_for([] { ip_batch("address add 10.0.0.3/24 dev v0\naddress delete 10.0.0.3/24 dev v0\n"); }) % 2, 0U)
      << "both, or neither";
  EXPECT_EQ(calls_for([] { ip("address add 10.0.0.4/24 dev v0"); }), 1U);
}

class Flaps : public LinkWatchTest {
 protected:
  void SetUp() override {
    LinkWatchTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(socket_, 0);
    add_cable();
    start();
    wait_until([&] { return interface("v0").carrier; }, "the cable is plugged in");
    settle();
  }
  void TearDown() override {
    if (socket_ >= 0) ::close(socket_);
    LinkWatchTest::TearDown();
  }

  void set_up(bool up) const {
    ifreq request{};
    std::string("v0").copy(request.ifr_name, IFNAMSIZ - 1);
    ASSERT_EQ(::ioctl(socket_, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    ASSERT_EQ(::ioctl(socket_, SIOCSIFFLAGS, &request), 0);
  }

  // Runs the loop while another thread flaps; returns the calls there may have been in that time.
  std::size_t run_while(const std::function<void()>& flap) {
    const auto begin = Clock::now();
    calls_ = 0;
    std::thread other([&] {
      flap();
      done_ = true;
    });
    io_.restart();
    while (!done_) io_.run_one_for(10ms);
    other.join();
    settle();
    return static_cast<std::size_t>((Clock::now() - begin) / link_pause_ms) + 2;
  }

 private:
  int socket_ = -1;
  std::atomic<bool> done_ = false;
};

TEST_F(Flaps, FiftyTimesASecond) {
  const auto most = run_while([&] {
    for (auto [i, at] = std::pair(0, Clock::now()); i < 200; ++i) {
      set_up(i % 2 != 0);
      std::this_thread::sleep_until(at += 10ms);
    }
  });
  EXPECT_GE(calls_, 1U);
  EXPECT_LE(calls_, most);
  EXPECT_TRUE(interface("v0").carrier) << "what it comes to rest at";
  RecordProperty("calls", number(static_cast<int>(calls_)));
}

TEST_F(Flaps, AsOftenAsItCan) {
  const auto most = run_while([&] {
    for (const auto end = Clock::now() + 1s; Clock::now() < end;) {
      set_up(false);
      set_up(true);
    }
    set_up(false);
  });
  EXPECT_GE(calls_, 1U);
  EXPECT_LE(calls_, most);
  EXPECT_FALSE(interface("v0").carrier) << "what it comes to rest at";
  RecordProperty("calls", number(static_cast<int>(calls_)));
}

// --- much -------------------------------------------------------------------------------------------------------

std::string thousand_addresses() {
  std::string lines;
  for (int i = 0; i < 500; ++i) {
    lines += "address add 10.1." + number(i / 250) + "." + number(1 + i % 250) + "/16 dev v0\n";
    lines += "address add fd01::" + number(1 + i) + "/64 dev v0\n";
  }
  return lines;
}

TEST_F(LinkWatchTest, ThousandAddresses) {
  add_cable();
  start();
  ip_batch(thousand_addresses());
  wait_until([&] { return all_of("v0").size() == 1000; }, "all addresses are seen");
  EXPECT_TRUE(has("v0", "10.1.1.250"));
  EXPECT_EQ(watch_->interface_of(address("fd01::500")), "v0");
  EXPECT_EQ(watch_->addresses({"v0"}, true, true).size(), 2 * max_addresses_of_a_family) << "as many of each";
  EXPECT_EQ(watch_->addresses({"v0"}, false, true).size(), max_addresses_of_a_family);
  const auto begin = Clock::now();
  start();
  RecordProperty("read_us", number(static_cast<int>((Clock::now() - begin) / 1us)));
  ip("address flush dev v0");
  wait_until([&] { return all_of("v0").empty(); }, "all addresses are gone");
}

TEST_F(LinkWatchTest, ThousandLinks) {
  start();
  std::string lines;
  for (int i = 0; i < 500; ++i) lines += "link add a" + number(i) + " type veth peer name b" + number(i) + "\n";
  ip_batch(lines);
  wait_until([&] { return watch_->interfaces().size() == 1001; }, "all links are seen");
  EXPECT_EQ(watch_->text().size(), 1001U);
  EXPECT_TRUE(std::ranges::is_sorted(watch_->links(), {}, &Link::index));
  const auto begin = Clock::now();
  start();
  RecordProperty("read_us", number(static_cast<int>((Clock::now() - begin) / 1us)));
}

// Others come and go by the thousand on some hosts; only default routes are looked at.
TEST_F(LinkWatchTest, ManyRoutes) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  start();
  std::string lines;
  for (int i = 0; i < 20000; ++i)
    lines += "route add 20." + number(i / 250) + "." + number(i % 250) + ".0/24 via 10.0.0.2\n";
  EXPECT_EQ(calls_for([&] { ip_batch(lines); }), 0U);
  EXPECT_EQ(calls_for([] { ip("route add default via 10.0.0.2"); }), 1U);
  EXPECT_EQ(find("v0")->gateways, Addresses({address("10.0.0.2")}));
  const auto begin = Clock::now();
  start();
  RecordProperty("read_us", number(static_cast<int>((Clock::now() - begin) / 1us)));
  EXPECT_EQ(find("v0")->gateways, Addresses({address("10.0.0.2")}));
}

TEST_F(LinkWatchTest, MessagesAreLost) {
  add_cable();
  start();
  settle();
  calls_ = 0;
  // Nobody listens: the first messages fill the socket's buffer, those of what lasts are lost.
  ip_batch(thousand_addresses());
  ip("address flush dev v0");
  ip("address add 10.2.0.1/24 dev v0");
  ASSERT_GT(lost_messages(), 0U);
  wait_until([&] { return has("v0", "10.2.0.1"); }, "what lasts is seen");
  settle();
  EXPECT_EQ(all_of("v0"), Addresses({address("10.2.0.1")}));
  EXPECT_EQ(calls_, 1U) << "all of it had happened before the first look";
  ip("address delete 10.2.0.1/24 dev v0");
  wait_until([&] { return all_of("v0").empty(); }, "it goes on after that");
}

}  // namespace
}  // namespace sessionfs::fs::testing
