#include "fs/link_watch.hpp"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/fs/link_watch_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

// --- what there is ----------------------------------------------------------------------------------------------

TEST_F(LinkWatchTest, HostWithOnlyALoopbackInterface) {
  start();
  EXPECT_EQ(watch_->interfaces(), std::vector<Interface>({{.name = "lo", .kind = LinkKind::loopback}}));
  EXPECT_EQ(watch_->text(), Lines({"lo down loopback"}));
  EXPECT_EQ(watch_->addresses({"lo"}, true, true), Addresses());
  ip("link set lo up");
  wait_until([&] { return interface("lo").ipv4 && interface("lo").ipv6; }, "lo has its addresses");
  EXPECT_TRUE(interface("lo").carrier);
  EXPECT_EQ(watch_->addresses({"lo"}, true, true), Addresses({address("127.0.0.1"), address("::1")}));
  EXPECT_EQ(watch_->text(), Lines({"lo up loopback 127.0.0.1 ::1"}));
}

TEST_F(LinkWatchTest, EndsWithAnEventOnItsWay) {
  start();
  ip("link set lo up");
  io_.restart();
  io_.run_one_for(limit);  // the event has been read
  std::this_thread::sleep_for(2 * link_pause_ms);
  watch_.reset();
  settle();
  EXPECT_EQ(calls_, 0U);
}

TEST_F(LinkWatchTest, KindsAndSpeeds) {
  add_cable();
  ip("tuntap add dev t0 mode tun");
  ip("tuntap add dev t1 mode tap");
  ip("link add b0 type bridge");
  start();
  EXPECT_EQ(interface("lo").kind, LinkKind::loopback);
  EXPECT_EQ(interface("v0").kind, LinkKind::wired);
  EXPECT_EQ(interface("b0").kind, LinkKind::wired);
  EXPECT_EQ(interface("t0").kind, LinkKind::vpn);
  EXPECT_EQ(interface("t1").kind, LinkKind::vpn);
  EXPECT_EQ(interface("v0").speed_mbits, 10000U);
  EXPECT_EQ(interface("lo").speed_mbits, 0U);
  EXPECT_EQ(interface("b0").speed_mbits, 0U) << "a bridge without ports does not know";
  for (const auto& each : watch_->interfaces()) EXPECT_FALSE(each.metered) << each.name;
}

TEST_F(LinkWatchTest, WithoutRights) {
  add_cable();
  ASSERT_EQ(::seteuid(65534), 0);
  start();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(interface("v0").speed_mbits, 10000U);
  ip("address add 10.0.0.1/24 dev v0");
  ASSERT_EQ(::seteuid(65534), 0);
  wait_until([&] { return has("v0", "10.0.0.1"); }, "the address is seen");
  ASSERT_EQ(::seteuid(0), 0);
}

TEST_F(LinkWatchTest, Lines) {
  add_cable();
  ip("link add v2 type veth peer name v3");
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add fd00::1/64 dev v0");
  ip("route add default via 10.0.0.2 dev v0");
  start();
  settle();
  auto lines = watch_->text();
  std::ranges::sort(lines);
  EXPECT_EQ(lines, Lines({"lo down loopback", "v0 up wired 10000Mbit/s default-route 10.0.0.1 fd00::1",
                          "v1 up wired 10000Mbit/s", "v2 down wired 10000Mbit/s", "v3 down wired 10000Mbit/s"}));
}

// --- links come and go ------------------------------------------------------------------------------------------

TEST_F(LinkWatchTest, LinksAppearAndVanish) {
  start();
  add_cable();
  wait_until([&] { return interface("v0").carrier && interface("v1").carrier; }, "the cable is plugged in");
  EXPECT_EQ(find("v0")->index, if_nametoindex("v0"));
  ip("link delete v0");
  wait_until([&] { return find("v0") == nullptr && find("v1") == nullptr; }, "the cable is gone");
  EXPECT_EQ(watch_->interfaces().size(), 1U);
}

TEST_F(LinkWatchTest, CarrierIsLostAtTheFarEnd) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  start();
  wait_until([&] { return interface("v0").carrier; }, "the cable is plugged in");
  ip("link set v1 down");
  wait_until([&] { return !interface("v0").carrier; }, "the carrier is lost");
  EXPECT_TRUE(has("v0", "10.0.0.1")) << "a carrier more or less takes no address";
  ip("link set v1 up");
  wait_until([&] { return interface("v0").carrier; }, "the carrier is back");
  ip("link set v0 down");
  wait_until([&] { return !interface("v0").carrier; }, "the interface is down");
}

TEST_F(LinkWatchTest, OneIsRenamed) {
  ip("link add v0 type veth peer name v1");
  start();
  const unsigned index = find("v0")->index;
  ip("link set v0 name desk0");
  wait_until([&] { return find("desk0") != nullptr; }, "the new name is seen");
  EXPECT_EQ(find("desk0")->index, index);
  EXPECT_EQ(find("v0"), nullptr);
}

TEST_F(LinkWatchTest, DefaultRoutesComeAndGo) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add 10.0.1.1/24 dev v1");
  ip("address add fd00::1/64 dev v0");
  start();
  const auto routed = [&] { return !find("v0")->gateways.empty(); };
  EXPECT_FALSE(routed());
  ip("route add 10.9.0.0/16 via 10.0.0.2");
  ip("route add default via 10.0.0.2 table 77");
  settle();
  EXPECT_FALSE(routed());
  ip("route add default via 10.0.0.2");
  wait_until(routed, "the default route is seen");
  ip("route delete default");
  wait_until([&] { return !routed(); }, "the default route is gone");
  ip("-6 route add default via fd00::2");
  wait_until(routed, "the default route of IPv6 is seen");
  ip("-6 route delete default");
  wait_until([&] { return !routed(); }, "the default route of IPv6 is gone");
  ip("route add default nexthop via 10.0.0.2 nexthop via 10.0.1.2");
  wait_until([&] { return routed() && !find("v1")->gateways.empty(); }, "both ways of a default route are seen");
}

TEST_F(LinkWatchTest, AnotherGatewayIsAChange) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add fd00::1/64 dev v0");
  ip("route add default via 10.0.0.2");
  ip("-6 route add default via fd00::2");
  start();
  settle();
  const auto gateways = [&] { return find("v0")->gateways; };
  EXPECT_EQ(gateways(), Addresses({address("10.0.0.2"), address("fd00::2")}));
  EXPECT_EQ(calls_for([] { ip("route replace default via 10.0.0.2"); }), 0U) << "it is the same";
  EXPECT_EQ(calls_for([] { ip("route replace default via 10.0.0.3"); }), 1U);
  EXPECT_EQ(gateways(), Addresses({address("10.0.0.3"), address("fd00::2")}));
  EXPECT_EQ(calls_for([] { ip("-6 route replace default via fe80::3 dev v0"); }), 1U);
  EXPECT_EQ(gateways(), Addresses({address("10.0.0.3"), address("fe80::3%v0")}));
  EXPECT_EQ(calls_for([] { ip("-4 route replace default via inet6 fe80::4 dev v0"); }), 1U);
  EXPECT_EQ(gateways(), Addresses({address("fe80::3%v0"), address("fe80::4%v0")}));
  EXPECT_EQ(calls_for([] { ip("route replace default dev v0"); }), 1U);
  EXPECT_EQ(gateways(), Addresses({Address(), address("fe80::3%v0")})) << "what needs none";
  EXPECT_EQ(calls_for([] { ip("route add default via 10.0.0.2 metric 9"); }), 1U) << "another one beside it";
  EXPECT_EQ(gateways().size(), 3U);
}

// --- addresses --------------------------------------------------------------------------------------------------

TEST_F(LinkWatchTest, AddressesOfBothFamiliesComeAndGo) {
  add_cable();
  start();
  EXPECT_FALSE(interface("v0").ipv4 || interface("v0").ipv6);
  ip("address add 10.0.0.1/24 dev v0");
  wait_until([&] { return interface("v0").ipv4; }, "the IPv4 address is seen");
  ip("address add fd00::1/64 dev v0");
  wait_until([&] { return interface("v0").ipv6; }, "the IPv6 address is seen");
  EXPECT_EQ(all_of("v0"), Addresses({address("10.0.0.1"), address("fd00::1")}));
  EXPECT_EQ(all_of("v1"), Addresses());
  ip("address delete 10.0.0.1/24 dev v0");
  wait_until([&] { return !interface("v0").ipv4; }, "the IPv4 address is gone");
  ip("address delete fd00::1/64 dev v0");
  wait_until([&] { return !interface("v0").ipv6; }, "the IPv6 address is gone");
}

TEST_F(LinkWatchTest, AddressesOfTheLinkAloneComeLastAndAreNotGivenToOthers) {
  add_cable();
  ip("address add 169.254.0.1/16 dev v0");
  ip("address add fe80::5/64 dev v0");
  start();
  EXPECT_EQ(all_of("v0").size(), 2U);
  EXPECT_FALSE(interface("v0").ipv4 || interface("v0").ipv6);
  EXPECT_EQ(watch_->addresses({"v0"}, true, true), Addresses());
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add fd00::1/64 dev v0");
  wait_until([&] { return interface("v0").ipv4 && interface("v0").ipv6; }, "the addresses are seen");
  const Addresses global({address("10.0.0.1"), address("fd00::1")});
  EXPECT_EQ(watch_->addresses({"v0"}, true, true), global);
  const auto all = all_of("v0");
  EXPECT_EQ(Addresses(all.begin(), all.begin() + 2), global);
}

TEST_F(LinkWatchTest, AddressesInTheOrderAndOfTheFamiliesAskedFor) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add fd00::1/64 dev v0");
  ip("address add 10.0.1.1/24 dev v1");
  start();
  // One that other hosts are still asked for is none yet.
  wait_until([&] { return interface("v0").ipv6; }, "the address of v0 is seen");
  const auto [a, b, c] = std::array{address("10.0.0.1"), address("fd00::1"), address("10.0.1.1")};
  EXPECT_EQ(watch_->addresses({"v1", "v0"}, true, true), Addresses({c, a, b}));
  EXPECT_EQ(watch_->addresses({"v0", "no such", "v1"}, true, true), Addresses({a, b, c}));
  EXPECT_EQ(watch_->addresses({"v0", "v1"}, true, false), Addresses({a, c}));
  EXPECT_EQ(watch_->addresses({"v0", "v1"}, false, true), Addresses({b}));
  EXPECT_EQ(watch_->addresses({"v0", "v1"}, false, false), Addresses());
  EXPECT_EQ(watch_->addresses({}, true, true), Addresses());
}

TEST_F(LinkWatchTest, WhoseAnAddressIs) {
  add_cable();
  ip("address add 10.0.0.1/24 dev v0");
  ip("address add fd00::1/64 dev v1");
  ip("address add fe80::5/64 dev v1");
  start();
  EXPECT_EQ(watch_->interface_of(address("10.0.0.1")), "v0");
  EXPECT_EQ(watch_->interface_of(address("::ffff:10.0.0.1")), "v0");
  EXPECT_EQ(watch_->interface_of(address("fd00::1")), "v1");
  EXPECT_EQ(watch_->interface_of(address("fe80::5%v1")), "v1");
  EXPECT_EQ(watch_->interface_of(address("fe80::5%v0")), std::nullopt) << "it is another link's";
  EXPECT_EQ(watch_->interface_of(address("10.0.0.2")), std::nullopt);
  EXPECT_EQ(watch_->interface_of(Address()), std::nullopt);
}

TEST_F(LinkWatchTest, DeprecatedAddressesAreOursButNotGivenToOthers) {
  add_cable();
  ip("address add fd00::1/64 dev v0 preferred_lft 0");
  start();
  EXPECT_EQ(watch_->interface_of(address("fd00::1")), "v0") << "what uses it goes on";
  EXPECT_EQ(watch_->addresses({"v0"}, true, true), Addresses());
  EXPECT_FALSE(interface("v0").ipv6);
  ip("address add fd00::2/64 dev v0");
  wait_until([&] { return interface("v0").ipv6; }, "another one is seen");
  EXPECT_EQ(watch_->addresses({"v0"}, true, true), Addresses({address("fd00::2")}));
  ip("address change fd00::2/64 dev v0 valid_lft 1000 preferred_lft 0");
  wait_until([&] { return !interface("v0").ipv6; }, "it has been deprecated, too");
  ip("address change fd00::2/64 dev v0 valid_lft 1000 preferred_lft 1000");
  wait_until([&] { return interface("v0").ipv6; }, "it can be used again");
}

TEST_F(LinkWatchTest, AddressesThatOthersHaveAreLeftOut) {
  add_cable();
  ip("address add fd00::1/64 dev v1");
  start();
  wait_until([&] { return interface("v0").carrier; }, "the cable is plugged in");
  sysctl("ipv6/conf/v0/accept_dad", "1");
  ip("address add fd00::1/64 dev v0");
  ip("address add fd00::2/64 dev v0");
  wait_until([&] { return has("v0", "fd00::2"); }, "an address has been found to be free");
  const auto refused = [] { return run("ip -6 -o address show dev v0 dadfailed | grep -q fd00::1/64"); };
  wait_until(refused, "the kernel has found the other in use");
  settle();
  EXPECT_EQ(all_of("v0"), Addresses({address("fd00::2")}));
}

}  // namespace
}  // namespace sessionfs::fs::testing
