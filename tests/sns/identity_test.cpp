#include "sns/identity.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <random>

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// A self-signed certificate with this subjectAltName in OpenSSL's configuration syntax; none where it is empty.
Certificate certificate_with(const std::string& alternative_names) {
  const KeyPair key = KeyPair::generate();
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  X509_set_pubkey(x509.get(), key.get());
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 60);
  if (!alternative_names.empty()) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_names.c_str());
    EXPECT_NE(extension, nullptr) << alternative_names;
    X509_add_ext(x509.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  EXPECT_GT(X509_sign(x509.get(), key.get(), nullptr), 0);
  return Certificate(std::move(x509));
}

TEST(KeyPairTest, SignsWhatItsPublicKeyVerifies) {
  const KeyPair key = KeyPair::generate();
  const auto signature = key.sign(bytes("hello"));
  EXPECT_TRUE(verify(key.public_key(), bytes("hello"), signature));
  EXPECT_FALSE(verify(key.public_key(), bytes("hallo"), signature));
  EXPECT_FALSE(verify(KeyPair::generate().public_key(), bytes("hello"), signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    auto wrong = signature;
    wrong[i] ^= std::byte{1};
    EXPECT_FALSE(verify(key.public_key(), bytes("hello"), wrong)) << i;
  }
  EXPECT_FALSE(verify({}, bytes("hello"), signature));
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(KeyPairTest, ComesBackFromPkcs8) {
  const KeyPair key = KeyPair::generate();
  const auto pem = key.pem();
  EXPECT_TRUE(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
  const KeyPair again = KeyPair::from_pem(pem);
  EXPECT_EQ(again.public_key(), key.public_key());
  EXPECT_EQ(again.pem(), pem);
  EXPECT_NE(KeyPair::generate().public_key(), key.public_key());
}

TEST(KeyPairTest, RefusesWhatIsNoEd25519Key) {
  const auto pem = KeyPair::generate().pem();
  EXPECT_THROW(KeyPair::from_pem(""), std::runtime_error);
  EXPECT_THROW(KeyPair::from_pem(pem.substr(0, pem.size() / 2)), std::runtime_error);
  EXPECT_THROW(KeyPair::from_pem(std::string(1'000'000, 'A')), std::runtime_error);
  EXPECT_THROW(KeyPair::from_pem(certificate_with("email:a@b").pem()), std::runtime_error);
  // Another kind of key, and one that wants a password.
  const PkeyPtr other(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  const BioPtr plain(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(plain.get(), other.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  auto size = static_cast<std::size_t>(BIO_get_mem_data(plain.get(), &data));
  EXPECT_THROW(KeyPair::from_pem({data, size}), std::runtime_error);
  const BioPtr locked(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(locked.get(), KeyPair::generate().get(), EVP_aes_128_cbc(), "secret", 6, nullptr,
                                nullptr);
  size = static_cast<std::size_t>(BIO_get_mem_data(locked.get(), &data));
  EXPECT_THROW(KeyPair::from_pem({data, size}), std::runtime_error);
}

TEST(CertificateTest, ComesBackFromPemAndDer) {
  const auto certificate = certificate_with("email:a@b");
  EXPECT_EQ(Certificate::from_pem(certificate.pem()).der(), certificate.der());
  EXPECT_EQ(Certificate::from_der(certificate.der()).pem(), certificate.pem());
  EXPECT_EQ(Certificate::from_pem(certificate.pem()).fingerprint(), certificate.fingerprint());
  EXPECT_NE(certificate_with("email:a@b").fingerprint(), certificate.fingerprint());
  EXPECT_FALSE(Certificate());
}

TEST(CertificateTest, RefusesWhatIsNone) {
  auto der = certificate_with("email:a@b").der();
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_THROW(Certificate::from_der(std::span(der).first(size)), std::runtime_error) << size;
  der.push_back(std::byte{0});
  EXPECT_THROW(Certificate::from_der(der), std::runtime_error);
  EXPECT_THROW(Certificate::from_der(std::vector(1'000'000, std::byte{0x30})), std::runtime_error);
  EXPECT_THROW(Certificate::from_pem("nonsense"), std::runtime_error);
  EXPECT_THROW(Certificate::from_pem(KeyPair::generate().pem()), std::runtime_error);
}

TEST(CertifiedNameTest, IsTheOnlyRfc822Name) {
  EXPECT_EQ(certified_name(certificate_with("email:alice@verkstad.net").get()), endpoint("alice@verkstad.net"));
  EXPECT_EQ(certified_name(certificate_with("email:Alice@Verkstad.net").get()), endpoint("alice@verkstad.net"));
  EXPECT_EQ(certified_name(certificate_with("URI:x:y,email:a@b,DNS:c").get()), endpoint("a@b"));
}

TEST(CertifiedNameTest, IsNothingOtherwise) {
  EXPECT_FALSE(certified_name(nullptr));
  for (const char* names : {"", "DNS:a.b", "URI:sessionfs:member:1@b", "email:a@b,email:c@b", "email:a@b,email:a@b",
                            "email:a@b,email:nonsense", "email:-a@b", "email:a@b@c", "email:a b@c"})
    EXPECT_FALSE(certified_name(certificate_with(names).get())) << names;
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(CertifiedNameTest, AZeroByteEndsNoName) {
  // "a@b\0.evil": a comparison as a C text would take it for a@b.
  const KeyPair key = KeyPair::generate();
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  X509_set_pubkey(x509.get(), key.get());
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 60);
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, "a@b\0.evil", 9);
  GENERAL_NAME_set0_value(name, GEN_EMAIL, text);
  sk_GENERAL_NAME_push(names, name);
  X509_add1_ext_i2d(x509.get(), NID_subject_alt_name, names, 0, 0);
  GENERAL_NAMES_free(names);
  X509_sign(x509.get(), key.get(), nullptr);
  EXPECT_FALSE(certified_name(x509.get()));
}

TEST(SigningRequestTest, ComesBackWithKeyAndName) {
  const KeyPair key = KeyPair::generate();
  for (const auto& name : {endpoint("alice@verkstad.net"), EndpointName()}) {
    const auto parsed = parse_signing_request(make_signing_request(key, name));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->key, key.public_key());
    EXPECT_EQ(parsed->name, name);
  }
}

TEST(SigningRequestTest, RefusesWhatIsNone) {
  auto der = make_signing_request(KeyPair::generate(), endpoint("alice@verkstad.net"));
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_FALSE(parse_signing_request(std::span(der).first(size))) << size;
  auto longer = der;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(parse_signing_request(longer));
  EXPECT_FALSE(parse_signing_request(std::vector(100'000, std::byte{0x30})));
  // Any bit that is changed breaks the form or the signature.
  std::mt19937 random(3);  // NOLINT(cert-msc51-cpp): the same run every time
  for (int round = 0; round < 500; ++round) {
    auto changed = der;
    changed[random() % changed.size()] ^= static_cast<std::byte>(1U << random() % 8);
    EXPECT_FALSE(parse_signing_request(changed));
  }
  EXPECT_EQ(ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace sessionfs::sns
