// A domain's certificate authority: who signs the names of its endpoints, its members and its name server.
//
// The root is self-signed, may sign no further authority (pathLenConstraint 0), and by a name constraint (RFC 5280,
// 4.2.1.10) it can prove no endpoint's name of another domain.
#pragma once

#include <string>

#include "engine/name.hpp"
#include "sns/identity.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::chrono::seconds certificate_slack = std::chrono::hours(1);  // notBefore: clocks differ
inline constexpr std::chrono::seconds endpoint_lifetime = std::chrono::days(90);
inline constexpr std::chrono::seconds member_lifetime = std::chrono::days(90);
inline constexpr std::chrono::seconds server_lifetime = std::chrono::days(30);
inline constexpr std::chrono::seconds authority_lifetime = std::chrono::days(30 * 365);

class Authority {
 public:
  /// A new one for `domain`, a valid DNS name.
  static Authority create(const std::string& domain, UnixTime now);
  /// From what key_pem() and certificate().pem() gave. Throws std::runtime_error when they do not belong together.
  static Authority load(const std::string& domain, std::string_view key_pem, std::string_view certificate_pem);

  [[nodiscard]] const std::string& domain() const { return domain_; }
  [[nodiscard]] const Certificate& certificate() const { return certificate_; }
  [[nodiscard]] std::string key_pem() const { return key_.pem(); }

  /// For TLS as client and server, with `name` as the only rfc822Name. `name` must be of this domain.
  [[nodiscard]] Certificate issue_endpoint(const EndpointName& name, const PublicKey& key, UnixTime now) const;
  /// For TLS as client, with the URI member_uri().
  [[nodiscard]] Certificate issue_member(MemberId id, const PublicKey& key, UnixTime now) const;
  /// For TLS as server, with the URI server_uri().
  [[nodiscard]] Certificate issue_server(const PublicKey& key, UnixTime now) const;

 private:
  Authority(std::string domain, KeyPair key, Certificate certificate);
  std::string domain_;
  KeyPair key_;
  Certificate certificate_;
};

/// `sessionfs:member:ID@DOMAIN`
std::string member_uri(MemberId id, std::string_view domain);
/// `sessionfs:sns:DOMAIN`
std::string server_uri(std::string_view domain);

/// Whether `leaf` was signed by `authority` for the name server of `domain` and both are valid at `now`.
bool is_server_of(X509* leaf, X509* authority, std::string_view domain, UnixTime now);

}  // namespace sessionfs::sns
