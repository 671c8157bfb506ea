// snsd: the name server of one domain, and the tokens by which hosts join it.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/rand.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
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
#include <vector>

#include "sns/client.hpp"
#include "sns/join_token.hpp"
#include "sns/responder.hpp"
#include "sns/server.hpp"
#include "sns/storage.hpp"
#include "sns/tls.hpp"

namespace sessionfs::sns {
namespace {

using Tcp = asio::ip::tcp;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr std::int64_t default_expiry_s = 86400;
constexpr std::int64_t max_expiry_s = 10LL * 365 * 86400;
constexpr const char* default_listen = "[::]:4701";
constexpr const char* fallback_listen = "0.0.0.0:4701";

struct Options {
  std::string domain;
  std::string listen;
  std::string state;
  bool verbose = false;
  std::int64_t expiry_s = default_expiry_s;
  std::vector<std::string> addresses;
};

std::filesystem::path state_folder(const Options& options) {
  if (!options.state.empty()) return options.state;
  if (::geteuid() == 0) return "/var/lib/sessionfs/sns";
  const char* state_home = std::getenv("XDG_STATE_HOME");
  if (state_home != nullptr && *state_home == '/') return std::filesystem::path(state_home) / "sessionfs/sns";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') throw std::runtime_error("HOME is not set; name a folder with --state");
  return std::filesystem::path(home) / ".local/state/sessionfs/sns";
}

std::optional<Tcp::endpoint> parse_endpoint(const std::string& text) {
  const auto server = parse_server(text);
  if (!server) return std::nullopt;
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(server->host, error);
  if (error) return std::nullopt;
  return Tcp::endpoint(ip, server->port);
}

std::string to_text(const Tcp::endpoint& endpoint) { return to_string(to_address(endpoint)); }

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
    return std::make_unique<Server>(io, responder, *parse_endpoint(wanted));
  } catch (const boost::system::system_error& error) {
    // A kernel without IPv6 is no reason not to serve.
    if (options.listen.empty() && error.code() == boost::system::errc::address_family_not_supported)
      return std::make_unique<Server>(io, responder, *parse_endpoint(fallback_listen));
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

  Responder responder(Storage::open(state_folder(options), options.domain, wall_time()));
  responder.on_trouble = [](const std::string& what) { spdlog::error("a request could not be carried out: {}", what); };
  const auto server = listen(io, responder, options);
  const std::string where = to_text(server->local_endpoint());
  responder.storage().set_served_at(where);
  std::cout << "snsd: serving " << responder.storage().domain() << " on " << where << std::endl;
  io.run();
  return 0;
}

// The addresses by which other hosts may reach what listens on `served`.
std::vector<std::string> reachable_addresses(const Tcp::endpoint& served) {
  if (!served.address().is_unspecified()) return {to_text(served)};
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) list = nullptr;
  const std::unique_ptr<ifaddrs, OpensslFree<freeifaddrs>> owner(list);
  for (const ifaddrs* one = list; one != nullptr && found.size() < max_token_servers; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      found.push_back(to_text({asio::ip::address_v4(ntohl(address->sin_addr.s_addr)), served.port()}));
    } else if (one->ifa_addr->sa_family == AF_INET6 && served.address().is_v6()) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
      asio::ip::address_v6::bytes_type bytes{};
      std::copy_n(address->sin6_addr.s6_addr, bytes.size(), bytes.begin());
      const asio::ip::address_v6 ip(bytes);
      // One of a link means nothing without the interface, which other hosts call differently.
      if (!ip.is_link_local()) found.push_back(to_text({ip, served.port()}));
    }
  }
  if (found.empty()) found.push_back("127.0.0.1:" + std::to_string(served.port()));
  return found;
}

int print_token(const Options& options) {
  Storage storage = Storage::attach(state_folder(options));
  if (!options.domain.empty() && parse_domain(options.domain) != storage.domain())
    throw std::runtime_error("the state in " + state_folder(options).string() + " belongs to the domain " +
                             storage.domain() + ", not to " + options.domain + "; name another folder with --state");
  JoinToken token{storage.domain(), options.addresses, storage.authority().certificate().fingerprint(), {}};
  if (token.servers.empty()) {
    const auto served = parse_endpoint(storage.served_at());
    token.servers = reachable_addresses(served ? *served : *parse_endpoint(default_listen));
  }
  if (RAND_bytes(reinterpret_cast<unsigned char*>(token.secret.data()), static_cast<int>(token.secret.size())) != 1)
    throw_openssl("no random bytes");
  const UnixTime now = wall_time();
  if (!storage.add_token(token.secret, now + std::chrono::seconds(options.expiry_s), now))
    throw std::runtime_error("there are too many tokens; wait until some have expired");
  std::cout << format(token) << std::endl;
  return 0;
}

std::string check_domain(const std::string& text) {
  return parse_domain(text) ? "" : "'" + text + "' is no valid domain name";
}
std::string check_listen(const std::string& text) {
  return parse_endpoint(text) ? "" : "'" + text + "' is no ADDR:PORT";
}
std::string check_address(const std::string& text) {
  return parse_server(text) ? "" : "'" + text + "' is no ADDR:PORT";
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
                 "the folder of its database; default /var/lib/sessionfs/sns for root, "
                 "$XDG_STATE_HOME/sessionfs/sns for others")
      ->type_name("DIR");
  app.add_flag("--verbose", options.verbose, "log connections, too");

  CLI::App* token = app.add_subcommand("token", "print a token by which one host can join the domain");
  token->fallthrough();  // --domain and --state stand before or after it
  token->add_option("--expires", options.expiry_s, "for how many seconds it can be used; default 86400")
      ->check(CLI::Range(std::int64_t{1}, max_expiry_s))
      ->type_name("SECONDS");
  token->add_option("--address", options.addresses, "where that host finds this server; may be given several times")
      ->check(CLI::Validator(check_address, ""))
      ->type_name("ADDR:PORT")
      ->expected(1, static_cast<int>(max_token_servers));

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
  if (token->parsed()) {
    if (!options.listen.empty()) return usage("token takes no --listen");
    return print_token(options);
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
