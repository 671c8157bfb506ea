// MediaState: which medium is meant.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>

#include "fs/files.hpp"
#include "fs/media_state.hpp"

namespace sessionfs::fs {
namespace {

bool names_node(const MediumDevice& device, const std::string& what) {
  return device.node == what || device.node == "/dev/" + what ||
         std::ranges::find(device.links, what) != device.links.end();
}

}  // namespace

FoundMedia MediaState::find(const std::string& what) const {
  FoundMedia found;
  const auto collect = [&](const auto& wanted) {
    if (!found.media.empty()) return;
    for (const auto& [node, medium] : media_)
      if (wanted(medium)) found.media.push_back(medium);
  };
  const auto is_mounted = [](const Medium& each) { return !each.root.empty(); };
  const auto is_current = [](const Medium& each) { return each.state != MediumState::superseded; };
  auto folder = std::filesystem::path(what).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (!what.empty()) {
    collect([&](const Known& each) { return names_node(each.device, what); });
    collect([&](const Known& each) {
      return is_mounted(each) && (each.device.disk == what || each.device.disk == "/dev/" + what);
    });
    collect([&](const Known& each) { return each.device.disk == what || each.device.disk == "/dev/" + what; });
    collect([&](const Known& each) { return is_current(each) && same_uuid(each.device.uuid, what); });
    collect([&](const Known& each) { return is_mounted(each) && each.root == folder; });
    if (found.media.empty()) {
      collect([&](const Known& each) { return is_current(each) && each.device.label == what; });
      if (found.media.size() > 1) {
        found.error = EINVAL;
        found.why = "several media are named " + one_line(what) + ":";
        for (const auto& each : found.media) found.why += " " + each.device.node;
        found.media.clear();
        return found;
      }
    }
  }
  if (!found.media.empty()) return found;
  found.error = ENODEV;
  found.why = "no medium is named " + one_line(what) + "; ";
  found.why += media_.empty() ? "none is plugged in" : "there are:";
  for (const auto& each : media_) found.why += " " + each.first;
  return found;
}

std::vector<Medium> MediaState::all() const {
  std::vector<Medium> media;
  media.reserve(media_.size());
  for (const auto& each : media_) media.push_back(each.second);
  return media;
}

}  // namespace sessionfs::fs
