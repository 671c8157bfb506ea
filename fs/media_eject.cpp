// MediaState: making it safe to unplug a medium.
#include <algorithm>
#include <cerrno>
#include <string>

#include "fs/files.hpp"
#include "fs/media_state.hpp"

namespace sessionfs::fs {

MediaState::Known* MediaState::find_turn(std::uint64_t turn) {
  const auto found = std::ranges::find_if(
      media_, [&](const auto& each) { return each.second.state == MediumState::ejecting && each.second.turn == turn; });
  return found == media_.end() ? nullptr : &found->second;
}

void MediaState::begin_eject(const std::string& node, std::uint64_t ticket) {
  const auto refuse = [&](int error, const std::string& why) { act(MediumEjected{ticket, error, node + " " + why}); };
  const auto found = media_.find(node);
  if (found == media_.end()) return refuse(ENODEV, "is no medium that is plugged in");
  Known& medium = found->second;
  switch (medium.state) {
    case MediumState::ejecting:
      return refuse(EALREADY, "is being ejected already");
    case MediumState::mounting:
      return refuse(EBUSY, "is just being mounted");
    case MediumState::system:
      return refuse(EPERM, "cannot be ejected: " + medium.why);
    case MediumState::mounted:
      medium.state = MediumState::ejecting;
      medium.turn = ++last_turn_;
      medium.ticket = ticket;
      medium.unmounts = 0;
      return act(SyncMedium{medium.turn, medium.root});
    default:
      medium.state = MediumState::ejected;
      medium.folder.clear();
      medium.why.clear();
      return act(MediumEjected{ticket, 0, {}});
  }
}

void MediaState::handle_synced(std::uint64_t turn, bool success, const std::string& why) {
  Known* medium = find_turn(turn);
  if (medium == nullptr) return;
  if (!success) return end_eject(*medium, EIO, "not all could be written to it: " + one_line(why));
  unmount_next(*medium, true, {});
}

void MediaState::handle_unmounted(std::uint64_t turn, bool success, const std::string& why) {
  Known* medium = find_turn(turn);
  if (medium != nullptr) unmount_next(*medium, success, why);
}

// After what went before, as `success` and `why` say.
void MediaState::unmount_next(Known& medium, bool success, const std::string& why) {
  const auto mounts = mounts_of(medium);
  if (mounts.empty()) return end_eject(medium, 0, {});
  const auto usable = reachable(mounts);
  if (usable.empty())
    return end_eject(medium, EBUSY, "something else is mounted over " + one_line(mounts.front()->where));
  const auto first = std::ranges::find_if(usable, [&](const auto* each) { return each->where == medium.root; });
  const std::string where = first != usable.end() ? (*first)->where : usable.front()->where;
  if (success && medium.unmounts < max_unmounts) {
    ++medium.unmounts;
    return act(UnmountMedium{medium.turn, medium.device.node, where});
  }
  const std::string place = one_line(where);
  if (why.find("busy") == std::string::npos)
    return end_eject(
        medium, EIO,
        place + " cannot be unmounted: " + (why.empty() ? "it is mounted again and again" : one_line(why)));
  end_eject(medium, EBUSY, place + " is in use: a program has a file of it open, or works in a folder of it");
}

void MediaState::end_eject(Known& medium, int error, const std::string& why) {
  medium.turn = 0;
  medium.state = MediumState::mounted;
  look(medium);  // of several mounts some may have gone
  if (error == 0 && medium.root.empty()) medium.state = MediumState::ejected;
  look_at_all();
  act(MediumEjected{medium.ticket, error, error == 0 ? "" : medium.device.node + ": " + why});
}

}  // namespace sessionfs::fs
