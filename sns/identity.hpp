// Keys, signing requests and certificates: Ed25519 (RFC 8032, RFC 8410), PKCS#8 (RFC 5958), PKCS#10 (RFC 2986),
// X.509 (RFC 5280). All forms are the standard ones, so any tool can inspect them.
//
// What outsiders send is parsed here: bad input gives no value or throws std::runtime_error, nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/name.hpp"
#include "sns/openssl.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::size_t max_pem_bytes = 16 * 1024;
inline constexpr std::size_t max_certificate_bytes = 8 * 1024;      // DER
inline constexpr std::size_t max_signing_request_bytes = 4 * 1024;  // DER

/// An Ed25519 key pair. Copies share one key.
class KeyPair {
 public:
  KeyPair() = default;  // none: get() is null, nothing else may be called

  static KeyPair generate();
  /// From an unencrypted PKCS#8 private key. Throws std::runtime_error when it is none, or not Ed25519.
  static KeyPair from_pem(std::string_view pem);

  explicit operator bool() const { return key_ != nullptr; }
  [[nodiscard]] EVP_PKEY* get() const { return key_.get(); }

  /// The private key as unencrypted PKCS#8: whoever reads it is the owner.
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] PublicKey public_key() const;
  [[nodiscard]] Signature sign(std::span<const std::byte> message) const;

 private:
  explicit KeyPair(PkeyPtr key) : key_(std::move(key)) {}
  std::shared_ptr<EVP_PKEY> key_;
};

/// Whether `signature` is that of `message` by the owner of `key`.
bool verify(const PublicKey& key, std::span<const std::byte> message, const Signature& signature);

/// An X.509 certificate. Copies share it.
class Certificate {
 public:
  Certificate() = default;  // none: get() is null, nothing else may be called
  explicit Certificate(X509Ptr x509) : x509_(std::move(x509)) {}

  /// The first certificate of `pem`. Throws std::runtime_error when there is none.
  static Certificate from_pem(std::string_view pem);
  /// Throws std::runtime_error when `der` is no certificate, or has bytes left over.
  static Certificate from_der(std::span<const std::byte> der);
  /// Takes a reference of its own.
  static Certificate share(X509* x509);

  explicit operator bool() const { return x509_ != nullptr; }
  [[nodiscard]] X509* get() const { return x509_.get(); }

  [[nodiscard]] std::string pem() const;
  [[nodiscard]] std::vector<std::byte> der() const;
  [[nodiscard]] Fingerprint fingerprint() const;
  /// Throws std::runtime_error when its key is not Ed25519.
  [[nodiscard]] PublicKey public_key() const;
  [[nodiscard]] UnixTime not_after() const;

 private:
  std::shared_ptr<X509> x509_;
};

/// The endpoint that the certificate names: the only rfc822Name in its subjectAltName, where it has exactly one and
/// that is a valid name. Says nothing of who signed it.
std::optional<EndpointName> certified_name(const X509* certificate);

/// The URIs of its subjectAltName, at most `max_certified_uris`.
inline constexpr int max_certified_uris = 16;
std::vector<std::string> certified_uris(const X509* certificate);

/// SHA-256 of its DER form.
Fingerprint fingerprint(const X509* certificate);

/// Whether `leaf` is signed by `authority` and both are valid at `now`. `purpose`: X509_PURPOSE_SSL_SERVER, ..._CLIENT.
bool verify_chain(X509* leaf, X509* authority, int purpose, UnixTime now);

/// A request for a certificate, signed by its own key, in DER form. An empty name asks for one that names no endpoint.
std::vector<std::byte> make_signing_request(const KeyPair& key, const EndpointName& name);

struct SigningRequest {
  PublicKey key{};
  EndpointName name;  // empty: it names no endpoint
};

/// Nothing when it is malformed, not Ed25519, not signed by its own key, or asks for more than one endpoint's name.
std::optional<SigningRequest> parse_signing_request(std::span<const std::byte> der);

/// A public key as OpenSSL's object. Never null; throws std::runtime_error for bytes that are no key.
PkeyPtr to_pkey(const PublicKey& key);

}  // namespace sessionfs::sns
