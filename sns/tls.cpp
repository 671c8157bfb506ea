#include "sns/tls.hpp"

#include <algorithm>
#include <stdexcept>

namespace sessionfs::sns {
namespace {

constexpr std::string_view exporter_label = "EXPORTER-Channel-Binding";

// The protocol list's form of RFC 7301: a length, then the name.
constexpr unsigned char alpn_list[] = "\x0fsessionfs-sns/1";
constexpr unsigned alpn_list_bytes = sizeof(alpn_list) - 1;
static_assert(alpn_list[0] == alpn_list_bytes - 1);

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned int in_size,
                void*) {
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, alpn_list, alpn_list_bytes, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

Certificate find_authority(const Trust& trust, X509* leaf, STACK_OF(X509) * shown) {
  const auto vouches = [&](X509* ca) { return is_server_of(leaf, ca, trust.domain, wall_time()); };
  if (!trust.first_use && trust.known_ca)
    return trust.known_ca.fingerprint() == trust.ca && vouches(trust.known_ca.get()) ? trust.known_ca : Certificate();
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    X509* one = sk_X509_value(shown, i);
    if ((trust.first_use || fingerprint(one) == trust.ca) && vouches(one)) return Certificate::share(one);
  }
  return {};
}

// Instead of OpenSSL's own check: an authority may be known by its fingerprint alone, and the server by its URI.
int verify_server(X509_STORE_CTX* store, void* trust) {
  try {
    if (find_authority(*static_cast<const Trust*>(trust), X509_STORE_CTX_get0_cert(store),
                       X509_STORE_CTX_get0_untrusted(store)))
      return 1;
  } catch (const std::exception&) {  // must not pass through OpenSSL's code
  }
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int message_count_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// OpenSSL works through such messages within one read, as long as they come, and tells only here that it does. That
// the peer has ended the connection is what it looks at after each of them (SSL_MODE_AUTO_RETRY would not end it: it is
// not looked at while a part of the next record has come already).
void count_handshake_messages(int is_sent, int /*version*/, int type, const void*, std::size_t, SSL* ssl, void*) {
  if (is_sent != 0 || type != SSL3_RT_HANDSHAKE) return;
  const auto count = reinterpret_cast<std::uintptr_t>(SSL_get_ex_data(ssl, message_count_index())) + 1;
  // A number in the place of a pointer: nothing to be freed with the connection.
  SSL_set_ex_data(ssl, message_count_index(), reinterpret_cast<void*>(count));  // NOLINT(performance-no-int-to-ptr)
  if (count > max_handshake_messages) SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

asio::ssl::context make_context(asio::ssl::context::method method) {
  asio::ssl::context context(method);
  SSL_CTX* ctx = context.native_handle();
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) throw_openssl("TLS 1.3");
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_msg_callback(ctx, count_handshake_messages);
  return context;
}

}  // namespace

asio::ssl::context make_server_context(const Authority& authority, UnixTime now) {
  auto context = make_context(asio::ssl::context::tls_server);
  SSL_CTX* ctx = context.native_handle();
  const KeyPair key = KeyPair::generate();
  const Certificate certificate = authority.issue_server(key.public_key(), now);
  if (SSL_CTX_use_certificate(ctx, certificate.get()) != 1 || SSL_CTX_use_PrivateKey(ctx, key.get()) != 1 ||
      SSL_CTX_add1_chain_cert(ctx, authority.certificate().get()) != 1)
    throw_openssl("the name server's certificate");
  SSL_CTX_set_num_tickets(ctx, 0);
  // For a server that reads and writes its sockets by itself: one system call a record, and what was not sent at once
  // is sent from wherever it lies by then.
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
  return context;
}

asio::ssl::context make_client_context(const Trust& trust) {
  auto context = make_context(asio::ssl::context::tls_client);
  SSL_CTX* ctx = context.native_handle();
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, verify_server, const_cast<Trust*>(&trust));
  if (SSL_CTX_set_alpn_protos(ctx, alpn_list, alpn_list_bytes) != 0) throw_openssl("ALPN");
  return context;
}

Certificate trusted_authority(SSL* ssl, const Trust& trust) {
  X509* leaf = SSL_get0_peer_certificate(ssl);
  return leaf == nullptr ? Certificate() : find_authority(trust, leaf, SSL_get_peer_cert_chain(ssl));
}

ChannelBinding channel_binding(SSL* ssl) {
  ChannelBinding binding{};
  if (SSL_export_keying_material(ssl, reinterpret_cast<unsigned char*>(binding.data()), binding.size(),
                                 exporter_label.data(), exporter_label.size(), nullptr, 0, 1) != 1)
    throw_openssl("cannot bind to the connection");
  return binding;
}

}  // namespace sessionfs::sns
