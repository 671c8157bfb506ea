// sessionctl: looks at the daemon and tells it what to do, through its mount alone; and at records that are not loaded.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fs/sessionctl/descriptor.hpp"
#include "fs/sessionctl/inspect.hpp"
#include "fs/sessionctl/passphrase.hpp"
#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/sockets.hpp"
#include "fs/sessionctl/status.hpp"
#include "fs/sessionctl/streams.hpp"
#include "fs/sessionctl/top/top.hpp"
#include "fs/sessionctl/trace.hpp"
#include "fs/sessionctl/travel.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace {

using sessionfs::ctl::Asking;
using sessionfs::ctl::Error;
using sessionfs::ctl::Tree;
using Text = std::optional<std::string>;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int max_session_limit = 10000;
constexpr double min_interval_s = 0.1;
constexpr double max_interval_s = 3600;
constexpr double ms_per_s = 1000;

struct Arguments {
  Text mount;
  Text endpoint;
  Text word;
  Text place;  // a folder, a file or a device
  bool passphrase = false;
  bool json = false;
  double interval_s = 1;
  std::size_t limit = sessionfs::ctl::default_session_limit;
  std::vector<std::string> command;
};

int complain(const std::string& what, int status) {
  std::fprintf(stderr, "sessionctl: %s\n", sessionfs::ctl::printable(what).c_str());
  return status;
}

void print(const std::string& text) { std::fputs(sessionfs::ctl::printable(text, "\n").c_str(), stdout); }

// An empty word would be a command without it, which may mean all sessions; a blank would make two of it, a newline two
// commands.
std::string fault_of_word(const std::string& word) {
  if (word.empty()) return "is empty";
  const auto splits = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; };
  return std::ranges::any_of(word, splits) ? "holds a blank or a control character" : "";
}

std::string fault_of_folder(const std::string& folder) { return folder.empty() ? "is empty" : ""; }

CLI::Validator checked(std::string (*fault)(const std::string&)) {
  return {[fault](std::string& value) { return fault(value); }, ""};
}

void print_status(const Tree& tree, const Text& endpoint, bool as_json) {
  using namespace sessionfs::ctl;
  if (endpoint) {
    const auto report = parse_endpoint(tree.status(tree.endpoint_or_default(endpoint)).value_or(""));
    return print(as_json ? endpoint_json(report) : endpoint_text(report));
  }
  const auto report = parse_all(tree.host_status(), tree.statuses());
  if (as_json) return print(host_json(report));
  print(host_text(report));
  for (const auto& each : report.endpoints) print("\n" + endpoint_text(each));
}

void command_session(const Tree& tree, const std::string& line, const std::string& endpoint, const Text& session) {
  try {
    tree.command(line, endpoint);
  } catch (const Error& error) {
    if (error.number() != ENOENT || !session) throw;
    const auto other = tree.endpoint_with(*session);
    throw Error(error.what() +
                (other ? "; " + *other + " has it: add --at " + *other : "; sessionctl status shows those there are"));
  }
}

// `VERB [WORD]`, written to ctl of an endpoint.
void add_command(CLI::App& app, Arguments& arguments, const char* verb, const char* what, const char* word,
                 const char* word_help) {
  CLI::App* command = app.add_subcommand(verb, what);
  command->add_option(word, arguments.word, word_help)->option_text(" ")->check(checked(fault_of_word));
  command->add_option("--at", arguments.endpoint, "the endpoint; default: the host's own")
      ->option_text("ENDPOINT")
      ->check(checked(fault_of_word));
  command->callback([&arguments, verb] {
    const Tree tree(arguments.mount);
    const auto endpoint = tree.endpoint_or_default(arguments.endpoint);
    command_session(tree, verb + (arguments.word ? " " + *arguments.word : ""), endpoint, arguments.word);
  });
}

CLI::Option* add_place(CLI::App& command, Arguments& arguments, const char* name, const char* what) {
  return command.add_option(name, arguments.place, what)
      ->option_text(" ")
      ->check(checked(sessionfs::ctl::fault_of_path));
}

void add_passphrase(CLI::App& command, Arguments& arguments, const char* what) {
  command.add_flag("--passphrase", arguments.passphrase,
                   std::string(what) + "; asked on the terminal, or the first line of standard input that is none");
}

Text passphrase_for(const Arguments& arguments, const std::string& what, Asking times) {
  if (!arguments.passphrase) return std::nullopt;
  return sessionfs::ctl::passphrase_from_user("passphrase of " + what, times);
}

// Endpoints that come and leave.
void add_travel(CLI::App& app, Arguments& arguments) {
  CLI::App* load = app.add_subcommand("load", "lets an endpoint that was saved or copied go on here");
  add_place(*load, arguments, "DIR", "its folder, or one that holds folders of endpoints")->required();
  add_passphrase(*load, arguments, "it was saved with one");
  load->callback([&arguments] {
    const Tree tree(arguments.mount);
    sessionfs::ctl::load(tree, *arguments.place, passphrase_for(arguments, *arguments.place, Asking::once));
  });

  CLI::App* save = app.add_subcommand("save", "lets an endpoint leave, with its sessions and documents");
  save->add_option("ENDPOINT", arguments.endpoint, "its name")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_word));
  add_place(*save, arguments, "DIR", "where to; default: the stick that it was loaded from");
  add_passphrase(*save, arguments, "only who knows it can load it again");
  save->callback([&arguments] {
    const Tree tree(arguments.mount);
    const auto endpoint = tree.endpoint_or_default(arguments.endpoint);
    sessionfs::ctl::save(tree, endpoint, arguments.place, passphrase_for(arguments, endpoint, Asking::twice));
  });

  CLI::App* eject = app.add_subcommand("eject", "saves what lives on a stick, and lets go of it");
  add_place(*eject, arguments, "DEVICE", "the stick, as status names it")->required();
  eject->callback([&arguments] {
    sessionfs::ctl::eject(Tree(arguments.mount), *arguments.place);
    print(*arguments.place + ": saved; it may be pulled out\n");
  });

  CLI::App* inspect = app.add_subcommand("inspect", "shows what is in an endpoint's record, without a mount");
  add_place(*inspect, arguments, "FILE|DIR", "the record, or the folder that has it")->required();
  add_passphrase(*inspect, arguments, "opens a sealed one");
  inspect->callback([&arguments] {
    std::function<std::string()> passphrase;
    if (arguments.passphrase) passphrase = [&] { return *passphrase_for(arguments, *arguments.place, Asking::once); };
    print(sessionfs::ctl::inspect(*arguments.place, passphrase));
  });
}

// Other programs' bytes. `end` is where the endpoint of this side is named: --from who dials, --at who listens.
CLI::App& add_stream(CLI::App& app, Arguments& arguments, const char* verb, const char* what, const char* end) {
  CLI::App* command = app.add_subcommand(verb, what);
  command->add_option(end, arguments.endpoint, "the endpoint on this side; default: the host's own")
      ->option_text("ENDPOINT")
      ->check(checked(fault_of_word));
  return *command;
}

void add_service(CLI::App& command, Arguments& arguments, const char* what) {
  command.add_option("SERVICE", arguments.word, what)->option_text(" ")->required()->check(checked(fault_of_word));
}

void add_limit(CLI::App& command, Arguments& arguments) {
  command.add_option("--limit", arguments.limit, "so many sessions at once, others wait; default: 64")
      ->option_text("N")
      ->check(CLI::Range(1, max_session_limit));
}

void add_streams(CLI::App& app, Arguments& arguments) {
  using namespace sessionfs::ctl;
  const char* const dialled = "as SERVICE.OBJECT@DOMAIN";
  const char* const offered = "its name, without the endpoint";

  CLI::App& connecting = add_stream(app, arguments, "connect", "standard input and output become a session", "--from");
  add_service(connecting, arguments, dialled);
  connecting.footer(
      "The end of the input is passed on; it ends when both directions have ended. It goes on after a\n"
      "restart of the daemon. For ssh: -o ProxyCommand='sessionctl connect ssh.OBJECT@DOMAIN'");
  connecting.callback([&arguments] {
    const Tree tree(arguments.mount);
    connect(tree, tree.endpoint_or_default(arguments.endpoint), *arguments.word);
  });

  CLI::App& serving = add_stream(app, arguments, "serve", "runs a command for each session that comes", "--at");
  add_service(serving, arguments, offered);
  serving.add_option("COMMAND", arguments.command, "and its arguments, behind --")->option_text(" ")->required();
  add_limit(serving, arguments);
  serving.footer(
      "COMMAND has the session as standard input and output, and SESSION_NAME, SESSION_PEER, SESSION_SERVICE\n"
      "and SESSIONFS_MOUNT in its environment. SIGTERM: no more sessions are taken; the second one ends those\n"
      "that run.");
  serving.callback([&arguments] {
    const Tree tree(arguments.mount);
    serve(tree, tree.endpoint_or_default(arguments.endpoint), *arguments.word, arguments.limit, arguments.command);
  });

  CLI::App& forwarding = add_stream(app, arguments, "forward", "connections to a port become sessions", "--from");
  forwarding
      .add_option("PORT", arguments.place,
                  "on this host alone, 0: one that is free; or ADDRESS:PORT; or the path of a socket")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_listening_place));
  add_service(forwarding, arguments, dialled);
  add_limit(forwarding, arguments);
  forwarding.footer("It prints where it listens, a place a line.");
  forwarding.callback([&arguments] {
    const Tree tree(arguments.mount);
    forward(tree, tree.endpoint_or_default(arguments.endpoint), *arguments.word, arguments.limit, *arguments.place);
  });

  CLI::App& exposing = add_stream(app, arguments, "expose", "sessions that come become connections", "--at");
  add_service(exposing, arguments, offered);
  exposing.add_option("HOST:PORT", arguments.place, "where to; or the path of a socket")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_target));
  add_limit(exposing, arguments);
  exposing.callback([&arguments] {
    const Tree tree(arguments.mount);
    expose(tree, tree.endpoint_or_default(arguments.endpoint), *arguments.word, arguments.limit, *arguments.place);
  });
}

void add_commands(CLI::App& app, Arguments& arguments) {
  app.add_option("--mount", arguments.mount,
                 "where sessionfs is mounted; default: $SESSIONFS_MOUNT, else the one mount there is")
      ->option_text("DIR")
      ->check(checked(fault_of_folder));

  CLI::App* status = app.add_subcommand("status", "shows the endpoints and their sessions");
  status->add_option("ENDPOINT", arguments.endpoint, "this one alone")->option_text(" ")->check(checked(fault_of_word));
  status->footer(
      "HELD are bytes written here that the peer does not hold yet, WAITING are bytes of the peer that nobody has read "
      "here.\nStates: active; moving (active, and a better link is being tried); interrupted (waits for the peer, or "
      "for a way to it);\nresuming; suspended (until it is resumed); closed.");
  status->add_flag("--json", arguments.json, "for programs: all there is to know, as one JSON document");
  status->callback([&arguments] { print_status(Tree(arguments.mount), arguments.endpoint, arguments.json); });

  CLI::App* top = app.add_subcommand("top", "shows the sessions of all endpoints, live");
  top->add_option("--interval", arguments.interval_s, "between two looks; default: 1")
      ->option_text("SECONDS")
      ->check(CLI::Range(min_interval_s, max_interval_s));
  top->footer("The keys are told at the bottom; h explains the columns.");
  top->callback([&arguments] {
    const std::chrono::milliseconds interval(static_cast<int>(std::lround(arguments.interval_s * ms_per_s)));
    sessionfs::ctl::top(Tree(arguments.mount), interval);
  });

  CLI::App* trace = app.add_subcommand("trace", "shows the transitions of sessions as they happen");
  trace->add_option("SESSION", arguments.word, "of this one alone, a name in sessions/")
      ->option_text(" ")
      ->check(checked(fault_of_word));
  trace->add_option("--at", arguments.endpoint, "of the sessions of this endpoint alone")
      ->option_text("ENDPOINT")
      ->check(checked(fault_of_word));
  trace->footer(
      "A line each: when (UTC), endpoint, session, transition, its state before and after, and the bytes that were\n"
      "sent, confirmed by the peer, received, and read here.\n"
      "SIGINT ends it; it goes on after a restart of the daemon.");
  trace->callback([&arguments] { sessionfs::ctl::trace(Tree(arguments.mount), {arguments.word, arguments.endpoint}); });

  CLI::App* join = app.add_subcommand("join", "makes this host a member of a domain");
  join->add_option("TOKEN", arguments.word, "what `snsd token` has printed")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_word));
  join->callback([&arguments] { Tree(arguments.mount).command("join " + *arguments.word); });

  const char* const one_or_all = "a name in sessions/; default: all of the endpoint";
  add_command(app, arguments, "suspend", "stops sessions until they are resumed", "SESSION", one_or_all);
  add_command(app, arguments, "resume", "lets suspended sessions go on", "SESSION", one_or_all);
  add_command(app, arguments, "finish", "ends writing to a session; the peer reads to the end, reading here goes on",
              "SESSION", "a name in sessions/");
  app.get_subcommand("finish")->get_option("SESSION")->required();
  add_command(app, arguments, "rebind", "moves an endpoint to another interface", "INTERFACE",
              "its name; default: back to what the policy picks");
  add_travel(app, arguments);
  add_streams(app, arguments);
}

}  // namespace

int main(int argc, char** argv) {
  sessionfs::ctl::hold_standard_descriptors();
  CLI::App app("Looks at sessionfs, and tells it what to do.", "sessionctl");
  app.set_version_flag("--version", "sessionctl " SESSIONFS_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  Arguments arguments;
  add_commands(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return complain(std::string(error.what()) + "; see sessionctl --help", exit_usage);
    app.exit(error);  // --help and --version
  } catch (const sessionfs::ctl::Interrupted& ended) {
    sessionfs::ctl::Signals::end_by(ended.number());
  } catch (const std::exception& error) {
    return complain(error.what(), exit_failure);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return complain(std::string("standard output: ") + std::strerror(errno), exit_failure);
  return 0;
}
