// sessionctl: looks at the daemon and tells it what to do, through its mount alone.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "fs/sessionctl/inspect.hpp"
#include "fs/sessionctl/passphrase.hpp"
#include "fs/sessionctl/status.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace {

using sessionfs::ctl::Error;
using sessionfs::ctl::Tree;
using Text = std::optional<std::string>;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Arguments {
  Text mount;
  Text endpoint;
  Text word;
  std::string folder;
  bool passphrase = false;
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

std::string fault_of_mount(const std::string& folder) { return folder.empty() ? "is empty" : ""; }

std::string fault_of_folder(const std::string& folder) {
  if (folder.empty()) return "is empty";
  return folder.find('\n') != std::string::npos ? "holds a line break" : "";
}

CLI::Validator checked(std::string (*fault)(const std::string&)) {
  return {[fault](std::string& value) { return fault(value); }, ""};
}

// The daemon stands elsewhere.
std::string whole_path(const std::string& folder) {
  return std::filesystem::absolute(folder).lexically_normal().string();
}

// Says on a terminal what takes long, while it does.
class Progress {
 public:
  explicit Progress(const std::string& what) : shown_(::isatty(STDERR_FILENO) != 0) {
    if (shown_) std::fprintf(stderr, "%s ...", sessionfs::ctl::printable(what).c_str());
  }
  ~Progress() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  bool shown_;
};

void load(const Tree& tree, const std::string& folder, bool sealed) {
  const std::string line = "load " + whole_path(folder);
  const std::string passphrase = sealed ? sessionfs::ctl::ask_passphrase(false) : "";
  try {
    const Progress progress("loading from " + folder);
    return tree.command(line, std::nullopt, passphrase);
  } catch (const Error& error) {
    if (error.number() != ENOKEY || sealed || ::isatty(STDIN_FILENO) == 0) throw;
  }
  const std::string asked = sessionfs::ctl::ask_passphrase(false);
  const Progress progress("loading from " + folder);
  tree.command(line, std::nullopt, asked);
}

void save(const Tree& tree, const std::string& endpoint, const std::string& folder, bool sealed) {
  const auto name = tree.endpoint_or_default(endpoint);
  const std::string passphrase = sealed ? sessionfs::ctl::ask_passphrase(true) : "";
  const Progress progress("saving " + name + (folder.empty() ? "" : " to " + folder));
  tree.command(folder.empty() ? "save" : "save " + whole_path(folder), name, passphrase);
}

void add_travel_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* loading = app.add_subcommand("load", "lets an endpoint that was saved or copied go on here");
  loading->add_option("DIR", arguments.folder, "its folder, or one that holds the folders of endpoints")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_folder));
  loading->add_flag("--passphrase", arguments.passphrase, "ask for the passphrase that it was saved with");
  loading->callback([&arguments] { load(Tree(arguments.mount), arguments.folder, arguments.passphrase); });

  CLI::App* saving = app.add_subcommand("save", "lets an endpoint leave this host, with its documents and sessions");
  saving->add_option("ENDPOINT", arguments.endpoint, "its name")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_word));
  saving->add_option("DIR", arguments.folder, "where to; default: the stick that it was loaded from")
      ->option_text(" ")
      ->check(checked(fault_of_folder));
  saving->add_flag("--passphrase", arguments.passphrase, "seal it: it is loaded with this passphrase alone");
  saving->callback(
      [&arguments] { save(Tree(arguments.mount), *arguments.endpoint, arguments.folder, arguments.passphrase); });

  CLI::App* inspecting = app.add_subcommand("inspect", "shows what the record of a saved or copied endpoint holds");
  inspecting->add_option("FILE", arguments.folder, "the record, or the endpoint's folder")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_folder));
  inspecting->add_flag("--passphrase", arguments.passphrase, "ask for the passphrase that it was saved with");
  inspecting->callback([&arguments] {
    const auto ask = [] { return sessionfs::ctl::ask_passphrase(false); };
    print(sessionfs::ctl::inspect(arguments.folder, arguments.passphrase ? ask : std::function<std::string()>()));
  });

  CLI::App* ejecting = app.add_subcommand("eject", "saves the endpoints on a stick to it; then it may be taken out");
  ejecting->add_option("DEVICE", arguments.folder, "its device, label, UUID, or the folder where it is mounted")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_folder));
  ejecting->callback([&arguments] {
    const Tree tree(arguments.mount);
    {
      const Progress progress("saving to " + arguments.folder);
      tree.command("eject " + arguments.folder);
    }
    print(arguments.folder + " may be taken out\n");
  });
}

void print_status(const Tree& tree, const Text& endpoint) {
  if (endpoint) {
    const auto name = tree.endpoint_or_default(endpoint);
    return print(sessionfs::ctl::endpoint_text(tree.status(name).value_or("")));
  }
  print(sessionfs::ctl::host_text(tree.mount().string(), tree.host_status()));
  for (const auto& name : tree.endpoints()) {
    // One that has gone since it was listed is none.
    if (const auto text = tree.status(name)) print("\n" + sessionfs::ctl::endpoint_text(*text));
  }
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

void add_commands(CLI::App& app, Arguments& arguments) {
  app.add_option("--mount", arguments.mount,
                 "where sessionfs is mounted; default: $SESSIONFS_MOUNT, else the one mount there is")
      ->option_text("DIR")
      ->check(checked(fault_of_mount));

  CLI::App* status = app.add_subcommand("status", "shows the endpoints and their sessions");
  status->add_option("ENDPOINT", arguments.endpoint, "this one alone")->option_text(" ")->check(checked(fault_of_word));
  status->footer(
      "HELD are bytes written here that the peer does not hold yet, WAITING are bytes of the peer that nobody has read "
      "here.\nStates: active; moving (active, and a better link is being tried); interrupted (waits for the peer, or "
      "for a way to it);\nresuming; suspended (until it is resumed); closed.");
  status->callback([&arguments] { print_status(Tree(arguments.mount), arguments.endpoint); });

  CLI::App* join = app.add_subcommand("join", "makes this host a member of a domain");
  join->add_option("TOKEN", arguments.word, "what `snsd token` has printed")
      ->option_text(" ")
      ->required()
      ->check(checked(fault_of_word));
  join->callback([&arguments] { Tree(arguments.mount).command("join " + *arguments.word); });

  add_travel_commands(app, arguments);

  const char* const one_or_all = "a name in sessions/; default: all of the endpoint";
  add_command(app, arguments, "suspend", "stops sessions until they are resumed", "SESSION", one_or_all);
  add_command(app, arguments, "resume", "lets suspended sessions go on", "SESSION", one_or_all);
  add_command(app, arguments, "finish", "ends writing to a session; the peer reads to the end, reading here goes on",
              "SESSION", "a name in sessions/");
  app.get_subcommand("finish")->get_option("SESSION")->required();
  add_command(app, arguments, "rebind", "moves an endpoint to another interface", "INTERFACE",
              "its name; default: back to what the policy picks");
}

}  // namespace

int main(int argc, char** argv) {
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
  } catch (const std::exception& error) {
    return complain(error.what(), exit_failure);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return complain(std::string("standard output: ") + std::strerror(errno), exit_failure);
  return 0;
}
