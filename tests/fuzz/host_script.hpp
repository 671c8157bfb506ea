// The inputs of fuzz_host: what happens to a host, one step after the other.
#pragma once

#include <initializer_list>

#include "engine/wire.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {

/// One step: its number (modulo `count`), then what stands behind it, a byte each unless another size is given.
/// CONN, SESSION: an index among those that there are. VALUE: see below. COUNT: 2 bytes.
enum class Step : std::uint8_t {
  incoming,        // peer (0 alice, 1 mallory, 2 bob)
  raw,             // CONN, size, bytes
  message,         // CONN, SESSION, index in Message, fields (see fuzz_host.cpp); flags & 4: a VALUE, the source
  data,            // CONN, VALUE offset, COUNT, content
  cut,             // CONN
  answer_dial,     // index
  fail_dial,       // index, DialFailure
  advance,         // index of a time
  write,           // SESSION, COUNT
  read,            // SESSION, COUNT, HostDriver::Reader
  act,             // SESSION, index: finish, close, suspend, resume, abort, request_checkpoint
  network_change,  //
  connect,         // label
  accept,          // service, 1: and gives back
  restart,         // 1: moves
  block,           // CONN, 0: unblocks
  full,            // 0: has room again
  service,         // service, 0: removes, else makes
  endpoint,        // 0: removes, else makes
  better_link,     // SESSION, index of a link; 0: there is none
  distrust,        // CONN: the peer refuses our certificate
  travel,          // 1: as the next residence
  count,
};

/// VALUE: low 4 bits choose what it is measured from, high 4 bits what is added. `number`: 8 bytes follow.
enum class Base : std::uint8_t {
  zero,
  acked,
  sent,
  written,
  limit,  // of what we may send
  read,
  held,
  room,   // what we let the peer send up to
  small,  // a byte follows
  number,
  most,  // 2^64 - 1
};
inline constexpr std::int64_t added[16] = {0, 1, -1, 2, -2, 100, -100, 1000, -1000, 4096, -4096, 7, 10, 65536, 3, 5};

class Script {
 public:
  Script& step(Step step, std::initializer_list<int> arguments = {}) {
    bytes_.push_back(std::byte(step));
    return more(arguments);
  }
  Script& more(std::initializer_list<int> arguments) {
    for (const int one : arguments) bytes_.push_back(std::byte(one));
    return *this;
  }
  static int value(Base base, int index_of_added = 0) { return static_cast<int>(base) | index_of_added << 4; }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace sessionfs::fuzz
