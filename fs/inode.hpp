// Which file an inode number is, by arithmetic: the low five bits are the kind, the rest a serial number.
#pragma once

#include <cstdint>

namespace sessionfs::fs {

using Inode = std::uint64_t;

enum class Kind : std::uint8_t {
  root = 1,  // FUSE's own number for the root, with serial 0
  root_ctl = 2,
  root_status = 3,
  // The serial is the endpoint's:
  endpoint = 4,
  record = 5,
  ctl = 6,
  status = 7,
  policy = 8,
  access = 9,
  services = 10,
  sessions = 11,
  // The serial is the object's own:
  service = 12,
  session = 13,   // a session, or a name that could be dialled
  document = 14,  // a file or folder on the endpoint's storage
  // Of the root, as the first ones:
  root_metrics = 15,
  root_trace = 16,
};

inline constexpr unsigned kind_bits = 5;

constexpr Inode inode_of(Kind kind, std::uint64_t serial) {
  return (serial << kind_bits) | static_cast<std::uint64_t>(kind);
}
constexpr Kind kind_of(Inode inode) { return static_cast<Kind>(inode & ((1U << kind_bits) - 1)); }
constexpr std::uint64_t serial_of(Inode inode) { return inode >> kind_bits; }

static_assert(inode_of(Kind::root, 0) == 1);

}  // namespace sessionfs::fs
