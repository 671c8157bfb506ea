// The file that keeps a host's membership of its domain.
//
// input: the text of the file
#include "fs/membership_file.hpp"

#include <stdexcept>

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using fs::load_membership;

void require_saved_as_loaded(const sns::Membership& membership) {
  static const TemporaryFolder folder;
  const std::string path = folder.path() + "/membership.toml";
  fs::save_membership(path, membership);
  const auto again = load_membership(path);
  require(again.domain == membership.domain && again.servers == membership.servers, "names are saved");
  require(again.member_id == membership.member_id, "the number is saved");
  require(again.ca.pem() == membership.ca.pem(), "the authority is saved");
  require(again.member_certificate.pem() == membership.member_certificate.pem(), "the certificate is saved");
  require(again.member_key.pem() == membership.member_key.pem(), "the key is saved");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  const MemoryFile file(text_of(input_of(data, size)));
  sessionfs::sns::Membership membership;
  try {
    membership = load_membership(file.path());
  } catch (const std::runtime_error& error) {
    const std::string_view what = error.what();
    require(what.find("membership") != std::string_view::npos || what.find("damaged") != std::string_view::npos ||
                what.find("large") != std::string_view::npos,
            "an error says what is wrong");
    require(std::ranges::all_of(what, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; }),
            "an error is one line");
    return 0;
  }
  require_saved_as_loaded(membership);
  return 0;
}
