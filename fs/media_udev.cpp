#include "fs/media_udev.hpp"

#include <libudev.h>
#include <poll.h>
#include <sys/sysmacros.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

struct FreeDevice {
  void operator()(udev_device* device) const { udev_device_unref(device); }
};
using Device = std::unique_ptr<udev_device, FreeDevice>;
struct FreeEnumeration {
  void operator()(udev_enumerate* enumeration) const { udev_enumerate_unref(enumeration); }
};
using Enumeration = std::unique_ptr<udev_enumerate, FreeEnumeration>;

std::string text_of(const char* text) { return text == nullptr ? std::string() : std::string(text); }

std::string property(udev_device* device, const char* name) {
  return text_of(udev_device_get_property_value(device, name));
}

// udev writes what is not plain as \xHH.
std::string undone(const std::string& text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned char byte = 0;
    if (text.compare(at, 2, "\\x") == 0 && at + 4 <= text.size() &&
        std::from_chars(&text[at + 2], &text[at + 4], byte, 16).ptr == &text[at + 4] && byte != 0) {
      plain += static_cast<char>(byte);
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

MediumDevice medium_of(udev_device* device) {
  MediumDevice medium;
  medium.node = text_of(udev_device_get_devnode(device));
  medium.disk = medium.node;
  if (text_of(udev_device_get_devtype(device)) == "partition")
    if (udev_device* disk =
            udev_device_get_parent_with_subsystem_devtype(device, "block", "disk"))  // it is the child's
      if (const char* node = udev_device_get_devnode(disk)) medium.disk = node;
  const dev_t number = udev_device_get_devnum(device);
  medium.major = major(number);
  medium.minor = minor(number);
  const std::string sequence = property(device, "DISKSEQ");
  std::from_chars(sequence.data(), sequence.data() + sequence.size(), medium.sequence);
  medium.uuid = property(device, "ID_FS_UUID");
  medium.label = undone(property(device, "ID_FS_LABEL_ENC"));
  medium.type = property(device, "ID_FS_TYPE");
  udev_list_entry* link = nullptr;
  udev_list_entry_foreach(link, udev_device_get_devlinks_list_entry(device)) {
    if (medium.links.size() < max_medium_links) medium.links.push_back(text_of(udev_list_entry_get_name(link)));
  }
  return medium;
}

// A device keeps every tag that it has ever had; what counts is what the rules give it now.
bool is_tagged(udev_device* device) {
  return udev_device_has_current_tag(device, medium_tag) > 0 && property(device, "ID_FS_USAGE") == "filesystem";
}

void check_udev(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string("udev: ") + what + ": " + std::strerror(-result));
}

}  // namespace

UdevWatch::UdevWatch(asio::io_context& io, Hooks hooks)
    : hooks_(std::move(hooks)), udev_(udev_new(), udev_unref), monitor_(nullptr, udev_monitor_unref), descriptor_(io) {
  if (udev_ == nullptr) throw std::runtime_error("udev: its library does not start");
  monitor_.reset(udev_monitor_new_from_netlink(udev_.get(), "udev"));
  if (monitor_ == nullptr) throw std::runtime_error("udev: its events cannot be heard");
  check_udev(udev_monitor_filter_add_match_subsystem_devtype(monitor_.get(), "block", nullptr), "no filter");
  check_udev(udev_monitor_filter_add_match_tag(monitor_.get(), medium_tag), "no filter");
  check_udev(udev_monitor_enable_receiving(monitor_.get()), "its events cannot be heard");
  descriptor_.assign(udev_monitor_get_fd(monitor_.get()));
  wait();
}

UdevWatch::~UdevWatch() {
  *ended_ = true;
  descriptor_.release();  // it is that of monitor_
}

std::vector<MediumDevice> UdevWatch::all() const {
  std::vector<MediumDevice> media;
  const Enumeration found(udev_enumerate_new(udev_.get()));
  if (found == nullptr) return media;
  udev_enumerate_add_match_subsystem(found.get(), "block");
  udev_enumerate_add_match_tag(found.get(), medium_tag);
  udev_enumerate_add_match_is_initialized(found.get());
  if (udev_enumerate_scan_devices(found.get()) < 0) return media;
  udev_list_entry* each = nullptr;
  udev_list_entry_foreach(each, udev_enumerate_get_list_entry(found.get())) {
    const Device device(udev_device_new_from_syspath(udev_.get(), udev_list_entry_get_name(each)));
    if (device == nullptr || !is_tagged(device.get())) continue;
    if (auto medium = medium_of(device.get()); !medium.node.empty()) media.push_back(std::move(medium));
  }
  return media;
}

void UdevWatch::wait() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this, ended = ended_](const boost::system::error_code& error) {
                           if (!error && !*ended) receive();
                         });
}

// What arrives while this runs is found by it: the wait that follows tells only of what comes then.
void UdevWatch::receive() {
  const auto ended = ended_;
  for (int count = 0; count < max_udev_events_at_once; ++count) {
    pollfd ready{descriptor_.native_handle(), POLLIN, 0};
    if (::poll(&ready, 1, 0) <= 0) return wait();
    errno = 0;
    const Device device(udev_monitor_receive_device(monitor_.get()));
    if (device != nullptr) {
      tell(device.get());
    } else if (errno == ENOBUFS) {
      hooks_.lost();
    }
    if (*ended) return;
  }
  asio::post(descriptor_.get_executor(), [this, ended] {
    if (!*ended) receive();
  });
}

void UdevWatch::tell(udev_device* device) {
  const std::string action = text_of(udev_device_get_action(device));
  if (action == "remove" || !is_tagged(device)) {
    if (const char* node = udev_device_get_devnode(device)) hooks_.gone(node);
    return;
  }
  if (const auto medium = medium_of(device); !medium.node.empty()) hooks_.present(medium, action == "add");
}

}  // namespace sessionfs::fs
