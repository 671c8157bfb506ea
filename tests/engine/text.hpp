// Bytes as text, to write and to compare them in tests.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/ring.hpp"

namespace sessionfs::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string text_of(const Parts& parts) {
  std::string out;
  for (const auto& part : parts) out.append(reinterpret_cast<const char*>(part.data()), part.size());
  return out;
}

}  // namespace sessionfs::test
