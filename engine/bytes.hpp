// Big-endian numbers and length-prefixed strings in byte buffers.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs {

template <std::unsigned_integral T>
constexpr void store_big_endian(std::span<std::byte, sizeof(T)> to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to[i] = std::byte(value >> (8 * (sizeof(T) - 1 - i)));
}

template <std::unsigned_integral T>
constexpr T load_big_endian(std::span<const std::byte> from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = T(value << 8 | std::to_integer<T>(from[i]));
  return value;
}

/// Appends to a vector.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}

  template <std::unsigned_integral T>
  void number(T value) {
    std::array<std::byte, sizeof(T)> bytes{};
    store_big_endian(std::span(bytes), value);
    raw(bytes);
  }
  void raw(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// A 32-bit length, then the bytes.
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    raw(std::as_bytes(std::span(value)));
  }

 private:
  std::vector<std::byte>& out_;
};

/// Takes from the front of a span. After the first failure all further calls fail.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> in) : in_(in) {}

  [[nodiscard]] bool ok() const { return ok_; }
  /// All was taken and nothing failed.
  [[nodiscard]] bool done() const { return ok_ && in_.empty(); }
  [[nodiscard]] std::size_t left() const { return in_.size(); }

  template <std::unsigned_integral T>
  T number() {
    const auto bytes = raw(sizeof(T));
    return ok_ ? load_big_endian<T>(bytes) : T{};
  }
  std::span<const std::byte> raw(std::size_t count) {
    if (!ok_ || in_.size() < count) {
      ok_ = false;
      return {};
    }
    const auto bytes = in_.first(count);
    in_ = in_.subspan(count);
    return bytes;
  }
  /// A text of at most `limit` bytes, as ByteWriter::text() writes it.
  std::string text(std::size_t limit) {
    const auto size = number<std::uint32_t>();
    if (size > limit) ok_ = false;
    const auto bytes = raw(size);
    return ok_ ? std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) : std::string();
  }

 private:
  std::span<const std::byte> in_;
  bool ok_ = true;
};

}  // namespace sessionfs
