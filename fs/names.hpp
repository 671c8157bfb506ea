// This host and the name servers: its membership of a domain, where its endpoints are announced, and whom to ask for
// the endpoints of each domain.
//
// The server of a domain is where the configuration's [sns] says; else where the token of this host said, for its own
// domain, and where DNS says (thesis, 3.3.4).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/name.hpp"
#include "engine/session.hpp"
#include "fs/authorities.hpp"
#include "fs/config.hpp"
#include "fs/paths.hpp"
#include "fs/runtime.hpp"
#include "sns/client.hpp"
#include "sns/responder.hpp"

namespace sessionfs::fs {

/// Other domains whose name servers are known at once. For one more, one that nobody waits for is let go.
inline constexpr std::size_t max_foreign_domains = 1024;
/// In the state directory: the key by which this host tries to join, until it has joined.
inline constexpr const char* joining_name = "joining.key";
/// How often the name server in this daemon looks for leases that have run out.
inline constexpr std::chrono::seconds local_tick{1};

class Names {
 public:
  Names(boost::asio::io_context& io, const Config& config, std::filesystem::path state, Authorities& authorities,
        const Paths& paths);
  ~Names();

  /// Joins the domain's name server by what is stored; for the domain `local` starts the one of this daemon.
  /// Throws std::runtime_error when what is stored is damaged.
  void start(std::uint16_t listen_port, std::string mountpoint);

  /// Whether this host is a member of its domain.
  [[nodiscard]] bool joined() const { return client_ != nullptr; }
  /// Whether the domain's name server is this daemon's own.
  [[nodiscard]] bool serves_domain() const { return local_ != nullptr; }
  /// The client of this domain's name server; null before joined().
  [[nodiscard]] sns::Client* client() { return client_.get(); }
  /// That of any domain's; null when it cannot be asked: before joined(), and when somebody waits for each of
  /// max_foreign_domains others. Whoever waits for its answer or its news keeps the pointer; it does not keep the
  /// client beyond the end of Names.
  [[nodiscard]] std::shared_ptr<sns::Client> client_of(const std::string& domain);
  /// Forgets a domain of which no name server has answered, unless somebody waits for it.
  void let_go(const std::string& domain);
  [[nodiscard]] std::size_t foreign_domains() const { return foreign_.size(); }

  /// Becomes a member by a token of `snsd token`. `done` gets an errno and, where it is not 0, one line that says why:
  /// EBUSY while another token is tried.
  void join(const std::string& token, std::function<void(int error, const std::string& why)> done);

  /// Links or addresses have changed; `moved`: an endpoint of this host is reached at others. False when that is
  /// nothing to the name servers: they know all, and the ways to them are the same. Else they are reached by new
  /// connections from now on.
  bool handle_network_change(bool moved);

  /// Where this host reaches its own endpoints.
  [[nodiscard]] Runtime::Addresses own_addresses() const;
  /// Where an endpoint of this host can be reached now.
  [[nodiscard]] std::vector<sns::Address> residence(const EndpointName& endpoint) const;

  // In words, for `status`.
  [[nodiscard]] const std::string& domain() const { return config_.domain; }
  [[nodiscard]] const std::string& mountpoint() const { return mountpoint_; }
  [[nodiscard]] std::string state() const;

 private:
  struct Foreign {
    std::unique_ptr<sns::Client> client;
    sns::Certificate ca;  // by which it was made; none: it believes what it is shown first
    std::uint64_t last_use = 0;
    std::shared_ptr<char> users = std::make_shared<char>();  // shared with them

    [[nodiscard]] bool in_use() const { return users.use_count() > 1; }
    [[nodiscard]] const sns::Certificate& believed() const { return ca ? ca : client->authority(); }
  };

  [[nodiscard]] Foreign make_foreign(const std::string& domain, const sns::Certificate& ca);
  bool make_room();
  /// The links by which others than their neighbours are reached.
  [[nodiscard]] std::vector<Link> routes() const;
  void start_local();
  void use(const sns::Membership& membership);
  [[nodiscard]] std::filesystem::path membership_file() const;
  void start_tick();

  boost::asio::io_context& io_;
  const Config& config_;
  std::filesystem::path state_;
  const Paths& paths_;
  std::vector<Link> routes_;
  std::uint16_t port_ = 0;
  std::string mountpoint_;
  Authorities& authorities_;
  std::unique_ptr<sns::Responder> local_;
  boost::asio::steady_timer tick_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::unique_ptr<sns::Client> client_;
  bool joining_ = false;
  std::unordered_map<std::string, Foreign> foreign_;  // by domain
  std::vector<Foreign> outdated_;                     // for those who wait for an answer still
  std::uint64_t last_use_ = 0;
};

/// The key in `file`; when there is none yet, a new one is put there. Throws what read_file() and replace_file() throw,
/// and std::runtime_error when it holds no key.
sns::KeyPair kept_key(const std::filesystem::path& file);

/// Whether it means that no answer has come: what was asked may have been done or not.
bool is_silence(sns::Status status);
/// The errno that says what a name server's answer means to a caller of mkdir, touch or cat.
int errno_of(sns::Status status);

}  // namespace sessionfs::fs
