#include "fs/transport/identity.hpp"

#include <openssl/x509v3.h>

#include <array>
#include <stdexcept>

#include "fs/transport/handshake.hpp"

namespace sessionfs::fs {

namespace {

constexpr std::size_t sni_digest_bytes = 16;

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

// What a context owns of its identity.
using TrustPtr = std::shared_ptr<Trust>;

int trust_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* trust, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<TrustPtr*>(trust); });
  return index;
}

class FixedTrust final : public Trust {
 public:
  explicit FixedTrust(const std::vector<X509*>& authorities) {
    for (X509* one : authorities) {
      X509_up_ref(one);
      owned_.emplace_back(one);
    }
  }
  [[nodiscard]] std::vector<X509*> authorities(std::string_view) const override {
    std::vector<X509*> out;
    for (const auto& one : owned_) out.push_back(one.get());
    return out;
  }
  void vet(const EndpointName&, X509*, bool vouched, Verdict done) override {
    done(vouched ? "" : "no authority vouches for it");
  }

 private:
  std::vector<X509Ptr> owned_;
};

}  // namespace

std::shared_ptr<Trust> trust_in(const std::vector<X509*>& authorities) {
  return std::make_shared<FixedTrust>(authorities);
}

Trust* trust_of(const SSL_CTX* context) {
  const auto* trust = static_cast<TrustPtr*>(SSL_CTX_get_ex_data(context, trust_index()));
  return trust == nullptr ? nullptr : trust->get();
}

TlsIdentity::TlsIdentity(X509* certificate, EVP_PKEY* key, std::shared_ptr<Trust> trust)
    : name_(certified_name(certificate)), sni_(sni_of(name_)), context_(make_tls_context()) {
  if (name_.empty()) throw std::runtime_error("a certificate names no endpoint: register the endpoint again");
  const bool ok = SSL_CTX_use_certificate(context_.get(), certificate) == 1 &&
                  SSL_CTX_use_PrivateKey(context_.get(), key) == 1 && SSL_CTX_check_private_key(context_.get()) == 1;
  if (!ok) throw_openssl("the certificate or key of " + name_.str());
  auto owned = std::make_unique<TrustPtr>(std::move(trust));
  if (SSL_CTX_set_ex_data(context_.get(), trust_index(), owned.get()) != 1) throw_openssl("a TLS context");
  (void)owned.release();
}

std::string sni_of(const EndpointName& name) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  if (EVP_Digest(name.str().data(), name.str().size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw_openssl("SHA-256");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string sni;
  for (std::size_t i = 0; i < sni_digest_bytes; ++i) {
    sni += digits[digest[i] >> 4];
    sni += digits[digest[i] & 15];
  }
  return sni + ".sessionfs.invalid";
}

EndpointName certified_name(const X509* certificate) {
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));  // null also when there are two
  if (!names) return {};
  const ASN1_IA5STRING* found = nullptr;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_EMAIL) continue;
    if (found != nullptr) return {};
    found = name->d.rfc822Name;
  }
  if (found == nullptr) return {};
  const std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(found)),
                              static_cast<std::size_t>(ASN1_STRING_length(found)));
  return EndpointName::parse(text).value_or(EndpointName());
}

}  // namespace sessionfs::fs
