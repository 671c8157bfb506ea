// The links of a test's own network namespace, and a LinkWatch that is told of them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "fs/link_watch.hpp"
#include "tests/fs/own_network.hpp"

namespace sessionfs::fs::testing {

using Address = boost::asio::ip::address;
using Clock = std::chrono::steady_clock;
using Addresses = std::vector<Address>;
using Lines = std::vector<std::string>;
using namespace std::chrono_literals;

inline constexpr auto limit = 120s;
inline constexpr auto quiet = 250ms;  // many times what passes between an event and the word of it

inline Address address(const std::string& text) { return boost::asio::ip::make_address(text); }

inline std::string number(int value) { return std::to_string(value); }

class LinkWatchTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // So that addresses come when the tests say so, and can be used at once.
    sysctl("ipv6/conf/default/addr_gen_mode", "1");
    sysctl("ipv6/conf/default/accept_dad", "0");
  }

  void TearDown() override {
    watch_.reset();
    OwnNetwork::TearDown();
  }

  void start() {
    watch_ = std::make_unique<LinkWatch>(io_, [this] { ++calls_; });
  }

  // A cable with both ends here: v0 is ours, v1 the peer's.
  static void add_cable() {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
  }

  void wait_until(const std::function<bool()>& condition, const std::string& what) {
    const auto end = Clock::now() + limit;
    while (!condition()) {
      ASSERT_LT(Clock::now(), end) << "waited in vain until " << what;
      io_.restart();
      io_.run_one_for(10ms);
    }
  }

  // Lets everything be told that has happened so far.
  void settle() {
    io_.restart();
    io_.run_for(quiet);
  }

  // How often the watch tells of what `act` does.
  std::size_t calls_for(const std::function<void()>& act) {
    settle();
    const auto before = calls_;
    act();
    settle();
    return calls_ - before;
  }

  [[nodiscard]] const Link* find(const std::string& name) const {
    const auto found = std::ranges::find_if(watch_->links(), [&](auto& each) { return each.interface.name == name; });
    return found == watch_->links().end() ? nullptr : &*found;
  }
  [[nodiscard]] Interface interface(const std::string& name) const {
    const Link* link = find(name);
    return link == nullptr ? Interface() : link->interface;
  }
  [[nodiscard]] Addresses all_of(const std::string& name) const {
    Addresses all;
    if (const Link* link = find(name))
      std::ranges::transform(link->addresses, std::back_inserter(all), &LinkAddress::address);
    return all;
  }
  [[nodiscard]] bool has(const std::string& name, const std::string& wanted) const {
    return std::ranges::count(all_of(name), address(wanted)) == 1;
  }

  boost::asio::io_context io_;
  std::unique_ptr<LinkWatch> watch_;
  std::size_t calls_ = 0;
};

}  // namespace sessionfs::fs::testing
