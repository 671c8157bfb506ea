// The daemon: one event loop that the mount, the engine, the connections, the name server's client and the kernel's
// network events share. Here they meet, and nowhere else.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/applications.hpp"
#include "fs/config.hpp"
#include "fs/documents.hpp"
#include "fs/media.hpp"
#include "fs/mount.hpp"
#include "fs/names.hpp"
#include "fs/operations.hpp"
#include "fs/peers.hpp"
#include "fs/residents.hpp"
#include "fs/runtime.hpp"
#include "fs/transport/listener.hpp"
#include "fs/travel.hpp"

namespace sessionfs::fs {

/// How often the name server is asked again while an endpoint is not registered.
inline constexpr int registration_retry_ms = 2000;
/// How long a daemon waits for the one before it to let go of the state folder.
inline constexpr int lock_wait_ms = 5000;
/// How long the start waits for the default endpoint.
inline constexpr int settle_ms = 3000;

/// Name servers are told of a change of addresses no sooner than this after the one before.
inline constexpr Duration names_pause = std::chrono::milliseconds(100);

/// Where the daemon mounts media that nobody else does, and the unit does with systemd (udev-rules/).
inline constexpr const char* media_root = "/run/sessionfs/media";

struct DaemonOptions {
  std::string mountpoint;
  std::vector<std::string> mount_options;
  bool debug = false;
  std::filesystem::path state;
};

class Daemon {
 public:
  /// Loads the state, listens, and mounts. Throws std::exception with one line that says what is wrong.
  Daemon(boost::asio::io_context& io, const Config& config, const DaemonOptions& options);
  ~Daemon();

  [[nodiscard]] std::string mountpoint() const { return mount_->mountpoint(); }

  /// Waits until what a user expects right after the start is there: in a domain of this daemon's own, the default
  /// endpoint.
  void settle();

  /// Until the mount is gone or a signal asks to end. Everything is stored when it returns.
  void run();

 private:
  void connect_parts(const Config& config);
  void network_changed();
  /// That the host's addresses are others.
  void tell_names();
  void peer_moved(const EndpointName& peer);
  void keep_registered();
  void open_storage(const Resident& resident);
  void end();

  /// The state folder belongs to one daemon at a time.
  class Lock;

  boost::asio::io_context& io_;
  std::unique_ptr<Lock> lock_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer retry_;
  boost::asio::steady_timer names_timer_;
  Runtime runtime_;
  Authorities authorities_;
  Paths paths_;
  Names names_;
  std::shared_ptr<Peers> peers_;
  Residents residents_;
  Documents documents_;
  Travel travel_;
  Media media_;
  Applications applications_;
  Operations operations_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Mount> mount_;
  Time names_told_at_{};
  bool names_wait_ = false;
  bool ending_ = false;
};

}  // namespace sessionfs::fs
