// A choice between links that time passes for, and whose changes are counted.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/link_choice.hpp"
#include "tests/engine/interfaces.hpp"

namespace sessionfs::test {

struct Choice {
  LinkChoice links;
  Time now = std::chrono::hours(5);
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

}  // namespace sessionfs::test
