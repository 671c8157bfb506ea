#include "fs/sessionctl/top/view.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sessionfs::ctl {
namespace {

using Texts = std::vector<std::string>;

Look look(int seconds, const Texts& sessions, const std::string& more = "") {
  HostReport host;
  host.mount = "/session";
  host.domain = "local";
  host.name_server = "in this daemon";
  if (!more.empty()) host.troubles.push_back(more);
  EndpointReport endpoint;
  endpoint.name = "alice@local";
  for (const auto& name : sessions) {
    SessionReport session;
    session.name = name;
    session.state = "active";
    session.received = static_cast<std::uint64_t>(seconds) * 2048;
    session.acked = 0;
    session.held = 7;
    endpoint.sessions.push_back(session);
  }
  host.endpoints.push_back(endpoint);
  return {host, std::chrono::steady_clock::time_point(std::chrono::seconds(seconds))};
}

Texts many(int count) {
  Texts names;
  for (int i = 0; i < count; ++i) names.push_back("s" + std::to_string(100 + i) + ".b@local");
  return names;
}

std::string text(const Line& line) {
  std::string all;
  for (const auto& segment : line) all += segment.text;
  return all.substr(0, all.find_last_not_of(' ') + 1);
}

class SessionctlTopView : public testing::Test {
 protected:
  Texts texts() const {
    Texts all;
    for (const auto& line : view_.lines()) all.push_back(text(line));
    return all;
  }
  std::string all_text() const {
    std::string all;
    for (const auto& line : texts()) all += line + "\n";
    return all;
  }
  bool shows(const std::string& words) const { return all_text().find(words) != std::string::npos; }
  // The name in the line that is selected.
  std::string selected() const {
    for (const auto& line : view_.lines())
      if (!line.empty() && line.front().style == Style::selected) {
        const auto row = text(line);
        return row.substr(0, row.find(' '));
      }
    return "";
  }
  void type(const std::string& keys) {
    for (const char key : keys) view_.handle_key(key);
  }

  View view_{"1 s", ascii_signs};
};

TEST_F(SessionctlTopView, AtEightyByTwentyFour) {
  view_.handle_look(look(1, {"file.bob@local", "file~bob@local~1"}));
  view_.handle_look(look(2, {"file.bob@local", "file~bob@local~1"}));
  const auto all = texts();
  ASSERT_EQ(all.size(), 24U);
  EXPECT_EQ(all[0], "sessionfs /session, domain local, name server in this daemon");
  EXPECT_EQ(all[1], "1 endpoint, 2 sessions: 2 active                                       every 1 s");
  EXPECT_EQ(all[2], "in 4.0 KiB/s   out 0 B/s   held 14 B   waiting 0 B");
  EXPECT_EQ(all[3], "");
  EXPECT_TRUE(all[4].starts_with("SESSION")) << all[4];
  EXPECT_TRUE(all[5].starts_with("file.bob@local")) << all[5];
  EXPECT_TRUE(all[16].starts_with("-- file.bob@local of alice@local ---")) << all[16];
  EXPECT_EQ(all[17], "active");
  EXPECT_EQ(all[23], "jk select  s suspend  r resume  f finish  a abort  p pause  h help  q quit");
}

TEST_F(SessionctlTopView, EverySizeIsFilledAndNeverMore) {
  view_.handle_look(look(1, many(50), "stick@local: not loaded: " + std::string(300, 'x')));
  for (const auto* keys : {"", "h", "a", "nG", "s", "h"}) {
    type(keys);
    for (std::size_t rows = 1; rows < 70; ++rows) {
      for (const std::size_t columns : {1U, 5U, 20U, 39U, 80U, 200U}) {
        SCOPED_TRACE(std::string(keys) + " " + std::to_string(columns) + "x" + std::to_string(rows));
        view_.handle_size({columns, rows});
        const auto lines = view_.lines();
        EXPECT_EQ(lines.size(), rows);
        for (const auto& line : lines) EXPECT_LE(width(line), columns);
        if (rows < 3 || columns < 12) continue;
        EXPECT_NE(selected(), "") << "the selected session can be seen";
      }
    }
  }
}

TEST_F(SessionctlTopView, BeforeTheFirstLook) {
  for (const auto* keys : {"", "j", "k", "G", " ", "b", "s", "a", "h"}) {
    type(keys);
    EXPECT_EQ(view_.lines().size(), 24U);
    EXPECT_FALSE(view_.poll_command());
  }
  EXPECT_EQ(selected(), "");
}

TEST_F(SessionctlTopView, TheSelectionMovesAndStopsAtTheEnds) {
  view_.handle_look(look(1, many(50)));
  EXPECT_EQ(selected(), "s100.b@local");
  type("k");
  EXPECT_EQ(selected(), "s100.b@local");
  type("jj");
  EXPECT_EQ(selected(), "s102.b@local");
  type("G");
  EXPECT_EQ(selected(), "s149.b@local");
  type("j");
  EXPECT_EQ(selected(), "s149.b@local");
  type("g ");
  EXPECT_EQ(selected(), "s110.b@local") << "a page is what is seen but for one line";
  type("b");
  EXPECT_EQ(selected(), "s100.b@local");
}

TEST_F(SessionctlTopView, TheListMovesAsLittleAsIsNeeded) {
  view_.handle_look(look(1, many(50)));
  type(std::string(11, 'j'));
  EXPECT_TRUE(texts()[5].starts_with("s101")) << texts()[5];
  type("kkk");
  EXPECT_TRUE(texts()[5].starts_with("s101")) << texts()[5];
  type("G");
  view_.handle_look(look(2, many(3)));
  EXPECT_TRUE(texts()[5].starts_with("s100")) << "no empty lines above";
}

TEST_F(SessionctlTopView, TheSelectionStaysWithItsSession) {
  view_.handle_look(look(1, {"b", "c"}));
  type("j");
  view_.handle_look(look(2, {"a", "b", "c", "d"}));
  EXPECT_EQ(selected(), "c");
  view_.handle_look(look(3, {"a", "b"}));
  EXPECT_EQ(selected(), "b") << "the nearest one";
  view_.handle_look(look(4, {}));
  EXPECT_EQ(selected(), "");
  EXPECT_TRUE(shows("no sessions"));
}

TEST_F(SessionctlTopView, KeysBecomeCommands) {
  view_.handle_look(look(1, {"one", "two"}));
  type("j");
  for (const auto& [key, verb] : {std::pair('s', "suspend"), std::pair('r', "resume"), std::pair('f', "finish")}) {
    view_.handle_key(key);
    const auto command = view_.poll_command();
    ASSERT_TRUE(command);
    EXPECT_EQ(command->endpoint, "alice@local");
    EXPECT_EQ(command->verb, verb);
    EXPECT_EQ(command->session, "two");
    EXPECT_FALSE(view_.poll_command()) << "once";
  }
  view_.handle_success({"alice@local", "suspend", "two"});
  EXPECT_EQ(texts().back(), "two: suspended");
  view_.handle_failure("alice@local: suspend: there is no session two\x1b[2J");
  EXPECT_EQ(texts().back(), "alice@local: suspend: there is no session two\\x1b[2J");
  type("k");
  EXPECT_TRUE(texts().back().ends_with("q quit")) << "until the next key";
}

TEST_F(SessionctlTopView, AnAbortIsAskedFor) {
  view_.handle_look(look(1, {"one", "two"}));
  for (const auto* no : {"n", "q", "\x1b"}) {
    type("a");
    EXPECT_EQ(texts().back(), "abort one, without delivery? y/n");
    type("jsx ");
    EXPECT_EQ(texts().back(), "abort one, without delivery? y/n") << "other keys are no answer";
    type(no);
    EXPECT_FALSE(view_.poll_command());
    EXPECT_FALSE(view_.has_ended());
  }
  type("a");
  view_.handle_look(look(2, {"another", "one", "two"}));
  type("y");
  const auto command = view_.poll_command();
  ASSERT_TRUE(command);
  EXPECT_EQ(command->verb, "abort");
  EXPECT_EQ(command->session, "one") << "what was asked about, whatever has come since";
}

TEST_F(SessionctlTopView, HelpAndPauseAndEnd) {
  view_.handle_look(look(1, {"one"}));
  EXPECT_FALSE(shows("PAUSED") || shows("nobody has read"));
  type("h");
  EXPECT_TRUE(shows("nobody has read"));
  type("?");
  EXPECT_FALSE(shows("nobody has read"));
  type("p");
  EXPECT_TRUE(view_.is_paused() && shows("PAUSED"));
  type("p");
  EXPECT_FALSE(view_.is_paused() || shows("PAUSED"));
  EXPECT_FALSE(view_.has_ended());
  type("q");
  EXPECT_TRUE(view_.has_ended());
}

TEST_F(SessionctlTopView, ADaemonThatDoesNotAnswer) {
  view_.handle_look(look(1, {"one"}));
  view_.handle_silence("it does not answer");
  EXPECT_EQ(texts()[3], "waiting for the daemon: it does not answer");
  EXPECT_TRUE(shows("one of alice@local")) << "what was seen last stays";
  view_.handle_look(look(2, {"one"}));
  EXPECT_EQ(texts()[3], "");
}

TEST_F(SessionctlTopView, TroublesAndEndpointsThatAreAway) {
  auto seen = look(1, {}, "stick@local: not loaded: no record");
  view_.handle_look(seen);
  EXPECT_EQ(texts()[3], "trouble: stick@local: not loaded: no record");
  seen.host.troubles.emplace_back("second");
  view_.handle_look(seen);
  EXPECT_EQ(texts()[3], "trouble: stick@local: not loaded: no record (and 1 more)");
  seen.host.endpoints[0].away = "it is being saved";
  view_.handle_look(seen);
  EXPECT_EQ(texts()[3], "alice@local: it is being saved");
}

}  // namespace
}  // namespace sessionfs::ctl
