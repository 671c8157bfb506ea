#include "fs/membership_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace sessionfs::fs {
namespace {

TEST(MembershipFile, AnErrorIsOneLineWhateverItQuotes) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("membership-" + std::to_string(getpid()));
  for (const std::string_view text : {"domein =n\2et\"\n", "domai =[ n\n ]", "domain = 1\n"}) {
    std::ofstream(path) << text;
    try {
      (void)load_membership(path);
      FAIL() << text;
    } catch (const std::runtime_error& error) {
      const std::string what = error.what();
      EXPECT_NE(what.find("is damaged"), std::string::npos) << what;
      EXPECT_TRUE(std::ranges::none_of(what, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << what;
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sessionfs::fs
