// Keys that are the same in every run, so that a seed stays what it was.
#pragma once

#include <openssl/evp.h>

#include <array>

#include "sns/identity.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {

/// The Ed25519 key whose 32 secret bytes are all `number` (RFC 8410, 7: the PKCS#8 form around them).
inline sns::KeyPair test_key(std::uint8_t number) {
  std::array<unsigned char, 48> der = {0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20};
  std::fill(der.begin() + 16, der.end(), number);
  std::array<unsigned char, 65> text{};
  EVP_EncodeBlock(text.data(), der.data(), static_cast<int>(der.size()));
  return sns::KeyPair::from_pem("-----BEGIN PRIVATE KEY-----\n" + std::string(text.begin(), text.end() - 1) +
                                "\n-----END PRIVATE KEY-----\n");
}

}  // namespace sessionfs::fuzz
