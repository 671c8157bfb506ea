#include "fs/sessionctl/status.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sessionfs::ctl {
namespace {

constexpr const char* host_status =
    "mount: /session\ndomain: verkstad.net\nname server: joined\ndefault endpoint: laptop@verkstad.net\n"
    "address: 10.77.0.1:4700\nendpoint: laptop@verkstad.net registered\n"
    "interface: eth0 up wired 1000Mbit/s default-route 10.77.0.1 fd00::1\ninterface: wlan0 down wireless\n"
    "medium: /dev/sdb1 STICK 12-34 vfat /media/STICK mounted\nmedium: /dev/sdc1 - - - - failed: it cannot be read\n"
    "endpoints: 1\nservices: 2\nsessions: 3\nconnections: 1\ntrouble: stick@verkstad.net: not loaded: no record\n"
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
    "session: s.x@example.com CLOSED (Connection reset by peer) for=1s held=0 waiting=0 last=T27:peer_abort\n";

std::string words_of(const std::string& endpoint) { return endpoint_text(parse_endpoint(endpoint)); }

TEST(SessionctlStatus, AnEndpointInWords) {
  EXPECT_EQ(words_of(endpoint_status),
            "alice@verkstad.net: registered\n"
            "  interface: eth0: the fastest\n"
            "  generation: 3\n"
            "  services: file (2 not accepted yet), print\n"
            "  last error: policy line 2: what is this\n"
            "  SESSION                   STATE        SINCE           HELD     WAITING\n"
            "  file~bob@verkstad.net~1   active       3 min 12 s ago  1.5 KiB  10 B\n"
            "      eth0: 10.77.0.1:4700 to [fd00::2]:40000\n"
            "      last pause 3 min 20 s ago: the connection broke\n"
            "  print.office@example.com  interrupted  7 s ago         0 B      0 B\n"
            "      next attempt in 3 s\n"
            "      last pause 7 s ago: nothing was heard from the peer any more\n"
            "      waits for office@example.com, away since 2026-01-02T03:04:05Z\n"
            "      unsure: bytes 5 to 9 count as read: they were being read when the daemon was killed\n"
            "  s.x@example.com           closed       1 s ago         0 B      0 B\n"
            "      Connection reset by peer: it was aborted by the peer\n");
}

TEST(SessionctlStatus, AnEndpointThatIsAway) {
  EXPECT_EQ(words_of("endpoint: a@local\nregistration: registered\ninterface: eth0: the fastest\n"
                     "storage: /media/stick/a@local\naway: its stick is gone; plug it in again\n"),
            "a@local: registered\n"
            "  interface: eth0: the fastest\n"
            "  away: its stick is gone; plug it in again\n"
            "  storage: /media/stick/a@local\n"
            "  no sessions\n");
  const auto arriving = parse_all("endpoint: a@local away: it is being loaded\n", {});
  EXPECT_EQ(endpoint_text(arriving.endpoints.at(0)), "a@local: it is being loaded\n");
}

TEST(SessionctlStatus, AnEndpointWithoutAnything) {
  EXPECT_EQ(words_of("endpoint: a@local\nregistration: not registered yet\ninterface: none: there is none\n"),
            "a@local: not registered yet\n  interface: none: there is none\n  no sessions\n");
}

TEST(SessionctlStatus, TheHostInWords) {
  EXPECT_EQ(host_text(parse_host(host_status)),
            "/session: domain verkstad.net, name server joined\n"
            "  addresses: 10.77.0.1:4700\n"
            "  interfaces: eth0 up, wlan0 down\n"
            "  totals: endpoints 1, services 2, sessions 3, connections 1\n"
            "  medium: /dev/sdb1 (STICK, vfat) at /media/STICK: mounted\n"
            "  medium: /dev/sdc1: failed: it cannot be read\n"
            "  trouble: stick@verkstad.net: not loaded: no record\n"
            "  trouble: second\n"
            "  last error: join: this is no token\n");
}

TEST(SessionctlStatus, ManyInterfacesStandOnSeveralLines) {
  std::string status = "mount: /session\n";
  for (int i = 100; i < 110; ++i) status += "interface: veth" + std::to_string(i) + " up wired\n";
  EXPECT_NE(host_text(parse_host(status))
                .find("  interfaces: veth100 up, veth101 up, veth102 up, veth103 up, veth104 up,\n"
                      "    veth105 up, veth106 up, veth107 up, veth108 up, veth109 up\n"),
            std::string::npos)
      << host_text(parse_host(status));
}

TEST(SessionctlStatus, WhatIsMissingIsADash) {
  EXPECT_EQ(words_of("endpoint: a@local\nregistration: registered\ninterface: lo: only\nsession: s.b@local ACTIVE\n"),
            "a@local: registered\n"
            "  interface: lo: only\n"
            "  SESSION    STATE   SINCE  HELD  WAITING\n"
            "  s.b@local  active  -      -     -\n");
}

TEST(SessionctlStatus, LinesThatAreOddBreakNothing) {
  for (const auto* text : {"",
                           "\n\n",
                           "session:",
                           "session: ",
                           "session: a",
                           "session: a =",
                           "session: a S ==x for=",
                           "pause: a 1s ago: no session before it",
                           "session: a S\npause: a \npause: b 1s ago\n",
                           "session: a S\npause: a",
                           "service: \nservice: x waiting=\nservice: y waiting\n",
                           "interface: \n",
                           "no colon",
                           ": ",
                           "\0x: y",
                           "medium: \n",
                           "medium: a\n",
                           "endpoint: \n",
                           "endpoint:  away: \n",
                           "session: a ( last=\nwaits: a for \nwaits: a x\n"}) {
    SCOPED_TRACE(text);
    for (const std::string registration : {"", "registration: registered\n"}) {
      EXPECT_FALSE(words_of(registration + text).empty());
      EXPECT_FALSE(host_text(parse_host(registration + text)).empty());
      EXPECT_TRUE(nlohmann::json::accept(endpoint_json(parse_endpoint(registration + text))));
      EXPECT_TRUE(nlohmann::json::accept(host_json(parse_all(text, {registration + text}))));
    }
  }
}

TEST(SessionctlStatus, TheSameAsJson) {
  const auto json = nlohmann::json::parse(host_json(parse_all(host_status, {endpoint_status})));
  EXPECT_EQ(json["mount"], "/session");
  EXPECT_EQ(json["name_server"], "joined");
  EXPECT_EQ(json["addresses"], nlohmann::json({"10.77.0.1:4700"}));
  EXPECT_EQ(json["interfaces"][0]["speed_mbits"], 1000);
  EXPECT_EQ(json["interfaces"][1]["speed_mbits"], nullptr);
  EXPECT_EQ(json["media"][0]["folder"], "/media/STICK");
  EXPECT_EQ(json["totals"]["connections"], 1);
  EXPECT_EQ(json["troubles"].size(), 2U);
  EXPECT_EQ(json["last_error"], "join: this is no token");
  const auto& endpoint = json["endpoints"][0];
  EXPECT_EQ(endpoint["name"], "alice@verkstad.net");
  EXPECT_EQ(endpoint["generation"], 3);
  EXPECT_EQ(endpoint["away"], nullptr);
  EXPECT_EQ(endpoint["services"][0], nlohmann::json({{"name", "file"}, {"waiting", 2}}));
  const auto& first = endpoint["sessions"][0];
  EXPECT_EQ(first["held"], 1536);
  EXPECT_EQ(first["pause"], nlohmann::json({{"seconds_ago", 200}, {"why", "the connection broke"}}));
  EXPECT_EQ(first["error"], nullptr);
  EXPECT_EQ(endpoint["sessions"][1]["away_since"], "2026-01-02T03:04:05Z");
  EXPECT_EQ(endpoint["sessions"][2]["error"], "Connection reset by peer");
  EXPECT_EQ(json["endpoints"].size(), 1U);
}

TEST(SessionctlStatus, JsonIsAsciiWhateverTheDaemonSays) {
  const auto json = host_json(parse_host("last error: \x1b[2J \xff K\xc3\xb6ln \"quoted\"\n"));
  EXPECT_TRUE(std::ranges::all_of(json, [](char c) { return c == '\n' || (c >= ' ' && c < 0x7f); })) << json;
  EXPECT_EQ(nlohmann::json::parse(json)["last_error"], "\x1b[2J \xef\xbf\xbd K\xc3\xb6ln \"quoted\"");
}

}  // namespace
}  // namespace sessionfs::ctl
