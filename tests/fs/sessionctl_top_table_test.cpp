#include "fs/sessionctl/top/table.hpp"

#include <gtest/gtest.h>

namespace sessionfs::ctl {
namespace {

Flow flow(const std::string& name, const std::string& state = "active") {
  Flow made{"alice@verkstad.net", {}, 1536, 0};
  made.session.name = name;
  made.session.state = state;
  made.session.seconds_in_state = 192;
  made.session.held = 12;
  made.session.waiting = 3 << 20;
  made.session.sent = 5;
  made.session.received = 6;
  made.session.interface = "eth0";
  made.session.local = "10.77.0.1:4700";
  made.session.remote = "[fd00::2]:40000";
  made.session.event = "connect_ok";
  return made;
}

std::string row_text(const Line& line) {
  std::string all;
  for (const auto& segment : line) all += segment.text;
  return all.substr(0, all.find_last_not_of(' ') + 1);
}

struct Shown {
  std::string heading;
  std::string row;
};

Shown shown_at(std::size_t columns, const Flow& one) {
  const std::vector<Flow> all{one};
  const FlowTable table(all, columns, ascii_signs);
  return {row_text(table.heading()), row_text(table.row(one, false))};
}

TEST(SessionctlTopTable, AtEightyColumns) {
  const auto shown = shown_at(80, flow("file~bob@verkstad.net~1"));
  EXPECT_EQ(shown.heading, "SESSION                 STATE        IN/s OUT/s  HELD WAITING IFACE LAST EVENT");
  EXPECT_EQ(shown.row, "file~bob@verkstad.net~1 active       1.5K     0    12    3.0M eth0  connect_ok");
}

TEST(SessionctlTopTable, WhatIsNotKnownIsADash) {
  const auto shown = shown_at(80, Flow{"a@local", {}, std::nullopt, std::nullopt});
  EXPECT_EQ(shown.row.find_first_not_of(" -"), std::string::npos) << shown.row;
}

TEST(SessionctlTopTable, AtTwoHundredColumnsThereIsMore) {
  const auto shown = shown_at(200, flow("file~bob@verkstad.net~1"));
  for (const auto* heading : {"SESSION", "ENDPOINT", "STATE", "SINCE", "IN/s", "OUT/s", "HELD", "WAITING", "RECEIVED",
                              "SENT", "IFACE", "LOCAL", "REMOTE", "LAST EVENT"})
    EXPECT_NE(shown.heading.find(heading), std::string::npos) << heading;
  for (const auto* cell : {"alice@verkstad.net", "3 min 12 s", "10.77.0.1:4700", "[fd00::2]:40000"})
    EXPECT_NE(shown.row.find(cell), std::string::npos) << cell;
}

TEST(SessionctlTopTable, LongNamesKeepTheirEnds) {
  const auto shown = shown_at(80, flow("documents~someone-with-a-long-name@department.example.com~12"));
  EXPECT_TRUE(shown.row.starts_with("documents~someo~.com~12")) << shown.row;
  EXPECT_NE(shown.row.find("~12 active"), std::string::npos) << shown.row;
  EXPECT_TRUE(shown.row.ends_with("connect_ok")) << shown.row;
}

TEST(SessionctlTopTable, NoLineIsWiderThanTheTerminal) {
  const std::vector<Flow> all{flow("documents~someone-with-a-long-name@department.example.com~12"), flow("s.a@b", "x")};
  for (std::size_t columns = 1; columns < 260; ++columns) {
    SCOPED_TRACE(columns);
    const FlowTable table(all, columns, utf8_signs);
    EXPECT_EQ(width(table.heading()), columns);
    for (const auto& each : all) {
      EXPECT_LE(width(table.row(each, false)), columns);
      EXPECT_EQ(width(table.row(each, true)), columns) << "the selection goes from edge to edge";
    }
  }
}

TEST(SessionctlTopTable, AWiderTerminalNeverShowsLess) {
  const auto one = flow("file~bob@verkstad.net~1");
  std::size_t before = 0;
  for (std::size_t columns = 12; columns < 260; ++columns) {
    const auto heading = shown_at(columns, one).heading;
    std::size_t count = 0;
    for (std::size_t i = 1; i < heading.size(); ++i) count += heading[i - 1] == ' ' && heading[i] != ' ' ? 1U : 0U;
    EXPECT_GE(count, before) << heading;
    before = count;
  }
}

TEST(SessionctlTopTable, StatesHaveStyles) {
  const auto style = [](const std::string& state, const Words& error = std::nullopt) {
    SessionReport session;
    session.state = state;
    session.error = error;
    return style_of(session);
  };
  EXPECT_EQ(style("active"), Style::good);
  EXPECT_EQ(style("moving"), Style::good);
  EXPECT_EQ(style("interrupted"), Style::notice);
  EXPECT_EQ(style("suspended"), Style::strong);
  EXPECT_EQ(style("closed"), Style::faint);
  EXPECT_EQ(style("closed", "Connection reset by peer"), Style::bad);
}

}  // namespace
}  // namespace sessionfs::ctl
