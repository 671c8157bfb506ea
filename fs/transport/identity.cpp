#include "fs/transport/identity.hpp"

#include <openssl/x509v3.h>

#include <array>
#include <stdexcept>

#include "fs/transport/handshake.hpp"

namespace sessionfs::fs {

namespace {

constexpr std::size_t sni_digest_bytes = 16;

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

void trust(SSL_CTX* context, const std::vector<X509*>& anchors) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (X509* anchor : anchors) {
    if (X509_STORE_add_cert(store, anchor) != 1) throw_openssl("an authority's certificate");
  }
  // An authority need not have signed itself to be believed.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
}

}  // namespace

TlsIdentity::TlsIdentity(X509* certificate, EVP_PKEY* key, const std::vector<X509*>& trust_anchors)
    : name_(certified_name(certificate)), sni_(sni_of(name_)), context_(make_tls_context()) {
  if (name_.empty()) throw std::runtime_error("a certificate names no endpoint: register the endpoint again");
  const bool ok = SSL_CTX_use_certificate(context_.get(), certificate) == 1 &&
                  SSL_CTX_use_PrivateKey(context_.get(), key) == 1 && SSL_CTX_check_private_key(context_.get()) == 1;
  if (!ok) throw_openssl("the certificate or key of " + name_.str());
  trust(context_.get(), trust_anchors);
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
