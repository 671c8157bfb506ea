// Certificates and signing requests, as strangers show them.
//
// input: 1 byte, what it is; the bytes of it. A subjectAltName comes in a certificate and a request that are made here,
// since no mutation would find a signature.
#include "sns/identity.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

#include "sns/authority.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/keys.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace sns;

constexpr UnixTime now{std::chrono::seconds(1'800'000'000)};

const KeyPair& key() {
  static const KeyPair key = test_key(1);
  return key;
}

// Nothing but std::runtime_error may come out.
template <class Call>
bool survives(Call call) {
  try {
    call();
    return true;
  } catch (const std::runtime_error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error is one line");
    return false;
  }
}

void require_name(const std::optional<EndpointName>& name) {
  require(!name || EndpointName::parse(name->str()) == *name, "a certified name is valid");
}

void fuzz_certificate(const Certificate& certificate) {
  require_name(certified_name(certificate.get()));
  const auto uris = certified_uris(certificate.get());
  require(uris.size() <= static_cast<std::size_t>(max_certified_uris), "URIs are bounded");
  survives([&] { (void)certificate.public_key(); });
  survives([&] { (void)certificate.not_after(); });
  survives([&] { (void)certificate.fingerprint(); });
  survives([&] { require(Certificate::from_pem(certificate.pem()).der() == certificate.der(), "PEM and DER agree"); });
  static const Authority authority = Authority::create("verkstad.net", now);
  survives([&] {
    require(!verify_chain(certificate.get(), authority.certificate().get(), X509_PURPOSE_SSL_CLIENT, now),
            "nobody's certificate is the authority's");
  });
  survives([&] { (void)is_server_of(certificate.get(), certificate.get(), "verkstad.net", now); });
}

void fuzz_request(Bytes der) {
  const auto request = parse_signing_request(der);
  if (!request) return;
  require(der.size() <= max_signing_request_bytes, "a request is bounded");
  if (!request->name.empty()) require_name(request->name);
}

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;

struct FreeList {
  void operator()(STACK_OF(X509_EXTENSION) * list) const { sk_X509_EXTENSION_free(list); }
};

ExtensionPtr alternative_name(Bytes value, bool critical) {
  const std::unique_ptr<ASN1_OCTET_STRING, OpensslFree<ASN1_OCTET_STRING_free>> text(ASN1_OCTET_STRING_new());
  require(ASN1_OCTET_STRING_set(text.get(), reinterpret_cast<const unsigned char*>(value.data()),
                                static_cast<int>(value.size())) == 1,
          "OpenSSL takes bytes");
  return ExtensionPtr(X509_EXTENSION_create_by_NID(nullptr, NID_subject_alt_name, critical ? 1 : 0, text.get()));
}

void fuzz_alternative_name(Bytes value, bool critical, bool twice) {
  const auto extension = alternative_name(value, critical);
  const std::unique_ptr<STACK_OF(X509_EXTENSION), FreeList> all(sk_X509_EXTENSION_new_null());
  const X509Ptr certificate(X509_new());
  for (int i = 0; i < (twice ? 2 : 1); ++i) {
    sk_X509_EXTENSION_push(all.get(), extension.get());
    X509_add_ext(certificate.get(), extension.get(), -1);
  }
  require_name(certified_name(certificate.get()));
  (void)certified_uris(certificate.get());

  const X509ReqPtr request(X509_REQ_new());
  require(X509_REQ_set_pubkey(request.get(), key().get()) == 1 &&
              X509_REQ_add_extensions(request.get(), all.get()) == 1 &&
              X509_REQ_sign(request.get(), key().get(), nullptr) > 0,
          "a request can be signed");
  std::vector<std::byte> der(static_cast<std::size_t>(i2d_X509_REQ(request.get(), nullptr)));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  i2d_X509_REQ(request.get(), &at);
  const auto parsed = parse_signing_request(der);
  const auto name = certified_name(certificate.get());
  if (name) require(parsed && parsed->name == *name, "a request and a certificate with one extension say one name");
  if (parsed && !parsed->name.empty()) require(parsed->name == name, "what a request asks for, a certificate can say");
  fuzz_request(der);
}

void fuzz(Bytes input) {
  Choices choices(input);
  const std::uint8_t kind = choices.byte();
  const Bytes rest = choices.rest();
  if (kind % 4 == 0) {
    fuzz_request(rest);
  } else if (kind % 4 == 1) {
    Certificate certificate;
    if (survives([&] { certificate = Certificate::from_der(rest); })) fuzz_certificate(certificate);
  } else if (kind % 4 == 2) {
    Certificate certificate;
    if (survives([&] { certificate = Certificate::from_pem(text_of(rest)); })) fuzz_certificate(certificate);
    KeyPair pair;
    if (survives([&] { pair = KeyPair::from_pem(text_of(rest)); }))
      require(KeyPair::from_pem(pair.pem()).public_key() == pair.public_key(), "a key is written as it was read");
  } else {
    fuzz_alternative_name(rest, (kind & 4) != 0, (kind & 8) != 0);
  }
  // One that is left behind would be taken for an error of the next connection that asks.
  require(ERR_peek_error() == 0, "no error is left in OpenSSL's queue");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ERR_clear_error();
  sessionfs::fuzz::fuzz(sessionfs::fuzz::input_of(data, size));
  return 0;
}
