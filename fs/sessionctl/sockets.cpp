#include "fs/sessionctl/sockets.hpp"

#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int backlog = 128;
constexpr int max_port = 65535;
constexpr int first_port_of_users = 1024;
constexpr int retry_ms = 20;
constexpr int free_port_tries = 10;
constexpr std::size_t discarded_bytes = std::size_t{64} << 10;

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

bool is_path(const std::string& place) { return place.find('/') != std::string::npos; }

// HOST:PORT, [HOST]:PORT or PORT.
std::pair<std::string, std::string> split(const std::string& place) {
  const auto colon = place.rfind(':');
  if (colon == std::string::npos) return {"", place};
  std::string host = place.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {host, place.substr(colon + 1)};
}

std::string joined(const std::string& host, const std::string& port) {
  if (host.empty()) return "port " + port;
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

bool is_port(const std::string& text, int least) {
  const bool digits =
      !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  return digits && std::stoi(text) >= least && std::stoi(text) <= max_port;
}

std::string fault_of_place(const std::string& place, int least_port) {
  if (is_path(place) || is_port(split(place).second, least_port)) return "";
  return "is no port, no HOST:PORT, and no path with a slash";
}

Addresses addresses_of(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) throw Error((host.empty() ? "localhost" : host) + ": " + ::gai_strerror(failed));
  return {found, ::freeaddrinfo};
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(path + ": is too long for a socket; use a shorter path", ENAMETOOLONG);
  std::ranges::copy(path, std::begin(address.sun_path));
  return address;
}

const sockaddr* general(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

void set(const Descriptor& socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket.get(), level, option, &on, sizeof on);
}

// For a connection: who types is not held up, and a host that has gone without a word is noticed. A Unix socket takes
// no notice.
void adjust(const Descriptor& socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY);
  set(socket, SOL_SOCKET, SO_KEEPALIVE);
}

[[noreturn]] void refuse(const std::string& what, int number) {
  throw Error(what + ": " + std::strerror(number), number);
}

[[noreturn]] void refuse_to_listen(const std::string& host, const std::string& port, int number) {
  std::string what = joined(host, port) + ": " + std::strerror(number);
  if (number == EADDRINUSE) what += "; another program listens there, use another port";
  if (number == EACCES && std::stoi(port) < first_port_of_users)
    what += "; below 1024 they are the administrator's, use another port";
  throw Error(what, number);
}

// A socket file that a program has left which was killed.
bool is_stale(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const auto address = address_of(path);
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), general(address), sizeof address) != 0 && errno == ECONNREFUSED;
}

// The same one for IPv4 and IPv6, which have it at one place, when the first was chosen by the kernel.
void keep_port(const Descriptor& socket, addrinfo* others) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  for (; others != nullptr; others = others->ai_next)
    reinterpret_cast<sockaddr_in*>(others->ai_addr)->sin_port = address.sin_port;
}

std::pair<std::string, std::string> numbers_of(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(socket.get(), plain, &size) == 0)
    ::getnameinfo(plain, size, host.data(), host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
  return {host.data(), port.data()};
}

// connect(2) that a signal ends; 0 or the errno.
int try_to_connect(const Descriptor& socket, const sockaddr* address, socklen_t size) {
  if (socket.get() < 0) return errno;
  while (::connect(socket.get(), address, size) != 0) {
    if (errno == EINPROGRESS) break;
    if (errno != EAGAIN) return errno;
    Signals::wait({}, retry_ms);  // a Unix socket at which too many wait
    Signals::check();
  }
  pollfd file{socket.get(), POLLOUT, 0};
  while (file.revents == 0) {
    Signals::wait({&file, 1});
    Signals::check();
  }
  int number = 0;
  socklen_t length = sizeof number;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &number, &length);
  return number;
}

}  // namespace

std::string fault_of_listening_place(const std::string& place) { return fault_of_place(place, 0); }

std::string fault_of_target(const std::string& place) { return fault_of_place(place, 1); }

Listeners::Listeners(const std::string& place) {
  if (is_path(place)) {
    listen_at_path(place);
  } else {
    const auto [host, port] = split(place);
    int tries = port == "0" ? free_port_tries : 1;
    while (true) {
      try {
        listen_at(host, port);
        return;
      } catch (const Error& error) {
        // What is free in one protocol may be taken in the other.
        if (error.number() != EADDRINUSE || --tries == 0) throw;
        sockets_.clear();
      }
    }
  }
}

Listeners::~Listeners() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Listeners::listen_at_path(const std::string& path) {
  const auto address = address_of(path);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (is_stale(path)) ::unlink(path.c_str());
  const mode_t mask = ::umask(0177);  // for its owner alone
  const int bound = ::bind(socket.get(), general(address), sizeof address);
  ::umask(mask);
  if (bound != 0 && errno == EADDRINUSE)
    throw Error(path + ": is there already; another program uses it, or remove it", EADDRINUSE);
  if (bound != 0) refuse(path, errno);
  path_ = path;
  if (::listen(socket.get(), backlog) != 0) refuse(path, errno);
  sockets_.push_back(std::move(socket));
}

void Listeners::listen_at(const std::string& host, const std::string& port) {
  const auto found = addresses_of(host, port);
  int number = 0;
  for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
    Descriptor socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    set(socket, SOL_SOCKET, SO_REUSEADDR);
    if (each->ai_family == AF_INET6) set(socket, IPPROTO_IPV6, IPV6_V6ONLY);
    if (socket.get() >= 0 && ::bind(socket.get(), each->ai_addr, each->ai_addrlen) == 0 &&
        ::listen(socket.get(), backlog) == 0) {
      keep_port(socket, each->ai_next);
      sockets_.push_back(std::move(socket));
    } else if (number == 0 || errno == EADDRINUSE) {
      number = errno;  // a host without one of the two protocols is none to speak of
    }
  }
  if (sockets_.empty() || number == EADDRINUSE) refuse_to_listen(host, port, number);
}

std::vector<std::string> Listeners::places() const {
  if (!path_.empty()) return {path_};
  std::vector<std::string> places;
  for (const auto& socket : sockets_) {
    const auto [host, port] = numbers_of(socket);
    places.push_back(joined(host, port));
  }
  return places;
}

std::vector<pollfd> Listeners::awaited() const {
  std::vector<pollfd> files;
  for (const auto& socket : sockets_) files.push_back({socket.get(), POLLIN, 0});
  return files;
}

std::optional<Descriptor> Listeners::accept() const {
  for (const auto& socket : sockets_) {
    Descriptor accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (accepted.get() < 0) continue;
    adjust(accepted);
    return accepted;
  }
  return std::nullopt;
}

Descriptor connect_to(const std::string& place) {
  const int how = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (is_path(place)) {
    const auto address = address_of(place);
    Descriptor socket(::socket(AF_UNIX, how, 0));
    const int failed = try_to_connect(socket, general(address), sizeof address);
    if (failed != 0) refuse(place, failed);
    return socket;
  }
  const auto [host, port] = split(place);
  const auto found = addresses_of(host, port);
  int failed = 0;
  for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
    Descriptor socket(::socket(each->ai_family, how, 0));
    failed = try_to_connect(socket, each->ai_addr, each->ai_addrlen);
    if (failed != 0) continue;
    adjust(socket);
    return socket;
  }
  refuse(joined(host, port), failed);
}

void close_when_delivered(Descriptor& socket) {
  ::shutdown(socket.get(), SHUT_WR);
  std::array<char, discarded_bytes> discarded{};
  while (true) {
    const ssize_t count = ::recv(socket.get(), discarded.data(), discarded.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) break;
    int waiting = 0;
    if (::ioctl(socket.get(), SIOCOUTQ, &waiting) != 0 || waiting == 0) break;
    Signals::check();
    pollfd file{socket.get(), POLLIN, 0};
    if (count < 0) Signals::wait({&file, 1}, retry_ms);
  }
  socket.reset();
}

void reset(Descriptor& socket) {
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.reset();
}

}  // namespace sessionfs::ctl
