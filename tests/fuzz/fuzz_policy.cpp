// The rules of an endpoint's file `policy`.
//
// input: the rules
#include "engine/policy.hpp"

#include "tests/fuzz/rules.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  const auto text = text_of(input_of(data, size));
  require_judged_by_line(text, sessionfs::check_policy);
  // Blanks, comments and empty lines say nothing.
  const bool good = !sessionfs::check_policy(text);
  if (text.size() + 32 < sessionfs::max_rules_bytes)
    require(!sessionfs::check_policy("# a comment\n\n\t" + std::string(text) + " # another\n") == good,
            "a comment changes nothing");
  return 0;
}
