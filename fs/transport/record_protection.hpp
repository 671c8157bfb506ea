// What makes application data into TLS 1.3 records and back (RFC 8446, section 5), after the handshake.
//
// The wire is TLS 1.3 to the letter. That this is done here and not by SSL_write() and SSL_read() saves two copies of
// every byte on the way out, two on the way in, and a system call for every record: a record is sealed from where the
// caller has its bytes to where the kernel takes them from. It is the one place that knows how records are protected.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "fs/transport/buffers.hpp"
#include "sns/openssl.hpp"

namespace sessionfs::fs {

enum class RecordType : std::uint8_t { alert = 21, handshake = 22, application_data = 23 };

inline constexpr std::size_t record_header_bytes = 5;
inline constexpr std::size_t record_tag_bytes = 16;
inline constexpr std::size_t record_overhead_bytes = record_header_bytes + 1 + record_tag_bytes;  // 1: the inner type
inline constexpr std::size_t max_record_content_bytes = 16384;
/// Of what follows the header, as a peer may pad it (RFC 8446, 5.2).
inline constexpr std::size_t max_record_payload_bytes = max_record_content_bytes + 256;
/// Records sealed by one key before it is changed (RFC 8446, 5.5 has 2^24.5 full ones for AES-GCM).
inline constexpr std::uint64_t max_records_per_key = std::uint64_t{1} << 24;

/// What came is no record, or was altered, or OpenSSL cannot do what it should. what() is one line for people.
class RecordError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What the handshake has agreed upon.
struct TrafficSecrets {
  const SSL_CIPHER* cipher = nullptr;
  std::vector<unsigned char> send;
  std::vector<unsigned char> receive;
};

/// One direction: a key, the number of its next record, and the secret that the next key comes from.
class TrafficKey {
 public:
  /// Throws RecordError.
  TrafficKey(const SSL_CIPHER* cipher, std::vector<unsigned char> secret, bool seals);
  ~TrafficKey();
  TrafficKey(const TrafficKey&) = delete;
  TrafficKey& operator=(const TrafficKey&) = delete;

  /// Goes on to the next key (RFC 8446, 7.2). Throws RecordError.
  void update();
  [[nodiscard]] std::uint64_t records() const { return sequence_; }

  /// Begins the next record, whose header is authenticated with it.
  void begin_record(std::span<const std::byte, record_header_bytes> header);
  EVP_CIPHER_CTX* context() { return context_.get(); }

 private:
  using CipherPtr = std::unique_ptr<EVP_CIPHER, OpensslFree<EVP_CIPHER_free>>;
  using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, OpensslFree<EVP_CIPHER_CTX_free>>;
  static constexpr std::size_t nonce_bytes = 12;

  void install();

  const EVP_MD* digest_;
  CipherPtr cipher_;
  CipherContextPtr context_;
  std::vector<unsigned char> secret_;
  std::array<unsigned char, nonce_bytes> iv_{};
  std::uint64_t sequence_ = 0;
  bool seals_;
};

class RecordProtection {
 public:
  struct Opened {
    RecordType type{};
    std::span<std::byte> content;
  };

  /// Throws RecordError.
  explicit RecordProtection(TrafficSecrets secrets);

  /// The size of the record that the next seal() of so much content makes.
  static std::size_t sealed_size(std::size_t content_bytes, std::size_t most = max_record_content_bytes) {
    return std::min(content_bytes, most) + record_overhead_bytes;
  }
  /// Takes up to `most` (at most max_record_content_bytes) from `content` and writes their record to `to`, which has
  /// room for sealed_size(content.size(), most). Returns the record's size. Throws RecordError.
  std::size_t seal(RecordType type, Gather& content, std::byte* to, std::size_t most = max_record_content_bytes);

  /// The size of the record that begins at `input`, once its header is there. Throws RecordError.
  static std::optional<std::size_t> record_size(std::span<const std::byte> input);
  /// Opens one whole record into `to`, which has room for as many bytes as the record has. Throws RecordError.
  Opened open(std::span<const std::byte> record, std::byte* to);

  /// By the present key.
  [[nodiscard]] std::uint64_t records_sealed() const { return send_.records(); }
  /// True when the key has sealed max_records_per_key: a KeyUpdate must be sent, then update_send_key() called.
  [[nodiscard]] bool send_key_is_used_up() const { return send_.records() >= max_records_per_key; }
  void update_send_key() { send_.update(); }
  void update_receive_key() { receive_.update(); }

 private:
  TrafficKey send_;
  TrafficKey receive_;
};

}  // namespace sessionfs::fs
