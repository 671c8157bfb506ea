// Big-endian numbers and fields with a length, appended to and taken from bytes.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::sns {

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}

  template <std::unsigned_integral T>
  void number(T value) {
    std::array<std::byte, sizeof(T)> bytes{};
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<std::byte>(value >> 8 * (sizeof(T) - 1 - i));
    raw(bytes);
  }
  void raw(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// The length as a Length, then the bytes. The caller knows that the length fits.
  template <std::unsigned_integral Length>
  void field(std::span<const std::byte> bytes) {
    number(static_cast<Length>(bytes.size()));
    raw(bytes);
  }

 private:
  std::vector<std::byte>& out_;
};

/// Takes from the front. After the first failure all further calls fail and give zeros.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && in_.empty(); }
  [[nodiscard]] std::size_t left_bytes() const { return in_.size(); }
  void fail() { ok_ = false; }

  template <std::unsigned_integral T>
  T number() {
    T value = 0;
    for (const std::byte one : raw(sizeof(T)))
      value = static_cast<T>(std::uint64_t{value} << 8 | std::to_integer<T>(one));
    return value;
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
  /// A field of at most `limit` bytes, as Writer::field() writes it.
  template <std::unsigned_integral Length>
  std::span<const std::byte> field(std::size_t limit) {
    const std::size_t size = number<Length>();
    if (size > limit) ok_ = false;
    return raw(size);
  }
  template <std::size_t Size>
  std::array<std::byte, Size> array() {
    std::array<std::byte, Size> out{};
    const auto bytes = raw(Size);
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
  }

 private:
  std::span<const std::byte> in_;
  bool ok_ = true;
};

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string to_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace sessionfs::sns
