#include "engine/policy.hpp"

#include <gtest/gtest.h>

namespace sessionfs::test {
namespace {

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
                                                       {"PREFER eth0", 1}};
  for (const auto& [text, line] : cases) {
    const auto error = check_policy(text);
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->line, line) << text;
    EXPECT_FALSE(error->reason.empty());
  }
  EXPECT_TRUE(check_policy(std::string(max_rules_bytes + 1, '\n')));
}

}  // namespace
}  // namespace sessionfs::test
