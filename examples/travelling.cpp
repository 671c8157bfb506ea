#include "travelling.hpp"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace examples {
namespace {

constexpr auto pause = std::chrono::milliseconds(200);
constexpr auto patience = std::chrono::minutes(1);
constexpr int max_states = 999;

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw std::system_error(errno, std::generic_category(), path.string());
}

bool has_daemon(const std::filesystem::path& home) { return std::ifstream(home.parent_path() / "status").good(); }

// Whether it is being saved, or gone.
bool leaves(const std::filesystem::path& home) {
  std::ifstream status(home / "status");
  if (!status) return has_daemon(home);
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("away: ")) return true;
  return false;
}

// It may be started again, but is not waited for for ever.
void wait_for_daemon(const std::filesystem::path& home) {
  const auto limit = std::chrono::steady_clock::now() + patience;
  while (!has_daemon(home)) {
    if (std::chrono::steady_clock::now() > limit) throw Failure("the daemon has not come back");
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

File::File(const std::filesystem::path& path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail(path);
}

File::~File() { ::close(descriptor_); }

std::size_t File::read(char* into, std::size_t size) const {
  const auto count = ::read(descriptor_, into, size);
  if (count < 0) fail("read");
  return static_cast<std::size_t>(count);
}

void File::seek(std::uint64_t offset) const {
  if (::lseek(descriptor_, static_cast<off_t>(offset), SEEK_SET) < 0) fail("seek");
}

void File::write_all_at(std::uint64_t offset, std::string_view bytes) const {
  while (!bytes.empty()) {
    const auto count = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void File::write_all(std::string_view bytes) const {
  while (!bytes.empty()) {
    const auto count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void File::read_line(std::string& line) const {
  for (char byte = 0; read(&byte, 1) == 1; line += byte)
    if (byte == '\n') return;
  throw Failure("the stream has ended in the middle of a line");
}

Endpoint::Endpoint(const std::string& name) {
  const char* mount = std::getenv("SESSIONFS_MOUNT");
  home_ = std::filesystem::path(mount == nullptr ? "/session" : mount) / name;
}

std::uint64_t Endpoint::sent(const std::string& name) const {
  std::array<char, 24> text{};
  const auto path = session(name);
  if (::getxattr(path.c_str(), "user.session.sent", text.data(), text.size() - 1) < 0) fail(path);
  return std::strtoull(text.data(), nullptr, 10);
}

void Endpoint::command(const std::string& line) const { File(home_ / "ctl", O_WRONLY).write_all(line + "\n"); }

void Endpoint::after(const std::system_error& error) const {
  if (leaves(home_)) throw Leaving();
  if (!has_daemon(home_)) return wait_for_daemon(home_);
  if (error.code() == std::errc::connection_reset || error.code() == std::errc::no_such_file_or_directory ||
      error.code() == std::errc::broken_pipe)
    throw Failure(error.what());
  std::this_thread::sleep_for(pause);
}

void Endpoint::keep_state(std::string_view program, const std::vector<std::string>& lines) const {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  for (int number = 1; number <= max_states; ++number) {
    const auto file = home_ / (".state." + std::string(program) + "." + std::to_string(number));
    try {
      return File(file, O_WRONLY | O_CREAT | O_EXCL).write_all(text);
    } catch (const std::system_error& taken) {
      if (taken.code() != std::errc::file_exists) throw;
    }
  }
}

std::vector<std::string> Endpoint::take_state(const std::filesystem::path& file, std::size_t lines) {
  std::ifstream state(file);
  std::vector<std::string> read(lines);
  for (auto& line : read) std::getline(state, line);
  if (!state) throw Failure(file.string() + ": is no state of this program");
  std::filesystem::remove(file);
  return read;
}

Arguments::Arguments(int argc, char** argv) : rest(argv + 1, argv + argc) {
  while (rest.size() >= 2 && (rest[0] == "--ep" || rest[0] == "--statefile")) {
    (rest[0] == "--ep" ? endpoint : statefile) = rest[1];
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  if (endpoint.empty()) throw Failure("--ep ENDPOINT is missing");
}

}  // namespace examples
