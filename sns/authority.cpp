#include "sns/authority.hpp"

#include <openssl/x509v3.h>

#include <algorithm>
#include <stdexcept>

namespace sessionfs::sns {
namespace {

constexpr int serial_bits = 159;  // positive, and at most 20 bytes (RFC 5280, 4.1.2.2)
constexpr std::size_t max_common_name_bytes = 64;

using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;

void set_serial(X509* x509) {
  const BignumPtr number(BN_new());
  if (!number || BN_rand(number.get(), serial_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) == nullptr)
    throw_openssl("cannot make a serial number");
}

void set_times(X509* x509, UnixTime now, std::chrono::seconds lifetime) {
  const auto from = (now - certificate_slack).time_since_epoch().count();
  const auto until = (now + lifetime).time_since_epoch().count();
  if (ASN1_TIME_set(X509_getm_notBefore(x509), from) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(x509), until) == nullptr)
    throw_openssl("cannot set a certificate's times");
}

void set_subject(X509* x509, const std::string& common_name) {
  const std::string shown = common_name.substr(0, max_common_name_bytes);
  if (X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(shown.data()), static_cast<int>(shown.size()),
                                 -1, 0) != 1)
    throw_openssl("cannot set a certificate's subject");
}

// The values are in OpenSSL's configuration syntax (x509v3_config(5)): none of the names that go into one may hold a
// comma or a line break, which valid names do not.
void add_extension(X509* x509, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(x509, extension.get(), -1) != 1)
    throw_openssl("cannot add " + value + " to a certificate");
}

X509Ptr make_certificate(const std::string& subject, EVP_PKEY* key, UnixTime now, std::chrono::seconds lifetime) {
  X509Ptr x509(X509_new());
  if (!x509 || X509_set_version(x509.get(), X509_VERSION_3) != 1 || X509_set_pubkey(x509.get(), key) != 1)
    throw_openssl("cannot make a certificate");
  set_serial(x509.get());
  set_times(x509.get(), now, lifetime);
  set_subject(x509.get(), subject);
  return x509;
}

Certificate sign(X509Ptr x509, const KeyPair& key) {
  // Ed25519 has its hash built in, so none is named.
  if (X509_sign(x509.get(), key.get(), nullptr) <= 0) throw_openssl("cannot sign a certificate");
  return Certificate(std::move(x509));
}

struct Leaf {
  std::string subject;
  std::string alternative_name;  // "email:..." or "URI:..."
  std::string usages;
  std::chrono::seconds lifetime;
};

Certificate issue(const Certificate& issuer, const KeyPair& issuer_key, const Leaf& leaf, const PublicKey& key,
                  UnixTime now) {
  const PkeyPtr pkey = to_pkey(key);
  X509Ptr x509 = make_certificate(leaf.subject, pkey.get(), now, leaf.lifetime);
  if (X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer.get())) != 1)
    throw_openssl("cannot make a certificate");
  add_extension(x509.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(x509.get(), issuer.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(x509.get(), issuer.get(), NID_ext_key_usage, leaf.usages);
  add_extension(x509.get(), issuer.get(), NID_subject_alt_name, leaf.alternative_name);
  add_extension(x509.get(), issuer.get(), NID_subject_key_identifier, "hash");
  add_extension(x509.get(), issuer.get(), NID_authority_key_identifier, "keyid:always");
  return sign(std::move(x509), issuer_key);
}

std::string valid_domain(const std::string& domain) {
  auto parsed = parse_domain(domain);
  if (!parsed) throw std::runtime_error("'" + domain + "' is no valid domain name");
  return *parsed;
}

}  // namespace

Authority::Authority(std::string domain, KeyPair key, Certificate certificate)
    : domain_(std::move(domain)), key_(std::move(key)), certificate_(std::move(certificate)) {}

Authority Authority::create(const std::string& domain_name, UnixTime now) {
  const std::string domain = valid_domain(domain_name);
  const KeyPair key = KeyPair::generate();
  X509Ptr x509 = make_certificate("sessionfs authority of " + domain, key.get(), now, authority_lifetime);
  if (X509_set_issuer_name(x509.get(), X509_get_subject_name(x509.get())) != 1)
    throw_openssl("cannot make a certificate");
  add_extension(x509.get(), x509.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(x509.get(), x509.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(x509.get(), x509.get(), NID_name_constraints, "critical,permitted;email:" + domain);
  add_extension(x509.get(), x509.get(), NID_subject_key_identifier, "hash");
  return {domain, key, sign(std::move(x509), key)};
}

Authority Authority::load(const std::string& domain, std::string_view key_pem, std::string_view certificate_pem) {
  KeyPair key = KeyPair::from_pem(key_pem);
  Certificate certificate = Certificate::from_pem(certificate_pem);
  if (certificate.public_key() != key.public_key())
    throw std::runtime_error("the authority's key is not that of its certificate");
  return {valid_domain(domain), std::move(key), std::move(certificate)};
}

Certificate Authority::issue_endpoint(const EndpointName& name, const PublicKey& key, UnixTime now) const {
  if (name.domain() != domain_) throw std::runtime_error(name.str() + " is not of the domain " + domain_);
  return issue(certificate_, key_, {name.str(), "email:" + name.str(), "clientAuth,serverAuth", endpoint_lifetime}, key,
               now);
}

Certificate Authority::issue_member(MemberId id, const PublicKey& key, UnixTime now) const {
  const std::string subject = "member " + std::to_string(id) + " of " + domain_;
  return issue(certificate_, key_, {subject, "URI:" + member_uri(id, domain_), "clientAuth", member_lifetime}, key,
               now);
}

Certificate Authority::issue_server(const PublicKey& key, UnixTime now) const {
  const std::string subject = "name server of " + domain_;
  return issue(certificate_, key_, {subject, "URI:" + server_uri(domain_), "serverAuth", server_lifetime}, key, now);
}

std::string member_uri(MemberId id, std::string_view domain) {
  return "sessionfs:member:" + std::to_string(id) + "@" + std::string(domain);
}

std::string server_uri(std::string_view domain) { return "sessionfs:sns:" + std::string(domain); }

bool is_server_of(X509* leaf, X509* authority, std::string_view domain, UnixTime now) {
  const auto uris = certified_uris(leaf);
  return std::ranges::find(uris, server_uri(domain)) != uris.end() &&
         verify_chain(leaf, authority, X509_PURPOSE_SSL_SERVER, now);
}

}  // namespace sessionfs::sns
