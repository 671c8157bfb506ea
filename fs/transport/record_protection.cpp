#include "fs/transport/record_protection.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/objects.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace sessionfs::fs {

namespace {

void require(bool ok, const char* what) {
  if (!ok) throw RecordError(std::string(what) + ": " + openssl_error());
}

unsigned char* bytes_of(std::byte* at) { return reinterpret_cast<unsigned char*>(at); }
const unsigned char* bytes_of(const std::byte* at) { return reinterpret_cast<const unsigned char*>(at); }

// HKDF-Expand-Label(secret, label, "", size) of RFC 8446, 7.1.
void expand_label(const EVP_MD* digest, std::span<const unsigned char> secret, std::string_view label,
                  std::span<unsigned char> out) {
  std::string info{static_cast<char>(out.size() >> 8), static_cast<char>(out.size())};
  const std::string full_label = "tls13 " + std::string(label);
  info += static_cast<char>(full_label.size());
  info += full_label;
  info += '\0';

  using KdfPtr = std::unique_ptr<EVP_KDF, OpensslFree<EVP_KDF_free>>;
  using KdfContextPtr = std::unique_ptr<EVP_KDF_CTX, OpensslFree<EVP_KDF_CTX_free>>;
  const KdfPtr kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  require(kdf != nullptr, "HKDF");
  const KdfContextPtr context(EVP_KDF_CTX_new(kdf.get()));
  require(context != nullptr, "HKDF");
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(EVP_MD_get0_name(digest)), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<unsigned char*>(secret.data()), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end(),
  };
  require(EVP_KDF_derive(context.get(), out.data(), out.size(), parameters) == 1, "HKDF");
}

}  // namespace

TrafficKey::TrafficKey(const SSL_CIPHER* cipher, std::vector<unsigned char> secret, bool seals)
    : digest_(SSL_CIPHER_get_handshake_digest(cipher)),
      cipher_(EVP_CIPHER_fetch(nullptr, OBJ_nid2sn(SSL_CIPHER_get_cipher_nid(cipher)), nullptr)),
      context_(EVP_CIPHER_CTX_new()),
      secret_(std::move(secret)),
      seals_(seals) {
  require(digest_ && cipher_ && context_, "a TLS cipher");
  require(secret_.size() == static_cast<std::size_t>(EVP_MD_get_size(digest_)), "a TLS secret");
  install();
}

TrafficKey::~TrafficKey() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

void TrafficKey::install() {
  std::array<unsigned char, EVP_MAX_KEY_LENGTH> key{};
  const auto key_bytes = static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher_.get()));
  expand_label(digest_, secret_, "key", std::span(key).first(key_bytes));
  expand_label(digest_, secret_, "iv", iv_);
  const int ok = EVP_CipherInit_ex2(context_.get(), cipher_.get(), key.data(), nullptr, seals_ ? 1 : 0, nullptr);
  OPENSSL_cleanse(key.data(), key.size());
  require(ok == 1, "a TLS key");
  sequence_ = 0;
}

void TrafficKey::update() {
  std::vector<unsigned char> next(secret_.size());
  expand_label(digest_, secret_, "traffic upd", next);
  OPENSSL_cleanse(secret_.data(), secret_.size());
  secret_ = std::move(next);
  install();
}

void TrafficKey::begin_record(std::span<const std::byte, record_header_bytes> header) {
  auto nonce = iv_;
  for (std::size_t i = 0; i < sizeof(sequence_); ++i) {
    nonce[nonce_bytes - 1 - i] ^= static_cast<unsigned char>(sequence_ >> (8 * i));
  }
  ++sequence_;
  int unused = 0;
  const bool ok = EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, nonce.data(), -1, nullptr) == 1 &&
                  EVP_CipherUpdate(context_.get(), nullptr, &unused, bytes_of(header.data()), record_header_bytes) == 1;
  require(ok, "a TLS record");
}

RecordProtection::RecordProtection(TrafficSecrets secrets)
    : send_(secrets.cipher, std::move(secrets.send), true),
      receive_(secrets.cipher, std::move(secrets.receive), false) {}

std::size_t RecordProtection::seal(RecordType type, Gather& content, std::byte* to, std::size_t most) {
  const std::size_t size = std::min(content.size(), most);
  const std::size_t payload = size + 1 + record_tag_bytes;
  to[0] = std::byte(RecordType::application_data);
  to[1] = to[2] = std::byte{3};
  to[3] = std::byte(payload >> 8);
  to[4] = std::byte(payload);
  send_.begin_record(std::span<const std::byte, record_header_bytes>(to, record_header_bytes));

  EVP_CIPHER_CTX* context = send_.context();
  std::byte* at = to + record_header_bytes;
  int written = 0;
  bool ok = true;
  for (std::size_t left = size; left > 0;) {
    const auto part = content.take(left);
    ok = ok && EVP_EncryptUpdate(context, bytes_of(at), &written, bytes_of(part.data()), static_cast<int>(part.size()));
    at += part.size();
    left -= part.size();
  }
  const auto inner_type = static_cast<unsigned char>(type);
  ok = ok && EVP_EncryptUpdate(context, bytes_of(at), &written, &inner_type, 1) == 1;
  at += 1;
  ok = ok && EVP_EncryptFinal_ex(context, bytes_of(at), &written) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, record_tag_bytes, at) == 1;
  require(ok, "a TLS record");
  return record_header_bytes + payload;
}

std::optional<std::size_t> RecordProtection::record_size(std::span<const std::byte> input) {
  if (input.size() < record_header_bytes) return std::nullopt;
  if (input[0] != std::byte(RecordType::application_data)) throw RecordError("what came is no encrypted TLS record");
  const std::size_t payload = std::to_integer<std::size_t>(input[3]) << 8 | std::to_integer<std::size_t>(input[4]);
  if (payload < 1 + record_tag_bytes || payload > max_record_payload_bytes) {
    throw RecordError("a TLS record of a size that is not allowed");
  }
  return record_header_bytes + payload;
}

RecordProtection::Opened RecordProtection::open(std::span<const std::byte> record, std::byte* to) {
  receive_.begin_record(record.first<record_header_bytes>());
  const auto sealed = record.subspan(record_header_bytes, record.size() - record_header_bytes - record_tag_bytes);
  std::array<unsigned char, record_tag_bytes> tag{};
  std::ranges::copy(std::span(bytes_of(record.data()), record.size()).last<record_tag_bytes>(), tag.begin());

  EVP_CIPHER_CTX* context = receive_.context();
  int written = 0;
  unsigned char nothing = 0;
  const bool ok =
      EVP_DecryptUpdate(context, bytes_of(to), &written, bytes_of(sealed.data()), static_cast<int>(sealed.size())) &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, record_tag_bytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context, &nothing, &written) == 1;
  if (!ok) {
    ERR_clear_error();
    throw RecordError("a TLS record was altered on its way");
  }
  std::size_t size = sealed.size();
  while (size > 0 && to[size - 1] == std::byte{0}) --size;  // padding
  if (size == 0) throw RecordError("a TLS record without a type");
  const auto type = static_cast<RecordType>(to[size - 1]);
  const std::span content(to, size - 1);
  if (content.size() > max_record_content_bytes) throw RecordError("a TLS record that is too large");
  return Opened{type, content};
}

}  // namespace sessionfs::fs
