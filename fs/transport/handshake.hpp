// The TLS 1.3 handshake without any I/O: bytes in, bytes out, and at its end two names and the secrets for what
// follows.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/name.hpp"
#include "fs/transport/identity.hpp"
#include "fs/transport/record_protection.hpp"

namespace sessionfs::fs {

enum class CloseReason : std::uint8_t;

/// Settings that every context of ours has, without an identity. Throws std::runtime_error.
SslCtxPtr make_tls_context();

/// Why the peer's alert (RFC 8446, 6.2) ends a connection.
CloseReason reason_of_alert(int alert);

class Handshake {
 public:
  using FindIdentity = std::function<const TlsIdentity*(std::string_view sni)>;
  enum class Progress : std::uint8_t { wants_input, done, failed };

  /// The dialler's side: as `local_name`, whose identity's context it is, to `peer`.
  Handshake(SSL_CTX* context, EndpointName local_name, EndpointName peer);
  /// The other side: as the endpoint that the dialler asks for.
  explicit Handshake(FindIdentity find_identity);
  ~Handshake();
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  /// Takes from the front of `input` what belongs to the handshake, and appends what is to be sent (also when it
  /// fails: the alert) to `output`. To be called with empty input at first.
  Progress advance(std::span<const std::byte>& input, std::vector<std::byte>& output);

  /// Of the certificate of the peer, proven once the handshake is done.
  [[nodiscard]] const EndpointName& peer() const { return peer_; }
  /// Empty as long as a dialler has not said whom it wants.
  [[nodiscard]] const EndpointName& local_name() const { return local_name_; }
  /// When it is done: what the peer has shown, whether an authority vouches for it, and who is to vet it.
  [[nodiscard]] X509* peer_certificate() const { return SSL_get0_peer_certificate(ssl_.get()); }
  [[nodiscard]] bool vouched() const { return vouched_; }
  [[nodiscard]] Trust& trust() const { return *trust_of(SSL_get_SSL_CTX(ssl_.get())); }
  /// When it is done, once.
  std::unique_ptr<RecordProtection> take_protection();

  /// When it has failed.
  [[nodiscard]] CloseReason reason() const { return reason_; }
  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  struct Callbacks;
  friend struct Callbacks;
  friend SslCtxPtr make_tls_context();

  void set_up();
  bool verify(X509_STORE_CTX* store);
  void fail(CloseReason reason, std::string why);
  void explain_failure();
  Progress finish();

  SslPtr ssl_;
  bool dials_;
  FindIdentity find_identity_;
  EndpointName wanted_;  // of a dialler
  EndpointName local_name_;
  EndpointName peer_;
  bool vouched_ = false;
  std::span<const std::byte> input_;
  std::vector<std::byte>* output_ = nullptr;
  TrafficSecrets secrets_;
  CloseReason reason_{};
  std::string why_;
};

}  // namespace sessionfs::fs
