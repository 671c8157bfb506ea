// What a domain's administrator does with snsd, beside a running server where there is one.
#include <gmock/gmock.h>

#include <openssl/sha.h>
#include <sqlite3.h>

#include "sns/join_token.hpp"
#include "tests/sns/snsd_program.hpp"

namespace sessionfs::sns {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// An ISO 8601 time in a regular expression.
constexpr const char* some_time = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z";

class SnsdAdminTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string state() const { return (folder_.path() / "state").string(); }
  SnsdOutcome command(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.insert(arguments.end(), {"--state", state()});
    return run_snsd(arguments, input);
  }
  // What it prints; it must do well.
  std::string said(std::vector<std::string> arguments, const std::string& input = "") const {
    const auto outcome = command(std::move(arguments), input);
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    EXPECT_EQ(outcome.errors, "");
    return outcome.output;
  }
  static void expect_refused(const SnsdOutcome& outcome, int status, const std::string& reason) {
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.output, "");
    EXPECT_TRUE(outcome.errors.starts_with("snsd: ")) << outcome.errors;
    EXPECT_EQ(outcome.errors.find('\n'), outcome.errors.size() - 1) << outcome.errors;
    EXPECT_THAT(outcome.errors, HasSubstr(reason));
    EXPECT_THAT(outcome.errors, HasSubstr("; ")) << "and what to do";
  }
  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  std::unique_ptr<SnsdProgram> serve(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"--domain", "verkstad.net", "--listen", "127.0.0.1:0", "--state", state()});
    auto program = std::make_unique<SnsdProgram>(folder_.path(), more);
    EXPECT_THAT(program->first_line(), HasSubstr("snsd: serving verkstad.net on ")) << program->errors();
    return program;
  }
  Membership join_it() {
    const auto token = parse_join_token(said({"token"}));
    std::optional<Status> result;
    Membership made;
    join(io_, token.value(), [&](Status status, Membership membership) {
      result = status;
      made = std::move(membership);
    });
    if (!run_until(io_, [&] { return result.has_value(); })) std::abort();
    EXPECT_EQ(*result, Status::ok);
    return made;
  }
  // A database without any server.
  void fill(int endpoints) const {
    Storage storage = Storage::open(state(), "verkstad.net", test_time);
    const auto member = storage.admit(key_.public_key(), test_time);
    storage.begin_batch();
    for (int i = 0; i < endpoints; ++i) {
      const auto name = endpoint("e" + std::to_string(100000 + i) + "@verkstad.net");
      storage.store(NewEndpoint{name, key_.public_key(), at(7), {v4(1, 4700), v6(1, 4700)}}, member, test_time);
      storage.store(NewService{{"file", name}, at(7), 0}, 0, test_time);
      storage.store(NewService{{"echo", name}, at(7), 7}, 0, test_time);
    }
    storage.end_batch();
  }
  [[nodiscard]] std::string fingerprint() const {
    const auto key = key_.public_key();
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
    std::string text;
    for (std::size_t i = 0; i < 8; ++i) {
      std::array<char, 3> two{};
      std::snprintf(two.data(), two.size(), "%02x", digest[i]);
      text += two.data();
    }
    return text;
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  KeyPair key_ = KeyPair::generate();
  EndpointName alice_ = endpoint("alice@verkstad.net");
};

// --- usage --------------------------------------------------------------------------------------------------------

TEST_F(SnsdAdminTest, EveryCommandHasHelp) {
  for (const char* name : {"token", "members", "revoke", "list", "show", "export", "import"}) {
    const auto outcome = run_snsd({name, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.output, HasSubstr(std::string("Usage: snsd ") + name));
    EXPECT_THAT(run_snsd({"--help"}).output, HasSubstr(std::string("\n  ") + name + " "));
  }
  EXPECT_THAT(run_snsd({"export", "--help"}).output, HasSubstr("keep it secret"));
}

TEST_F(SnsdAdminTest, BadUsageIsTwo) {
  const std::vector<std::vector<std::string>> cases{{"revoke"},
                                                    {"revoke", "0"},
                                                    {"revoke", "-1"},
                                                    {"revoke", "1x"},
                                                    {"revoke", "9223372036854775808"},
                                                    {"revoke", "no name@verkstad.net"},
                                                    {"revoke", "1", "2"},
                                                    {"show"},
                                                    {"show", "alice"},
                                                    {"list", "--member", "0"},
                                                    {"list", "a", "b"},
                                                    {"members", "more"},
                                                    {"export", "somewhere"},
                                                    {"export", "-o"},
                                                    {"members", "--listen", "127.0.0.1:0"},
                                                    {"members", "--lease", "5"},
                                                    {"--domain", "d", "--lease", "1"},
                                                    {"--domain", "d", "--lease", "86401"},
                                                    {"--domain", "d", "--lease", "long"}};
  for (const auto& arguments : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_refused(command(arguments), 2, "see snsd --help");
  }
}

TEST_F(SnsdAdminTest, WithoutADatabaseThereIsNothingToTell) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"members"}, {"list"}, {"show", "alice@verkstad.net"}, {"revoke", "1"}, {"export"}}) {
    expect_refused(command(arguments), 1, "start one with: snsd --domain");
    EXPECT_FALSE(std::filesystem::exists(state()));
  }
}

TEST_F(SnsdAdminTest, TheDatabaseOfAnotherDomainIsLeftAlone) {
  fill(1);
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"members"}, {"revoke", "1"}, {"export"}}) {
    auto more = arguments;
    more.insert(more.end(), {"--domain", "example.com"});
    expect_refused(command(more), 1, "belongs to the domain verkstad.net, not to example.com");
  }
  EXPECT_NE(said({"members", "--domain", "VERKSTAD.net"}), "");
}

TEST_F(SnsdAdminTest, WhatCannotBePrintedIsAFailure) {
  fill(1);
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"members"}, {"list"}, {"show", "e100000@verkstad.net"}, {"export"}}) {
    auto words = arguments;
    words.insert(words.end(), {"--state", state()});
    SnsdProgram program(folder_.path(), words, "", "/dev/full");
    EXPECT_EQ(program.wait(), 1);
    EXPECT_THAT(program.errors(), MatchesRegex("snsd: cannot write to standard output: No space .*\n"));
  }
}

// --- lists --------------------------------------------------------------------------------------------------------

TEST_F(SnsdAdminTest, MembersAreATable) {
  fill(2);
  {
    Storage storage = Storage::attach(state());
    EXPECT_EQ(storage.admit(KeyPair::generate().public_key(), test_time), 2U);
  }
  said({"revoke", "2"});
  const auto lines = lines_of(said({"members"}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], MatchesRegex("1 +" + fingerprint() + " +joined 2027-01-15T08:00:00Z +member +2 endpoints"));
  EXPECT_THAT(lines[1], MatchesRegex(std::string("2 +[0-9a-f]{16} +joined 2027-01-15T08:00:00Z +revoked since ") +
                                     some_time + " +0 endpoints"));
}

TEST_F(SnsdAdminTest, EndpointsAreListedWithWhereTheyAre) {
  {
    Storage storage = Storage::open(state(), "verkstad.net", test_time);
    for (const char* name : {"here@verkstad.net", "nowhere@verkstad.net", "away@verkstad.net", "stolen@verkstad.net"})
      storage.store(NewEndpoint{endpoint(name), {}, at(12), {v6(1, 4700), v4(1, 1)}}, 0, test_time);
    storage.store(NewService{{"file", endpoint("here@verkstad.net")}, at(12), 0}, 0, test_time);
    storage.store(NewService{{"file", endpoint("stolen@verkstad.net")}, at(12), 0}, 0, test_time);
    storage.store(ChangeEndpoint{endpoint("nowhere@verkstad.net"), at(12), {}}, 0, test_time);
    storage.store_away(endpoint("away@verkstad.net"), test_time);
    storage.store(RevokeEndpoint{endpoint("stolen@verkstad.net")}, 0, test_time);
  }
  const auto lines = lines_of(said({"list"}));
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], MatchesRegex("away@verkstad.net +12 +away since 2027-01-15T08:00:00Z +0 services"));
  EXPECT_THAT(lines[1], MatchesRegex("here@verkstad.net +12 +.2001:db8::1.:4700,10.0.0.1:1 +1 service"));
  EXPECT_THAT(lines[2], MatchesRegex("nowhere@verkstad.net +12 +nowhere +0 services"));
  EXPECT_THAT(lines[3], MatchesRegex("stolen@verkstad.net +12 +revoked since 2027-01-15T08:00:00Z +0 services"));
}

TEST_F(SnsdAdminTest, ListTakesAPrefixOrAPattern) {
  fill(120);
  const std::vector<std::pair<std::string, std::size_t>> cases{{"", 120},
                                                               {"e", 120},
                                                               {"E1000", 100},
                                                               {"e10001", 10},
                                                               {"e100010@verkstad.net", 1},
                                                               {"e100010@x", 0},
                                                               {"f", 0},
                                                               {"*", 120},
                                                               {"e1001*", 20},
                                                               {"e10000?@*", 10},
                                                               {"e10000[12]@*", 2},
                                                               {"*7@*", 12},
                                                               {"*7", 0},
                                                               {"[", 0},
                                                               {"*@VERKSTAD.NET", 120},
                                                               {"e1000\\*", 0},
                                                               {"e1000%", 0},
                                                               {"e100010@verkstad.net ", 0}};
  for (const auto& [pattern, count] : cases)
    EXPECT_EQ(
        lines_of(said(pattern.empty() ? std::vector<std::string>{"list"} : std::vector{std::string("list"), pattern}))
            .size(),
        count)
        << pattern;
  EXPECT_EQ(lines_of(said({"list", "--member", "1", "e1001"})).size(), 20U);
  EXPECT_EQ(said({"list", "--member", "2"}), "");
}

TEST_F(SnsdAdminTest, LongListsAreCompleteAndInOrder) {
  fill(10'000);  // more than two pages
  auto lines = lines_of(said({"list"}));
  EXPECT_EQ(lines.size(), 10'000U);
  EXPECT_TRUE(std::ranges::is_sorted(lines));
  EXPECT_EQ(std::ranges::adjacent_find(lines), lines.end()) << "each once";
  for (const auto& line : lines) EXPECT_TRUE(line.ends_with("2 services")) << line;
}

TEST_F(SnsdAdminTest, ShowTellsAll) {
  fill(1);
  EXPECT_EQ(said({"show", "E100000@verkstad.net"}), "name: e100000@verkstad.net\nkey: " + fingerprint() +
                                                        "\ngeneration: 7\nstate: reachable\n"
                                                        "addresses: 10.0.0.1:4700 [2001:db8::1]:4700\nservices: 2\n"
                                                        "service: echo port 7\n"
                                                        "service: file at the endpoint's port\n"
                                                        "created by: member 1 (" +
                                                        fingerprint() + ")\nchanged: 2027-01-15T08:00:00Z\n");
  Storage::attach(state()).store_away(endpoint("e100000@verkstad.net"), test_time);
  EXPECT_THAT(said({"show", "e100000@verkstad.net"}), HasSubstr("\nstate: away since 2027-01-15T08:00:00Z\n"
                                                                "addresses: 10.0.0.1:4700 [2001:db8::1]:4700\n"));
  said({"revoke", "1"});
  said({"revoke", "e100000@verkstad.net"});
  const auto text = said({"show", "e100000@verkstad.net"});
  EXPECT_THAT(text, ContainsRegex(std::string("\nstate: revoked since ") + some_time + "\naddresses: \nservices: 0\n"));
  EXPECT_THAT(text, ContainsRegex("\\), revoked since " + std::string(some_time) + "\n"));
  for (const char* name : {"e10000@verkstad.net", "e1000000@verkstad.net", "e100000@example.com"})
    expect_refused(command({"show", name}), 1, "there is no endpoint " + std::string(name));
}

// --- revocation ---------------------------------------------------------------------------------------------------

TEST_F(SnsdAdminTest, RevokingAMemberNamesWhatItHasCreated) {
  fill(3);
  auto lines = lines_of(said({"revoke", "1"}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "member 1 (" + fingerprint() + ") is revoked: it can create no more endpoints");
  EXPECT_THAT(lines[1], HasSubstr("e100000@verkstad.net, e100001@verkstad.net, e100002@verkstad.net; "));
  EXPECT_THAT(lines[1], HasSubstr("snsd revoke NAME"));
  said({"revoke", "e100001@verkstad.net"});
  lines = lines_of(said({"revoke", "1"}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], MatchesRegex(".*has been revoked since " + std::string(some_time)));
  EXPECT_EQ(lines[1].find("e100001@"), std::string::npos);
  for (const char* name : {"e100000@verkstad.net", "e100002@verkstad.net"}) said({"revoke", name});
  EXPECT_EQ(lines_of(said({"revoke", "1"})).size(), 1U);
  expect_refused(command({"revoke", "2"}), 1, "there is no member 2");
  expect_refused(command({"revoke", "9223372036854775807"}), 1, "there is no member 9223372036854775807");
}

TEST_F(SnsdAdminTest, OfManyEndpointsTheFirstAreNamed) {
  fill(30);
  const auto lines = lines_of(said({"revoke", "1"}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(std::ranges::count(lines[1], '@'), 10);
  EXPECT_THAT(lines[1], HasSubstr("(snsd list --member 1)"));
}

TEST_F(SnsdAdminTest, RevokingAnEndpointTwiceSaysSinceWhen) {
  fill(1);
  EXPECT_THAT(said({"revoke", "e100000@verkstad.net"}), MatchesRegex("e100000@verkstad.net is revoked: .*\n"));
  const auto second = said({"revoke", "E100000@Verkstad.net"});
  EXPECT_THAT(second, MatchesRegex("e100000@verkstad.net has been revoked since " + std::string(some_time) + "\n"));
  EXPECT_EQ(said({"revoke", "e100000@verkstad.net"}), second);
  expect_refused(command({"revoke", "e100001@verkstad.net"}), 1, "there is no endpoint e100001@verkstad.net");
}

TEST_F(SnsdAdminTest, ARunningServerHonoursRevocations) {
  const auto server = serve();
  const auto member = join_it();
  Client client(io_, member);
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  ASSERT_EQ(ask.new_service({"file", alice_}, key_), Status::ok);
  EXPECT_THAT(said({"list"}), MatchesRegex("alice@verkstad.net +1 +10.0.0.1:4700 +1 service\n"));
  EXPECT_THAT(said({"members"}), HasSubstr("1 endpoint\n"));

  EXPECT_THAT(said({"revoke", std::to_string(member.member_id)}), HasSubstr("alice@verkstad.net"));
  EXPECT_EQ(ask.new_ep(endpoint("bob@verkstad.net"), KeyPair::generate()), Status::revoked);
  EXPECT_EQ(ask.change_ep(alice_, key_, at(1), {v4(2, 2)}), Status::ok) << "what it has created is still good";

  said({"revoke", "alice@verkstad.net"});
  EXPECT_TRUE(run_until(io_, [&] { return ask.get_ep(alice_) == Status::revoked; }));
  EXPECT_EQ(ask.change_ep(alice_, key_, at(2), {v4(3, 3)}), Status::revoked);
  EXPECT_EQ(ask.new_service({"echo", alice_}, key_), Status::revoked);

  // The name is free for another key, of another member.
  Client other(io_, join_it());
  EXPECT_EQ(Asker(io_, other).new_ep(alice_, KeyPair::generate()), Status::ok);
  EXPECT_THAT(said({"show", "alice@verkstad.net"}), HasSubstr("state: reachable"));
}

TEST_F(SnsdAdminTest, TheLeaseIsThatOfTheOption) {
  const auto server = serve({"--lease", "2"});
  Client client(io_, join_it());
  Asker ask(io_, client);
  ASSERT_EQ(ask.new_ep(alice_, key_), Status::ok);
  EXPECT_EQ(ask.registered.lease, std::chrono::seconds(2));
  EXPECT_TRUE(run_until(io_, [&] { return ask.get_ep(alice_) == Status::ok && ask.info.away_since.has_value(); }));
  EXPECT_THAT(said({"list"}),
              MatchesRegex("alice@verkstad.net +1 +away since " + std::string(some_time) + " +0 services\n"));
}

// --- copies -------------------------------------------------------------------------------------------------------

TEST_F(SnsdAdminTest, ACopyTakesTheServersPlace) {
  std::string text;
  std::optional<Membership> member;
  {
    const auto server = serve();
    member = join_it();
    Client client(io_, *member);
    Asker ask(io_, client);
    ASSERT_EQ(ask.new_ep(alice_, key_, at(4)), Status::ok);
    ASSERT_EQ(ask.new_service({"file", alice_}, key_, at(4)), Status::ok);
    text = said({"export"});
    // The server goes on meanwhile, and the copy does not follow it.
    ASSERT_EQ(ask.new_ep(endpoint("bob@verkstad.net"), key_), Status::ok);
  }
  EXPECT_THAT(text, HasSubstr("BEGIN PRIVATE KEY"));
  std::filesystem::remove_all(state());
  EXPECT_EQ(said({"import"}, text),
            "imported 1 member, 1 endpoint and 1 service of verkstad.net; start its server with: "
            "snsd --domain verkstad.net\n");
  EXPECT_EQ(said({"export"}), text);
  const auto server = serve();
  member->servers = {server->first_line().substr(std::string("snsd: serving verkstad.net on ").size())};
  Client client(io_, *member);
  Asker ask(io_, client);
  EXPECT_EQ(ask.change_ep(alice_, key_, at(4), {v4(9, 9)}), Status::ok) << "residence and authority are the same";
  EXPECT_EQ(ask.new_ep(endpoint("carol@verkstad.net"), key_), Status::ok) << "and the member";
  EXPECT_EQ(ask.get_ep(endpoint("bob@verkstad.net")), Status::not_found);
}

TEST_F(SnsdAdminTest, FilesAreWrittenInPrivateAndAsAWhole) {
  fill(3);
  const auto file = folder_.path() / "copy";
  std::ofstream(file) << "what was there before";
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  EXPECT_EQ(said({"export", "-o", file.string()}), "");
  EXPECT_EQ(text_of_file(file), said({"export"}));
  EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));

  const auto link = folder_.path() / "link";
  std::filesystem::create_symlink("copy", link);
  expect_refused(command({"export", "-o", link.string()}), 1, "is no ordinary file");
  expect_refused(command({"export", "-o", "/dev/null"}), 1, "is no ordinary file");
  expect_refused(command({"export", "-o", folder_.path().string()}), 1, "is no ordinary file");
  expect_refused(command({"export", "-o", (folder_.path() / "none" / "copy").string()}), 1, "No such file");

  std::filesystem::rename(state(), folder_.path() / "old");
  EXPECT_THAT(said({"import", file.string()}), HasSubstr("3 endpoints and 6 services"));
  EXPECT_EQ(said({"list"}), run_snsd({"list", "--state", (folder_.path() / "old").string()}).output);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().filename().string().find("copy."), std::string::npos) << "nothing unfinished stays";
}

TEST_F(SnsdAdminTest, ALongImportShowsOnATerminalHowFarItIs) {
  fill(1);
  std::string text = said({"export"});
  std::string comments;
  while (comments.size() < std::size_t{3} << 20U) comments += "# " + std::string(4000, 'x') + "\n";
  const auto file = folder_.path() / "long";
  std::ofstream(file) << text.insert(text.find('\n') + 1, comments);
  const auto import = [&](const std::string& copy) {
    return std::string(SNSD_PROGRAM) + " import --state " + (folder_.path() / copy).string() + " " + file.string();
  };
  const auto log = folder_.path() / "log";
  ASSERT_EQ(std::system(("script -qec '" + import("one") + "' /dev/null > " + log.string()).c_str()), 0);
  EXPECT_THAT(text_of_file(log), HasSubstr("\r\x1b[Kimporting: 1 of 3 MiB ...\r\x1b[K"));
  ASSERT_EQ(std::system((import("two") + " > " + log.string() + " 2>&1").c_str()), 0);
  EXPECT_EQ(text_of_file(log).find("importing"), std::string::npos) << "no terminal";
}

TEST_F(SnsdAdminTest, AnExportThatFailsLeavesTheFileAsItWas) {
  fill(2000);  // more than one piece
  const auto file = folder_.path() / "files" / "copy";
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "before";
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((state() + "/sns.sqlite").c_str(), &database), SQLITE_OK);
  const auto* damage = "UPDATE endpoints SET addresses = x'02' WHERE name = 'e101999@verkstad.net'";
  EXPECT_EQ(sqlite3_exec(database, damage, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  const auto outcome = command({"export", "-o", file.string()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.errors, "snsd: the name server's database is damaged: e101999@verkstad.net\n");
  EXPECT_EQ(text_of_file(file), "before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}), 1);
}

TEST_F(SnsdAdminTest, ABadImportSaysWhichLineAndLeavesNothing) {
  expect_refused(command({"import"}, "sessionfs-names 1\n\ndomain no domain\n"), 1, "line 3: ");
  expect_refused(command({"import"}), 1, "line 1: ");
  expect_refused(command({"import", (folder_.path() / "none").string()}), 1, "cannot open");
  expect_refused(command({"import", folder_.path().string()}), 1, "cannot read");
  EXPECT_FALSE(std::filesystem::exists(state()));
  fill(1);
  expect_refused(run_snsd({"import", "--state", "/dev/null/x"}, said({"export"})), 1, "cannot make /dev/null/x");
  const auto text = said({"export"});
  expect_refused(command({"import"}, text), 1, "there is already");
  expect_refused(command({"import", "--domain", "example.com"}, text), 1, "not example.com");
  EXPECT_EQ(said({"export"}), text);
}

TEST_F(SnsdAdminTest, AKilledImportLeavesNothingThatAServerTakesForItsOwn) {
  fill(2000);
  const auto text = said({"export"});
  const auto copy = (folder_.path() / "copy").string();
  for (int round = 0; round < 20; ++round) {
    {
      SnsdProgram program(folder_.path(), {"import", "--state", copy}, text);
      std::this_thread::sleep_for(std::chrono::milliseconds(round));
      program.signal(SIGKILL);
      program.wait();
    }
    const auto outcome = run_snsd({"export", "--state", copy});
    if (outcome.status == 0) {
      EXPECT_EQ(outcome.output, text) << "all";
      std::filesystem::remove_all(copy);
    } else {
      EXPECT_THAT(outcome.errors, HasSubstr("there is no name server's state")) << "or nothing";
    }
  }
  run_snsd({"import", "--state", copy}, text);
  EXPECT_EQ(run_snsd({"export", "--state", copy}).output, text);
}

}  // namespace
}  // namespace sessionfs::sns
