// Links that come and go, and rules without end: what may change of it all, and what it may cost.
#include <algorithm>
#include <random>

#include "tests/engine/choice.hpp"

namespace sessionfs::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// 50 times a second, for longer than losses are remembered: `up` and `down` in turn.
void flap(Choice& t, const std::vector<Interface>& up, const std::vector<Interface>& down) {
  for (const Time end = t.now + 3 * flap_memory; t.now < end;) {
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
    flap(t, {wireless("wlan0"), wired("eth0")}, {wireless("wlan0"), without_carrier(wired("eth0"))});
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
    flap(beside_loopback, {loopback(), wired("eth0")}, {loopback()});
    EXPECT_LE(beside_loopback.changes, 2 * (losses_at_once + 1) + 1);
    EXPECT_EQ(beside_loopback.current(), "lo");
    Choice t;
    if (wish) t.wish("eth0");
    flap(t, {wired("eth0")}, {});
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
  flap(t, {wired("eth0")}, {wired("eth1")});
  EXPECT_LE(t.changes, 4 * (losses_at_once + 1));
}

TEST(LinkChoice, AWishForALinkThatFlapsChangesLittle) {
  Choice t;
  t.wish("wlan0");
  flap(t, {wireless("wlan0"), wired("eth0")}, {wired("eth0")});
  EXPECT_LE(t.changes, 2 * (losses_at_once + 1));
  EXPECT_EQ(t.current(), "eth0");
}

TEST(LinkChoice, SpeedsThatChangeAllTheTimeChangeLittle) {
  Choice t;
  flap(t, {wired("eth0", 10), wired("eth1", 100)}, {wired("eth0", 1000), wired("eth1", 100)});
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
