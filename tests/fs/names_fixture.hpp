// What a daemon knows of names, without its mount and its connections; and a name server on a thread of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/authorities.hpp"
#include "fs/membership_file.hpp"
#include "fs/names.hpp"
#include "fs/peers.hpp"
#include "fs/residents.hpp"
#include "tests/sns/running_server.hpp"

namespace sessionfs::fs::testing {

inline constexpr std::uint16_t host_port = 4700;

class Node {
 public:
  Node(asio::io_context& io, Config config, const std::filesystem::path& state)
      : config_(std::move(config)),
        runtime(io, config_.buffer_bytes, Durability::process),
        authorities(state / authorities_name),
        paths_(io, [] {}),
        names(io, config_, state, authorities, paths_),
        peers(std::make_shared<Peers>(
            io, names, authorities, [this](const EndpointName& name) { return residents.find(name) != nullptr; },
            [this](const EndpointName& peer) { moved.push_back(peer); })),
        residents(io, runtime, names, peers, state, Durability::process) {
    residents.on_added = [](const Resident&) {};
    names.start(host_port, "/session");
    residents.set_default_name(*EndpointName::parse("host@" + config_.domain));
    residents.load();
  }

 private:
  Config config_;

 public:
  Runtime runtime;
  Authorities authorities;

 private:
  Paths paths_;

 public:
  Names names;
  std::vector<EndpointName> moved;  // peers that are somewhere else, as those who wait are told
  std::shared_ptr<Peers> peers;
  Residents residents;
};

/// The name server is that of verkstad.net.
class NamesTest : public ::testing::Test {
 protected:
  NamesTest() { start_server(); }

  /// Where it was before.
  void start_server() {
    const auto where = server_address_.value_or(sns::Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    server_.emplace(server_folder_.path(), where);
    server_address_ = server_->endpoint();
  }
  /// A member of verkstad.net, with what it had before.
  Node& start_member() {
    node_.reset();
    if (!std::filesystem::exists(state_.path() / "membership.toml"))
      save_membership(state_.path() / "membership.toml", server_->member());
    Config config;
    config.domain = "verkstad.net";
    node_ = std::make_unique<Node>(io_, config, state_.path());
    return *node_;
  }
  /// Of another domain.
  Node& start_foreign(const std::map<std::string, HostPort>& servers = {}) {
    node_.reset();
    Config config;
    config.domain = "local";
    config.sns = servers;
    config.sns["verkstad.net"] = *HostPort::parse(server_->address(), sns::default_port);
    node_ = std::make_unique<Node>(io_, config, state_.path());
    return *node_;
  }

  /// As the daemon does, until `ready()`.
  template <class Ready>
  void run(Ready ready) {
    ASSERT_TRUE(sns::run_until(io_, [&] {
      node_->residents.keep_registered();
      return ready();
    }));
  }
  /// What an operation that ends with an errno ends with.
  template <class Start>
  int result(Start start) {
    std::optional<int> error;
    start([&](int ended) { error = ended; });
    if (!sns::run_until(io_, [&] { return error.has_value(); })) std::abort();
    return *error;
  }
  int create(const EndpointName& name) {
    return result([&](auto done) { node_->residents.create(name, done); });
  }
  int remove(const EndpointName& name) {
    return result([&](auto done) { node_->residents.remove(name, done); });
  }
  Runtime::Resolved resolve(const EndpointName& peer, const std::string& service = "", bool first = false) {
    std::optional<Runtime::Resolved> found;
    node_->peers->resolve(peer, service, first, [&](Runtime::Resolved resolved) { found = std::move(resolved); });
    if (!sns::run_until(io_, [&] { return found.has_value(); })) std::abort();
    return *found;
  }
  /// What the peer is told after its handshake.
  std::string vet(const EndpointName& peer, const sns::Certificate& certificate, bool vouched = false) {
    std::optional<std::string> verdict;
    node_->peers->vet(peer, certificate.get(), vouched, [&](const std::string& why) { verdict = why; });
    if (!sns::run_until(io_, [&] { return verdict.has_value(); })) std::abort();
    return *verdict;
  }

  /// Others who ask and tell the name server, on a loop of their own.
  sns::Asker& others() {
    others_client_ = std::make_unique<sns::Client>(others_io_, server_->member());
    others_.emplace(others_io_, *others_client_);
    return *others_;
  }

  sns::TemporaryFolder server_folder_;
  sns::TemporaryFolder state_;
  std::optional<sns::RunningServer> server_;
  asio::io_context io_;
  asio::io_context others_io_;
  std::unique_ptr<Node> node_;
  sns::KeyPair key_ = sns::KeyPair::generate();
  EndpointName peer_ = sns::endpoint("peer@verkstad.net");
  EndpointName here_ = sns::endpoint("here@verkstad.net");

 private:
  std::optional<sns::Tcp::endpoint> server_address_;
  std::unique_ptr<sns::Client> others_client_;
  std::optional<sns::Asker> others_;
};

inline Runtime::Resolved at_address(const sns::Address& address) {
  return Runtime::Addresses{sns::to_endpoint(address)};
}

}  // namespace sessionfs::fs::testing
