// Who an endpoint is on the wire: its certificate, its key, and whom it believes (RFC 8446, RFC 5280).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/name.hpp"
#include "sns/openssl.hpp"

namespace sessionfs::fs {

/// What both sides must offer as application protocol (RFC 7301).
inline constexpr const char* alpn_protocol = "sessionfs/1";

/// Whom this host believes that they are who they say.
class Trust {
 public:
  virtual ~Trust() = default;

  /// Who may vouch for the endpoints of `domain`: authorities' certificates, obeyed with their name constraints
  /// (RFC 5280, 4.2.1.10). A peer that none of them vouches for is refused in its handshake. None at all: not known
  /// yet; then the handshake goes on, and vet() has to find out.
  [[nodiscard]] virtual std::vector<X509*> authorities(std::string_view domain) const = 0;

  /// Empty: the peer is believed. Else one line that says why not.
  using Verdict = std::function<void(const std::string& why)>;
  /// After each handshake: `peer` has shown `certificate` and proven to own its key; `vouched`: one of authorities()
  /// vouches for it. `done` is called once, now or later; before that no byte of the peer is taken.
  virtual void vet(const EndpointName& peer, X509* certificate, bool vouched, Verdict done) = 0;
};

/// Believes what any of these authorities vouches for. Takes references of its own.
std::shared_ptr<Trust> trust_in(const std::vector<X509*>& authorities);

/// TLS settings of one endpoint: TLS 1.3 only, both sides prove their names, nothing is ever resumed.
///
/// Connections keep what they need of it: it may be destroyed while they go on, and a newer one (another certificate)
/// counts for the connections made from then on.
class TlsIdentity {
 public:
  /// Takes references of its own to all that is given.
  /// Throws std::runtime_error when the certificate holds no endpoint's name, or the key is not its key.
  TlsIdentity(X509* certificate, EVP_PKEY* key, std::shared_ptr<Trust> trust);
  TlsIdentity(X509* certificate, EVP_PKEY* key, const std::vector<X509*>& authorities)
      : TlsIdentity(certificate, key, trust_in(authorities)) {}

  /// The endpoint that the certificate names.
  [[nodiscard]] const EndpointName& name() const { return name_; }
  /// What a dialler puts into its SNI to mean this endpoint.
  [[nodiscard]] const std::string& sni() const { return sni_; }

  /// For the connections of this endpoint, in both roles. Not null.
  [[nodiscard]] SSL_CTX* context() const { return context_.get(); }

 private:
  EndpointName name_;
  std::string sni_;
  SslCtxPtr context_;
};

/// The trust of the identity whose context this is; null for a context without an identity. Lives with the context.
Trust* trust_of(const SSL_CTX* context);

/// `<first 32 hex digits of SHA-256(name)>.sessionfs.invalid`: a DNS name, as RFC 6066 wants it, that tells which
/// endpoint is meant without showing its name to those who watch the wire.
std::string sni_of(const EndpointName& name);

/// The endpoint's name that `certificate` proves: its subjectAltName must hold exactly one rfc822Name, and that must
/// be a valid name. Empty otherwise. Says nothing of who signed it.
EndpointName certified_name(const X509* certificate);

}  // namespace sessionfs::fs
