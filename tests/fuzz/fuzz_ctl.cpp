// What is written to a file `ctl`: lines, their words, and the names of sessions in them.
//
// input: what was written
#include "engine/access.hpp"
#include "engine/name.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

void fuzz_line(std::string_view line) {
  const auto words = words_of(line);
  const std::string_view said = line.substr(0, line.find('#'));
  const char* after = line.data();
  std::string joined;
  for (const auto word : words) {
    require(!word.empty() && word.find_first_of(" \t\r#\n") == std::string_view::npos, "a word has no blank");
    require(word.data() >= after && word.data() + word.size() <= said.data() + said.size(), "words come in order");
    after = word.data() + word.size();
    joined += std::string(word) + " ";
  }
  std::string dense;
  std::ranges::copy_if(said, std::back_inserter(dense), [](char c) { return c != ' ' && c != '\t' && c != '\r'; });
  std::string all;
  for (const auto word : words) all += word;
  require(all == dense, "no letter is lost between the words");
  const auto again = words_of(joined);
  require(std::ranges::equal(again, words), "words that are joined by blanks are the same words");
}

void fuzz(std::string_view text) {
  std::string whole;
  std::string_view left = text;
  while (!left.empty()) {
    const auto line = next_line(left);
    fuzz_line(line);
    whole += line;
    whole += '\n';
  }
  if (!text.empty() && text.back() != '\n') whole.pop_back();
  require(whole == text, "no line is lost");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sessionfs::fuzz::fuzz(sessionfs::fuzz::text_of(sessionfs::fuzz::input_of(data, size)));
  return 0;
}
