// Sockets of programs that know nothing of sessions: TCP, and Unix sockets by their path.
#pragma once

#include <string>
#include <vector>

#include "fs/sessionctl/descriptor.hpp"

namespace sessionfs::ctl {

/// Listens at `place`: PORT (on the loopback addresses), ADDRESS:PORT, or a path with a slash. Throws Error.
class Listeners {
 public:
  explicit Listeners(const std::string& place);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  [[nodiscard]] const std::vector<Descriptor>& all() const { return sockets_; }

 private:
  void listen_at_path(const std::string& path);
  void listen_at(const std::string& host, const std::string& port);

  std::vector<Descriptor> sockets_;
  std::string path_;  // of a Unix socket, to be removed at the end
};

/// Connects to HOST:PORT, or to a path with a slash. Throws Error.
Descriptor connect_to(const std::string& place);

/// What is wrong with the name of a place; empty: nothing.
std::string fault_of_place(const std::string& place);

}  // namespace sessionfs::ctl
