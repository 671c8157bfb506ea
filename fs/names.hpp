// This host and the name servers: its membership of a domain, where its endpoints are announced, and where others are.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/name.hpp"
#include "engine/session.hpp"
#include "fs/config.hpp"
#include "fs/links.hpp"
#include "fs/runtime.hpp"
#include "sns/client.hpp"
#include "sns/responder.hpp"

namespace sessionfs::fs {

/// Residences remembered for the time when the name server cannot be asked.
inline constexpr std::size_t max_cached_residences = 4096;

class Names {
 public:
  /// `changed` is called when links or addresses of this host have changed.
  Names(boost::asio::io_context& io, const Config& config, std::filesystem::path state, std::function<void()> changed);
  ~Names();

  /// Joins the domain's name server by what is stored; for the domain `local` starts the one of this daemon.
  /// Throws std::runtime_error when what is stored is damaged.
  void start(std::uint16_t listen_port, std::string mountpoint);

  /// Whether this host is a member of its domain.
  [[nodiscard]] bool joined() const { return client_ != nullptr; }
  /// Whether the domain's name server is this daemon's own.
  [[nodiscard]] bool serves_domain() const { return local_ != nullptr; }
  /// The name server's client; null before joined().
  [[nodiscard]] sns::Client* client() { return client_.get(); }
  /// The authority that signs this domain's names; null before joined().
  [[nodiscard]] X509* authority() const { return authority_.get(); }

  /// Becomes a member by a token of `snsd token`. `done` gets an errno and, where it is not 0, one line that says why.
  void join(const std::string& token, std::function<void(int error, const std::string& why)> done);

  /// Links or addresses have changed: the name server is reached by a new connection from now on.
  void handle_network_change();

  /// Where `peer` is; `first`: its `service` is asked for too, and must exist. `resides_here`: it is one of ours, which
  /// is reached without any network.
  void resolve(const EndpointName& peer, const std::string& service, bool first, bool resides_here,
               const std::function<void(Runtime::Resolved)>& done);

  /// Where the endpoints of this host can be reached now.
  [[nodiscard]] std::vector<sns::Address> residence() const;

  // In words, for `status`.
  [[nodiscard]] const std::string& domain() const { return config_.domain; }
  [[nodiscard]] const std::string& mountpoint() const { return mountpoint_; }
  [[nodiscard]] std::string state() const;
  [[nodiscard]] std::vector<std::string> addresses() const;
  [[nodiscard]] const Links& links() const { return links_; }

 private:
  void start_local();
  void use(const sns::Membership& membership);
  [[nodiscard]] std::filesystem::path membership_file() const;
  [[nodiscard]] Runtime::Addresses own_addresses() const;
  void resolved(const EndpointName& peer, bool first, bool resides_here, sns::Status status,
                const sns::EndpointInfo& info, const std::function<void(Runtime::Resolved)>& done);

  boost::asio::io_context& io_;
  const Config& config_;
  std::filesystem::path state_;
  Links links_;
  std::uint16_t port_ = 0;
  std::string mountpoint_;
  std::unique_ptr<sns::Responder> local_;
  sns::Certificate authority_;
  std::unique_ptr<sns::Client> client_;
  std::unordered_map<EndpointName, Runtime::Addresses> known_;
};

/// The errno that says what a name server's answer means to a caller of mkdir, touch or cat.
int errno_of(sns::Status status);

}  // namespace sessionfs::fs
