#include "fs/sessionctl/report.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

EndpointReport parsed(const std::string& lines) { return parse_endpoint("endpoint: a@local\n" + lines); }

SessionReport session(const std::string& lines) { return parsed("session: " + lines).sessions.at(0); }

TEST(SessionctlReport, ASession) {
  const auto one = session(
      "file~bob@verkstad.net~1 ACTIVE for=192s sent=4096 acked=2560 received=12 read=2 held=1536 waiting=10 "
      "interface=eth0 local=10.77.0.1:4700 remote=[fd00::2]:40000 last=T21:connect_ok\n"
      "pause: file~bob@verkstad.net~1 200s ago: the connection broke\n");
  EXPECT_EQ(one.name, "file~bob@verkstad.net~1");
  EXPECT_EQ(one.state, "active");
  EXPECT_EQ(one.seconds_in_state, 192U);
  EXPECT_EQ(one.sent, 4096U);
  EXPECT_EQ(one.acked, 2560U);
  EXPECT_EQ(one.received, 12U);
  EXPECT_EQ(one.read, 2U);
  EXPECT_EQ(one.held, 1536U);
  EXPECT_EQ(one.waiting, 10U);
  EXPECT_EQ(one.interface, "eth0");
  EXPECT_EQ(one.local, "10.77.0.1:4700");
  EXPECT_EQ(one.remote, "[fd00::2]:40000");
  EXPECT_EQ(one.transition, 21U);
  EXPECT_EQ(one.event, "connect_ok");
  ASSERT_TRUE(one.pause);
  EXPECT_EQ(one.pause->seconds_ago, 200U);
  EXPECT_EQ(one.pause->why, "the connection broke");
  EXPECT_FALSE(one.error || one.ended_by || one.next_attempt_seconds || one.waits_for || one.unsure);
}

TEST(SessionctlReport, ASessionThatWaits) {
  const auto one = session(
      "print.office@example.com READY_RESUME next-attempt=3s last=T1:channel_lost\n"
      "waits: print.office@example.com for office@example.com, away since 2026-01-02T03:04:05Z\n"
      "unsure: print.office@example.com bytes 5 to 9 count as read: they were being read\n");
  EXPECT_EQ(one.state, "interrupted");
  EXPECT_EQ(one.next_attempt_seconds, 3U);
  EXPECT_EQ(one.waits_for, "office@example.com");
  EXPECT_EQ(one.away_since, "2026-01-02T03:04:05Z");
  EXPECT_EQ(one.unsure, "bytes 5 to 9 count as read: they were being read");
}

TEST(SessionctlReport, WhatHasEndedASession) {
  const auto ended = [](const char* event) {
    return session(std::string("s.x@y CLOSED (Connection reset by peer) for=1s last=T1:") + event + "\n");
  };
  EXPECT_EQ(ended("peer_abort").error, "Connection reset by peer");
  EXPECT_EQ(ended("peer_abort").ended_by, "it was aborted by the peer");
  EXPECT_EQ(ended("user_abort").ended_by, "it was aborted here");
  for (const auto* event : {"denied_lost", "peer_resume_gap", "denied_superseded"}) EXPECT_TRUE(ended(event).ended_by);
  EXPECT_FALSE(ended("peer_resume").ended_by) << "asked again afterwards";
  EXPECT_FALSE(session("s.x@y CLOSED last=T29:complete\n").ended_by);
}

TEST(SessionctlReport, RemarksOfAnotherSessionAreNotMixedIn) {
  const auto sessions = parsed("session: a.b@c ACTIVE\npause: a.b@cd 1s ago: x\npause: a.b@c~1 1s ago: x\n").sessions;
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_FALSE(sessions[0].pause);
}

TEST(SessionctlReport, AnEndpoint) {
  const auto endpoint = parsed(
      "generation: 3\nregistration: registered\ninterface: eth0: the fastest; wlan0, asked for by rebind, is new\n"
      "storage: /media/a b/a@local\naway: it is being saved\nlast error: policy line 2: what is this\n"
      "service: file waiting=2\n");
  EXPECT_EQ(endpoint.name, "a@local");
  EXPECT_EQ(endpoint.generation, 3U);
  EXPECT_EQ(endpoint.registration, "registered");
  EXPECT_EQ(endpoint.interface, "eth0");
  EXPECT_EQ(endpoint.interface_why, "the fastest; wlan0, asked for by rebind, is new");
  EXPECT_EQ(endpoint.storage, "/media/a b/a@local");
  EXPECT_EQ(endpoint.away, "it is being saved");
  EXPECT_EQ(endpoint.last_error, "policy line 2: what is this");
  ASSERT_EQ(endpoint.services.size(), 1U);
  EXPECT_EQ(endpoint.services[0].name, "file");
  EXPECT_EQ(endpoint.services[0].waiting, 2U);
  EXPECT_FALSE(parsed("interface: none: there is no interface\n").interface);
}

TEST(SessionctlReport, Interfaces) {
  const auto host = parse_host(
      "interface: eth0 up wired 1000Mbit/s metered default-route 10.77.0.1 fd00::1(deprecated)\n"
      "interface: wlan0 down wireless\n");
  ASSERT_EQ(host.interfaces.size(), 2U);
  const auto& wired = host.interfaces[0];
  EXPECT_EQ(wired.name, "eth0");
  EXPECT_EQ(wired.kind, "wired");
  EXPECT_EQ(wired.speed_mbits, 1000U);
  EXPECT_TRUE(wired.up && wired.metered && wired.default_route);
  EXPECT_EQ(wired.addresses, std::vector<std::string>{"10.77.0.1"});
  EXPECT_EQ(wired.deprecated_addresses, std::vector<std::string>{"fd00::1"});
  const auto& wireless = host.interfaces[1];
  EXPECT_FALSE(wireless.up || wireless.metered || wireless.default_route || wireless.speed_mbits);
}

TEST(SessionctlReport, Media) {
  const auto host = parse_host(
      "medium: /dev/sdb1 MY\\040STICK 12-34 vfat /media/MY\\040STICK mounted\n"
      "medium: /dev/sdc1 - - - - failed: cannot be mounted: unknown filesystem type\n");
  ASSERT_EQ(host.media.size(), 2U);
  EXPECT_EQ(host.media[0].label, "MY STICK");
  EXPECT_EQ(host.media[0].uuid, "12-34");
  EXPECT_EQ(host.media[0].type, "vfat");
  EXPECT_EQ(host.media[0].folder, "/media/MY STICK");
  EXPECT_EQ(host.media[0].state, "mounted");
  EXPECT_FALSE(host.media[0].why);
  EXPECT_FALSE(host.media[1].label || host.media[1].uuid || host.media[1].type || host.media[1].folder);
  EXPECT_EQ(host.media[1].state, "failed");
  EXPECT_EQ(host.media[1].why, "cannot be mounted: unknown filesystem type");
}

TEST(SessionctlReport, EndpointsThatTheHostAloneKnows) {
  const std::string host =
      "endpoint: b@local registered\nendpoint: a@local away: it is being loaded\nendpoint: gone@local registered\n";
  const auto all = parse_all(host, {"endpoint: b@local\nregistration: registered\ngeneration: 2\n",
                                    "endpoint: new@local\nregistration: registered\n"});
  ASSERT_EQ(all.endpoints.size(), 3U);
  EXPECT_EQ(all.endpoints[0].name, "a@local");
  EXPECT_EQ(all.endpoints[0].away, "it is being loaded");
  EXPECT_EQ(all.endpoints[1].generation, 2U);
  EXPECT_EQ(all.endpoints[2].name, "new@local");
}

TEST(SessionctlReport, WhatIsNoNumberIsNotThere) {
  const auto one = session("s.b@local ACTIVE for= sent=many acked=-1 held=1k received=18446744073709551616 last=Tx:\n");
  EXPECT_FALSE(one.seconds_in_state || one.sent || one.acked || one.held || one.received || one.transition ||
               one.event);
}

}  // namespace
}  // namespace sessionfs::ctl
