#include "fs/runtime.hpp"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

/// Of an endpoint that is held, from one peer.
constexpr std::size_t max_waiting_bytes = std::size_t{64} << 20;

DialFailure failure_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::untrusted:
      return DialFailure::untrusted;
    case CloseReason::not_here:
      return DialFailure::not_here;
    case CloseReason::handshake_timeout:
      return DialFailure::timed_out;
    default:
      return DialFailure::unreachable;
  }
}

std::string state_file_name(const SessionId& id, bool creator) { return id.hex() + (creator ? "-out" : "-in"); }

void finish_file(const std::string& whose, StateFile& file) {
  try {
    file.finish();
  } catch (const std::system_error& error) {
    spdlog::error("{}: {}", whose, error.what());
  }
}

}  // namespace

// A connection and the number by which the engine knows it.
class Runtime::Link final : public ConnectionHandler, public std::enable_shared_from_this<Link> {
 public:
  Link(Runtime& runtime, ConnId id) : runtime_(runtime), id_(id) {}

  void on_ready(const EndpointName&) override {
    ready_ = true;
    ++runtime_.connections_made_;
    runtime_.host_.handle_dialled(id_, runtime_.now());
    runtime_.pump();
  }
  void on_input(std::span<const std::byte> bytes) override {
    const auto keep = shared_from_this();
    heard_ = true;
    if (runtime_.is_held(connection->local_name())) {
      waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
      // More than a peer sends of its streams without an answer: it may dial again.
      if (waiting_.size() > max_waiting_bytes) connection->abort();
      return;
    }
    runtime_.host_.handle_input(id_, bytes, runtime_.now());
    if (!checked_ && runtime_.host_.carried_by(id_)) {
      checked_ = true;
      runtime_.check_path(id_);
    }
    runtime_.pump();
  }
  void on_drained() override {
    const auto keep = shared_from_this();
    runtime_.transmit(id_);
    runtime_.pump();
  }
  void on_closed(CloseReason reason, std::string why) override {
    const auto keep = shared_from_this();
    spdlog::debug("connection {} ended: {}", id_, why);
    runtime_.links_.erase(id_);
    // A peer looks at our certificate after our side of the handshake is done.
    const bool refused = reason == CloseReason::untrusted && !heard_;
    if (ready_ && !refused) {
      ++runtime_.connections_lost_;
      runtime_.host_.handle_closed(id_, runtime_.now());
    } else {
      runtime_.host_.handle_dial_failed(id_, failure_of(reason), runtime_.now());
    }
    runtime_.pump();
  }

  std::shared_ptr<SecureConnection> connection;
  void adopt() { ready_ = by_peer_ = true; }
  [[nodiscard]] bool by_peer() const { return by_peer_; }
  [[nodiscard]] bool stands() const { return ready_; }
  /// What came while the endpoint was held.
  void take_what_waited() {
    const auto bytes = std::exchange(waiting_, {});
    if (!bytes.empty()) on_input(bytes);
  }

 private:
  Runtime& runtime_;
  ConnId id_;
  bool ready_ = false;
  bool by_peer_ = false;
  bool heard_ = false;
  std::vector<std::byte> waiting_;
  bool checked_ = false;  // whether there is a better path than this new channel's
};

Runtime::Runtime(boost::asio::io_context& io, std::size_t buffer_bytes, Durability durability)
    : io_(io),
      timer_(io),
      buffer_bytes_(buffer_bytes),
      disk_{.durability = durability},
      host_([this](const EndpointName& local, const SessionId& id, bool creator) {
        return make_memories(local, id, creator);
      }) {
  host_.tell_transitions();
}

Runtime::~Runtime() {
  finish();
  for (const auto& [id, link] : links_) {
    if (!link->connection) continue;
    link->connection->set_handler(nullptr);
    link->connection->abort();
  }
}

Time Runtime::now() const { return std::chrono::steady_clock::now().time_since_epoch(); }

void Runtime::pump() {
  if (std::exchange(pumping_, true)) return;
  while (const auto action = host_.poll_action()) perform(*action);
  pumping_ = false;
  arm_timer();
}

void Runtime::store_changes() {
  while (const auto action = host_.poll_store()) store(*action->session);
}

void Runtime::perform(const Action& action) {
  switch (action.kind) {
    case Action::Kind::store:
      return store(*action.session);
    case Action::Kind::dial:
      return dial(action);
    case Action::Kind::transmit:
      return transmit(action.conn);
    case Action::Kind::close:
      return close(action.conn, action.flush);
    case Action::Kind::tell:
      return hooks_.transitioned(*action.session, action.transitioned);
    case Action::Kind::wake:
      return hooks_.wake(action.session);
    case Action::Kind::arrived:
      return hooks_.arrived(action.endpoint, action.service);
    case Action::Kind::forget:
      return forget(*action.session);
    case Action::Kind::hand_over:
      return hand_over(action);
  }
}

std::optional<Session::Memories> Runtime::make_memories(const EndpointName& local, const SessionId& id, bool creator) {
  const auto path = hooks_.session_folder(local) / state_file_name(id, creator);
  try {
    auto file = StateFile::create(path, buffer_bytes_, disk_);
    auto memories = file->memories();
    fresh_files_[{local, id, creator}] = std::move(file);
    return memories;
  } catch (const std::system_error& error) {
    spdlog::error("{}: a session cannot be made: {}", local.str(), error.what());
    return std::nullopt;
  }
}

void Runtime::store(Session& session) {
  auto found = files_.find(&session);
  if (found == files_.end()) {
    const auto fresh = fresh_files_.extract({session.local(), session.id(), session.creator()});
    if (fresh.empty()) return;  // forgotten meanwhile
    found = files_.emplace(&session, std::move(fresh.mapped())).first;
  }
  found->second->save(session.image());
  host_.handle_stored(session, session.recv_buffer().received(), now());
}

void Runtime::forget(const Session& session) {
  // What cannot be stored of its end is found in the session's own file at the next start.
  const bool remembered = hooks_.remember_end(session);
  if (const auto file = files_.find(&session); file != files_.end()) {
    if (remembered) file->second->remove();
    files_.erase(file);
  }
  unsure_.erase(&session);
  hooks_.forgotten(session);
}

void Runtime::restore(Endpoint& endpoint, const std::filesystem::path& path) {
  auto file = StateFile::open(path, disk_);
  const auto stored = file->load();
  if (!stored || stored->image.local != endpoint.name) throw Damaged(path.string() + ": holds no whole session");
  const SessionImage& image = stored->image;
  auto memories = file->memories();
  fresh_files_[{image.local, image.id, image.creator}] = std::move(file);
  const auto session = host_.restore(endpoint, image, std::move(memories), random_seed(), now());
  if (session == nullptr) {
    fresh_files_.erase({image.local, image.id, image.creator});
    throw Damaged(path.string() + ": is a session that is here already");
  }
  if (!stored->unsure) return;
  unsure_[session.get()] = *stored->unsure;
  spdlog::warn("{}: {}: {}", endpoint.name.str(), image.file_name, describe(*stored->unsure));
}

void Runtime::release(const EndpointName& endpoint) {
  if (held_.erase(endpoint) > 0) take_what_waited(endpoint);
}

void Runtime::take_what_waited(const EndpointName& endpoint) {
  std::vector<std::shared_ptr<Link>> waited;
  for (const auto& [conn, link] : links_)
    if (link->connection && link->connection->local_name() == endpoint) waited.push_back(link);
  for (const auto& link : waited)
    if (link->connection->has_handler()) link->take_what_waited();
}

std::vector<SessionRecord> Runtime::freeze(Endpoint& endpoint) {
  const bool was_held = held_.erase(endpoint.name) > 0;
  store_changes();
  std::vector<SessionRecord> records;
  for (auto& [session, record] : host_.freeze(endpoint, now())) {
    if (const auto file = files_.find(session.get()); file != files_.end()) {
      finish_file(endpoint.name.str() + ": " + session->file_name(), *file->second);
      files_.erase(file);
    }
    unsure_.erase(session.get());
    hooks_.departed(*session);
    records.push_back(std::move(record));
  }
  pump();
  if (was_held) take_what_waited(endpoint.name);
  return records;
}

void Runtime::store_arrived(const std::filesystem::path& folder, const SessionRecord& session) const {
  constexpr std::size_t page_bytes = 4096;
  const std::size_t kept = std::max(session.sent.size(), session.received.size());
  const std::size_t capacity = std::max(buffer_bytes_, (kept + page_bytes - 1) / page_bytes * page_bytes);
  const auto file =
      StateFile::create(folder / state_file_name(session.image.id, session.image.creator), capacity, disk_);
  const auto memories = file->memories();
  const auto fill = [](Memory& memory, const std::vector<std::byte>& bytes) {
    if (bytes.empty()) return;
    if (!memory.reserve(bytes.size())) throw std::system_error(ENOSPC, std::generic_category(), "a session");
    std::ranges::copy(bytes, memory.bytes().begin());
  };
  fill(*memories.send, session.sent);
  fill(*memories.receive, session.received);
  file->save(session.image);
  file->finish();
}

void Runtime::hand_over(const Action& action) {
  const auto link = links_.extract(action.conn);
  if (link.empty() || !link.mapped()->connection) return;
  link.mapped()->connection->set_handler(nullptr);
  hooks_.hand_over(action.endpoint, action.generation, link.mapped()->connection);
}

const StateFile::Unsure* Runtime::unsure(const Session& session) const {
  const auto found = unsure_.find(&session);
  return found == unsure_.end() ? nullptr : &found->second;
}

void Runtime::finish() {
  if (std::exchange(finished_, true)) return;
  for (const auto& [session, file] : files_) finish_file(session->local().str() + ": " + session->file_name(), *file);
  // A daemon that ends before its first turn has not stored them again.
  for (const auto& [key, file] : fresh_files_) finish_file(key.local.str(), *file);
}

void Runtime::dial(const Action& action) {
  const ConnId conn = action.conn;
  links_[conn] = std::make_shared<Link>(*this, conn);
  const auto& session = action.session;
  const bool first = session->state() == State::connecting;
  hooks_.resolve(session->peer(), session->service(), first, [this, conn, session](const Resolved& result) {
    resolved(conn, session, result);
    pump();
  });
}

void Runtime::resolved(ConnId conn, const std::shared_ptr<Session>& session, const Resolved& result) {
  const auto found = links_.find(conn);
  if (found == links_.end()) return;  // no longer wanted
  const auto* addresses = std::get_if<Addresses>(&result);
  const auto identity = hooks_.identity(session->local());
  if (addresses == nullptr || identity == nullptr) {
    links_.erase(found);
    const auto* failure = std::get_if<DialFailure>(&result);
    return host_.handle_dial_failed(conn, failure != nullptr ? *failure : DialFailure::unreachable, now());
  }
  const bool moves = session->state() == State::active;
  found->second->connection = ::sessionfs::fs::dial(
      io_, *identity, session->peer(), hooks_.ways(session->local(), *addresses, moves), found->second.get());
}

void Runtime::adopt(std::shared_ptr<SecureConnection> connection) {
  if (hooks_.carries(connection->local_name(), *connection) == Paths::Carries::no) return connection->abort();
  const ConnId conn = host_.handle_incoming(connection->local_name(), connection->peer(), now());
  const auto link = std::make_shared<Link>(*this, conn);
  link->adopt();
  ++connections_made_;
  link->connection = std::move(connection);
  links_[conn] = link;
  link->connection->set_handler(link.get());
  pump();
}

void Runtime::transmit(ConnId conn) {
  const auto found = links_.find(conn);
  if (found == links_.end() || !found->second->connection) return;
  const auto link = found->second;
  Transmit out;
  while (link->connection->takes_more() && host_.poll_transmit(conn, out, now()))
    link->connection->send(out.head(), out.body);
}

void Runtime::close(ConnId conn, bool flush) {
  const auto found = links_.find(conn);
  if (found == links_.end()) return;
  const auto connection = found->second->connection;
  links_.erase(found);
  if (!connection) return;
  connection->set_handler(nullptr);
  if (flush) {
    connection->close_after_flush();
  } else {
    connection->abort();
  }
}

void Runtime::handle_network_change() {
  std::vector<ConnId> dead;
  for (const auto& [conn, link] : links_) {
    if (link->connection && hooks_.carries(link->connection->local_name(), *link->connection) == Paths::Carries::no)
      dead.push_back(conn);
  }
  for (const ConnId conn : dead) {
    if (links_.at(conn)->stands()) ++connections_lost_;
    close(conn, false);
    host_.handle_closed(conn, now());
  }
  host_.handle_network_change(now());
  std::vector<ConnId> left;
  for (const auto& [conn, link] : links_) left.push_back(conn);
  for (const ConnId conn : left) check_path(conn);
  pump();
}

void Runtime::check_path(ConnId conn) {
  const auto session = host_.carried_by(conn);
  const auto link = links_.find(conn);
  if (!session || link == links_.end() || !link->second->connection) return;
  host_.handle_path(*session, hooks_.better_link(session->local(), *link->second->connection, link->second->by_peer()),
                    now());
}

std::shared_ptr<SecureConnection> Runtime::connection_of(const Session& session) const {
  const auto found = links_.find(session.channel());
  return found == links_.end() ? nullptr : found->second->connection;
}

void Runtime::arm_timer() {
  const auto next = host_.next_timeout();
  if (!next) {
    armed_.reset();
    timer_.cancel();
    return;
  }
  if (armed_ && *armed_ <= *next) return;
  armed_ = next;
  timer_.expires_at(std::chrono::steady_clock::time_point(*next));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    armed_.reset();
    host_.handle_timeout(now());
    pump();
  });
}

std::vector<std::byte> random_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1)
    throw std::runtime_error("the system gives no random numbers");
  return bytes;
}

SessionId random_session_id() {
  SessionId id;
  const auto bytes = random_bytes(id.bytes.size());
  std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  const auto bytes = random_bytes(sizeof(seed));
  std::memcpy(&seed, bytes.data(), sizeof(seed));
  return seed;
}

}  // namespace sessionfs::fs
