#include "fs/sessionctl/top/flows.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

using namespace std::chrono_literals;

struct Told {
  std::string endpoint;
  std::string name;
  std::string state;
  std::uint64_t received;
  std::uint64_t acked;
};

Look look_at(std::chrono::milliseconds at, const std::vector<Told>& sessions) {
  Look look{{}, std::chrono::steady_clock::time_point(at)};
  look.host.endpoints.reserve(sessions.size());
  for (const auto& told : sessions) {
    EndpointReport endpoint;
    endpoint.name = told.endpoint;
    SessionReport session;
    session.name = told.name;
    session.state = told.state;
    session.received = told.received;
    session.acked = told.acked;
    endpoint.sessions.push_back(session);
    look.host.endpoints.push_back(endpoint);
  }
  return look;
}

std::vector<std::string> names(const std::vector<Flow>& flows) {
  std::vector<std::string> all;
  all.reserve(flows.size());
  for (const auto& flow : flows) all.push_back(flow.session.name);
  return all;
}

TEST(SessionctlTopFlows, RatesAreOfTheTimeBetween) {
  const auto before = look_at(1000ms, {{"a@local", "s", "active", 1000, 50}});
  const auto all = flows(before, look_at(3500ms, {{"a@local", "s", "active", 6000, 50}}));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].in, 2000U);
  EXPECT_EQ(all[0].out, 0U);
}

TEST(SessionctlTopFlows, WhatIsNotKnownIsNotThere) {
  const auto first = look_at(1s, {{"a@local", "s", "active", 1000, 1000}});
  EXPECT_FALSE(flows(std::nullopt, first)[0].in) << "there was no look before";
  EXPECT_FALSE(flows(first, first)[0].in) << "no time has gone by";
  EXPECT_FALSE(flows(first, look_at(2s, {{"b@local", "s", "active", 2000, 0}}))[0].in) << "another endpoint's";
  const auto anew = flows(first, look_at(2s, {{"a@local", "s", "active", 10, 2000}}));
  EXPECT_FALSE(anew[0].in) << "a session of the same name that was begun anew";
  EXPECT_EQ(anew[0].out, 1000U);
}

TEST(SessionctlTopFlows, TheBusiestFirstThenThoseThatWaitThenByName) {
  const auto before = look_at(0s, {{"a", "slow", "active", 0, 0}, {"a", "fast", "active", 0, 0}});
  const auto now = look_at(1s, {{"b", "idle", "active", 5, 5},
                                {"a", "idle-too", "active", 5, 5},
                                {"a", "gone", "closed", 5, 5},
                                {"a", "paused", "suspended", 5, 5},
                                {"a", "broken", "interrupted", 5, 5},
                                {"a", "slow", "active", 10, 0},
                                {"a", "fast", "active", 1000, 2000}});
  EXPECT_EQ(names(flows(before, now)),
            (std::vector<std::string>{"fast", "slow", "broken", "paused", "idle-too", "idle", "gone"}));
}

TEST(SessionctlTopFlows, ALittleFasterChangesNoOrder) {
  const auto before = look_at(0s, {{"a", "one", "active", 0, 0}, {"a", "two", "active", 0, 0}});
  const auto now = look_at(1s, {{"a", "two", "active", 1400, 0}, {"a", "one", "active", 1100, 0}});
  EXPECT_EQ(names(flows(before, now)), (std::vector<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace sessionfs::ctl
