#include "fs/daemon.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

asio::ip::tcp::endpoint listen_address(const HostPort& listen) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(listen.host, error);
  if (error)
    throw std::runtime_error("sessionfs: " + listen.host + " is no address to listen on; use for example [::]:4700");
  return {address, listen.port};
}

std::filesystem::path made(const std::filesystem::path& folder) {
  // One that was there keeps its mode: it may be a folder of the system's. What is in it is the owner's alone.
  if (std::filesystem::create_directories(folder))
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  return folder;
}

// A mount that is dead cannot be looked at; it is told of when it is mounted over.
std::filesystem::path without_links(const std::string& mountpoint) {
  std::error_code failed;
  auto place = std::filesystem::weakly_canonical(mountpoint, failed);
  return failed ? std::filesystem::path(mountpoint) : place;
}

}  // namespace

class Daemon::Lock {
 public:
  explicit Lock(const std::filesystem::path& state)
      : fd_(::open((state / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (fd_ < 0)
      throw std::runtime_error("sessionfs: " + state.string() + " cannot be written; name another folder with --state");
    // A daemon whose mount was just taken away needs a moment to end.
    const auto limit = std::chrono::steady_clock::now() + std::chrono::milliseconds(lock_wait_ms);
    do {
      if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    } while (std::chrono::steady_clock::now() < limit);
    ::close(fd_);
    throw std::runtime_error("sessionfs: another daemon runs on the state in " + state.string() +
                             "; stop it, or name another folder with --state");
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

Daemon::Daemon(asio::io_context& io, const Config& config, const DaemonOptions& options)
    : io_(io),
      lock_(std::make_unique<Lock>(made(options.state))),
      signals_(io, SIGTERM, SIGINT, SIGHUP),
      retry_(io),
      names_timer_(io),
      runtime_(io, config.buffer_bytes, config.durability),
      authorities_(options.state / authorities_name),
      paths_(io, [this] { network_changed(); }),
      names_(io, config, options.state, authorities_, paths_),
      peers_(std::make_shared<Peers>(
          io, names_, authorities_, [this](const EndpointName& name) { return residents_.find(name) != nullptr; },
          [this](const EndpointName& peer) { peer_moved(peer); })),
      residents_(io, runtime_, names_, peers_, options.state, config.durability),
      documents_(Documents::limits_for(Documents::raise_descriptor_limit())),
      travel_(
          io, runtime_, residents_, names_, paths_, peers_, config.save_grace,
          {
              .in_use =
                  [this](const Resident& resident) {
                    return operations_.in_use(resident) || documents_.in_use(resident.serial);
                  },
              .arrived = [this](const Resident& resident) { applications_.start_for(resident.name, resident.storage); },
          }),
      media_(io, media_root,
             {
                 .came = [this](const std::filesystem::path& root) { travel_.medium_came(root); },
                 .went = [this](const std::filesystem::path& root) { travel_.medium_went(root); },
             }),
      applications_(io, config.apps_folder, options.mountpoint),
      operations_(io, runtime_, residents_, names_, *peers_, paths_, documents_, travel_, media_,
                  without_links(options.mountpoint)) {
  connect_parts(config);
  runtime_.host().set_silence_limits(config.silence_limits);
  names_.start(listener_->port(), options.mountpoint);
  residents_.set_default_name(config.endpoint);
  residents_.load();
  mount_ = std::make_unique<Mount>(
      io, options.mountpoint, options.mount_options, options.debug, Operations::table(), &operations_,
      [this] { runtime_.pump(); }, [this] { end(); });
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) end();
  });
  runtime_.pump();
  keep_registered();
  media_.start();
}

Daemon::~Daemon() = default;

void Daemon::connect_parts(const Config& config) {
  runtime_.set_hooks({
      .resolve =
          [this](const EndpointName& peer, const std::string& service, bool first,
                 const std::function<void(Runtime::Resolved)>& done) { peers_->resolve(peer, service, first, done); },
      .ways = [this](const EndpointName& local, const Runtime::Addresses& peer,
                     bool move) { return paths_.ways(local, peer, move); },
      .carries = [this](const EndpointName& local,
                        const SecureConnection& connection) { return paths_.carries(local, connection); },
      .better_link = [this](const EndpointName& local, const SecureConnection& connection,
                            bool by_peer) { return paths_.better_link(local, connection, by_peer); },
      .identity = [this](const EndpointName& local) { return residents_.identity(local); },
      .session_folder = [this](const EndpointName& local) { return residents_.session_folder(local); },
      .wake = [this](const std::shared_ptr<Session>& session) { operations_.wake(session); },
      .transitioned = [this](const Session& session,
                             const Transitioned& what) { operations_.transitioned(session, what); },
      .arrived = [this](const EndpointName& endpoint,
                        const std::string& service) { operations_.arrived(endpoint, service); },
      .remember_end = [this](const Session& session) { return residents_.remember_end(session); },
      .forgotten =
          [this](const Session& session) {
            operations_.forgotten(session);
            residents_.forgotten(session);
          },
      .departed = [this](const Session& session) { operations_.forgotten(session); },
      .hand_over =
          [this](const EndpointName& endpoint, std::uint64_t generation, std::shared_ptr<SecureConnection> connection) {
            travel_.answer_handoff(endpoint, generation, std::move(connection));
          },
  });
  residents_.on_policy = [this](const Resident& resident) { paths_.set_policy(resident.name, resident.policy); };
  residents_.on_added = [this](const Resident& resident) {
    paths_.set_policy(resident.name, resident.policy);
    open_storage(resident);
  };
  residents_.on_superseded = [this](Resident& resident) { travel_.superseded(resident); };
  residents_.on_frozen = [this](const Resident& resident) { operations_.endpoint_frozen(resident); };
  residents_.on_storage = [this](const Resident& resident) { open_storage(resident); };
  residents_.on_removed = [this](const Resident& resident) {
    paths_.remove(resident.name);
    documents_.remove_storage(resident.serial);
    operations_.endpoint_removed(resident);
  };
  listener_ = std::make_unique<Listener>(
      io_, listen_address(config.listen),
      config.listen_given ? Listener::WhenTaken::fail : Listener::WhenTaken::use_any_port,
      [this](std::string_view sni) { return residents_.identity_for_sni(sni); },
      [this](std::shared_ptr<SecureConnection> connection) { runtime_.adopt(std::move(connection)); });
}

void Daemon::network_changed() {
  tell_names();
  runtime_.handle_network_change();
}

void Daemon::tell_names() {
  const Time due = names_told_at_ + names_pause;
  if (runtime_.now() >= due) {
    if (!names_.handle_network_change(residents_.have_moved())) return;
    names_told_at_ = runtime_.now();
    return residents_.announce();
  }
  if (std::exchange(names_wait_, true)) return;
  names_timer_.expires_at(std::chrono::steady_clock::time_point(due));
  names_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    names_wait_ = false;
    tell_names();
    runtime_.pump();
  });
}

void Daemon::peer_moved(const EndpointName& peer) {
  runtime_.host().handle_moved(peer, runtime_.now());
  runtime_.pump();
}

void Daemon::keep_registered() {
  residents_.keep_registered();
  travel_.keep_trying();
  peers_->end_old_watches();
  runtime_.pump();
  retry_.expires_after(std::chrono::milliseconds(registration_retry_ms));
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (!error) keep_registered();
  });
}

void Daemon::open_storage(const Resident& resident) {
  documents_.remove_storage(resident.serial);
  if (resident.stay != Stay::here && resident.stay != Stay::leaving) return;
  if (const auto error = documents_.add_storage(resident.serial, resident.storage))
    spdlog::error("{}: its documents in {} cannot be used: {}", resident.name.str(),
                  one_line(resident.storage.string()), error.message());
}

void Daemon::end() {
  if (std::exchange(ending_, true)) return;
  residents_.save_all();
  operations_.release_all(ENOTCONN);
  mount_->unmount();
  runtime_.finish();
  io_.stop();
}

void Daemon::settle() {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::milliseconds(settle_ms);
  while (names_.serves_domain() && residents_.find(residents_.default_name()) == nullptr &&
         std::chrono::steady_clock::now() < limit)
    io_.run_one_until(limit);
}

void Daemon::run() { io_.run(); }

}  // namespace sessionfs::fs
