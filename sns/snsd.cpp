// snsd: the name server of one domain, and what its administrator does with it.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "sns/client.hpp"
#include "sns/responder.hpp"
#include "sns/server.hpp"
#include "sns/snsd_admin.hpp"
#include "sns/storage.hpp"
#include "sns/tls.hpp"

namespace sessionfs::sns {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr std::int64_t min_lease_s = 2;  // daemons look no more often whether there is something to be renewed
constexpr std::int64_t max_lease_s = 86400;
constexpr const char* fallback_listen = "0.0.0.0:4701";

struct Options {
  std::string domain;
  std::string listen;
  std::string state;
  std::optional<std::int64_t> lease_s;
  bool verbose = false;
};

std::filesystem::path state_folder(const Options& options) {
  if (!options.state.empty()) return options.state;
  if (::geteuid() == 0) return "/var/lib/snsd";
  const char* state_home = std::getenv("XDG_STATE_HOME");
  if (state_home != nullptr && *state_home == '/') return std::filesystem::path(state_home) / "sessionfs/sns";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') throw std::runtime_error("HOME is not set; name a folder with --state");
  return std::filesystem::path(home) / ".local/state/sessionfs/sns";
}

void set_up_log(bool verbose) {
  auto log = spdlog::stderr_logger_mt("snsd");
  // The journal has times of its own.
  log->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S %l: %v");
  log->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(std::move(log));
}

// Each connection is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::unique_ptr<Server> listen(asio::io_context& io, Responder& responder, const Options& options) {
  const std::string wanted = options.listen.empty() ? default_listen : options.listen;
  try {
    return std::make_unique<Server>(io, responder, *parse_numeric(wanted));
  } catch (const boost::system::system_error& error) {
    // A kernel without IPv6 is no reason not to serve.
    if (options.listen.empty() && error.code() == boost::system::errc::address_family_not_supported)
      return std::make_unique<Server>(io, responder, *parse_numeric(fallback_listen));
    throw std::runtime_error("cannot listen on " + wanted + ": " + error.code().message() +
                             "; choose another address with --listen");
  }
}

int serve(const Options& options) {
  set_up_log(options.verbose);
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  // Before the server is ready, so that a signal never finds it half started.
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&io](boost::system::error_code error, int) {
    if (!error) io.stop();
  });

  Responder responder(Storage::open(state_folder(options), options.domain, wall_time()),
                      options.lease_s ? std::chrono::seconds(*options.lease_s) : default_lease);
  responder.on_trouble = [](const std::string& what) { spdlog::error("a request could not be carried out: {}", what); };
  const auto server = listen(io, responder, options);
  const std::string where = to_string(to_address(server->local_endpoint()));
  responder.storage().set_served_at(where);
  std::cout << "snsd: serving " << responder.storage().domain() << " on " << where << std::endl;
  sd_notify(1, "READY=1");  // to systemd, if it has started this
  io.run();
  return 0;
}

std::string check_domain(const std::string& text) {
  return parse_domain(text) ? "" : "'" + text + "' is no valid domain name";
}
std::string check_listen(const std::string& text) {
  return parse_numeric(text) ? "" : "'" + text + "' is no ADDR:PORT";
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("The name server of a sessionfs domain", "snsd");
  app.set_version_flag("--version", "snsd " SESSIONFS_VERSION);
  app.add_option("--domain", options.domain, "the domain, for example verkstad.net")
      ->check(CLI::Validator(check_domain, ""))
      ->type_name("DOMAIN");
  app.add_option("--listen", options.listen, "where to listen; default " + std::string(default_listen))
      ->check(CLI::Validator(check_listen, ""))
      ->type_name("ADDR:PORT");
  app.add_option("--state", options.state,
                 "the folder of its database; default /var/lib/snsd for root, "
                 "$XDG_STATE_HOME/sessionfs/sns for others")
      ->type_name("DIR");
  app.add_option("--lease", options.lease_s,
                 "for how long an endpoint counts as reachable after its host was last heard of; from " +
                     std::to_string(min_lease_s) + " to " + std::to_string(max_lease_s) + ", default " +
                     std::to_string(default_lease.count()))
      ->check(CLI::Range(min_lease_s, max_lease_s))
      ->option_text("SECONDS");
  app.add_flag("--verbose", options.verbose, "log connections, too");

  const AdminCommands commands(
      app, [&options] { return state_folder(options); }, options.domain);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << "snsd: " << error.what() << "; see snsd --help\n";
    return exit_usage;
  }
  const auto usage = [](const char* what) {
    std::cerr << "snsd: " << what << "; see snsd --help\n";
    return exit_usage;
  };
  if (commands.parsed()) {
    if (!options.listen.empty() || options.lease_s) return usage("--listen and --lease are for serving alone");
    commands.run();
    return 0;
  }
  if (options.domain.empty()) return usage("--domain is required");
  return serve(options);
}

}  // namespace
}  // namespace sessionfs::sns

int main(int argc, char** argv) {
  try {
    return sessionfs::sns::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "snsd: " << error.what() << "\n";
    return sessionfs::sns::exit_failure;
  }
}
