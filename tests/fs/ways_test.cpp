#include "fs/ways.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sessionfs::fs {
namespace {

using Endpoint = boost::asio::ip::tcp::endpoint;
using Lines = std::vector<std::string>;

constexpr std::uint16_t port = 4700;

boost::asio::ip::address address(const std::string& text) { return boost::asio::ip::make_address(text); }

// With addresses like "10.0.0.1/24".
Link link_named(const std::string& name, const std::vector<std::string>& addresses) {
  Link link;
  link.interface.name = name;
  for (const auto& each : addresses) {
    const auto slash = each.find('/');
    link.addresses.push_back(
        {address(each.substr(0, slash)), static_cast<unsigned>(std::stoul(each.substr(slash + 1)))});
    (link.addresses.back().address.is_v4() ? link.interface.ipv4 : link.interface.ipv6) = true;
  }
  return link;
}

// As "eth0 10.0.0.2", one a way.
Lines ways(const std::vector<const Link*>& links, const std::vector<std::string>& peer) {
  std::vector<Endpoint> endpoints;
  endpoints.reserve(peer.size());
  for (const auto& each : peer) endpoints.emplace_back(address(each), port);
  Lines lines;
  for (const auto& way : ways_by(links, endpoints)) {
    EXPECT_EQ(way.address.port(), port);
    lines.push_back(way.interface + " " + way.address.address().to_string());
  }
  return lines;
}

const Link eth0 = link_named("eth0", {"10.0.0.1/24", "fd00::1/64"});
const Link eth1 = link_named("eth1", {"10.1.0.1/24", "fd01::1/64"});
const Link eth2 = link_named("eth2", {"10.2.0.1/24"});

TEST(IsNear, HasTheSamePrefix) {
  const Link link = link_named("eth0", {"10.0.0.1/23", "fd00::1/64", "10.9.0.1/32", "10.8.0.1/0"});
  Link narrow = link;
  narrow.addresses.pop_back();
  EXPECT_TRUE(is_near(narrow, address("10.0.1.255")));
  EXPECT_FALSE(is_near(narrow, address("10.0.2.0")));
  EXPECT_TRUE(is_near(narrow, address("fd00::ffff")));
  EXPECT_FALSE(is_near(narrow, address("fd00:0:0:1::1")));
  EXPECT_TRUE(is_near(narrow, address("10.9.0.1")));
  EXPECT_FALSE(is_near(narrow, address("10.9.0.0")));
  EXPECT_TRUE(is_near(link, address("192.0.2.1"))) << "all of a family";
  EXPECT_FALSE(is_near(link, address("fd01::1")));
  EXPECT_FALSE(is_near(Link(), address("10.0.0.2")));
}

TEST(WaysBy, TheFirstLinkIsUsedFirstWhateverThePeersOrder) {
  EXPECT_EQ(ways({&eth1, &eth0}, {"10.0.0.2", "10.1.0.2"}),
            Lines({"eth1 10.1.0.2", "eth0 10.0.0.2", "eth1 10.0.0.2", "eth0 10.1.0.2"}));
  EXPECT_EQ(ways({&eth0, &eth1}, {"10.1.0.2", "10.0.0.2"}),
            Lines({"eth0 10.0.0.2", "eth1 10.1.0.2", "eth0 10.1.0.2", "eth1 10.0.0.2"}));
}

TEST(WaysBy, NeighboursComeFirstButForTheFirstLinksBest) {
  EXPECT_EQ(ways({&eth0}, {"10.7.0.2", "10.0.0.2"}), Lines({"eth0 10.0.0.2", "eth0 10.7.0.2"}));
  EXPECT_EQ(ways({&eth1, &eth0}, {"10.7.0.2", "10.0.0.2"}),
            Lines({"eth1 10.7.0.2", "eth0 10.0.0.2", "eth0 10.7.0.2", "eth1 10.0.0.2"}));
}

// Eight addresses on a network where all is lost cost the other link no more than one of them does.
TEST(WaysBy, LinksTakeTurns) {
  std::vector<std::string> peer;
  for (int i = 2; i < 10; ++i) peer.push_back("10.0.0." + std::to_string(i));
  peer.emplace_back("10.1.0.2");
  peer.emplace_back("10.2.0.2");
  const auto all = ways({&eth0, &eth1, &eth2}, peer);
  ASSERT_EQ(all.size(), 30U);
  EXPECT_EQ(Lines(all.begin(), all.begin() + 5),
            Lines({"eth0 10.0.0.2", "eth1 10.1.0.2", "eth2 10.2.0.2", "eth0 10.0.0.3", "eth0 10.0.0.4"}));
  EXPECT_EQ(Lines(all.begin() + 10, all.begin() + 14),
            Lines({"eth0 10.1.0.2", "eth1 10.0.0.2", "eth2 10.0.0.2", "eth0 10.2.0.2"}));
}

TEST(WaysBy, OnlyOfFamiliesThatTheLinkHas) {
  EXPECT_EQ(ways({&eth2, &eth0}, {"fd00::2", "10.0.0.2"}), Lines({"eth2 10.0.0.2", "eth0 fd00::2", "eth0 10.0.0.2"}));
  EXPECT_EQ(ways({&eth2}, {"fd00::2"}), Lines());
}

TEST(WaysBy, WithoutLinksOrAddressesThereIsNone) {
  EXPECT_EQ(ways({}, {"10.0.0.2"}), Lines());
  EXPECT_EQ(ways({&eth0}, {}), Lines());
}

}  // namespace
}  // namespace sessionfs::fs
