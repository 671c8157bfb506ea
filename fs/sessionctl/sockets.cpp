#include "fs/sessionctl/sockets.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int backlog = 128;

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

bool is_port(const std::string& text) {
  const bool digits =
      !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  return digits && std::stoi(text) > 0 && std::stoi(text) <= 65535;
}

Addresses addresses_of(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
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

[[noreturn]] void refuse(const std::string& what) { throw Error(what + ": " + std::strerror(errno), errno); }

}  // namespace

std::string fault_of_place(const std::string& place) {
  if (is_path(place)) return "";
  return is_port(split(place).second) ? "" : "is no port, no HOST:PORT, and no path with a slash";
}

Listeners::Listeners(const std::string& place) {
  if (is_path(place)) {
    listen_at_path(place);
  } else {
    const auto [host, port] = split(place);
    listen_at(host, port);
  }
}

Listeners::~Listeners() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Listeners::listen_at_path(const std::string& path) {
  const auto address = address_of(path);
  sockets_.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int socket = sockets_.back().get();
  const mode_t mask = ::umask(0177);  // for its owner alone
  const int bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(mask);
  if (bound != 0 && errno == EADDRINUSE)
    throw Error(path + ": is there already; remove it, or use another", EADDRINUSE);
  if (bound != 0) refuse(path);
  path_ = path;
  if (::listen(socket, backlog) != 0) refuse(path);
}

void Listeners::listen_at(const std::string& host, const std::string& port) {
  const auto found = addresses_of(host, port, 0);
  int number = 0;
  for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
    Descriptor socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (socket.get() >= 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (socket.get() >= 0 && each->ai_family == AF_INET6)
      ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (socket.get() >= 0 && ::bind(socket.get(), each->ai_addr, each->ai_addrlen) == 0 &&
        ::listen(socket.get(), backlog) == 0) {
      sockets_.push_back(std::move(socket));
    } else if (number == 0 || errno == EADDRINUSE) {
      number = errno;  // a host without one of the two protocols is none to speak of
    }
  }
  if (sockets_.empty() || number == EADDRINUSE) {
    errno = number;
    refuse((host.empty() ? "port " : host + ":") + port);
  }
}

Descriptor connect_to(const std::string& place) {
  if (is_path(place)) {
    const auto address = address_of(place);
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) refuse(place);
    return socket;
  }
  const auto [host, port] = split(place);
  const auto found = addresses_of(host, port, 0);
  for (const addrinfo* each = found.get(); each != nullptr; each = each->ai_next) {
    Descriptor socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.get() >= 0 && ::connect(socket.get(), each->ai_addr, each->ai_addrlen) == 0) return socket;
  }
  refuse(place);
}

}  // namespace sessionfs::ctl
