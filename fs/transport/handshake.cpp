#include "fs/transport/handshake.hpp"

#include <openssl/crypto.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

namespace {

// Most machines have instructions for AES; of its two, the shorter key costs less.
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr int reason_of_first_alert = 1000;  // OpenSSL numbers the errors "the peer sent alert N" from here on
constexpr int last_alert = 255;

int handshake_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string alpn_wire() { return static_cast<char>(std::strlen(alpn_protocol)) + std::string(alpn_protocol); }

std::vector<unsigned char> bytes_of_hex(std::string_view hex) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10; };
  std::vector<unsigned char> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(value(hex[2 * i]) << 4 | value(hex[2 * i + 1]));
  }
  return bytes;
}

// Owns the stack, not what is on it.
using StackPtr = std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;

SSL_CTX* anonymous_context() {
  static const SslCtxPtr context = make_tls_context();
  return context.get();
}

}  // namespace

CloseReason reason_of_alert(int alert) {
  switch (alert) {
    case SSL_AD_CLOSE_NOTIFY:
    case SSL_AD_USER_CANCELLED:
      return CloseReason::eof;
    case SSL_AD_UNRECOGNIZED_NAME:
      return CloseReason::not_here;
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return CloseReason::untrusted;
    default:
      return CloseReason::protocol;
  }
}

// What OpenSSL calls back.
struct Handshake::Callbacks {
  static Handshake* of(const SSL* ssl) { return static_cast<Handshake*>(SSL_get_ex_data(ssl, handshake_index())); }

  static int name_asked_for(SSL* ssl, int* alert, void*) {
    Handshake* self = of(ssl);
    if (self->dials_) return SSL_TLSEXT_ERR_OK;
    const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const TlsIdentity* identity = sni != nullptr ? self->find_identity_(sni) : nullptr;
    if (identity == nullptr || SSL_set_SSL_CTX(ssl, identity->context()) == nullptr) {
      self->fail(CloseReason::not_here, "it asked for an endpoint that is not here");
      *alert = SSL_AD_UNRECOGNIZED_NAME;
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    self->local_name_ = identity->name();
    return SSL_TLSEXT_ERR_OK;
  }

  static int select_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                             unsigned in_size, void*) {
    static const std::string ours = alpn_wire();
    unsigned char* selected = nullptr;
    const int result = SSL_select_next_proto(&selected, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                                             static_cast<unsigned>(ours.size()), in, in_size);
    *out = selected;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  // In place of OpenSSL's own check: who may vouch for a name depends on the name.
  static int verify(X509_STORE_CTX* store, void*) {
    const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    try {
      return of(ssl)->verify(store) ? 1 : 0;
    } catch (const std::exception& trouble) {  // must not pass through OpenSSL's code
      of(ssl)->fail(CloseReason::untrusted, trouble.what());
      X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
      return 0;
    }
  }

  // The only way by which OpenSSL 3.0 hands out the secrets of the application data (RFC 8446, 7.1).
  static void secret(const SSL* ssl, const char* line) {
    const std::string_view text(line);
    const std::size_t label_end = text.find(' ');
    const std::size_t secret_begin = text.rfind(' ') + 1;
    if (label_end == std::string_view::npos || secret_begin <= label_end + 1) return;
    const auto label = text.substr(0, label_end);
    Handshake* self = of(ssl);
    if (label == "CLIENT_TRAFFIC_SECRET_0") {
      (self->dials_ ? self->secrets_.send : self->secrets_.receive) = bytes_of_hex(text.substr(secret_begin));
    } else if (label == "SERVER_TRAFFIC_SECRET_0") {
      (self->dials_ ? self->secrets_.receive : self->secrets_.send) = bytes_of_hex(text.substr(secret_begin));
    }
  }

  // OpenSSL asks for one record after the other, and only for what belongs to the handshake: what follows stays.
  static int read(BIO* bio, char* to, std::size_t size, std::size_t* count) {
    auto* self = static_cast<Handshake*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (self->input_.empty()) {
      BIO_set_retry_read(bio);
      return 0;
    }
    *count = std::min(size, self->input_.size());
    std::memcpy(to, self->input_.data(), *count);
    self->input_ = self->input_.subspan(*count);
    return 1;
  }

  static int write(BIO* bio, const char* from, std::size_t size, std::size_t* count) {
    const auto* self = static_cast<Handshake*>(BIO_get_data(bio));
    const auto bytes = std::as_bytes(std::span(from, size));
    self->output_->insert(self->output_->end(), bytes.begin(), bytes.end());
    *count = size;
    return 1;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* bio_method() {
    using MethodPtr = std::unique_ptr<BIO_METHOD, OpensslFree<BIO_meth_free>>;
    static const MethodPtr method = [] {
      MethodPtr made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "handshake"));
      if (!made) throw_openssl("BIO_meth_new");
      BIO_meth_set_read_ex(made.get(), read);
      BIO_meth_set_write_ex(made.get(), write);
      BIO_meth_set_ctrl(made.get(), control);
      return made;
    }();
    return method.get();
  }
};

bool Handshake::verify(X509_STORE_CTX* store) {
  peer_ = certified_name(X509_STORE_CTX_get0_cert(store));
  std::string why;
  if (peer_.empty()) {
    why = "its certificate names no endpoint";
  } else if (dials_ && peer_ != wanted_) {
    why = "it proves to be " + peer_.str();
  } else {
    const auto authorities = trust().authorities(peer_.domain());
    const StackPtr anchors(sk_X509_new_null());
    for (X509* one : authorities) sk_X509_push(anchors.get(), one);
    X509_STORE_CTX_set0_trusted_stack(store, anchors.get());
    // An authority need not have signed itself to be believed.
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(store), X509_V_FLAG_PARTIAL_CHAIN);
    vouched_ = !authorities.empty() && X509_verify_cert(store) == 1;
    X509_STORE_CTX_set0_trusted_stack(store, nullptr);
    if (authorities.empty()) X509_STORE_CTX_set_error(store, X509_V_OK);
    return vouched_ || authorities.empty();
  }
  fail(CloseReason::untrusted, std::move(why));
  X509_STORE_CTX_set_error(store, X509_V_ERR_EMAIL_MISMATCH);
  return false;
}

SslCtxPtr make_tls_context() {
  SslCtxPtr context(SSL_CTX_new(TLS_method()));
  if (!context) throw_openssl("SSL_CTX_new");
  SSL_CTX* const to = context.get();
  const bool ok = SSL_CTX_set_min_proto_version(to, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_max_proto_version(to, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_ciphersuites(to, cipher_suites) == 1 && SSL_CTX_set_num_tickets(to, 0) == 1;
  if (!ok) throw_openssl("TLS 1.3");
  SSL_CTX_set_options(to, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(to, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(to, 0);
  SSL_CTX_set_tlsext_servername_callback(to, Handshake::Callbacks::name_asked_for);
  SSL_CTX_set_alpn_select_cb(to, Handshake::Callbacks::select_protocol, nullptr);
  SSL_CTX_set_keylog_callback(to, Handshake::Callbacks::secret);
  SSL_CTX_set_cert_verify_callback(to, Handshake::Callbacks::verify, nullptr);
  return context;
}

Handshake::Handshake(SSL_CTX* context, EndpointName local_name, EndpointName peer)
    : ssl_(SSL_new(context)), dials_(true), wanted_(std::move(peer)), local_name_(std::move(local_name)) {
  set_up();
  const std::string alpn = alpn_wire();
  // SSL_set_alpn_protos() returns 0 when it has succeeded.
  const bool ok = SSL_set_tlsext_host_name(ssl_.get(), sni_of(wanted_).c_str()) == 1 &&
                  SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                                      static_cast<unsigned>(alpn.size())) == 0;
  if (!ok) throw_openssl("a TLS handshake");
  SSL_set_connect_state(ssl_.get());
}

Handshake::Handshake(FindIdentity find_identity)
    : ssl_(SSL_new(anonymous_context())), dials_(false), find_identity_(std::move(find_identity)) {
  set_up();
  SSL_set_accept_state(ssl_.get());
}

void Handshake::set_up() {
  BioPtr bio(BIO_new(Callbacks::bio_method()));
  if (!ssl_ || !bio || SSL_set_ex_data(ssl_.get(), handshake_index(), this) != 1) {
    throw_openssl("a TLS handshake");
  }
  BIO_set_data(bio.get(), this);
  BIO_set_init(bio.get(), 1);
  BIO* const both_ways = bio.release();
  SSL_set_bio(ssl_.get(), both_ways, both_ways);
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

Handshake::~Handshake() {
  OPENSSL_cleanse(secrets_.send.data(), secrets_.send.size());
  OPENSSL_cleanse(secrets_.receive.data(), secrets_.receive.size());
}

Handshake::Progress Handshake::advance(std::span<const std::byte>& input, std::vector<std::byte>& output) {
  input_ = input;
  output_ = &output;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  input = input_;
  output_ = nullptr;
  if (result == 1) return finish();
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Progress::wants_input;
  explain_failure();
  return Progress::failed;
}

Handshake::Progress Handshake::finish() {
  const unsigned char* protocol = nullptr;
  unsigned protocol_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &protocol_size);
  const std::string_view chosen(reinterpret_cast<const char*>(protocol), protocol_size);
  secrets_.cipher = SSL_get_current_cipher(ssl_.get());
  if (chosen != alpn_protocol) {
    fail(CloseReason::protocol, "it does not speak " + std::string(alpn_protocol));
  } else if (peer_.empty() || SSL_get_verify_result(ssl_.get()) != X509_V_OK) {
    fail(CloseReason::untrusted, "it has not proven its name");
  } else if (SSL_has_pending(ssl_.get()) != 0 || secrets_.send.empty() || secrets_.receive.empty()) {
    fail(CloseReason::protocol, "the TLS handshake did not end where it should");
  } else {
    return Progress::done;
  }
  return Progress::failed;
}

std::unique_ptr<RecordProtection> Handshake::take_protection() {
  return std::make_unique<RecordProtection>(std::exchange(secrets_, {}));
}

void Handshake::fail(CloseReason reason, std::string why) {
  reason_ = reason;
  why_ = std::move(why);
}

void Handshake::explain_failure() {
  if (!why_.empty()) return;  // known already
  const unsigned long error = ERR_peek_error();
  const int number = ERR_GET_REASON(error);
  const char* text = ERR_reason_error_string(error);
  std::string why = text != nullptr ? text : "TLS handshake failed";
  CloseReason reason = CloseReason::protocol;
  if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
    if (number >= reason_of_first_alert && number <= reason_of_first_alert + last_alert) {
      reason = reason_of_alert(number - reason_of_first_alert);
      if (reason == CloseReason::not_here) why = "the endpoint is not there";
      if (reason == CloseReason::untrusted) why = "it does not trust this side's certificate (" + why + ")";
    } else if (number == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      reason = CloseReason::untrusted;
      why = std::string("its certificate: ") + X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()));
    } else if (number == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
      reason = CloseReason::untrusted;
      why = "it has no certificate";
    }
  }
  ERR_clear_error();
  fail(reason, std::move(why));
}

}  // namespace sessionfs::fs
