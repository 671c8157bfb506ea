#include "engine/policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/interfaces.hpp"

namespace sessionfs::test {
namespace {

std::vector<std::string> ranked_names(std::string_view rules, const std::vector<Interface>& interfaces) {
  std::vector<std::string> names;
  for (const auto index : policy_of(rules).ranked(interfaces)) names.push_back(interfaces.at(index).name);
  return names;
}

using Names = std::vector<std::string>;

TEST(Policy, TakesEveryRuleThereIs) {
  EXPECT_FALSE(check_policy(""));
  EXPECT_FALSE(
      check_policy("prefer eth* wlan*   # names or kinds\n"
                   "prefer wired wireless cellular vpn loopback\n"
                   "require speed>=1000\n"
                   "require family=ipv4\n"
                   "require family=ipv6 speed>=0\n"
                   "\n"
                   "deny   wwan*\n"
                   "stay\n"));
}

TEST(Policy, NamesTheFirstLineThatIsNoRule) {
  const std::pair<const char*, std::size_t> cases[] = {{"prefer", 1},
                                                       {"deny # nothing", 1},
                                                       {"stay\nstay here", 2},
                                                       {"prefer eth0\n\nrequire speed>1000", 3},
                                                       {"require speed>=", 1},
                                                       {"require speed>=1x", 1},
                                                       {"require speed>=10000000000", 1},
                                                       {"require family=ipx", 1},
                                                       {"require", 1},
                                                       {"allow eth0", 1},
                                                       {"deny wlan0\ndeny eth0\x1b[2J", 2},
                                                       {"prefer eth\x7f", 1},
                                                       {"PREFER eth0", 1}};
  for (const auto& [text, line] : cases) {
    const auto error = check_policy(text);
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->line, line) << text;
    EXPECT_FALSE(error->reason.empty());
    const auto parsed = Policy::parse(text);
    ASSERT_TRUE(std::holds_alternative<RuleError>(parsed)) << text;
    EXPECT_EQ(std::get<RuleError>(parsed).line, line) << text;
  }
  EXPECT_TRUE(check_policy(std::string(max_rules_bytes + 1, '\n')));
}

TEST(Policy, SaysWhyAnInterfaceMayNotBeUsed) {
  const struct {
    const char* rules;
    Interface interface;
    const char* why_not;
  } cases[] = {
      {"", wired("eth0"), ""},
      {"", loopback(), ""},
      {"", without_carrier(wired("eth0")), "has no carrier"},
      {"", with_families(wired("eth0"), false, false), "has no address"},
      {"", with_families(wired("eth0"), true, false), ""},
      {"", with_families(wired("eth0"), false, true), ""},
      {"deny wwan*", cellular("wwan0"), "denied by: deny wwan*"},
      {"deny wwan*", cellular("WWAN0"), ""},
      {"deny eth? wlan?", wireless("wlan1"), "denied by: deny wlan?"},
      {"deny eth0\ndeny eth*", wired("eth0"), "denied by: deny eth0"},
      {"deny eth*\ndeny eth0", wired("eth0"), "denied by: deny eth*"},
      {"deny cellular", cellular("wwan0"), "denied by: deny cellular"},
      {"deny cellular", wired("cellular"), ""},
      {"deny loopback", loopback(), "denied by: deny loopback"},
      {"deny vpn", vpn("tun0"), "denied by: deny vpn"},
      {"prefer eth0\ndeny *", wired("eth0"), "denied by: deny *"},
      {"deny wwan*", without_carrier(cellular("wwan0")), "denied by: deny wwan*"},
      {"require family=ipv6", with_families(wired("eth0"), true, false),
       "has no IPv6 address, which the policy requires"},
      {"require family=ipv4", with_families(wired("eth0"), false, true),
       "has no IPv4 address, which the policy requires"},
      {"require family=ipv4", with_families(wired("eth0"), true, false), ""},
      {"require family=ipv4 family=ipv6", with_families(wired("eth0"), true, false),
       "has no IPv6 address, which the policy requires"},
      {"require family=ipv4\nrequire family=ipv6", wired("eth0"), ""},
      {"require speed>=1000", wired("eth0", 1000), ""},
      {"require speed>=1000", wired("eth0", 100), "is too slow: 100 Mbit/s, the policy requires 1000"},
      {"require speed>=1000\nrequire speed>=10", wired("eth0", 100),
       "is too slow: 100 Mbit/s, the policy requires 1000"},
      {"require speed>=1000", wireless("wlan0", 0), "its speed is not known, and the policy requires 1000 Mbit/s"},
      {"require speed>=0", wireless("wlan0", 0), ""},
      {"require speed>=1000", loopback(), ""},
      {"require speed>=999999999", wired("eth0", UINT32_MAX), ""},
  };
  for (const auto& at : cases) EXPECT_EQ(policy_of(at.rules).why_not(at.interface), at.why_not) << at.rules;
}

TEST(Policy, AllowsTheFamiliesThatAreRequired) {
  const struct {
    const char* rules;
    bool ipv4;
    bool ipv6;
  } cases[] = {{"", true, true},
               {"require speed>=5", true, true},
               {"require family=ipv4", true, false},
               {"require family=ipv6", false, true},
               {"require family=ipv6\nrequire family=ipv4", true, true}};
  for (const auto& at : cases) {
    EXPECT_EQ(policy_of(at.rules).allows_ipv4(), at.ipv4) << at.rules;
    EXPECT_EQ(policy_of(at.rules).allows_ipv6(), at.ipv6) << at.rules;
  }
  EXPECT_TRUE(policy_of("stay").stay());
  EXPECT_FALSE(policy_of("# stay").stay());
}

TEST(Policy, RanksByTheFirstWordThatMatches) {
  const std::vector<Interface> all{wired("eth0", 100), wired("eth1", 1000), wireless("wlan0", 300),
                                   cellular("wwan0"),  vpn("tun0"),         loopback()};
  EXPECT_EQ(ranked_names("", all), (Names{"eth1", "wlan0", "eth0", "tun0", "wwan0", "lo"}));
  EXPECT_EQ(ranked_names("prefer wlan*", all), (Names{"wlan0", "eth1", "eth0", "tun0", "wwan0", "lo"}));
  EXPECT_EQ(ranked_names("prefer eth0 eth*", all), (Names{"eth0", "eth1", "wlan0", "tun0", "wwan0", "lo"}));
  EXPECT_EQ(ranked_names("prefer eth* eth0", all), (Names{"eth1", "eth0", "wlan0", "tun0", "wwan0", "lo"}));
  EXPECT_EQ(ranked_names("prefer cellular vpn\nprefer loopback", all),
            (Names{"wwan0", "tun0", "lo", "eth1", "wlan0", "eth0"}));
  EXPECT_EQ(ranked_names("prefer cellular\ndeny eth1 wireless\nrequire speed>=0", all),
            (Names{"wwan0", "eth0", "tun0", "lo"}));
  EXPECT_EQ(ranked_names("prefer vpn eth9 tun0", all).front(), "tun0");
  EXPECT_EQ(ranked_names("deny *", all), Names{});
  EXPECT_EQ(ranked_names("", {}), Names{});
}

TEST(Policy, RanksEqualOnesByCostSpeedFamiliesAndName) {
  const auto slow = wired("a", 10);
  const auto fast = wired("z", 100);
  EXPECT_EQ(ranked_names("", {slow, fast}), (Names{"z", "a"}));
  EXPECT_EQ(ranked_names("", {slow, metered(fast)}), (Names{"a", "z"}));
  EXPECT_EQ(ranked_names("prefer z", {slow, metered(fast)}), (Names{"z", "a"}));
  EXPECT_EQ(ranked_names("", {loopback(), metered(wired("z"))}), (Names{"z", "lo"}));
  EXPECT_EQ(ranked_names("", {wireless("a", 0), wired("z", 1)}), (Names{"z", "a"}));
  EXPECT_EQ(ranked_names("", {with_families(wired("a"), true, false), wired("z")}), (Names{"z", "a"}));
  EXPECT_EQ(ranked_names("", {with_families(wired("a", 1001), true, false), wired("z", 1000)}), (Names{"a", "z"}));
  EXPECT_EQ(ranked_names("", {wired("b"), wired("a"), wired("c")}), (Names{"a", "b", "c"}));
}

TEST(Policy, RanksTheSameInWhateverOrderTheyAreTold) {
  std::vector<Interface> all{wired("eth1"), wired("eth0"),     wireless("wlan0"), metered(wireless("wlan1")),
                             loopback(),    cellular("wwan0"), vpn("tun0")};
  std::ranges::sort(all, {}, &Interface::name);
  const auto expected = ranked_names("prefer wlan*", all);
  while (std::ranges::next_permutation(all, {}, &Interface::name).found)
    ASSERT_EQ(ranked_names("prefer wlan*", all), expected);
}

TEST(Policy, NamesEveryKind) {
  EXPECT_EQ(name_of(LinkKind::wired), "wired");
  EXPECT_EQ(name_of(LinkKind::wireless), "wireless");
  EXPECT_EQ(name_of(LinkKind::cellular), "cellular");
  EXPECT_EQ(name_of(LinkKind::vpn), "vpn");
  EXPECT_EQ(name_of(LinkKind::loopback), "loopback");
}

TEST(Policy, ShowsNamesOnOneLineOfBoundedLength) {
  EXPECT_EQ(shown("eth0"), "eth0");
  EXPECT_EQ(shown("e\n\x1b[0m\x7f"), "e??[0m?");
  EXPECT_EQ(shown("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(shown(std::string(64, 'x')), std::string(64, 'x'));
  EXPECT_EQ(shown(std::string(65, 'x')), std::string(64, 'x') + "...");
  EXPECT_EQ(shown(std::string(63, 'x') + "\xc3\xa9"), std::string(63, 'x') + "...");
  EXPECT_EQ(shown(std::string(1000, '\x80')), "...");
}

TEST(Policy, StandsTheLongestRules) {
  const auto interfaces = many_interfaces(1000);
  const auto fill = [](std::string_view begin, std::string_view word) {
    std::string text(begin);
    while (text.size() + word.size() <= max_rules_bytes) text += word;
    return text;
  };
  EXPECT_EQ(policy_of(fill("deny", " x")).ranked(interfaces).size(), interfaces.size());
  EXPECT_EQ(policy_of(fill("deny ", "*")).ranked(interfaces).size(), 0u);
  EXPECT_EQ(policy_of(fill("deny ", "*0*0*x")).ranked(interfaces).size(), interfaces.size());
  std::string globs;  // each another one
  for (int i = 0; globs.size() < max_rules_bytes - 32; ++i) globs += "prefer *" + std::to_string(i) + "?x\n";
  EXPECT_EQ(policy_of(globs).ranked(interfaces).size(), interfaces.size());
  const auto why_not = policy_of(fill("deny e", "*")).why_not(interfaces[0]);
  EXPECT_LT(why_not.size(), 100u) << why_not;
}

}  // namespace
}  // namespace sessionfs::test
