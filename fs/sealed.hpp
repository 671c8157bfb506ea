// A record that only a passphrase opens: what lies on a lost stick is then worth no more than the passphrase.
//
//   magic "SFSX" 4, version 2, log2 of scrypt's N 1, r 1, p 1, salt 16, nonce 12, size 8, that many bytes, tag 16
//
// AES-256-GCM (NIST SP 800-38D) over the encoded record, with all that precedes as additional data; the key is
// scrypt(passphrase, salt) (RFC 7914; 128 MiB of memory with the parameters that are used here).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sessionfs::fs {

inline constexpr std::size_t max_passphrase_bytes = 1024;

struct Opened;

class SealKey {
 public:
  /// With a new salt. Throws std::runtime_error when the system has not the memory for it.
  static SealKey from_passphrase(std::string_view passphrase);
  /// As text() has written it; nothing when it is something else.
  static std::optional<SealKey> from_text(std::string_view text);
  /// For a file of mode 0600: who has it opens what is sealed.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] std::string seal(std::string_view content) const;

 private:
  friend std::optional<Opened> open_sealed(std::string_view, std::string_view);
  friend std::optional<Opened> open_sealed(std::string_view, const SealKey&);
  static std::optional<SealKey> parameters_of(std::string_view sealed);
  [[nodiscard]] std::optional<std::string> open(std::string_view sealed) const;
  std::array<std::uint8_t, 3> cost_{};  // log2 of N, r, p
  std::array<std::uint8_t, 16> salt_{};
  std::array<std::uint8_t, 32> key_{};
};

struct Opened {
  std::string content;
  SealKey key;  // to seal it again with
};

[[nodiscard]] bool is_sealed(std::string_view bytes);
/// Nothing when the passphrase is not the right one, or the bytes are damaged. Bytes behind its end are ignored.
/// Parameters that would cost more than twice the memory of our own are refused.
std::optional<Opened> open_sealed(std::string_view bytes, std::string_view passphrase);
/// By the key that it was sealed with; nothing when that was another one.
std::optional<Opened> open_sealed(std::string_view bytes, const SealKey& key);

}  // namespace sessionfs::fs
