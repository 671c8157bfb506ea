// Which interface an endpoint uses, why, and when it changes: by a virtual time.
#include "engine/link_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/engine/interfaces.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Names = std::vector<std::string>;

struct Choice {
  LinkChoice links;
  Time now = hours(5);
  std::size_t changes = 0;  // of current()

  void policy(std::string_view rules) {
    watch([&] { links.set_policy(policy_of(rules), now); });
  }
  void wish(std::optional<std::string> name) {
    watch([&] { links.set_wish(std::move(name), now); });
  }
  void tell(std::vector<Interface> interfaces) {
    watch([&] { links.handle_interfaces(std::move(interfaces), now); });
  }
  void pass(Duration duration) {
    const Time end = now + duration;
    while (links.next_timeout() && *links.next_timeout() <= end) {
      ASSERT_GE(*links.next_timeout(), now);
      now = *links.next_timeout();
      watch([&] { links.handle_timeout(now); });
      ASSERT_TRUE(!links.next_timeout() || *links.next_timeout() > now) << "it would spin";
    }
    now = end;
  }
  std::string current() const { return links.current().value_or("none"); }

 private:
  template <class Act>
  void watch(Act act) {
    const auto former = links.current();
    const auto former_order = links.order();
    links.poll_changed();
    act();
    if (links.current() != former) ++changes;
    EXPECT_EQ(links.poll_changed(), links.order() != former_order);
    EXPECT_FALSE(links.poll_changed()) << "only once";
    EXPECT_EQ(links.current().has_value(), !links.order().empty());
    if (links.current()) {
      EXPECT_EQ(*links.current(), links.order().front());
    }
  }
};

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

// --- Hostile ------------------------------------------------------------------------------------------------------

// 50 times a second for an hour: `up` and `down` in turn.
void flap_for_an_hour(Choice& t, const std::vector<Interface>& up, const std::vector<Interface>& down) {
  for (const Time end = t.now + hours(1); t.now < end;) {
    t.tell(up);
    t.pass(milliseconds(10));
    t.tell(down);
    t.pass(milliseconds(10));
  }
}

TEST(LinkChoice, ALinkThatFlapsChangesNothingWhileThereIsAnother) {
  for (const auto* rules : {"", "stay", "prefer eth*"}) {
    Choice t;
    t.policy(rules);
    t.tell({wireless("wlan0"), wired("eth0")});
    flap_for_an_hour(t, {wireless("wlan0"), wired("eth0")}, {wireless("wlan0"), without_carrier(wired("eth0"))});
    EXPECT_EQ(t.current(), "wlan0");
    EXPECT_EQ(t.changes, 2u);
    t.tell({wireless("wlan0"), wired("eth0")});
    t.pass(longest_better_link_delay + settle_delay);
    EXPECT_EQ(t.current(), policy_of(rules).stay() ? "wlan0" : "eth0");
  }
}

TEST(LinkChoice, TheOnlyLinkThatFlapsChangesLittle) {
  for (const bool wish : {false, true}) {
    Choice beside_loopback;
    flap_for_an_hour(beside_loopback, {loopback(), wired("eth0")}, {loopback()});
    EXPECT_LE(beside_loopback.changes, 2 * (losses_at_once + 1) + 1);
    EXPECT_EQ(beside_loopback.current(), "lo");
    Choice t;
    if (wish) t.wish("eth0");
    flap_for_an_hour(t, {wired("eth0")}, {});
    EXPECT_LE(t.changes, 2 * (losses_at_once + 1));
    t.tell({wired("eth0")});
    EXPECT_NE(t.links.reason().find("eth0 has been lost too often just now, and has to stay for 50 ms first"),
              std::string::npos)
        << t.links.reason();
    t.pass(settle_delay);
    EXPECT_EQ(t.current(), "eth0");
  }
}

TEST(LinkChoice, LinksThatFlapInTurnChangeLittle) {
  Choice t;
  flap_for_an_hour(t, {wired("eth0")}, {wired("eth1")});
  EXPECT_LE(t.changes, 4 * (losses_at_once + 1));
}

TEST(LinkChoice, AWishForALinkThatFlapsChangesLittle) {
  Choice t;
  t.wish("wlan0");
  flap_for_an_hour(t, {wireless("wlan0"), wired("eth0")}, {wired("eth0")});
  EXPECT_LE(t.changes, 2 * (losses_at_once + 1));
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, SpeedsThatChangeAllTheTimeChangeLittle) {
  Choice t;
  flap_for_an_hour(t, {wired("eth0", 10), wired("eth1", 100)}, {wired("eth0", 1000), wired("eth1", 100)});
  EXPECT_EQ(t.changes, 1u);
  // As slow as the wait: each change is worth another one, but the wait grows.
  Choice slow;
  const Time end = slow.now + hours(1);
  while (slow.now < end)
    for (const std::uint32_t speed : {10u, 1000u}) {
      slow.tell({wired("eth0", speed), wired("eth1", 100)});
      slow.pass(better_link_delay);
    }
  EXPECT_LE(slow.changes, 1000u);
}

// A link that is lost whenever it has been taken: the worst that there is to gain by timing.
TEST(LinkChoice, ALinkThatFailsWhenItIsTakenIsTakenSeldom) {
  Choice t;
  t.tell({wireless("wlan0")});
  for (const Time end = t.now + hours(1); t.now < end;) {
    t.tell({wireless("wlan0"), wired("eth0")});
    while (t.current() != "eth0") {
      ASSERT_TRUE(t.links.next_timeout());
      t.pass(*t.links.next_timeout() - t.now);
    }
    t.tell({wireless("wlan0")});
  }
  EXPECT_LE(t.changes, 1000u);
  EXPECT_GE(t.changes, 2u * 60u) << "but not never";
}

TEST(LinkChoice, StandsAThousandInterfacesAndTheLongestRules) {
  Choice t;
  std::string rules;
  for (int i = 0; rules.size() < max_rules_bytes - 32; ++i) rules += "deny *" + std::to_string(i) + "?x\n";
  t.policy(rules);
  auto all = many_interfaces(1000);
  t.tell(all);
  EXPECT_EQ(t.links.order().size(), 1000u);
  for (int i = 0; i < 500; ++i) {  // the rules are not looked at again for one that flaps
    all[0].carrier = !all[0].carrier;
    t.tell(all);
    t.pass(milliseconds(10));
  }
  EXPECT_LE(t.changes, 2 * (losses_at_once + 1));
}

TEST(LinkChoice, LooksAtALimitedNumber) {
  Choice t;
  t.tell(many_interfaces(max_link_interfaces + 100));
  EXPECT_EQ(t.links.order().size(), max_link_interfaces);
  for (int round = 0; round < 20; ++round) {  // names that never come back
    auto all = many_interfaces(1000);
    for (auto& interface : all) interface.name += "." + std::to_string(round);
    t.tell(std::move(all));
    EXPECT_LE(t.links.remembered(), max_link_interfaces);
  }
  EXPECT_GT(t.links.remembered(), 0u);
  EXPECT_EQ(t.links.order().size(), 1000u);
}

// What holds whatever happens: the current one may be used; none only if no settled one may be; timeouts end.
TEST(LinkChoice, HoldsItsRulesInWhateverHappens) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    Choice t;
    std::vector<Interface> all{wired("eth0"), wireless("wlan0"), cellular("wwan0"), loopback()};
    static constexpr const char* rules[] = {
        "", "stay", "prefer wlan*", "deny eth*", "require family=ipv6", "require speed>=100\nstay"};
    std::string policy;
    for (int step = 0; step < 200; ++step) {
      auto& changed = all[below(4)];
      switch (below(8)) {
        case 0:
          t.policy(policy = rules[below(6)]);
          break;
        case 1:
          t.wish(below(2) == 0 ? std::nullopt : std::optional<std::string>(changed.name));
          break;
        case 2:
          changed.ipv6 = !changed.ipv6;
          break;
        case 3:
          changed.speed_mbits = below(2000);
          break;
        case 4:
          t.pass(milliseconds(below(3000)));
          break;
        default:
          changed.carrier = !changed.carrier;
          break;
      }
      t.tell(all);
      const auto usable = policy_of(policy).ranked(all);
      if (t.links.current()) {
        ASSERT_TRUE(std::ranges::any_of(usable, [&](auto i) { return all[i].name == t.current(); })) << seed;
      } else if (!usable.empty()) {
        ASSERT_TRUE(t.links.next_timeout()) << seed;
      }
      ASSERT_FALSE(t.links.reason().empty());
    }
    t.wish(std::nullopt);
    t.policy("");
    t.pass(2 * longest_better_link_delay);
    const auto usable = Policy().ranked(all);
    ASSERT_EQ(t.current(), usable.empty() ? "none" : all[usable[0]].name) << seed;
    ASSERT_EQ(t.links.order().size(), usable.size());
    ASSERT_FALSE(t.links.next_timeout());
  }
}

}  // namespace
}  // namespace sessionfs::test
