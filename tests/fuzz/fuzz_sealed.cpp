// A sealed record, as a stick from anywhere may carry it.
//
// input: 2 bytes a place in one that is whole, 1 byte to change there; again and again; what is left over is put behind
// it. Also taken as it is.
#include "fs/sealed.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using fs::SealKey;

constexpr std::size_t change_bytes = 3;
constexpr std::string_view content = "what only its owner may know";

// Its numbers, as from_text() takes them: the cost, the salt, the key.
const SealKey& a_key() {
  static const SealKey key = SealKey::from_text(std::string("\x11\x08\x01", 3) + std::string(48, 'k')).value();
  return key;
}

void open(std::string_view bytes, bool is_whole) {
  (void)fs::is_sealed(bytes);
  const AllocationMeter meter;
  const auto opened = fs::open_sealed(bytes, a_key());
  require(meter.bytes() <= 64 * bytes.size() + 65536, "opening allocates no more than the input explains");
  require(opened.has_value() == is_whole, "what was changed does not open, and nothing else is refused");
  if (opened) require(opened->content == content, "what is opened was sealed");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  open(input, false);
  const std::string whole = a_key().seal(content);
  std::string changed = whole;
  for (; input.size() >= change_bytes; input.remove_prefix(change_bytes)) {
    const std::size_t place = static_cast<unsigned char>(input[0]) * 256U + static_cast<unsigned char>(input[1]);
    char& at = changed[place % changed.size()];
    at = static_cast<char>(at ^ input[2]);
  }
  const bool is_whole = changed == whole;
  open(changed + std::string(input), is_whole);
  return 0;
}
