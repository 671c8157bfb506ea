// sessionfs: mounts the tree of endpoints, services and sessions.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/config.hpp"
#include "fs/daemon.hpp"
#include "fs/log.hpp"

namespace {

using sessionfs::fs::Config;
using sessionfs::fs::Daemon;
using sessionfs::fs::DaemonOptions;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

// Splits `-o a,b,c`. `defaults` is fstab's word for no option (fstab(5)), which libfuse does not know.
std::vector<std::string> split(const std::vector<std::string>& lists) {
  std::vector<std::string> words;
  for (const auto& list : lists) {
    std::size_t begin = 0;
    while (begin <= list.size()) {
      const auto end = std::min(list.find(',', begin), list.size());
      const auto word = list.substr(begin, end - begin);
      if (!word.empty() && word != "defaults") words.push_back(word);
      begin = end + 1;
    }
  }
  return words;
}

class Help : public CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: sessionfs [OPTIONS] [SOURCE] MOUNTPOINT\n";
  }
};

int bad_usage(std::string what) {
  std::ranges::replace(what, '\n', ' ');
  std::fprintf(stderr, "sessionfs: %s; see sessionfs --help\n", what.c_str());
  return exit_usage;
}

// The mount's name in tables of mounts, as an option of libfuse.
std::string fsname(const std::string& source) {
  std::string option = "fsname=";
  for (const char c : source) {
    if (c == ',' || c == '\\') option += '\\';
    option += c;
  }
  return option;
}

// The parent waits here until the daemon is mounted or has failed, and ends with its outcome.
[[noreturn]] void wait_for_child(int ready, pid_t child) {
  char byte = 0;
  if (read(ready, &byte, 1) == 1) _exit(0);
  int status = 0;
  waitpid(child, &status, 0);
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : exit_failure);
}

// Goes to the background; returns the descriptor on which to say that the mount is ready.
int go_to_background() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child > 0) {
    close(ends[1]);
    wait_for_child(ends[0], child);
  }
  close(ends[0]);
  setsid();
  return ends[1];
}

void leave_terminal(int ready) {
  sessionfs::fs::log_in_background();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {0, 1, 2}) dup2(null, fd);
  close(null);
  if (chdir("/") != 0 || write(ready, "", 1) != 1) spdlog::warn("the starting process has not waited");
  close(ready);
}

int serve(const Config& config, const DaemonOptions& options, bool foreground) {
  const int ready = foreground ? -1 : go_to_background();
  boost::asio::io_context io(1);
  Daemon daemon(io, config, options);
  daemon.settle();
  if (foreground) {
    sd_notify(1, "READY=1");  // to systemd, if it has started this
    daemon.run();
    return 0;
  }
  leave_terminal(ready);
  try {
    daemon.run();
  } catch (const std::exception& error) {
    spdlog::critical("{}", error.what());  // nobody reads standard error any more
    throw;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Mounts endpoints, services and sessions as files.", "sessionfs");
  app.formatter(std::make_shared<Help>());
  app.set_version_flag("--version", "sessionfs " SESSIONFS_VERSION);
  std::vector<std::string> places;
  bool foreground = false;
  bool debug = false;
  std::vector<std::string> mount_options;
  std::optional<std::string> config_file;
  std::optional<std::string> state;
  std::optional<std::string> listen;
  app.add_option("MOUNTPOINT", places,
                 "an empty directory, for example /session; a SOURCE before it is its name in the table of mounts")
      ->option_text(" ")
      ->required()
      ->expected(1, 2);
  app.add_flag("-f", foreground, "stay in the foreground");
  app.add_flag("-d", debug, "show every request of the kernel; implies -f");
  app.add_option("-o", mount_options, "mount options, separated by commas, for example allow_other")
      ->option_text("OPTIONS")
      ->allow_extra_args(false);
  app.add_option("--config", config_file, "the configuration file")->option_text("FILE");
  app.add_option("--state", state, "the folder that keeps keys, documents and sessions")->option_text("DIR");
  app.add_option("--listen", listen, "for connections from other hosts; default [::]:4700, or any free port")
      ->option_text("ADDR:PORT");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error) : bad_usage(error.what());
  }
  signal(SIGPIPE, SIG_IGN);
  sessionfs::fs::log_to_standard_error();
  if (debug) spdlog::set_level(spdlog::level::debug);
  try {
    Config config = Config::load(config_file);
    if (listen) {
      const auto address = sessionfs::fs::HostPort::parse(*listen, sessionfs::fs::default_port);
      if (!address) return bad_usage("--listen " + *listen + ": not an address and a port, like [::]:4700");
      config.listen = *address;
      config.listen_given = true;
    }
    DaemonOptions options;
    options.mountpoint = std::filesystem::absolute(places.back()).lexically_normal();
    if (places.size() == 2) options.mount_options.push_back(fsname(places.front()));
    for (auto& option : split(mount_options)) options.mount_options.push_back(std::move(option));
    options.debug = debug;
    options.state =
        std::filesystem::absolute(state ? std::filesystem::path(*state) : sessionfs::fs::default_state_folder());
    return serve(config, options, foreground || debug);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    std::fprintf(stderr, "%s%s\n", what.starts_with("sessionfs: ") ? "" : "sessionfs: ", what.c_str());
    return exit_failure;
  }
}
