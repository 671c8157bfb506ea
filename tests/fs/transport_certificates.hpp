// Certificate authorities and endpoints' certificates for tests and benchmarks.
#pragma once

#include <string>
#include <vector>

#include "fs/transport/identity.hpp"
#include "sns/openssl.hpp"

namespace sessionfs::fs {

struct TestKey {
  PkeyPtr key;
  X509Ptr certificate;
};

/// What a certificate says. The defaults are those of a proper endpoint.
struct TestCertificate {
  std::vector<std::string> emails{};  // rfc822Names
  long valid_from_s = -3600;          // from now
  long valid_until_s = 3600;
};

/// A self-signed authority.
TestKey make_authority(const std::string& common_name, const std::string& name_constraints = "");
/// A certificate by `authority`.
TestKey make_certificate(const TestKey& authority, const TestCertificate& what);

/// An endpoint's identity, believing `trusted`.
TlsIdentity make_identity(const TestKey& authority, const std::string& name, const TestKey& trusted);
inline TlsIdentity make_identity(const TestKey& authority, const std::string& name) {
  return make_identity(authority, name, authority);
}

}  // namespace sessionfs::fs
