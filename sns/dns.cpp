#include "sns/dns.hpp"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "engine/name.hpp"
#include "sns/join_token.hpp"
#include "sns/srv.hpp"

namespace sessionfs::sns {
namespace {

constexpr int edns_bytes = 1232;  // fits into a packet of any IPv6 link

bool library_ready() {
  static const bool ready = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return ready;
}

// What c-ares says of a question, in our words.
Status dns_status(int status) {
  switch (status) {
    case ARES_SUCCESS:
      return Status::ok;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
      return Status::not_found;
    default:
      return Status::unreachable;
  }
}

std::optional<asio::ip::tcp::endpoint> to_endpoint(const sockaddr* address, std::uint16_t port) {
  if (address != nullptr && address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return asio::ip::tcp::endpoint(asio::ip::address_v4(ntohl(v4.sin_addr.s_addr)), port);
  }
  if (address != nullptr && address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    asio::ip::address_v6::bytes_type bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return asio::ip::tcp::endpoint(asio::ip::address_v6(bytes, v6.sin6_scope_id), port);
  }
  return std::nullopt;
}

bool can_be_host(std::string_view text) {
  return !text.empty() && text.size() <= max_host_bytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

bool is_dns_domain(std::string_view domain) {
  const auto valid = parse_domain(domain);
  if (!valid) return false;
  const auto top = valid->substr(valid->rfind('.') + 1);
  if (std::ranges::all_of(top, [](char c) { return c >= '0' && c <= '9'; })) return false;
  return top != "local" && top != "localhost" && top != "invalid" && top != "onion";
}

// One call, with a channel of its own: c-ares reads /etc/resolv.conf only when a channel is made.
class Dns::Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  Lookup(Dns& dns, Done done) : dns_(&dns), done_(std::move(done)), retry_(dns.io_), limit_(dns.io_) {}
  ~Lookup() { close(); }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  bool open(bool search);
  void find_servers(const std::string& domain);
  void find_addresses(const std::string& host, std::uint16_t port);
  void finish(Found found);
  void close();

 private:
  // Addresses of one host: a place in the order of all.
  struct Target {
    Lookup* lookup = nullptr;
    std::uint16_t port = 0;
    std::optional<Status> status;  // none yet: it is being asked
    std::vector<asio::ip::tcp::endpoint> addresses;
  };
  // A socket of c-ares, which opens and closes it.
  struct Watch {
    explicit Watch(asio::io_context& io) : descriptor(io) {}
    ~Watch() { descriptor.release(); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    asio::posix::stream_descriptor descriptor;
    std::array<bool, 2> wanted{};   // to read, to write
    std::array<bool, 2> waiting{};  // the same
  };
  using WatchPtr = std::shared_ptr<Watch>;

  static void handle_state(void* self, ares_socket_t socket, int readable, int writable);
  static void handle_srv(void* self, int status, int timeouts, unsigned char* message, int bytes);
  static void handle_addresses(void* place, int status, int timeouts, ares_addrinfo* found);
  void take_srv(int status, std::span<const std::uint8_t> message);
  void ask(Target& target, const std::string& host);
  void watch(ares_socket_t socket, bool readable, bool writable);
  void wait(const WatchPtr& watch, std::size_t direction);
  void handle_ready(const WatchPtr& watch, std::size_t direction);
  void arm();
  void finish_if_all_known();
  [[nodiscard]] Found found(Status otherwise) const;

  Dns* dns_;
  Done done_;
  ares_channel channel_ = nullptr;
  std::string domain_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::chrono::seconds lifetime_ = max_dns_lifetime;
  std::map<ares_socket_t, WatchPtr> watches_;
  asio::steady_timer retry_;
  asio::steady_timer limit_;
  bool finished_ = false;
  bool counts_ = false;
  static inline std::atomic<std::size_t> lookups_in_process{0};
};

bool Dns::Lookup::open(bool search) {
  counts_ = true;
  if (++lookups_in_process > max_dns_lookups) return false;
  ares_options options{};
  options.flags = ARES_FLAG_EDNS | (search ? 0 : ARES_FLAG_NOSEARCH);
  options.ednspsz = edns_bytes;
  options.timeout = static_cast<int>(dns_->config_.query_limit.count());
  options.tries = dns_->config_.tries;
  options.sock_state_cb = handle_state;
  options.sock_state_cb_data = this;
  const int given = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (!library_ready() || ares_init_options(&channel_, &options, given) != ARES_SUCCESS) return false;
  std::string servers;
  for (const auto& server : dns_->config_.servers) servers += (servers.empty() ? "" : ",") + server;
  if (!servers.empty() && ares_set_servers_ports_csv(channel_, servers.c_str()) != ARES_SUCCESS) return false;
  limit_.expires_after(dns_->config_.lookup_limit);
  limit_.async_wait([self = shared_from_this()](auto error) {
    if (!error) self->finish(self->found(Status::unreachable));
  });
  return true;
}

// c-ares then tells every question still open that it ends, which is of no interest any more.
void Dns::Lookup::close() {
  finished_ = true;
  if (std::exchange(counts_, false)) --lookups_in_process;
  dns_ = nullptr;
  done_ = nullptr;
  retry_.cancel();
  limit_.cancel();
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  watches_.clear();
}

// --- questions and answers ---------------------------------------------------------------------------------------

void Dns::Lookup::find_servers(const std::string& domain) {
  domain_ = domain;
  ares_query(channel_, ("_sns._tcp." + domain).c_str(), dns_class_internet, dns_type_srv, handle_srv, this);
  arm();
}

void Dns::Lookup::handle_srv(void* self, int status, int /*timeouts*/, unsigned char* message, int bytes) {
  auto& lookup = *static_cast<Lookup*>(self);
  if (!lookup.finished_) lookup.take_srv(status, {message, message == nullptr ? 0 : static_cast<std::size_t>(bytes)});
}

void Dns::Lookup::take_srv(int status, std::span<const std::uint8_t> message) {
  SrvAnswer answer;
  if (status == ARES_SUCCESS) {
    auto parsed = parse_srv_answer(message);
    if (!parsed) return finish({});
    answer = std::move(*parsed);
  } else if (dns_status(status) != Status::not_found) {
    return finish({});
  }
  if (!answer.any) return find_addresses(domain_, default_port);
  if (answer.records.empty()) {
    return finish({answer.none_offered ? Status::not_found : Status::unreachable, {}, {}});
  }
  lifetime_ = std::min(lifetime_, answer.ttl);
  auto records = in_order(std::move(answer.records), dns_->random_);
  if (records.size() > max_srv_targets) records.resize(max_srv_targets);
  // All are there before the first is asked: the answer may come from inside the question.
  for (const auto& record : records) {
    targets_.push_back(std::make_unique<Target>(Target{this, record.port, std::nullopt, {}}));
  }
  for (std::size_t i = 0; i < records.size(); ++i) ask(*targets_[i], records[i].target);
}

void Dns::Lookup::find_addresses(const std::string& host, std::uint16_t port) {
  targets_.push_back(std::make_unique<Target>(Target{this, port, std::nullopt, {}}));
  ask(*targets_.back(), host);
  arm();
}

void Dns::Lookup::ask(Target& target, const std::string& host) {
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;  // sorting tries a socket for each of however many addresses
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, handle_addresses, &target);
}

void Dns::Lookup::handle_addresses(void* place, int status, int /*timeouts*/, ares_addrinfo* found) {
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owner(found, &ares_freeaddrinfo);
  auto& target = *static_cast<Target*>(place);
  auto& lookup = *target.lookup;
  if (lookup.finished_) return;
  std::vector<asio::ip::tcp::endpoint> v4;
  std::vector<asio::ip::tcp::endpoint> v6;
  auto ttl = max_dns_lifetime;
  if (status == ARES_SUCCESS && found != nullptr) {
    for (auto* node = found->nodes; node != nullptr; node = node->ai_next) {
      const auto address = to_endpoint(node->ai_addr, target.port);
      if (!address || address->address().is_unspecified() || address->address().is_multicast()) continue;
      auto& family = address->address().is_v4() ? v4 : v6;
      if (family.size() < max_host_addresses && !std::ranges::count(family, *address)) family.push_back(*address);
      ttl = std::min(ttl, std::chrono::seconds(node->ai_ttl));
    }
    for (auto* alias = found->cnames; alias != nullptr; alias = alias->next) {
      ttl = std::min(ttl, std::chrono::seconds(alias->ttl));
    }
  }
  for (std::size_t i = 0; i < std::max(v4.size(), v6.size()); ++i) {
    if (i < v6.size()) target.addresses.push_back(v6[i]);
    if (i < v4.size()) target.addresses.push_back(v4[i]);
  }
  if (target.addresses.size() > max_host_addresses) target.addresses.resize(max_host_addresses);
  target.status = dns_status(status);
  if (target.addresses.empty() && target.status == Status::ok) target.status = Status::not_found;
  if (!target.addresses.empty()) lookup.lifetime_ = std::min(lookup.lifetime_, ttl);
  lookup.finish_if_all_known();
}

void Dns::Lookup::finish_if_all_known() {
  if (!std::ranges::all_of(targets_, [](const auto& target) { return target->status.has_value(); })) return;
  const bool none = std::ranges::all_of(targets_, [](const auto& t) { return t->status == Status::not_found; });
  finish(found(none ? Status::not_found : Status::unreachable));
}

Dns::Found Dns::Lookup::found(Status otherwise) const {
  Found result;
  for (const auto& target : targets_) {
    for (const auto& address : target->addresses) {
      if (result.servers.size() < max_server_addresses && !std::ranges::count(result.servers, address)) {
        result.servers.push_back(address);
      }
    }
  }
  result.status = result.servers.empty() ? otherwise : Status::ok;
  if (result.status == Status::ok) result.lifetime = std::clamp(lifetime_, min_dns_lifetime, max_dns_lifetime);
  return result;
}

// Often from inside of c-ares, which must have returned before its channel goes.
void Dns::Lookup::finish(Found found) {
  if (std::exchange(finished_, true)) return;
  asio::post(dns_->io_, [self = shared_from_this(), result = std::move(found)] {
    if (self->dns_ == nullptr) return;
    const auto done = std::move(self->done_);
    self->dns_->lookups_.erase(self);
    self->close();
    done(result);
  });
}

// --- sockets and timers ------------------------------------------------------------------------------------------

void Dns::Lookup::handle_state(void* self, ares_socket_t socket, int readable, int writable) {
  static_cast<Lookup*>(self)->watch(socket, readable != 0, writable != 0);
}

void Dns::Lookup::watch(ares_socket_t socket, bool readable, bool writable) {
  auto place = watches_.find(socket);
  if (!readable && !writable) {
    if (place == watches_.end()) return;
    place->second->wanted[0] = place->second->wanted[1] = false;
    place->second->descriptor.release();
    watches_.erase(place);
    return;
  }
  if (finished_) return;
  if (place == watches_.end()) {
    boost::system::error_code error;
    place = watches_.emplace(socket, std::make_shared<Watch>(dns_->io_)).first;
    place->second->descriptor.assign(socket, error);  // where it fails, the question ends by its time
  }
  const auto watch = place->second;
  watch->wanted[0] = readable;
  watch->wanted[1] = writable;
  for (const std::size_t direction : {0U, 1U}) wait(watch, direction);
}

void Dns::Lookup::wait(const WatchPtr& watch, std::size_t direction) {
  if (!watch->wanted[direction] || !watch->descriptor.is_open() || std::exchange(watch->waiting[direction], true))
    return;
  const auto type = direction == 0 ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
  watch->descriptor.async_wait(type, [self = shared_from_this(), watch, direction](auto error) {
    watch->waiting[direction] = false;
    if (!error) self->handle_ready(watch, direction);
  });
}

void Dns::Lookup::handle_ready(const WatchPtr& watch, std::size_t direction) {
  if (finished_ || !watch->wanted[direction]) return;
  const int socket = watch->descriptor.native_handle();
  ares_process_fd(channel_, direction == 0 ? socket : ARES_SOCKET_BAD, direction == 0 ? ARES_SOCKET_BAD : socket);
  wait(watch, direction);
  arm();
}

void Dns::Lookup::arm() {
  timeval value{};
  if (finished_ || ares_timeout(channel_, nullptr, &value) == nullptr) return;
  retry_.expires_after(std::chrono::seconds(value.tv_sec) + std::chrono::microseconds(value.tv_usec));
  retry_.async_wait([self = shared_from_this()](auto error) {
    if (error || self->finished_) return;
    ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    self->arm();
  });
}

// --- the calls ---------------------------------------------------------------------------------------------------

Dns::Dns(asio::io_context& io, DnsConfig config) : io_(io), config_(std::move(config)), random_(config_.seed) {}

Dns::~Dns() {
  for (const auto& lookup : lookups_) lookup->close();
}

std::shared_ptr<Dns::Lookup> Dns::add(Done done) {
  return *lookups_.insert(std::make_shared<Lookup>(*this, std::move(done))).first;
}

void Dns::find_name_servers(const std::string& domain, Done done) {
  const auto lookup = add(std::move(done));
  if (!is_dns_domain(domain)) return lookup->finish({Status::not_found, {}, {}});
  if (!lookup->open(false)) return lookup->finish({});
  lookup->find_servers(domain);
}

void Dns::find_host(const std::string& host, std::uint16_t port, Done done) {
  const auto lookup = add(std::move(done));
  boost::system::error_code no_address;
  const auto address = asio::ip::make_address(host, no_address);
  if (!no_address) return lookup->finish({Status::ok, {asio::ip::tcp::endpoint(address, port)}, max_dns_lifetime});
  if (!can_be_host(host)) return lookup->finish({Status::not_found, {}, {}});
  if (!lookup->open(true)) return lookup->finish({});
  lookup->find_addresses(host, port);
}

}  // namespace sessionfs::sns
