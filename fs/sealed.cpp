#include "fs/sealed.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "engine/bytes.hpp"
#include "engine/record.hpp"

namespace sessionfs::fs {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint32_t sealed_magic = 0x53465358;  // "SFSX"
constexpr std::uint16_t sealed_version = 1;
constexpr std::array<std::uint8_t, 3> own_cost{17, 8, 1};
constexpr std::uint8_t max_cost_log = 18;
constexpr std::size_t nonce_bytes = 12;
constexpr std::size_t tag_bytes = 16;
constexpr std::size_t head_bytes = 4 + 2 + 3 + 16 + nonce_bytes + 8;

struct Deleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("the record cannot be sealed or opened: ") + what);
}

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }

template <std::size_t size>
void take(ByteReader& in, std::array<std::uint8_t, size>& out) {
  std::ranges::transform(in.raw(size), out.begin(), [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
}

void derive(std::string_view passphrase, const std::array<std::uint8_t, 3>& cost,
            const std::array<std::uint8_t, 16>& salt, std::array<std::uint8_t, 32>& key) {
  const std::unique_ptr<EVP_KDF, Deleter> kdf(EVP_KDF_fetch(nullptr, "SCRYPT", nullptr));
  require(kdf != nullptr, "no scrypt");
  const std::unique_ptr<EVP_KDF_CTX, Deleter> context(EVP_KDF_CTX_new(kdf.get()));
  std::uint64_t n = std::uint64_t{1} << cost[0];
  std::uint64_t r = cost[1];
  std::uint64_t p = cost[2];
  std::uint64_t memory = std::uint64_t{1} << 30;
  auto* pass = const_cast<char*>(passphrase.data());
  auto* salt_at = const_cast<std::uint8_t*>(salt.data());
  const std::array<OSSL_PARAM, 7> params{
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, pass, passphrase.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_at, salt.size()),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_R, &r),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_P, &p),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
      OSSL_PARAM_construct_end()};
  require(EVP_KDF_derive(context.get(), key.data(), key.size(), params.data()) == 1, "not enough memory");
}

}  // namespace

SealKey SealKey::from_passphrase(std::string_view passphrase) {
  SealKey made;
  made.cost_ = own_cost;
  require(RAND_bytes(made.salt_.data(), static_cast<int>(made.salt_.size())) == 1, "no random numbers");
  derive(passphrase, made.cost_, made.salt_, made.key_);
  return made;
}

std::string SealKey::text() const {
  std::string text(cost_.begin(), cost_.end());
  text.append(salt_.begin(), salt_.end());
  return text.append(key_.begin(), key_.end());
}

std::optional<SealKey> SealKey::from_text(std::string_view text) {
  SealKey read;
  if (text.size() != read.cost_.size() + read.salt_.size() + read.key_.size()) return std::nullopt;
  ByteReader in(std::as_bytes(std::span(text)));
  take(in, read.cost_);
  take(in, read.salt_);
  take(in, read.key_);
  return read;
}

std::string SealKey::seal(std::string_view content) const {
  Bytes bytes;
  ByteWriter out(bytes);
  std::array<std::byte, nonce_bytes> nonce{};
  require(RAND_bytes(raw(nonce.data()), nonce_bytes) == 1, "no random numbers");
  out.number(sealed_magic);
  out.number(sealed_version);
  out.raw(std::as_bytes(std::span(cost_)));
  out.raw(std::as_bytes(std::span(salt_)));
  out.raw(nonce);
  out.number(std::uint64_t{content.size()});
  bytes.resize(head_bytes + content.size() + tag_bytes);
  const std::unique_ptr<EVP_CIPHER_CTX, Deleter> context(EVP_CIPHER_CTX_new());
  int count = 0;
  std::byte* at = bytes.data() + head_bytes;
  require(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), raw(nonce.data())) == 1 &&
              EVP_EncryptUpdate(context.get(), nullptr, &count, raw(bytes.data()), head_bytes) == 1 &&
              EVP_EncryptUpdate(context.get(), raw(at), &count, raw(std::as_bytes(std::span(content)).data()),
                                static_cast<int>(content.size())) == 1 &&
              EVP_EncryptFinal_ex(context.get(), raw(at + content.size()), &count) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, tag_bytes, raw(at + content.size())) == 1,
          "OpenSSL has failed");
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// All but the key itself. Nothing: they are none, or would cost too much.
std::optional<SealKey> SealKey::parameters_of(std::string_view sealed) {
  ByteReader in(std::as_bytes(std::span(sealed)));
  if (in.number<std::uint32_t>() != sealed_magic || in.number<std::uint16_t>() != sealed_version) return std::nullopt;
  SealKey read;
  take(in, read.cost_);
  take(in, read.salt_);
  const auto& cost = read.cost_;
  if (!in.ok() || cost[0] == 0 || cost[0] > max_cost_log || cost[1] != own_cost[1] || cost[2] != own_cost[2])
    return std::nullopt;
  return read;
}

std::optional<std::string> SealKey::open(std::string_view sealed) const {
  const auto all = std::as_bytes(std::span(sealed));
  ByteReader in(all);
  (void)in.raw(head_bytes - sizeof(std::uint64_t) - nonce_bytes);
  const auto nonce = in.raw(nonce_bytes);
  const auto size = in.number<std::uint64_t>();
  if (!in.ok() || size > max_record_bytes) return std::nullopt;
  const auto content = in.raw(static_cast<std::size_t>(size));
  const auto tag = in.raw(tag_bytes);
  if (!in.ok()) return std::nullopt;
  std::string opened(content.size(), '\0');
  const std::unique_ptr<EVP_CIPHER_CTX, Deleter> context(EVP_CIPHER_CTX_new());
  int count = 0;
  auto* out = raw(std::as_writable_bytes(std::span(opened)).data());
  auto* tag_at = const_cast<std::byte*>(tag.data());
  const bool good =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), raw(nonce.data())) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &count, raw(all.data()), head_bytes) == 1 &&
      EVP_DecryptUpdate(context.get(), out, &count, raw(content.data()), static_cast<int>(content.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, tag_bytes, raw(tag_at)) == 1 &&
      EVP_DecryptFinal_ex(context.get(), out + content.size(), &count) == 1;
  return good ? std::optional(std::move(opened)) : std::nullopt;
}

bool is_sealed(std::string_view bytes) {
  ByteReader in(std::as_bytes(std::span(bytes)));
  return in.number<std::uint32_t>() == sealed_magic && in.ok();
}

std::optional<Opened> open_sealed(std::string_view bytes, std::string_view passphrase) {
  auto key = SealKey::parameters_of(bytes);
  if (!key) return std::nullopt;
  derive(passphrase, key->cost_, key->salt_, key->key_);
  return open_sealed(bytes, *key);
}

std::optional<Opened> open_sealed(std::string_view bytes, const SealKey& key) {
  const auto parameters = SealKey::parameters_of(bytes);
  if (!parameters || parameters->cost_ != key.cost_ || parameters->salt_ != key.salt_) return std::nullopt;
  auto content = key.open(bytes);
  if (!content) return std::nullopt;
  return Opened{std::move(*content), key};
}

}  // namespace sessionfs::fs
