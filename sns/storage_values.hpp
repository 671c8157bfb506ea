// Values as the name server's database holds them: keys as blobs, times in seconds since 1970 or NULL.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

#include "sns/sqlite.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

/// Throws std::runtime_error when there are not so many bytes.
template <std::size_t Size>
std::array<std::byte, Size> fixed(const std::vector<std::byte>& bytes) {
  std::array<std::byte, Size> out{};
  if (bytes.size() != Size) throw std::runtime_error("the name server's database holds a key of the wrong size");
  std::ranges::copy(bytes, out.begin());
  return out;
}

inline std::optional<UnixTime> time_in(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return UnixTime(std::chrono::seconds(row.integer(column)));
}

inline Statement& bind_time(Statement& statement, const std::optional<UnixTime>& time) {
  return time ? statement.bind(to_seconds(*time)) : statement.bind_null();
}

}  // namespace sessionfs::sns
