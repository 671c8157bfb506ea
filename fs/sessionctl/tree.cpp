#include "fs/sessionctl/tree.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <system_error>

#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

namespace filesystem = std::filesystem;

std::string reason(int error) {
  std::string why = std::strerror(error);
  if (error == EACCES || error == EPERM) why += "; it belongs to another user";
  if (error == ENOTCONN || error == ECONNABORTED) why += "; the daemon has ended";
  return why;
}

class File {
 public:
  File(filesystem::path path, int flags) : path_(std::move(path)), fd_(::open(path_.c_str(), flags | O_CLOEXEC)) {
    if (fd_ < 0) fail(errno);
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[noreturn]] void fail(int error) const { throw Error(path_.string() + ": " + reason(error), error); }

  // Some of what is left; 0 at the end.
  std::size_t read(std::array<char, 65536>& buffer) {
    ssize_t count = 0;
    do count = ::read(fd_, buffer.data(), buffer.size());
    while (count < 0 && errno == EINTR);
    if (count < 0) fail(errno);
    return static_cast<std::size_t>(count);
  }

  // The errno; 0 when all is written.
  int write(const std::string& text) {
    const ssize_t count = ::write(fd_, text.data(), text.size());
    if (count < 0) return errno;
    return static_cast<std::size_t>(count) == text.size() ? 0 : EIO;
  }

 private:
  filesystem::path path_;
  int fd_;
};

std::string read_text(const filesystem::path& path) {
  File file(path, O_RDONLY);
  std::string text;
  std::array<char, 65536> buffer{};
  while (const auto count = file.read(buffer)) {
    text.append(buffer.data(), count);
    if (text.size() > max_status_bytes) file.fail(EFBIG);
  }
  return text;
}

filesystem::path found_mount() {
  if (const char* named = std::getenv("SESSIONFS_MOUNT"); named != nullptr && *named != '\0') return named;
  std::ifstream mountinfo("/proc/self/mountinfo");
  const auto all = mounts(mountinfo, ::geteuid());
  if (all.empty()) throw Error("sessionfs is not mounted; start it with: sessionfs MOUNTPOINT");
  if (all.size() == 1) return all.front();
  std::string names;
  for (const auto& mount : all) names += " " + mount.string();
  throw Error("sessionfs is mounted at several places; name one of them with --mount or in SESSIONFS_MOUNT:" + names);
}

filesystem::path normal(const filesystem::path& path) {
  const auto full = filesystem::absolute(path).lexically_normal();
  return full.has_filename() || full == full.root_path() ? full : full.parent_path();
}

[[noreturn]] void refuse_mount(const std::string& mount, int error) {
  switch (error) {
    case ENOTCONN:
    case ECONNABORTED:
      throw Error(
          mount + " is still mounted by a daemon that has ended; take that mount away with: fusermount3 -u " + mount,
          error);
    case EACCES:
    case EPERM:
      throw Error(mount + " cannot be looked at: " + std::strerror(error) + "; it may be another user's mount", error);
    case 0:
    case ENOENT:
    case ENOTDIR:
      throw Error(mount +
                      " is no mount of sessionfs; name one with --mount or in SESSIONFS_MOUNT, or start one with: "
                      "sessionfs MOUNTPOINT",
                  error);
    default:
      throw Error(mount + " cannot be looked at: " + std::strerror(error) + "; is it a mount of sessionfs?", error);
  }
}

// The names in a folder, sorted.
std::vector<std::string> names_in(const filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) throw Error(folder.string() + ": " + reason(error.value()), error.value());
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::vector<filesystem::path> mounts(std::istream& mountinfo, uid_t user) {
  std::vector<filesystem::path> own;
  std::vector<filesystem::path> others;
  std::set<std::string> devices;
  for (std::string line; std::getline(mountinfo, line);) {
    std::istringstream fields(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    std::string place;
    fields >> id >> parent >> device >> root >> place;
    // Between the place and the type stand the options, and fields whose number varies, ended by a dash.
    std::string word;
    while (fields >> word && word != "-") continue;
    std::string type;
    std::string source;
    std::string options;
    fields >> type >> source >> options;
    // A folder of the tree that is bound to another place is no mount by which the daemon could be asked.
    if (type != "fuse.sessionfs" || root != "/" || !devices.insert(device).second) continue;
    const bool is_own = ("," + options + ",").find(",user_id=" + std::to_string(user) + ",") != std::string::npos;
    (is_own ? own : others).emplace_back(unescaped(place));
  }
  auto& found = own.empty() ? others : own;
  std::ranges::sort(found);
  return found;
}

Tree::Tree(const std::optional<std::string>& mount) : mount_(normal(mount ? filesystem::path(*mount) : found_mount())) {
  int number = 0;
  try {
    // An endpoint's folder has the same files, but not this line.
    if (!value_of(host_status(), "mount").empty()) return;
  } catch (const Error& error) {
    number = error.number();
  }
  refuse_mount(mount_.string(), number);
}

std::vector<std::string> Tree::endpoints() const {
  auto names = names_in(mount_);
  std::erase_if(names, [](const std::string& name) { return name.find('@') == std::string::npos; });
  return names;
}

std::string Tree::host_status() const { return read_text(mount_ / "status"); }

std::optional<std::string> Tree::status(const std::string& endpoint) const {
  if (endpoint.find('@') == std::string::npos || endpoint.find('/') != std::string::npos) return std::nullopt;
  try {
    return read_text(mount_ / endpoint / "status");
  } catch (const Error& error) {
    // The kernel knows longer names for none at all.
    if (error.number() != ENOENT && error.number() != ESTALE && error.number() != ENAMETOOLONG) throw;
    return std::nullopt;
  }
}

std::vector<std::string> Tree::statuses() const {
  std::vector<std::string> texts;
  for (const auto& name : endpoints())
    // One that has gone since it was listed is none.
    if (auto text = status(name)) texts.push_back(std::move(*text));
  return texts;
}

std::string Tree::endpoint_or_default(const std::optional<std::string>& endpoint) const {
  const auto host = host_status();
  auto name = endpoint ? *endpoint : value_of(host, "default endpoint");
  if (status(name)) return name;
  if (endpoints().empty())
    throw Error(name + " does not reside on this host, which has no endpoint yet: " + value_of(host, "domain") + ": " +
                value_of(host, "name server"));
  throw Error(name + " does not reside on this host; sessionctl status shows the endpoints that do");
}

std::optional<std::string> Tree::endpoint_with(const std::string& session) const {
  for (const auto& endpoint : endpoints()) {
    try {
      const auto sessions = names_in(mount_ / endpoint / "sessions");
      if (std::ranges::binary_search(sessions, session)) return endpoint;
    } catch (const Error&) {
      continue;  // it has gone since it was listed
    }
  }
  return std::nullopt;
}

void Tree::command(const std::string& line, const std::optional<std::string>& endpoint,
                   const std::optional<std::string>& passphrase) const {
  const auto folder = endpoint ? mount_ / *endpoint : mount_;
  const std::string text = (passphrase ? "passphrase " + *passphrase + "\n" : "") + line + "\n";
  const int error = File(folder / "ctl", O_WRONLY).write(text);
  if (error == 0) return;
  const auto verb = line.substr(0, line.find(' '));
  std::string why;
  try {
    why = value_of(read_text(folder / "status"), "last error");
  } catch (const Error&) {
    // The endpoint has gone; the errno is what there is to say.
  }
  // An older one, of another command, says nothing of this one.
  if (!why.starts_with(verb + ": ")) why = verb + ": " + reason(error);
  throw Error(endpoint ? *endpoint + ": " + why : why, error);
}

std::vector<std::string> values_of(const std::string& status, const std::string& key) {
  std::vector<std::string> values;
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + ": ")) values.push_back(line.substr(key.size() + 2));
  return values;
}

std::string value_of(const std::string& status, const std::string& key) {
  const auto values = values_of(status, key);
  return values.empty() ? "" : values.front();
}

}  // namespace sessionfs::ctl
