// Runs inputs through a fuzz target without a fuzzer: fuzz_replay TARGET FILE-OR-FOLDER...
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

// CMake gives the LLVMFuzzerTestOneInput() of each target its name here.
extern "C" {
using Run = int(const std::uint8_t* data, std::size_t size);
Run sessionfs_fuzz_access;
Run sessionfs_fuzz_config;
Run sessionfs_fuzz_ctl;
Run sessionfs_fuzz_host;
Run sessionfs_fuzz_identity;
Run sessionfs_fuzz_image;
Run sessionfs_fuzz_join_token;
Run sessionfs_fuzz_membership;
Run sessionfs_fuzz_name;
Run sessionfs_fuzz_policy;
Run sessionfs_fuzz_record;
Run sessionfs_fuzz_responder;
Run sessionfs_fuzz_sns_wire;
Run sessionfs_fuzz_sealed;
Run sessionfs_fuzz_state_file;
Run sessionfs_fuzz_tls_record;
Run sessionfs_fuzz_wire;
}

namespace {

struct Target {
  std::string_view name;
  Run* run;
};

constexpr Target targets[] = {
    {"access", sessionfs_fuzz_access},
    {"config", sessionfs_fuzz_config},
    {"ctl", sessionfs_fuzz_ctl},
    {"host", sessionfs_fuzz_host},
    {"identity", sessionfs_fuzz_identity},
    {"image", sessionfs_fuzz_image},
    {"join_token", sessionfs_fuzz_join_token},
    {"membership", sessionfs_fuzz_membership},
    {"name", sessionfs_fuzz_name},
    {"policy", sessionfs_fuzz_policy},
    {"record", sessionfs_fuzz_record},
    {"responder", sessionfs_fuzz_responder},
    {"sns_wire", sessionfs_fuzz_sns_wire},
    {"sealed", sessionfs_fuzz_sealed},
    {"state_file", sessionfs_fuzz_state_file},
    {"tls_record", sessionfs_fuzz_tls_record},
    {"wire", sessionfs_fuzz_wire},
};

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view name = count > 1 ? arguments[1] : "";
  const auto* target = std::ranges::find(targets, name, &Target::name);
  if (target == std::end(targets) || count < 3) {
    std::fprintf(stderr, "Usage: fuzz_replay TARGET FILE-OR-FOLDER...\nTargets:");
    for (const auto& each : targets) std::fprintf(stderr, " %s", each.name.data());
    std::fprintf(stderr, "\n");
    return 2;
  }
  std::size_t runs = 0;
  for (int i = 2; i < count; ++i) {
    for (const auto& path : files_of(arguments[i])) {
      std::ifstream file(path, std::ios::binary);
      // In memory of exactly its size, so that a byte too far is found.
      const std::string content{std::istreambuf_iterator<char>(file), {}};
      const std::vector<std::uint8_t> input(content.begin(), content.end());
      // What ends the process leaves the name of its input as the last line.
      std::printf("%s\n", path.c_str());
      std::fflush(stdout);
      target->run(input.data(), input.size());
      ++runs;
    }
  }
  std::printf("%s: %zu inputs\n", name.data(), runs);
  return runs > 0 ? 0 : 1;
}
