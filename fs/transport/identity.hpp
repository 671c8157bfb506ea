// Who an endpoint is on the wire: its certificate, its key, and the authorities that it believes (RFC 8446, RFC 5280).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/name.hpp"
#include "sns/openssl.hpp"

namespace sessionfs::fs {

/// What both sides must offer as application protocol (RFC 7301).
inline constexpr const char* alpn_protocol = "sessionfs/1";

/// TLS settings of one endpoint: TLS 1.3 only, both sides prove their names, nothing is ever resumed.
///
/// Connections keep what they need of it: it may be destroyed while they go on, and a newer one (another certificate,
/// more authorities) counts for the connections made from then on.
class TlsIdentity {
 public:
  /// Takes references of its own to all that is given. An authority may prove every name, unless its certificate has
  /// name constraints (RFC 5280, 4.2.1.10), which are obeyed.
  /// Throws std::runtime_error when the certificate holds no endpoint's name, or the key is not its key.
  TlsIdentity(X509* certificate, EVP_PKEY* key, const std::vector<X509*>& trust_anchors);

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

/// `<first 32 hex digits of SHA-256(name)>.sessionfs.invalid`: a DNS name, as RFC 6066 wants it, that tells which
/// endpoint is meant without showing its name to those who watch the wire.
std::string sni_of(const EndpointName& name);

/// The endpoint's name that `certificate` proves: its subjectAltName must hold exactly one rfc822Name, and that must
/// be a valid name. Empty otherwise. Says nothing of who signed it.
EndpointName certified_name(const X509* certificate);

}  // namespace sessionfs::fs
