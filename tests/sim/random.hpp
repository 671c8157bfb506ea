// Repeatable randomness for tests.
#pragma once

#include <cstdint>
#include <random>

namespace sessionfs::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }
  /// In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + engine_() % (high - low + 1); }
  bool chance(unsigned percent) { return percent > 0 && engine_() % 100 < percent; }

 private:
  std::mt19937_64 engine_;
};

/// The byte at `offset` of the stream that `salt` names: known everywhere, kept nowhere.
inline std::byte stream_byte(std::uint64_t salt, std::uint64_t offset) {
  std::uint64_t z = salt + (offset / 8 + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return static_cast<std::byte>((z ^ (z >> 31)) >> (8 * (offset % 8)));
}

}  // namespace sessionfs::test
