#include "tests/fs/transport_certificates.hpp"

#include <openssl/x509v3.h>

#include <atomic>
#include <stdexcept>

namespace sessionfs::fs {

namespace {

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;

void require(bool ok) {
  if (!ok) throw std::runtime_error("a test certificate: " + openssl_error());
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

TestKey begin(const std::string& common_name, long from_s, long until_s) {
  static std::atomic<long> serial{1};
  TestKey made{PkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")), X509Ptr(X509_new())};
  require(made.key && made.certificate);
  X509* certificate = made.certificate.get();
  X509_NAME* subject = X509_get_subject_name(certificate);
  require(X509_set_version(certificate, X509_VERSION_3) == 1 &&
          ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1 &&
          X509_gmtime_adj(X509_getm_notBefore(certificate), from_s) != nullptr &&
          X509_gmtime_adj(X509_getm_notAfter(certificate), until_s) != nullptr &&
          X509_set_pubkey(certificate, made.key.get()) == 1 &&
          X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0) == 1);
  return made;
}

}  // namespace

TestKey make_authority(const std::string& common_name, const std::string& name_constraints) {
  TestKey made = begin(common_name, -3600, 3600);
  X509* certificate = made.certificate.get();
  require(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign");
  if (!name_constraints.empty()) add_extension(certificate, certificate, NID_name_constraints, name_constraints);
  require(X509_sign(certificate, made.key.get(), nullptr) > 0);
  return made;
}

TestKey make_certificate(const TestKey& authority, const TestCertificate& what) {
  TestKey made = begin("endpoint", what.valid_from_s, what.valid_until_s);
  X509* certificate = made.certificate.get();
  require(X509_set_issuer_name(certificate, X509_get_subject_name(authority.certificate.get())) == 1);
  add_extension(certificate, authority.certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  std::string names;
  for (const std::string& email : what.emails) names += (names.empty() ? "email:" : ",email:") + email;
  if (!names.empty()) add_extension(certificate, authority.certificate.get(), NID_subject_alt_name, names);
  require(X509_sign(certificate, authority.key.get(), nullptr) > 0);
  return made;
}

TlsIdentity make_identity(const TestKey& authority, const std::string& name, const TestKey& trusted) {
  const TestKey endpoint = make_certificate(authority, {.emails = {name}});
  return TlsIdentity(endpoint.certificate.get(), endpoint.key.get(), {trusted.certificate.get()});
}

}  // namespace sessionfs::fs
