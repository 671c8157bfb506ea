#include "sns/openssl.hpp"

#include <array>
#include <stdexcept>

namespace sessionfs {

std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

void throw_openssl(const std::string& what) { throw std::runtime_error(what + ": " + openssl_error()); }

}  // namespace sessionfs
