// Writes the seeds of the corpora: valid inputs, made by the encoders themselves.
#pragma once

#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {

class Corpus {
 public:
  explicit Corpus(std::string folder) : folder_(std::move(folder)) {}

  /// Writes FOLDER/TARGET/NAME.
  void add(std::string_view target, std::string_view name, Bytes input);
  void add(std::string_view target, std::string_view name, std::string_view input) {
    add(target, name, bytes_of(input));
  }
  [[nodiscard]] std::size_t files() const { return files_; }

 private:
  std::string folder_;
  std::size_t files_ = 0;
};

/// `first`, then `rest`.
inline std::vector<std::byte> joined(std::initializer_list<int> first, Bytes rest) {
  std::vector<std::byte> out;
  for (const int one : first) out.push_back(std::byte(one));
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

void make_engine_seeds(Corpus& corpus);
void make_host_seeds(Corpus& corpus);
void make_sns_seeds(Corpus& corpus);
void make_text_seeds(Corpus& corpus);

}  // namespace sessionfs::fuzz
