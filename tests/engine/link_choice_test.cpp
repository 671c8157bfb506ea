// Which interface an endpoint uses, why, and when it changes: by a virtual time.
#include "engine/link_choice.hpp"

#include <algorithm>

#include "tests/engine/choice.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Names = std::vector<std::string>;

TEST(LinkChoice, HasNothingToChooseAtFirst) {
  Choice t;
  EXPECT_EQ(t.current(), "none");
  EXPECT_EQ(t.links.reason(), "none: there is no interface");
  EXPECT_FALSE(t.links.next_timeout());
  EXPECT_FALSE(t.links.poll_changed());
  t.tell({});
  t.policy("stay");
  t.wish(std::nullopt);
  EXPECT_EQ(t.changes, 0u);
}

TEST(LinkChoice, TakesTheBestAtOnceAtFirst) {
  Choice t;
  t.tell({loopback(), wired("eth0", 100), wireless("wlan0", 300), without_carrier(wired("eth1"))});
  EXPECT_EQ(t.current(), "wlan0");
  EXPECT_EQ(t.links.order(), (Names{"wlan0", "eth0", "lo"}));
  EXPECT_FALSE(t.links.next_timeout());
}

TEST(LinkChoice, SaysWhy) {
  const struct {
    const char* rules;
    const char* wish;
    std::vector<Interface> interfaces;
    const char* reason;
  } cases[] = {
      {"", nullptr, {loopback()}, "lo: the only one that may be used"},
      {"", nullptr, {loopback(), wireless("wlan0")}, "wlan0: the only one besides loopback"},
      {"", nullptr, {wired("eth0"), wireless("wlan0")}, "eth0: the fastest"},
      {"", nullptr, {cellular("wwan0"), wireless("wlan0", 0)}, "wlan0: not metered"},
      {"", nullptr, {with_families(wired("eth0"), true, false), wired("eth1")}, "eth1: has both IPv4 and IPv6"},
      {"", nullptr, {wired("eth1"), wired("eth0")}, "eth0: the first by name of equal ones"},
      {"prefer eth*", nullptr, {wired("eth0"), wireless("wlan0")}, "eth0: preferred by: prefer eth*"},
      {"prefer eth* wlan*", nullptr, {wireless("wlan0"), vpn("a")}, "wlan0: preferred by: prefer wlan*"},
      {"prefer eth*",
       nullptr,
       {wired("eth0", 1), wired("eth1", 2)},
       "eth1: preferred by: prefer eth*, and the fastest"},
      {"prefer eth*\ndeny wlan*", nullptr, {wired("eth0"), wireless("wlan0")}, "eth0: the only one that may be used"},
      {"", "wlan0", {wired("eth0"), wireless("wlan0")}, "wlan0: asked for by rebind"},
      {"deny wlan*",
       "wlan0",
       {wired("eth0"), wireless("wlan0")},
       "eth0: the only one that may be used; wlan0, asked for by rebind, is denied by: deny wlan*"},
      {"", "eth9", {wired("eth0")}, "eth0: the only one that may be used; eth9, asked for by rebind, is not there"},
      {"deny wwan*",
       nullptr,
       {without_carrier(wired("eth0")), cellular("wwan0")},
       "none: eth0 has no carrier, wwan0 is denied by: deny wwan*"},
      {"require speed>=10",
       nullptr,
       {wireless("wlan0", 0), wireless("wlan1", 1)},
       "none: wlan1 is too slow: 1 Mbit/s, the policy requires 10, the speed of wlan0 is not known, and the policy "
       "requires 10 Mbit/s"},
      {"", "e\n\n", {}, "none: there is no interface; e??, asked for by rebind, is not there"},
  };
  for (const auto& at : cases) {
    Choice t;
    t.policy(at.rules);
    if (at.wish != nullptr) t.wish(at.wish);
    t.tell(at.interfaces);
    EXPECT_EQ(t.links.reason(), at.reason);
  }
}

TEST(LinkChoice, GoesToTheNextAtOnceWhenTheCurrentIsLost) {
  const Interface eth0 = wired("eth0");
  const Interface wlan0 = wireless("wlan0");
  const std::vector<std::vector<Interface>> losses = {
      {wlan0}, {without_carrier(eth0), wlan0}, {with_families(eth0, false, false), wlan0}};
  for (const auto& after : losses)
    for (const auto* rules : {"", "stay"}) {
      Choice t;
      t.policy(rules);
      t.tell({eth0, wlan0});
      EXPECT_EQ(t.current(), "eth0");
      t.tell(after);
      EXPECT_EQ(t.current(), "wlan0");
      t.tell({});
      EXPECT_EQ(t.current(), "none");
      t.tell({eth0});
      EXPECT_EQ(t.current(), "eth0") << "there is no other, and it was lost but once";
    }
}

// Two hosts that each had a link of its own in mind, for no reason but its name, would never come to rest.
TEST(LinkChoice, WhatGoesByOneAsGoodMayStayThere) {
  Choice t;
  t.tell({wired("eth0"), wired("eth1"), wireless("wlan0", 300), without_carrier(wired("eth2"))});
  EXPECT_TRUE(t.links.is_as_good("eth0"));
  EXPECT_TRUE(t.links.is_as_good("eth1"));
  EXPECT_FALSE(t.links.is_as_good("wlan0"));
  EXPECT_FALSE(t.links.is_as_good("eth2"));
  EXPECT_FALSE(t.links.is_as_good("eth7"));
  t.policy("prefer eth1 eth0");
  EXPECT_FALSE(t.links.is_as_good("eth0"));
  t.policy("");
  t.wish("eth0");
  EXPECT_FALSE(t.links.is_as_good("eth1"));
  t.wish({});
  t.policy("prefer wlan0\nstay");
  t.tell({wired("eth0"), wired("eth1")});
  t.tell({wired("eth0"), wired("eth1"), wireless("wlan0")});
  EXPECT_EQ(t.current(), "eth0");
  EXPECT_TRUE(t.links.is_as_good("wlan0")) << "better, and only kept back";
}

TEST(LinkChoice, TakesABetterOneWhenItHasStayedForAWhile) {
  Choice t;
  t.tell({wireless("wlan0")});
  t.tell({wireless("wlan0"), wired("eth0")});
  EXPECT_EQ(t.current(), "wlan0");
  EXPECT_EQ(t.links.order(), (Names{"wlan0", "eth0"}));
  EXPECT_EQ(t.links.reason(), "wlan0: eth0 is better, and is taken when it has been so for a while");
  ASSERT_EQ(t.links.next_timeout(), t.now + better_link_delay);
  t.links.handle_timeout(t.now + better_link_delay - milliseconds(1));
  EXPECT_EQ(t.current(), "wlan0");
  t.pass(better_link_delay);
  EXPECT_EQ(t.current(), "eth0");
  EXPECT_EQ(t.links.order(), (Names{"eth0", "wlan0"}));
  EXPECT_FALSE(t.links.next_timeout());
}

TEST(LinkChoice, DoesNotWaitForABetterOneThatIsThereWhenTheCurrentIsLost) {
  Choice t;
  t.tell({wireless("wlan0")});
  t.tell({wireless("wlan0"), wired("eth0")});
  t.pass(milliseconds(10));
  t.tell({wired("eth0")});
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, ABreakStartsTheWaitAnew) {
  Choice t;
  t.tell({wireless("wlan0")});
  t.tell({wireless("wlan0"), wired("eth0")});
  t.pass(milliseconds(900));
  t.tell({wireless("wlan0"), without_carrier(wired("eth0"))});
  t.tell({wireless("wlan0"), wired("eth0")});
  t.pass(milliseconds(1999));  // one loss has doubled it
  EXPECT_EQ(t.current(), "wlan0");
  t.pass(milliseconds(1));
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, ALittleOfAnythingElseDoesNot) {
  Choice t;
  t.tell({wireless("wlan0")});
  for (const auto* other : {"tun0", "tun1", "tun2", "tun3"}) {
    t.tell({wireless("wlan0"), wired("eth0"), vpn(other)});
    t.pass(milliseconds(200));
    t.tell({wireless("wlan0"), wired("eth0")});
  }
  t.pass(milliseconds(200));
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, EachLossDoublesTheWaitUpToTheLongest) {
  Choice t;
  const std::vector<Interface> without{wireless("wlan0")};
  const std::vector<Interface> with{wireless("wlan0"), wired("eth0")};
  t.tell(without);
  for (const auto expected : {1, 2, 4, 8, 16}) {
    t.tell(with);
    t.pass(seconds(expected) - milliseconds(1));
    EXPECT_EQ(t.current(), "wlan0") << expected;
    t.pass(milliseconds(1));
    EXPECT_EQ(t.current(), "eth0") << expected;
    t.tell(without);
    EXPECT_EQ(t.current(), "wlan0");
  }
  for (int i = 0; i < 10; ++i) {
    t.tell(with);
    t.tell(without);
  }
  t.tell(with);
  t.pass(longest_better_link_delay - milliseconds(1));
  EXPECT_EQ(t.current(), "wlan0");
  t.pass(milliseconds(1) + settle_delay);
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, ForgetsLossesOfLongAgo) {
  Choice t;
  const std::vector<Interface> without{wireless("wlan0")};
  const std::vector<Interface> with{wireless("wlan0"), wired("eth0")};
  t.tell(without);
  for (int i = 0; i < 20; ++i) {
    t.tell(with);
    t.tell(without);
  }
  t.pass(flap_memory);
  t.tell(with);
  t.pass(better_link_delay);
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, StaysWhenThePolicySaysSo) {
  Choice t;
  t.policy("prefer eth*\nstay");
  t.tell({wireless("wlan0")});
  t.tell({wireless("wlan0"), wired("eth0")});
  EXPECT_FALSE(t.links.next_timeout());
  t.pass(hours(10));
  EXPECT_EQ(t.current(), "wlan0");
  EXPECT_EQ(t.links.reason(), "wlan0: stay, although eth0 is better");
  t.policy("prefer eth* wired\nstay");
  EXPECT_EQ(t.current(), "wlan0");
  t.tell({wired("eth0")});
  EXPECT_EQ(t.current(), "eth0");
  t.tell({wireless("wlan0"), wired("eth0")});
  t.policy("prefer wlan*\nstay");
  EXPECT_EQ(t.current(), "eth0");
  t.policy("prefer wlan*");
  EXPECT_EQ(t.current(), "wlan0");
}

TEST(LinkChoice, LeavesLoopbackAtOnce) {
  for (const auto* rules : {"", "stay", "prefer eth*\nstay"}) {
    Choice t;
    t.policy(rules);
    t.tell({loopback()});
    t.tell({loopback(), wireless("wlan0")});
    EXPECT_EQ(t.current(), "wlan0");
    t.tell({loopback()});
    EXPECT_EQ(t.current(), "lo");
    t.tell({loopback(), wired("eth0"), wireless("wlan0")});
    EXPECT_EQ(t.current(), "eth0");
    t.wish("lo");
    t.pass(hours(1));
    EXPECT_EQ(t.current(), "lo");
  }
  Choice t;
  t.policy("prefer loopback");
  t.tell({loopback(), wired("eth0")});
  t.pass(hours(1));
  EXPECT_EQ(t.current(), "lo");
}

TEST(LinkChoice, AChangeOfThePolicyTakesEffectAtOnce) {
  Choice t;
  const std::vector<Interface> all{wired("eth0"), wireless("wlan0"), cellular("wwan0")};
  t.tell(all);
  for (int i = 0; i < 20; ++i) {
    t.policy("prefer wlan*");
    EXPECT_EQ(t.current(), "wlan0");
    t.policy("prefer cellular");
    EXPECT_EQ(t.current(), "wwan0");
    t.policy("deny *");
    EXPECT_EQ(t.current(), "none");
    t.policy("deny wireless");
    EXPECT_EQ(t.current(), "eth0");
    EXPECT_EQ(t.links.order(), (Names{"eth0", "wwan0"}));
  }
  EXPECT_FALSE(t.links.next_timeout());
  t.policy("prefer wlan*");
  t.tell({wired("eth0"), cellular("wwan0")});
  t.tell(all);
  t.pass(2 * better_link_delay);
  EXPECT_EQ(t.current(), "wlan0") << "what the user does is no loss";
}

TEST(LinkChoice, AnInterfaceThatThePolicyForbidsIsNotGoneTo) {
  Choice t;
  t.policy("deny wwan*");
  t.tell({wired("eth0"), cellular("wwan0")});
  t.tell({without_carrier(wired("eth0")), cellular("wwan0")});
  EXPECT_EQ(t.current(), "none");
  t.pass(hours(1));
  EXPECT_EQ(t.current(), "none");
  t.policy("");
  EXPECT_EQ(t.current(), "wwan0");
}

TEST(LinkChoice, AWishIsTakenAtOnceAndHoldsWhileItMayBeUsed) {
  Choice t;
  const std::vector<Interface> all{wired("eth0"), wireless("wlan0"), cellular("wwan0")};
  for (const auto* rules : {"", "stay"}) {
    t.policy(rules);
    t.tell(all);
    t.wish("wwan0");
    EXPECT_EQ(t.current(), "wwan0");
    EXPECT_EQ(t.links.order(), (Names{"wwan0", "eth0", "wlan0"}));
    EXPECT_FALSE(t.links.next_timeout());
    t.pass(hours(1));
    EXPECT_EQ(t.current(), "wwan0");
    t.tell({wired("eth0"), wireless("wlan0")});
    EXPECT_EQ(t.current(), "eth0");
    t.tell(all);
    EXPECT_EQ(t.current(), "wwan0") << "the wish still stands";
    t.wish("wlan0");
    EXPECT_EQ(t.current(), "wlan0");
    t.wish(std::nullopt);
    EXPECT_EQ(t.current(), policy_of(rules).stay() ? "wlan0" : "eth0");
    t.wish("eth0");
    t.wish(std::nullopt);
    EXPECT_EQ(t.current(), "eth0");
  }
}

TEST(LinkChoice, AWishThatMayNotBeUsedHasNoEffect) {
  Choice t;
  t.policy("deny wwan*");
  t.tell({wired("eth0"), cellular("wwan0")});
  t.wish("wwan0");
  EXPECT_EQ(t.current(), "eth0");
  t.wish("nothing");
  EXPECT_EQ(t.current(), "eth0");
  t.wish("");
  EXPECT_EQ(t.current(), "eth0");
  t.wish("wwan0");
  t.policy("");
  EXPECT_EQ(t.current(), "wwan0");
}

TEST(LinkChoice, ReasonsNameAFewInterfacesOnly) {
  Choice t;
  auto all = many_interfaces(1000);
  for (auto& interface : all) interface.carrier = false;
  t.tell(all);
  EXPECT_TRUE(t.links.reason().ends_with(" has no carrier and 992 more")) << t.links.reason();
  for (auto& interface : all) interface.name = std::string(10000, 'x') + "\n" + interface.name;
  t.wish(std::string(100000, 'y'));
  t.tell(all);
  EXPECT_LT(t.links.reason().size(), 2048u);
  EXPECT_EQ(t.links.reason().find('\n'), std::string::npos);
}

TEST(LinkChoice, TheSameOfWhateverOrder) {
  std::vector<Interface> all{wired("eth1"), wired("eth0"), wireless("wlan0"), loopback(), cellular("wwan0")};
  std::ranges::sort(all, {}, &Interface::name);
  Choice first;
  first.tell(all);
  while (std::ranges::next_permutation(all, {}, &Interface::name).found) {
    Choice t;
    t.tell(all);
    ASSERT_EQ(t.links.order(), first.links.order());
    ASSERT_EQ(t.links.reason(), first.links.reason());
    first.tell(all);
    ASSERT_EQ(first.changes, 1u);
  }
}

TEST(LinkChoice, OfTwoWithOneNameTheFirstCounts) {
  Choice t;
  t.tell({wired("eth0"), without_carrier(wired("eth0")), wired("eth0", 1)});
  EXPECT_EQ(t.links.order(), Names{"eth0"});
}

}  // namespace
}  // namespace sessionfs::test
