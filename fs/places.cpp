#include "fs/places.hpp"

#include <algorithm>
#include <deque>

namespace sessionfs::fs {
namespace {

constexpr int max_links = 40;  // as the kernel has it

}  // namespace

bool lies_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

bool leads_into(const std::filesystem::path& path, const std::filesystem::path& folder) {
  std::deque<std::filesystem::path> rest(path.begin(), path.end());
  std::filesystem::path place = "/";
  for (int links = 0; !rest.empty();) {
    const auto step = rest.front();
    rest.pop_front();
    if (step == "/") {
      place = step;
    } else if (step == "..") {
      place = place.parent_path();
    } else if (!step.empty() && step != ".") {
      const auto next = place / step;
      if (lies_below(next, folder)) return true;
      std::error_code is_none;
      const auto target = std::filesystem::read_symlink(next, is_none);
      if (is_none) {
        place = next;
      } else if (++links > max_links) {
        return false;
      } else {
        rest.insert(rest.begin(), target.begin(), target.end());
      }
    }
  }
  return false;
}

}  // namespace sessionfs::fs
