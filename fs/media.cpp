#include "fs/media.hpp"

#include <libudev.h>
#include <spdlog/spdlog.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/child.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

using UdevDevice = std::unique_ptr<udev_device, udev_device* (*)(udev_device*)>;

// While systemd runs, its units mount.
constexpr const char* systemd_folder = "/run/systemd/system";
constexpr const char* mount_options = "nosuid,nodev,noexec";
// What is on a slow stick may take long to be written; who waits for it can take it out.
constexpr std::chrono::hours sync_limit{24};

bool mounts_itself() {
  std::error_code failed;
  return ::geteuid() == 0 && !std::filesystem::exists(systemd_folder, failed);
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

Device device_of(udev_device* device) {
  const auto property = [&](const char* name) { return text_or_empty(udev_device_get_property_value(device, name)); };
  Device found;
  const dev_t number = udev_device_get_devnum(device);
  found.number = {major(number), minor(number)};
  found.node = text_or_empty(udev_device_get_devnode(device));
  // The parent belongs to its child.
  if (udev_device* disk = udev_device_get_parent_with_subsystem_devtype(device, "block", "disk"))
    found.disk = text_or_empty(udev_device_get_devnode(disk));
  if (property("ID_FS_USAGE") != "filesystem") return found;
  found.type = property("ID_FS_TYPE");
  found.uuid = property("ID_FS_UUID");
  found.label = property("ID_FS_LABEL");
  return found;
}

}  // namespace

Media::Media(boost::asio::io_context& io, const std::filesystem::path& mounts_root, Hooks hooks)
    : io_(io),
      hooks_(std::move(hooks)),
      table_(mounts_itself() ? mounts_root : std::filesystem::path()),
      udev_(udev_new(), udev_unref),
      monitor_(nullptr, udev_monitor_unref),
      events_(io) {}

Media::~Media() {
  // The descriptor is the monitor's.
  if (events_.is_open()) (void)events_.release();
}

void Media::start() {
  if (udev_) monitor_.reset(udev_monitor_new_from_netlink(udev_.get(), "udev"));
  if (!monitor_ || udev_monitor_filter_add_match_subsystem_devtype(monitor_.get(), "block", nullptr) < 0 ||
      udev_monitor_filter_add_match_tag(monitor_.get(), medium_tag) < 0 ||
      udev_monitor_enable_receiving(monitor_.get()) < 0) {
    monitor_.reset();
    return spdlog::info("sticks are not noticed: udev cannot be asked");
  }
  events_.assign(udev_monitor_get_fd(monitor_.get()));
  wait();
  mounts_ = std::make_unique<MountWatch>(io_, [this](const auto& table) { perform(table_.mounted(table)); });
  perform(table_.mounted(MountWatch::read()));
  const std::unique_ptr<udev_enumerate, udev_enumerate* (*)(udev_enumerate*)> present(udev_enumerate_new(udev_.get()),
                                                                                      udev_enumerate_unref);
  if (!present) return;
  udev_enumerate_add_match_subsystem(present.get(), "block");
  udev_enumerate_add_match_tag(present.get(), medium_tag);
  udev_enumerate_scan_devices(present.get());
  for (auto* entry = udev_enumerate_get_list_entry(present.get()); entry != nullptr;
       entry = udev_list_entry_get_next(entry)) {
    const UdevDevice device(udev_device_new_from_syspath(udev_.get(), udev_list_entry_get_name(entry)),
                            udev_device_unref);
    if (device) perform(table_.device_is_there(device_of(device.get())));
  }
}

void Media::wait() {
  events_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    // Not blocking: null when there is no more.
    for (;;) {
      const UdevDevice device(udev_monitor_receive_device(monitor_.get()), udev_device_unref);
      if (!device) break;
      take(device.get());
    }
    wait();
  });
}

void Media::take(udev_device* device) {
  const std::string action = text_or_empty(udev_device_get_action(device));
  const Device told = device_of(device);
  perform(action == "remove" ? table_.device_is_gone(told.number) : table_.device_is_there(told));
}

void Media::perform(const std::vector<MediaAction>& actions) {
  for (const auto& action : actions) {
    switch (action.kind) {
      case MediaAction::Kind::mount:
        mount(action);
        break;
      case MediaAction::Kind::let_go:
        let_go(action.root);
        break;
      case MediaAction::Kind::came:
        hooks_.came(action.root);
        break;
      case MediaAction::Kind::went:
        hooks_.went(action.root);
        break;
      case MediaAction::Kind::complain:
        spdlog::warn("{}", action.why);
        break;
    }
  }
}

void Media::mount(const MediaAction& action) {
  const DeviceNumber number = action.device.number;
  const auto ended = [this, number](int status, const std::string& said) {
    perform(table_.mount_ended(number, status == 0, said));
  };
  std::error_code failed;
  std::filesystem::create_directories(action.root, failed);
  if (failed) return ended(1, action.root.string() + ": " + failed.message());
  run_child(io_,
            {"mount", "-t", action.device.type, "-o", mount_options, "--", action.device.node, action.root.string()},
            mount_limit, ended);
}

void Media::let_go(const std::filesystem::path& root) {
  run_child(io_, {"umount", "--lazy", "--", root.string()}, mount_limit, [root](int, const std::string&) {
    std::error_code ignored;
    std::filesystem::remove(root, ignored);
  });
}

void Media::eject(const Medium& medium, Done done) {
  const Device device = medium.device;
  if (medium.state != Medium::State::mounted)
    return done(medium.state == Medium::State::ejected ? 0 : ENXIO, device.node + ": is not mounted");
  const auto root = medium.root;
  run_child(io_, {"sync", "--file-system", "--", root.string()}, sync_limit,
            [this, device, root, done = std::move(done)](int status, const std::string& said) {
              if (status != 0) return done(EIO, device.node + ": cannot be written to: " + said);
              unmount(device.number, device, root, done);
            });
}

void Media::unmount(const DeviceNumber& number, const Device& device, const std::filesystem::path& root, Done done) {
  // What a desktop has mounted for a user, its own program unmounts for him.
  std::vector<std::string> command{"umount", "--", root.string()};
  if (::geteuid() != 0) command = {"udisksctl", "unmount", "--no-user-interaction", "--block-device", device.node};
  run_child(io_, std::move(command), mount_limit,
            [this, number, node = device.node, root, done = std::move(done)](int status, const std::string& said) {
              if (status != 0) return done(EBUSY, node + ": is in use and cannot be unmounted: " + said);
              table_.ejected(number);
              std::error_code ignored;
              if (std::filesystem::is_empty(root, ignored)) std::filesystem::remove(root, ignored);
              done(0, "");
            });
}

}  // namespace sessionfs::fs
