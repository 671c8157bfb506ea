#include "fs/media.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "fs/child.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

constexpr ::mode_t medium_folder_mode = 0755;  // below it the medium's own modes count

template <class... Cases>
struct MediaCases : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
MediaCases(Cases...) -> MediaCases<Cases...>;

MediaSettings media_settings(const std::filesystem::path& mount_root, bool may_mount) {
  // As sd_booted(3) says it.
  const bool systemd = ::access("/run/systemd/system", F_OK) == 0;
  return {mount_root, may_mount && ::geteuid() == 0 && !systemd, ::geteuid(), ::getegid()};
}

bool is_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    if (::access((std::string(rest.substr(0, end)) + "/" + program).c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

// A folder that is there already, or a mount point, will do: nothing looks inside.
int make_folder(const std::filesystem::path& folder) {
  if (::mkdir(folder.c_str(), medium_folder_mode) == 0)
    return ::chmod(folder.c_str(), medium_folder_mode) == 0 ? 0 : errno;
  return errno == EEXIST ? 0 : errno;
}

std::string word(const std::string& text) {
  constexpr std::string_view octal = "01234567";
  if (text.empty()) return "-";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte != 0x7f && c != '\\') {
      escaped += c;
    } else {
      escaped += '\\';
      escaped += octal.at(byte >> 6U);
      escaped += octal.at((byte >> 3U) & 7U);
      escaped += octal.at(byte & 7U);
    }
  }
  return escaped;
}

}  // namespace

Media::Media(asio::io_context& io, const std::filesystem::path& mount_root, Hooks hooks, bool may_mount)
    : io_(io), mount_root_(mount_root), hooks_(std::move(hooks)), state_(media_settings(mount_root, may_mount)) {}

Media::~Media() { *ended_ = true; }

void Media::start() {
  try {
    mounts_.emplace(io_, [this] {
      read_table();
      act();
    });
    devices_.emplace(io_, UdevWatch::Hooks{.present =
                                               [this](const MediumDevice& device, bool added) {
                                                 read_table();
                                                 state_.handle_device(device, added);
                                                 act();
                                               },
                                           .gone =
                                               [this](const std::string& node) {
                                                 read_table();
                                                 state_.handle_removed(node);
                                                 act();
                                               },
                                           .lost = [this] { read_devices(); }});
  } catch (const std::exception& error) {
    spdlog::info("sticks that are plugged in are not noticed: {}", error.what());
    return;
  }
  if (::access("/run/udev/control", F_OK) != 0)
    spdlog::info("sticks that are plugged in are not noticed as long as udev does not run");
  read_devices();
  state_.handle_all_told();
  act();
}

// With what has changed since, without an event.
void Media::read_devices() {
  read_table();
  const auto devices = devices_->all();
  for (const auto& known : state_.all())
    if (std::ranges::find(devices, known.device.node, &MediumDevice::node) == devices.end())
      state_.handle_removed(known.device.node);
  for (const auto& device : devices) state_.handle_device(device, false);
  act();
}

void Media::read_table() {
  try {
    state_.handle_table(read_mount_table());
  } catch (const std::exception& error) {
    spdlog::warn("what is mounted cannot be read: {}", error.what());
  }
}

// --- What MediaState says ------------------------------------------------------------------------------------------

void Media::act() {
  if (std::exchange(acting_, true)) return;  // a hook has asked for more: the loop below gets to it
  const auto ended = ended_;
  while (const auto action = state_.poll_action()) {
    std::visit(MediaCases{
                   [&](const MountMedium& what) { mount(what, 0); },
                   [&](const UnmountMedium& what) { unmount(what); },
                   [&](const LetGoMedium& what) {
                     run({"umount", "--lazy", "--no-canonicalize", "--internal-only", "--", what.folder.string()},
                         mount_limit_min,
                         [this, folder = what.folder](bool, const std::string&) { state_.handle_let_go(folder); });
                   },
                   [&](const RemoveMediumFolder& what) { ::rmdir(what.folder.c_str()); },
                   [&](const SyncMedium& what) {
                     run({"sync", "--file-system", "--", what.root.string()}, sync_limit_min,
                         [this, turn = what.turn](bool success, const std::string& said) {
                           state_.handle_synced(turn, success, said);
                         });
                   },
                   [&](const MediumCame& what) { hooks_.came(what.root); },
                   [&](const MediumWent& what) { hooks_.went(what.root); },
                   [&](const MediumEjected& what) { end_eject(what); },
                   [&](const MediaWords& what) {
                     spdlog::log(what.warning ? spdlog::level::warn : spdlog::level::info, "{}", what.text);
                   },
               },
               *action);
    if (*ended) return;
  }
  acting_ = false;
}

// Runs it, and then what follows from it, with the mount table of that time.
void Media::run(std::vector<std::string> command, std::chrono::milliseconds limit,
                std::function<void(bool, const std::string&)> done) {
  run_child(io_, std::move(command), limit,
            [this, ended = ended_, done = std::move(done)](int status, const std::string& said) {
              if (*ended) return;
              read_table();
              done(status == 0, said.empty() ? "it ended with status " + std::to_string(status) : said);
              act();
            });
}

void Media::mount(const MountMedium& what, std::size_t attempt) {
  int error = make_folder(mount_root_);
  if (error == ENOENT) error = make_folder(mount_root_.parent_path()) != 0 ? error : make_folder(mount_root_);
  if (error == 0) error = make_folder(what.folder);
  if (error != 0) {
    asio::post(io_, [this, ended = ended_, folder = what.folder, error] {
      if (*ended) return;
      state_.handle_mounted(folder, false, folder.string() + ": " + std::strerror(error));
      act();
    });
    return;
  }
  run({"mount", "-t", what.types.at(attempt), "-o", what.options, "--", what.node, what.folder.string()},
      mount_limit_min, [this, what, attempt](bool success, const std::string& said) {
        const bool unknown = !success && said.find("unknown filesystem type") != std::string::npos;
        if (unknown && attempt + 1 < what.types.size()) return mount(what, attempt + 1);
        state_.handle_mounted(what.folder, success, said);
      });
}

void Media::unmount(const UnmountMedium& what) {
  std::vector<std::string> command{"umount", "--", what.root.string()};
  if (::geteuid() != 0 && is_in_path("udisksctl")) command = {"udisksctl", "unmount", "--block-device", what.node};
  run(std::move(command), mount_limit_min, [this, turn = what.turn](bool success, const std::string& said) {
    state_.handle_unmounted(turn, success, said);
  });
}

// --- Ejecting ------------------------------------------------------------------------------------------------------

void Media::eject(const std::string& what, Done done) {
  const auto found = find(what);
  if (found.error != 0) {
    asio::post(io_, [done = std::move(done), found] { done(found.error, found.why); });
    return;
  }
  std::vector<std::string> nodes;
  nodes.reserve(found.media.size());
  for (const auto& each : found.media) nodes.push_back(each.device.node);
  std::ranges::reverse(nodes);
  eject_next(std::move(nodes), done);
}

void Media::eject_next(std::vector<std::string> nodes, const Done& done) {
  const std::string node = nodes.back();
  nodes.pop_back();
  ejecting_.emplace(++last_ticket_, [this, nodes = std::move(nodes), done](int error, const std::string& why) {
    if (error != 0 || nodes.empty()) return done(error, why);
    eject_next(nodes, done);
  });
  state_.begin_eject(node, last_ticket_);
  act();
}

void Media::end_eject(const MediumEjected& ejected) {
  const auto found = ejecting_.find(ejected.ticket);
  if (found == ejecting_.end()) return;
  const Done done = std::move(found->second);
  ejecting_.erase(found);
  asio::post(io_, [ended = ended_, done, ejected] {
    if (!*ended) done(ejected.error, ejected.why);
  });
}

std::vector<std::string> Media::text() const {
  std::vector<std::string> lines;
  for (const auto& each : state_.all()) {
    std::string line = word(each.device.node) + " " + word(each.device.label) + " " + word(each.device.uuid) + " " +
                       word(each.device.type) + " " + word(each.root.string()) + " ";
    line += name_of(each.state);
    if (!each.why.empty()) line += ": " + one_line(each.why);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace sessionfs::fs
