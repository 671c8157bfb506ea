#include "fs/sessionctl/status.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

constexpr const char* host_status =
    "mount: /session\ndomain: verkstad.net\nname server: joined\ndefault endpoint: laptop@verkstad.net\n"
    "address: 10.77.0.1:4700\nendpoint: laptop@verkstad.net registered\n"
    "interface: eth0 up wired 1000Mbit/s default-route 10.77.0.1 fd00::1\ninterface: wlan0 down wireless\n"
    "endpoints: 1\nservices: 0\nsessions: 0\nconnections: 0\ntrouble: stick@verkstad.net: not loaded: no record\n"
    "trouble: second\nlast error: join: this is no token\n";

constexpr const char* endpoint_status =
    "endpoint: alice@verkstad.net\ngeneration: 3\nregistration: registered\ninterface: eth0: the fastest\n"
    "last error: policy line 2: what is this\nservice: file waiting=2\nservice: print waiting=0\n"
    "session: file~bob@verkstad.net~1 ACTIVE for=192s sent=4096 acked=2560 received=12 read=2 held=1536 waiting=10 "
    "interface=eth0 local=10.77.0.1:4700 remote=[fd00::2]:40000 last=T21:connect_ok\n"
    "pause: file~bob@verkstad.net~1 200s ago: the connection broke\n"
    "session: print.office@example.com READY_RESUME for=7s sent=0 acked=0 received=0 read=0 held=0 waiting=0 "
    "next-attempt=3s last=T9:channel_lost\n"
    "pause: print.office@example.com 7s ago: nothing was heard from the peer any more\n"
    "waits: print.office@example.com for office@example.com, away since 2026-01-02T03:04:05Z\n"
    "unsure: print.office@example.com bytes 5 to 9 count as read: they were being read when the daemon was killed\n"
    "session: s.x@example.com CLOSED (Connection reset by peer) for=1s held=0 waiting=0\n";

TEST(SessionctlStatus, SessionsAreParsed) {
  const auto sessions = parse_sessions(endpoint_status);
  ASSERT_EQ(sessions.size(), 3U);
  EXPECT_EQ(sessions[0].name, "file~bob@verkstad.net~1");
  EXPECT_EQ(sessions[0].state, "active");
  EXPECT_EQ(sessions[0].values.at("remote"), "[fd00::2]:40000");
  EXPECT_EQ(sessions[0].values.at("held"), "1536");
  EXPECT_EQ(sessions[0].remarks, std::vector<std::string>{"last pause 3 min 20 s ago: the connection broke"});
  EXPECT_EQ(sessions[1].state, "interrupted");
  EXPECT_EQ(sessions[1].remarks,
            (std::vector<std::string>{
                "next attempt in 3 s", "last pause 7 s ago: nothing was heard from the peer any more",
                "waits for office@example.com, away since 2026-01-02T03:04:05Z",
                "unsure: bytes 5 to 9 count as read: they were being read when the daemon was killed"}));
  EXPECT_EQ(sessions[2].state, "closed (Connection reset by peer)");
  EXPECT_TRUE(sessions[2].remarks.empty());
}

TEST(SessionctlStatus, AnEndpointInWords) {
  EXPECT_EQ(endpoint_text(endpoint_status),
            "alice@verkstad.net: registered\n"
            "  interface: eth0: the fastest\n"
            "  services: file (2 not accepted yet), print\n"
            "  last error: policy line 2: what is this\n"
            "  SESSION                   STATE                              SINCE           INTERFACE  LOCAL           "
            "REMOTE           HELD     WAITING\n"
            "  file~bob@verkstad.net~1   active                             3 min 12 s ago  eth0       10.77.0.1:4700  "
            "[fd00::2]:40000  1.5 KiB  10 B\n"
            "      last pause 3 min 20 s ago: the connection broke\n"
            "  print.office@example.com  interrupted                        7 s ago         -          -               "
            "-                0 B      0 B\n"
            "      next attempt in 3 s\n"
            "      last pause 7 s ago: nothing was heard from the peer any more\n"
            "      waits for office@example.com, away since 2026-01-02T03:04:05Z\n"
            "      unsure: bytes 5 to 9 count as read: they were being read when the daemon was killed\n"
            "  s.x@example.com           closed (Connection reset by peer)  1 s ago         -          -               "
            "-                0 B      0 B\n");
}

TEST(SessionctlStatus, AnEndpointWithoutAnything) {
  EXPECT_EQ(endpoint_text("endpoint: a@local\nregistration: not registered yet\ninterface: none: there is none\n"),
            "a@local: not registered yet\n  interface: none: there is none\n  no sessions\n");
}

TEST(SessionctlStatus, TheHostInWords) {
  EXPECT_EQ(host_text("/session", host_status),
            "/session: domain verkstad.net, name server joined\n"
            "  interfaces: eth0 up, wlan0 down\n"
            "  trouble: stick@verkstad.net: not loaded: no record\n"
            "  trouble: second\n"
            "  last error: join: this is no token\n");
}

TEST(SessionctlStatus, WhatIsMissingIsADash) {
  EXPECT_EQ(endpoint_text("endpoint: a@local\nregistration: registered\nsession: s.b@local ACTIVE\n"),
            "a@local: registered\n"
            "  SESSION    STATE   SINCE  INTERFACE  LOCAL  REMOTE  HELD  WAITING\n"
            "  s.b@local  active  -      -          -      -       -     -\n");
}

TEST(SessionctlStatus, LinesThatAreOddBreakNothing) {
  for (const auto* text :
       {"", "\n\n", "session:", "session: ", "session: a", "session: a =", "session: a S ==x for=",
        "pause: a 1s ago: no session before it", "session: a S\npause: a \npause: b 1s ago\n", "session: a S\npause: a",
        "service: \nservice: x waiting=\nservice: y waiting\n", "interface: \n", "no colon", ": ", "\0x: y"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(endpoint_text(text).empty());
    EXPECT_FALSE(host_text("/session", text).empty());
  }
}

TEST(SessionctlStatus, RemarksOfAnotherSessionAreNotMixedIn) {
  const auto sessions = parse_sessions("session: a.b@c ACTIVE\npause: a.b@cd 1s ago: x\npause: a.b@c~1 1s ago: x\n");
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_TRUE(sessions[0].remarks.empty());
}

}  // namespace
}  // namespace sessionfs::ctl
