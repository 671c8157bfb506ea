#include "fs/names.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "sns/authority.hpp"
#include "tests/fs/names_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

using sns::at;
using sns::Status;
using sns::v4;

std::string stranger_domain(std::size_t number) { return "d" + std::to_string(number) + ".example"; }

// Domains at whose name servers nobody answers.
std::map<std::string, HostPort> dead_servers(std::size_t count) {
  std::map<std::string, HostPort> servers;
  for (std::size_t i = 0; i < count; ++i) servers[stranger_domain(i)] = {"127.0.0.1", 1};
  return servers;
}

TEST_F(NamesTest, StrangersOfManyDomainsKeepNobodyFromAnother) {
  const auto authority = sns::Authority::create(stranger_domain(0), sns::real_time());
  const auto stranger = sns::endpoint("a@" + stranger_domain(0));
  const auto certificate = authority.issue_endpoint(stranger, key_.public_key(), sns::real_time());
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  start_foreign(dead_servers(max_foreign_domains + 1));
  ASSERT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  for (std::size_t i = 0; i <= max_foreign_domains; ++i) {
    const auto claimed = sns::endpoint("a@" + stranger_domain(i));
    EXPECT_NE(vet(claimed, certificate), "");
    EXPECT_NE(resolve(claimed, "s", true), at_address(v4(1, host_port)));
  }
  EXPECT_EQ(node_->names.foreign_domains(), max_foreign_domains);
  // A domain whose name server has answered stays, with its connection, which a watch keeps.
  EXPECT_EQ(server_->connections(), 2U);
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  // Nor is it in the way when it comes later.
  std::filesystem::remove(node_->authorities.file_of("verkstad.net"));
  start_foreign(dead_servers(max_foreign_domains));
  for (std::size_t i = 0; i < max_foreign_domains; ++i)
    (void)resolve(sns::endpoint("a@" + stranger_domain(i)), "s", true);
  EXPECT_EQ(node_->names.foreign_domains(), max_foreign_domains);
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
}

TEST_F(NamesTest, OfAStrangerWhoIsNotBelievedNothingStays) {
  const auto authority = sns::Authority::create(stranger_domain(0), sns::real_time());
  const auto stranger = sns::endpoint("a@" + stranger_domain(0));
  start_foreign(dead_servers(1));
  EXPECT_NE(vet(stranger, authority.issue_endpoint(stranger, key_.public_key(), sns::real_time())), "");
  run([&] { return node_->names.foreign_domains() == 0; });
}

TEST_F(NamesTest, AStrangerDoesNotEndWhatADomainHas) {
  const auto forger = sns::Authority::create("verkstad.net", sns::real_time());
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  start_foreign();
  ASSERT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  const auto stranger = sns::KeyPair::generate();
  EXPECT_NE(vet(peer_, forger.issue_endpoint(peer_, stranger.public_key(), sns::real_time())), "");
  io_.restart();
  io_.poll();
  EXPECT_EQ(node_->names.foreign_domains(), 1U);
}

TEST_F(NamesTest, AnAuthorityCountsUntilItsFileIsRemoved) {
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  start_foreign();
  ASSERT_EQ(resolve(peer_), at_address(v4(1, host_port)));  // and it is watched from now on
  server_.reset();
  std::filesystem::remove_all(server_folder_.path());
  std::filesystem::create_directory(server_folder_.path());
  start_server();
  ASSERT_EQ(others().new_ep(peer_, key_, at(1), {v4(2, host_port)}), Status::ok);
  EXPECT_EQ(resolve(peer_, "s", true), Runtime::Resolved(DialFailure::untrusted));
  std::filesystem::remove(node_->authorities.file_of("verkstad.net"));
  EXPECT_EQ(resolve(peer_), at_address(v4(2, host_port)));
  EXPECT_EQ(node_->authorities.get("verkstad.net").fingerprint(), server_->ca().fingerprint());
  // The watch is the new one's, too.
  ASSERT_EQ(others().change_ep(peer_, key_, at(1), {v4(3, host_port)}), Status::ok);
  node_->moved.clear();
  run([&] { return !node_->moved.empty(); });
}

TEST_F(NamesTest, WhatAServiceIsDoesNotSayWhereItsEndpointIs) {
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  ASSERT_EQ(others().new_service(sns::service("print.peer@verkstad.net"), key_, at(1), 9999), Status::ok);
  start_member();
  EXPECT_EQ(resolve(peer_, "print", true), at_address(v4(1, 9999)));
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  EXPECT_EQ(resolve(peer_, "print", true), at_address(v4(1, 9999)));
  EXPECT_EQ(resolve(peer_, "nothing", true), Runtime::Resolved(DialFailure::no_endpoint));
  server_.reset();
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
}

TEST_F(NamesTest, WhereADialledEndpointIsIsKnownWhenTheNameServerIsAway) {
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  ASSERT_EQ(others().new_service(sns::service("print.peer@verkstad.net"), key_), Status::ok);
  start_member();
  EXPECT_EQ(resolve(peer_, "print", true), at_address(v4(1, host_port)));
  io_.restart();
  io_.run_for(std::chrono::seconds(1));
  server_.reset();
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
}

TEST_F(NamesTest, WhoeverHearsThatAPeerHasMovedTellsThoseWhoWait) {
  ASSERT_EQ(others().new_ep(peer_, key_), Status::ok);
  start_member();
  ASSERT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  io_.restart();
  io_.run_for(std::chrono::milliseconds(300));
  node_->moved.clear();
  server_.reset();
  start_server();
  ASSERT_EQ(others().change_ep(peer_, key_, at(1), {v4(2, host_port)}), Status::ok);
  // The name server is slow: the former place is tried meanwhile, and what comes later is news all the same.
  std::promise<void> begun;
  std::thread busy([&] {
    (void)server_->with_responder<bool>([&](sns::Responder&) {
      begun.set_value();
      std::this_thread::sleep_for(4 * known_place_delay);
      return true;
    });
  });
  begun.get_future().wait();
  EXPECT_EQ(resolve(peer_), at_address(v4(1, host_port)));
  EXPECT_TRUE(node_->moved.empty());
  run([&] { return !node_->moved.empty(); });
  busy.join();
  ASSERT_FALSE(node_->moved.empty());
  EXPECT_EQ(node_->moved.front(), peer_);
  EXPECT_EQ(resolve(peer_), at_address(v4(2, host_port)));
}

TEST_F(NamesTest, ATokenWhoseAnswerWasLostWorksAgain) {
  Config config;
  config.domain = "verkstad.net";
  node_ = std::make_unique<Node>(io_, config, state_.path());
  const auto token = server_->token(std::chrono::minutes(1));
  const auto kept = state_.path() / joining_name;
  EXPECT_EQ(result([&](auto done) {
              sns::join(
                  io_, token, [done](Status status, const auto&) { done(errno_of(status)); }, sns::default_call_timeout,
                  kept_key(kept));
            }),
            0);
  const auto join = [&](auto done) {
    node_->names.join(sns::format(token), [done](int error, const auto&) { done(error); });
  };
  EXPECT_EQ(result(join), 0);
  EXPECT_FALSE(std::filesystem::exists(kept));
  // Nobody else's key gets in by it.
  node_.reset();
  std::filesystem::remove(state_.path() / "membership.toml");
  node_ = std::make_unique<Node>(io_, config, state_.path());
  EXPECT_EQ(result(join), EKEYREJECTED);
}

TEST_F(NamesTest, OneTokenIsTriedAtATime) {
  Config config;
  config.domain = "verkstad.net";
  node_ = std::make_unique<Node>(io_, config, state_.path());
  const auto token = sns::format(server_->token(std::chrono::minutes(1)));
  std::vector<int> ended;
  for (int i = 0; i < 2; ++i) node_->names.join(token, [&](int error, const std::string&) { ended.push_back(error); });
  run([&] { return ended.size() == 2; });
  EXPECT_EQ(ended, (std::vector{EBUSY, 0}));
  EXPECT_TRUE(node_->names.joined());
  EXPECT_EQ(result([&](auto done) { node_->names.join(token, [done](int error, const auto&) { done(error); }); }),
            EEXIST);
}

}  // namespace
}  // namespace sessionfs::fs::testing
