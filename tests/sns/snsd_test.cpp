// The program snsd, as a person and an init system see it.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <sstream>

#include "tests/sns/fixtures.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not in every libc's headers

namespace sessionfs::sns {
namespace {

// A program that this test has started; killed with it.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    std::vector<std::string> words{SNSD_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int result = ::posix_spawn(&pid_, SNSD_PROGRAM, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    ::close(err[1]);
    out_ = out[0];
    err_ = err[0];
    if (result != 0) throw std::runtime_error(std::strerror(result));
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
    ::close(out_);
    ::close(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const { ::kill(pid_, number); }
  /// Its exit status, or minus the signal that has ended it.
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string output_line() const { return read(out_, true); }
  std::string all_output() const { return read(out_, false); }
  std::string all_errors() const { return read(err_, false); }

 private:
  static std::string read(int file, bool one_line) {
    std::string text;
    char c = 0;
    pollfd ready{file, POLLIN, 0};
    const auto limit_ms = static_cast<int>(std::chrono::milliseconds(test_limit).count());
    while (::poll(&ready, 1, limit_ms) > 0 && ::read(file, &c, 1) == 1) {
      text += c;
      if (one_line && c == '\n') break;
    }
    return text;
  }
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
};

struct Outcome {
  int status = 0;
  std::string output;
  std::string errors;
};

Outcome run(const std::vector<std::string>& arguments) {
  Program program(arguments);
  Outcome outcome;
  outcome.output = program.all_output();
  outcome.errors = program.all_errors();
  outcome.status = program.wait();
  return outcome;
}

void expect_one_line(const std::string& text) {
  EXPECT_TRUE(text.starts_with("snsd: ")) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
}

class SnsdTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string state() const { return (folder_.path() / "state").string(); }
  std::unique_ptr<Program> serve(const std::string& listen = "127.0.0.1:0") {
    auto program = std::make_unique<Program>(
        std::vector<std::string>{"--domain", "verkstad.net", "--listen", listen, "--state", state()});
    const auto line = program->output_line();
    const std::string expected = "snsd: serving verkstad.net on ";
    EXPECT_TRUE(line.starts_with(expected)) << line << program->all_errors();
    served_at_ = line.substr(expected.size(), line.size() - expected.size() - 1);
    return program;
  }
  std::optional<JoinToken> token(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"token", "--state", state()});
    const auto outcome = run(more);
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    EXPECT_EQ(outcome.errors, "");
    return parse_join_token(outcome.output);
  }
  Membership join_by(const JoinToken& by) {
    std::optional<Status> result;
    Membership made;
    join(io_, by, [&](Status status, Membership membership) {
      result = status;
      made = std::move(membership);
    });
    if (!run_until(io_, [&] { return result.has_value(); })) std::abort();
    EXPECT_EQ(*result, Status::ok);
    return made;
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  std::string served_at_;
};

TEST_F(SnsdTest, HelpAndVersion) {
  for (const char* option : {"--help", "--version"}) {
    const auto outcome = run({option});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.output.find(option == std::string("--help") ? "--domain" : "snsd "), std::string::npos);
    EXPECT_EQ(outcome.errors, "");
  }
  EXPECT_EQ(run({"token", "--help"}).status, 0);
}

TEST_F(SnsdTest, BadUsageIsTwo) {
  const std::vector<std::vector<std::string>> cases{{},
                                                    {"--bogus"},
                                                    {"--domain"},
                                                    {"--domain", "no domain"},
                                                    {"--domain", "d", "--listen", "nonsense"},
                                                    {"--domain", "d", "--listen", "127.0.0.1:70000"},
                                                    {"token", "--expires", "0"},
                                                    {"token", "--expires", "soon"},
                                                    {"token", "--address", "a b"},
                                                    {"nonsense"}};
  for (const auto& arguments : cases) {
    const auto outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.output, "");
    expect_one_line(outcome.errors);
  }
}

TEST_F(SnsdTest, FailureIsOne) {
  auto outcome = run({"token", "--state", state()});
  EXPECT_EQ(outcome.status, 1);
  expect_one_line(outcome.errors);
  const auto server = serve();
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--domain", "verkstad.net", "--listen", "127.0.0.1:0", "--state", state()},
           {"--domain", "verkstad.net", "--listen", served_at_, "--state", state() + "2"},
           {"--domain", "verkstad.net", "--listen", "127.0.0.1:0", "--state", "/dev/null/x"},
           {"token", "--domain", "example.com", "--state", state()}}) {
    outcome = run(arguments);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.output, "");
    expect_one_line(outcome.errors);
  }
}

TEST_F(SnsdTest, SignalsEndItCleanly) {
  for (const int number : {SIGTERM, SIGINT}) {
    const auto server = serve();
    server->signal(number);
    EXPECT_EQ(server->wait(), 0);
  }
}

TEST_F(SnsdTest, ATokenLetsAHostJoin) {
  const auto server = serve();
  const auto made = token();
  ASSERT_TRUE(made);
  EXPECT_EQ(made->domain, "verkstad.net");
  EXPECT_EQ(made->servers, std::vector{served_at_});
  Client client(io_, join_by(*made));
  EXPECT_EQ(Asker(io_, client).new_ep(endpoint("alice@verkstad.net"), KeyPair::generate()), Status::ok);

  const auto elsewhere = token({"--address", "10.77.0.3:4701", "--address", "sns.verkstad.net", "--expires", "60"});
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->servers, (std::vector<std::string>{"10.77.0.3:4701", "sns.verkstad.net"}));
}

TEST_F(SnsdTest, TokensOfAWildcardNameAnAddressThatCanBeReached) {
  const auto server = serve("0.0.0.0:0");
  const auto port = served_at_.substr(served_at_.rfind(':'));
  const auto made = token();
  ASSERT_TRUE(made);
  ASSERT_FALSE(made->servers.empty());
  for (const auto& address : made->servers) {
    EXPECT_TRUE(address.ends_with(port)) << address;
    EXPECT_FALSE(address.starts_with("0.0.0.0")) << address;
  }
}

TEST_F(SnsdTest, WhatWasAnsweredWithOkOutlivesSigkill) {
  std::unique_ptr<Client> client;
  const KeyPair key = KeyPair::generate();
  std::string listen = "127.0.0.1:0";
  for (int round = 0; round < 5; ++round) {
    const auto server = serve(listen);
    listen = served_at_;
    if (!client) client = std::make_unique<Client>(io_, join_by(token().value()));
    Asker ask(io_, *client);
    for (int i = 0; i < round; ++i) {
      EXPECT_EQ(ask.get_service({"file", endpoint("e" + std::to_string(i) + "@verkstad.net")}), Status::ok);
      EXPECT_EQ(ask.info, (EndpointInfo{3, key.public_key(), {v4(7, 7)}, {}}));
    }
    const auto name = endpoint("e" + std::to_string(round) + "@verkstad.net");
    EXPECT_EQ(ask.new_ep(name, key), Status::ok);
    EXPECT_EQ(ask.new_service({"file", name}, key), Status::ok);
    EXPECT_EQ(ask.change_ep(name, key, at(3), {v4(7, 7)}), Status::ok);
    server->signal(SIGKILL);
    EXPECT_EQ(server->wait(), -SIGKILL);
  }
}

// Changes its endpoints as fast as they are answered, and remembers what was answered with ok.
class Changer {
 public:
  Changer(asio::io_context& io, const Client::Config& config, int number)
      : client_(io, config), own_(endpoint("w" + std::to_string(number) + "@verkstad.net")), number_(number) {}

  void start() {
    client_.new_ep(own_, key_, at(1), {v4(1, 1)}, [this](Status status, const auto&) {
      // An answer that was lost is asked for again.
      if (status != Status::ok) return start();
      change();
    });
  }
  void pause() { paused_ = true; }
  void go_on() {
    paused_ = false;
    if (const auto step = std::exchange(next_, nullptr)) step();
  }
  [[nodiscard]] bool rests() const { return next_ != nullptr; }
  // While it rests.
  void expect_kept(Asker& ask) const {
    ASSERT_EQ(ask.get_ep(own_), Status::ok);
    EXPECT_EQ(ask.info.addresses.at(0).port, acknowledged_);
    for (const auto& [name, kept] : made_) {
      EXPECT_EQ(ask.get_ep(name), kept.endpoint ? Status::ok : Status::not_found) << name.str();
      EXPECT_EQ(ask.get_service({"file", name}), kept.service ? Status::ok : Status::not_found) << name.str();
      if (kept.service) EXPECT_EQ(ask.info.addresses.at(0).port, kept.port) << name.str();
    }
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  void change() {
    client_.change_ep(own_, key_, at(1), {v4(1, static_cast<std::uint16_t>(acknowledged_ + 1))}, false,
                      [this](Status status, const auto&) {
                        if (status != Status::ok) return change();
                        ++acknowledged_;
                        ++count_;
                        then([this] { make(); });
                      });
  }
  void make() {
    const auto name = endpoint("w" + std::to_string(number_) + "-" + std::to_string(made_.size()) + "@verkstad.net");
    client_.new_ep(name, key_, at(1), {v4(2, 2)}, [this, name](Status status, const auto&) {
      if (status != Status::ok) return make();
      serve(name);
    });
  }
  void serve(const EndpointName& name) {
    client_.new_service({"file", name}, key_, at(1), [this, name](Status status) {
      if (status != Status::ok && status != Status::exists) return serve(name);
      made_[name] = {true, true, 2};
      count_ += 2;
      then([this, name] { serve_elsewhere(name); });
    });
  }
  void serve_elsewhere(const EndpointName& name) {
    client_.change_service({"file", name}, key_, at(1), 7, [this, name](Status status) {
      if (status != Status::ok) return serve_elsewhere(name);
      made_[name].port = 7;
      ++count_;
      // Of three one stays, one loses its service, one goes.
      if (made_.size() % 3 == 0) return then([this] { change(); });
      then([this, name] { made_.size() % 3 == 1 ? end_service(name) : end(name); });
    });
  }
  // That it is not there any more is what the second answer says when the first was lost.
  void end_service(const EndpointName& name) {
    client_.del_service({"file", name}, key_, at(1), [this, name](Status status) {
      if (status != Status::ok && status != Status::not_found) return end_service(name);
      made_[name] = {true, false, 0};
      ++count_;
      then([this] { change(); });
    });
  }
  void end(const EndpointName& name) {
    client_.del_ep(name, key_, at(1), [this, name](Status status) {
      if (status != Status::ok && status != Status::not_found) return end(name);
      made_[name] = {false, false, 0};
      ++count_;
      then([this] { change(); });
    });
  }
  void then(std::function<void()> step) {
    if (!paused_) return step();
    next_ = std::move(step);
  }

  Client client_;
  EndpointName own_;
  int number_;
  KeyPair key_ = KeyPair::generate();
  int acknowledged_ = 1;
  struct Kept {
    bool endpoint = false;
    bool service = false;
    std::uint16_t port = 0;
  };
  std::map<EndpointName, Kept> made_;  // as was acknowledged
  std::size_t count_ = 0;
  bool paused_ = false;
  std::function<void()> next_;
};

TEST_F(SnsdTest, KilledAtAnyMomentUnderLoadItKeepsWhatItHasAcknowledged) {
  constexpr int rounds = 50;
  constexpr int changers = 6;
  auto server = serve();
  const std::string listen = served_at_;
  const auto member = join_by(token().value());
  std::vector<std::unique_ptr<Changer>> all;
  for (int i = 0; i < changers; ++i) all.push_back(std::make_unique<Changer>(io_, member, i));
  for (const auto& one : all) one->start();
  const auto count = [&] {
    std::size_t sum = 0;
    for (const auto& one : all) sum += one->count();
    return sum;
  };
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same run every time
  for (int round = 0; round < rounds; ++round) {
    const std::size_t mark = count() + changers + random() % 40;
    ASSERT_TRUE(run_until(io_, [&] { return count() >= mark; }));
    io_.run_for(std::chrono::microseconds(random() % 3000));
    server->signal(SIGKILL);
    EXPECT_EQ(server->wait(), -SIGKILL);
    server = serve(listen);
    Changer& looked_at = *all[random() % all.size()];
    looked_at.pause();
    ASSERT_TRUE(run_until(io_, [&] { return looked_at.rests(); }));
    for (const auto& one : all) one->pause();
    Client client(io_, member);
    Asker ask(io_, client);
    looked_at.expect_kept(ask);
    for (const auto& one : all) one->go_on();
  }
  for (const auto& one : all) one->pause();
  Client client(io_, member);
  Asker ask(io_, client);
  for (const auto& one : all) {
    ASSERT_TRUE(run_until(io_, [&] { return one->rests(); }));
    one->expect_kept(ask);
  }
  std::cout << count() << " changes were acknowledged in " << rounds << " rounds\n";
}

}  // namespace
}  // namespace sessionfs::sns
