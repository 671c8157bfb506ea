#include "sns/identity.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <limits>
#include <stdexcept>

namespace sessionfs::sns {
namespace {

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, OpensslFree<GENERAL_NAME_free>>;
using MdCtxPtr = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
using Asn1StringPtr = std::unique_ptr<ASN1_STRING, OpensslFree<ASN1_STRING_free>>;

struct FreeExtensions {
  void operator()(STACK_OF(X509_EXTENSION) * extensions) const {
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
};
using ExtensionsPtr = std::unique_ptr<STACK_OF(X509_EXTENSION), FreeExtensions>;

const unsigned char* bytes_of(std::span<const std::byte> data) {
  return reinterpret_cast<const unsigned char*>(data.data());
}

unsigned char* room_in(std::span<std::byte> data) { return reinterpret_cast<unsigned char*>(data.data()); }

BioPtr reader_of(std::string_view text) {
  if (text.size() > max_pem_bytes) throw std::runtime_error("PEM text is too long");
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) throw_openssl("out of memory");
  return bio;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

// A PEM callback: without one OpenSSL would ask for a password at the terminal.
int no_password(char*, int, int, void*) { return -1; }

PublicKey raw_public_key(const EVP_PKEY* key) {
  PublicKey raw{};
  std::size_t size = raw.size();
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) throw_openssl("not an Ed25519 key");
  if (EVP_PKEY_get_raw_public_key(key, room_in(raw), &size) != 1 || size != raw.size())
    throw_openssl("unreadable public key");
  return raw;
}

std::string_view text_of(const ASN1_IA5STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

enum class Rfc822 { none, one, unusable };

// What the rfc822Names of a subjectAltName say; `name` is set for Rfc822::one.
Rfc822 find_name(const GENERAL_NAMES* names, EndpointName& name) {
  Rfc822 found = Rfc822::none;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* general = sk_GENERAL_NAME_value(names, i);
    if (general->type != GEN_EMAIL) continue;
    auto parsed = EndpointName::parse(text_of(general->d.rfc822Name));
    if (found != Rfc822::none || !parsed) return Rfc822::unusable;
    name = std::move(*parsed);
    found = Rfc822::one;
  }
  return found;
}

// Null also when the extension is there twice or cannot be parsed.
GeneralNamesPtr alternative_names(const X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  ERR_clear_error();
  return GeneralNamesPtr(names);
}

void add_name(X509_REQ* request, const EndpointName& name) {
  GeneralNamesPtr names(GENERAL_NAMES_new());
  GeneralNamePtr general(GENERAL_NAME_new());
  Asn1StringPtr text(ASN1_IA5STRING_new());
  if (!names || !general || !text) throw_openssl("out of memory");
  if (ASN1_STRING_set(text.get(), name.str().data(), static_cast<int>(name.str().size())) != 1)
    throw_openssl("out of memory");
  GENERAL_NAME_set0_value(general.get(), GEN_EMAIL, text.release());
  if (sk_GENERAL_NAME_push(names.get(), general.get()) == 0) throw_openssl("out of memory");
  static_cast<void>(general.release());  // the list owns it now
  STACK_OF(X509_EXTENSION)* raw = nullptr;
  if (X509V3_add1_i2d(&raw, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1)
    throw_openssl("signing request");
  const ExtensionsPtr extensions(raw);
  if (X509_REQ_add_extensions(request, extensions.get()) != 1) throw_openssl("signing request");
}

}  // namespace

KeyPair KeyPair::generate() {
  PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) throw_openssl("cannot make a key");
  return KeyPair(std::move(key));
}

KeyPair KeyPair::from_pem(std::string_view pem) {
  const auto bio = reader_of(pem);
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) throw_openssl("not a private key in PEM form");
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) throw_openssl("not an Ed25519 key");
  return KeyPair(std::move(key));
}

std::string KeyPair::pem() const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    throw_openssl("cannot write the key");
  return text_of(bio.get());
}

PublicKey KeyPair::public_key() const { return raw_public_key(get()); }

Signature KeyPair::sign(std::span<const std::byte> message) const {
  const MdCtxPtr context(EVP_MD_CTX_new());
  Signature signature{};
  std::size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, get()) != 1 ||
      EVP_DigestSign(context.get(), room_in(signature), &size, bytes_of(message), message.size()) != 1)
    throw_openssl("cannot sign");
  return signature;
}

PkeyPtr to_pkey(const PublicKey& key) {
  PkeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key), key.size()));
  if (!pkey) throw_openssl("not an Ed25519 public key");
  return pkey;
}

bool verify(const PublicKey& key, std::span<const std::byte> message, const Signature& signature) {
  const PkeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key), key.size()));
  const MdCtxPtr context(EVP_MD_CTX_new());
  const bool good =
      pkey && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
      EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
  ERR_clear_error();
  return good;
}

Certificate Certificate::from_pem(std::string_view pem) {
  const auto bio = reader_of(pem);
  X509Ptr x509(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
  if (!x509) throw_openssl("not a certificate in PEM form");
  return Certificate(std::move(x509));
}

Certificate Certificate::from_der(std::span<const std::byte> der) {
  if (der.size() > max_certificate_bytes) throw std::runtime_error("certificate is too long");
  const unsigned char* at = bytes_of(der);
  X509Ptr x509(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!x509) throw_openssl("not a certificate");
  if (at != bytes_of(der) + der.size()) throw_openssl("bytes after a certificate");
  return Certificate(std::move(x509));
}

Certificate Certificate::share(X509* x509) {
  if (x509 != nullptr) X509_up_ref(x509);
  return Certificate(X509Ptr(x509));
}

std::string Certificate::pem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), get()) != 1) throw_openssl("cannot write the certificate");
  return text_of(bio.get());
}

std::vector<std::byte> Certificate::der() const {
  const int size = i2d_X509(get(), nullptr);
  if (size <= 0) throw_openssl("cannot write the certificate");
  std::vector<std::byte> out(static_cast<std::size_t>(size));
  unsigned char* at = room_in(out);
  i2d_X509(get(), &at);
  return out;
}

Fingerprint Certificate::fingerprint() const { return sns::fingerprint(get()); }

PublicKey Certificate::public_key() const { return raw_public_key(X509_get0_pubkey(get())); }

UnixTime Certificate::not_after() const {
  int days = 0;
  int seconds = 0;
  const std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>> epoch(ASN1_TIME_set(nullptr, 0));
  if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), X509_get0_notAfter(get())) != 1)
    throw_openssl("unreadable time");
  return UnixTime(std::chrono::days(days) + std::chrono::seconds(seconds));
}

std::optional<EndpointName> certified_name(const X509* certificate) {
  if (certificate == nullptr) return std::nullopt;
  const auto names = alternative_names(certificate);
  EndpointName name;
  if (!names || find_name(names.get(), name) != Rfc822::one) return std::nullopt;
  return name;
}

std::vector<std::string> certified_uris(const X509* certificate) {
  std::vector<std::string> uris;
  if (certificate == nullptr) return uris;
  const auto names = alternative_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()) && i < max_certified_uris; ++i) {
    const GENERAL_NAME* general = sk_GENERAL_NAME_value(names.get(), i);
    if (general->type == GEN_URI) uris.emplace_back(text_of(general->d.uniformResourceIdentifier));
  }
  return uris;
}

Fingerprint fingerprint(const X509* certificate) {
  Fingerprint out{};
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), room_in(out), &size) != 1 || size != out.size())
    throw_openssl("cannot hash");
  return out;
}

bool verify_chain(X509* leaf, X509* authority, int purpose, UnixTime now) {
  if (leaf == nullptr || authority == nullptr) return false;
  const X509StorePtr store(X509_STORE_new());
  const StoreCtxPtr context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), authority) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), leaf, nullptr) != 1)
    throw_openssl("cannot verify a certificate");
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_time(context.get(), 0, now.time_since_epoch().count());
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  return good;
}

std::vector<std::byte> make_signing_request(const KeyPair& key, const EndpointName& name) {
  const X509ReqPtr request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1)
    throw_openssl("signing request");
  if (!name.empty()) add_name(request.get(), name);
  if (X509_REQ_sign(request.get(), key.get(), nullptr) <= 0) throw_openssl("cannot sign the request");
  const int size = i2d_X509_REQ(request.get(), nullptr);
  if (size <= 0) throw_openssl("signing request");
  std::vector<std::byte> out(static_cast<std::size_t>(size));
  unsigned char* at = room_in(out);
  i2d_X509_REQ(request.get(), &at);
  return out;
}

std::optional<SigningRequest> parse_signing_request(std::span<const std::byte> der) {
  if (der.size() > max_signing_request_bytes) return std::nullopt;
  const unsigned char* at = bytes_of(der);
  const X509ReqPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  EVP_PKEY* key = request && at == bytes_of(der) + der.size() ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  const bool good =
      key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!good) return std::nullopt;

  SigningRequest out{raw_public_key(key), {}};
  const ExtensionsPtr extensions(X509_REQ_get_extensions(request.get()));
  int critical = 0;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &critical, nullptr)));
  ERR_clear_error();
  // -1: there is none; everything else without a value is one that is there twice or cannot be read.
  if (!names && critical != -1) return std::nullopt;
  if (names && find_name(names.get(), out.name) == Rfc822::unusable) return std::nullopt;
  return out;
}

}  // namespace sessionfs::sns
