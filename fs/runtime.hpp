// The engine's driver: does what its actions say with connections, timers and state files. It decides nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/host.hpp"
#include "fs/paths.hpp"
#include "fs/state_file.hpp"
#include "fs/transport/dial.hpp"

namespace sessionfs::fs {

class Runtime {
 public:
  using Addresses = std::vector<boost::asio::ip::tcp::endpoint>;
  using Resolved = std::variant<Addresses, DialFailure>;

  /// What the runtime needs of its surroundings, and whom it tells. All are called from the event loop.
  struct Hooks {
    /// Where `peer` is now; `done` is called exactly once, never from inside the call.
    std::function<void(const EndpointName& peer, const std::string& service, bool first,
                       std::function<void(Resolved)> done)>
        resolve;
    /// By which interfaces to connect to a peer at these addresses, best first; `move`: by the best one alone.
    std::function<std::vector<Way>(const EndpointName& local, const Addresses& peer, bool move)> ways;
    /// What a connection that stands is worth, where the host is now.
    std::function<Paths::Carries(const EndpointName& local, const SecureConnection&)> carries;
    /// Over which interface a connection should rather be, empty: over none; `by_peer`: the peer has made it.
    std::function<std::string(const EndpointName& local, const SecureConnection&, bool by_peer)> better_link;
    /// What proves that we are `local`; null when it does not reside here.
    std::function<std::shared_ptr<const TlsIdentity>(const EndpointName& local)> identity;
    /// The folder of the endpoint's sessions.
    std::function<std::filesystem::path(const EndpointName& local)> session_folder;
    std::function<void(const std::shared_ptr<Session>&)> wake;
    std::function<void(const Session&, const Transitioned&)> transitioned;
    std::function<void(const EndpointName&, const std::string& service)> arrived;
    /// The session is over. When its endpoint remembers that for good, its file goes, and then `forgotten` is called.
    std::function<bool(const Session&)> remember_end;
    std::function<void(const Session&)> forgotten;
    /// It was frozen, and is nothing here any more.
    std::function<void(const Session&)> departed;
    /// On `connection` a residence of `generation` asks for the state of `endpoint`.
    std::function<void(const EndpointName& endpoint, std::uint64_t generation, std::shared_ptr<SecureConnection>)>
        hand_over;
  };

  Runtime(boost::asio::io_context& io, std::size_t buffer_bytes, Durability durability);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }

  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] Time now() const;

  /// Does all that the engine asks for now. Call it after whatever has touched the host.
  void pump();
  /// Stores what has changed. Call it before an application is told of a change.
  void store_changes();

  /// A connection from outside, its peer proven.
  void adopt(std::shared_ptr<SecureConnection> connection);

  /// Where `session`, which has been stored, is kept.
  [[nodiscard]] StateFile& state_file(const Session& session) { return *files_.at(&session); }
  /// What nobody knows of the reading of `session` before this start; null when there is no doubt.
  [[nodiscard]] const StateFile::Unsure* unsure(const Session& session) const;

  /// Brings all sessions to the disk. Nothing may be done with them any more. The destructor does it, too: also a
  /// daemon that could not start has had them in use.
  void finish();

  /// A session from its state file goes on. Throws what StateFile::open() throws.
  void restore(Endpoint& endpoint, const std::filesystem::path& path);

  /// Takes all sessions of `endpoint` out (Host::freeze()); what they are stays stored, too. Returns their records.
  std::vector<SessionRecord> freeze(Endpoint& endpoint);
  /// Stores a session that has come from elsewhere, at `folder`, for restore(). Throws std::system_error.
  void store_arrived(const std::filesystem::path& folder, const SessionRecord& session) const;

  /// Nothing of the sessions of `endpoint` changes between the two: what comes for them waits, and applications should
  /// not be served.
  void hold(const EndpointName& endpoint) { held_.insert(endpoint); }
  void release(const EndpointName& endpoint);
  [[nodiscard]] bool is_held(const EndpointName& endpoint) const { return held_.contains(endpoint); }

  /// Links, addresses, or the choice between them have changed. Lets go of the connections that may not or cannot carry
  /// anything any more.
  void handle_network_change();

  /// The connection that carries `session` now, or null.
  [[nodiscard]] std::shared_ptr<SecureConnection> connection_of(const Session& session) const;
  [[nodiscard]] std::size_t connections() const { return links_.size(); }
  /// Since the start: those that came to stand, and of them those that nobody here has ended.
  [[nodiscard]] std::uint64_t connections_made() const { return connections_made_; }
  [[nodiscard]] std::uint64_t connections_lost() const { return connections_lost_; }

 private:
  void take_what_waited(const EndpointName& endpoint);
  class Link;
  struct FileKey {
    EndpointName local;
    SessionId id;
    bool creator = false;
    friend auto operator<=>(const FileKey&, const FileKey&) = default;
  };

  std::optional<Session::Memories> make_memories(const EndpointName& local, const SessionId& id, bool creator);
  void perform(const Action& action);
  void store(Session& session);
  void dial(const Action& action);
  void resolved(ConnId conn, const std::shared_ptr<Session>& session, const Resolved& result);
  void transmit(ConnId conn);
  void check_path(ConnId conn);
  void close(ConnId conn, bool flush);
  void forget(const Session& session);
  void hand_over(const Action& action);
  void arm_timer();

  boost::asio::io_context& io_;
  boost::asio::steady_timer timer_;
  std::optional<Time> armed_;
  std::size_t buffer_bytes_;
  Disk disk_;
  Hooks hooks_;
  Host host_;
  std::unordered_map<ConnId, std::shared_ptr<Link>> links_;
  std::map<FileKey, std::shared_ptr<StateFile>> fresh_files_;  // of sessions that the host is just making
  std::unordered_map<const Session*, std::shared_ptr<StateFile>> files_;
  std::unordered_map<const Session*, StateFile::Unsure> unsure_;
  std::set<EndpointName> held_;
  std::uint64_t connections_made_ = 0;
  std::uint64_t connections_lost_ = 0;
  bool pumping_ = false;
  bool finished_ = false;
};

/// `count` bytes of the system's randomness.
std::vector<std::byte> random_bytes(std::size_t count);
SessionId random_session_id();
std::uint64_t random_seed();

}  // namespace sessionfs::fs
