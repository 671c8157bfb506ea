#include "fs/child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::hours removal_limit{24};

constexpr int signal_status_base = 128;

// Keeps itself until the program has ended.
class Child : public std::enable_shared_from_this<Child> {
 public:
  Child(asio::io_context& io, std::function<void(int, const std::string&)> done)
      : io_(io), process_(io), words_(io), limit_(io), done_(std::move(done)) {}

  struct How {
    std::vector<std::string> variables;
    std::optional<std::chrono::milliseconds> limit;
    ChildFiles files;
  };
  // The process number, -1 when there is none.
  pid_t start(std::vector<std::string> command, How how) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail("pipe", errno);
    words_.assign(ends[0]);
    words_.non_blocking(true);
    const int error = spawn(std::move(command), how, ends[1]);
    ::close(ends[1]);
    if (error != 0) return fail("it cannot be started", error);
    // glibc of some supported systems has no pidfd_open().
    const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (descriptor < 0) {
      const int number = errno;
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      return fail("pidfd_open", number);
    }
    process_.assign(descriptor);
    wait();
    listen();
    if (!how.limit) return pid_;
    limit_.expires_after(*how.limit);
    limit_.async_wait([weak = weak_from_this()](const boost::system::error_code& stopped) {
      const auto child = weak.lock();
      if (!stopped && child && !child->over_) ::kill(child->pid_, SIGKILL);
    });
    return pid_;
  }

 private:
  int spawn(std::vector<std::string> command, How& how, int error_end) {
    std::vector<std::string>& variables = how.variables;
    const bool own_session = !how.limit;
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<char*> surroundings;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string_view present(*variable);
      const auto replaces = [&](const std::string& given) {
        return present.substr(0, present.find('=')) == std::string_view(given).substr(0, given.find('='));
      };
      if (std::ranges::none_of(variables, replaces)) surroundings.push_back(*variable);
    }
    for (auto& variable : variables) surroundings.push_back(variable.data());
    surroundings.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    const auto give = [&](int given, int as, int flags) {
      if (given >= 0) {
        posix_spawn_file_actions_adddup2(&files, given, as);
      } else {
        posix_spawn_file_actions_addopen(&files, as, "/dev/null", flags, 0);
      }
    };
    give(how.files.input, STDIN_FILENO, O_RDONLY);
    give(how.files.output, STDOUT_FILENO, O_WRONLY);
    // One that outlives the daemon must not write into a pipe that nobody reads any more.
    if (own_session) {
      posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    } else {
      posix_spawn_file_actions_adddup2(&files, error_end, STDERR_FILENO);
    }
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    const int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (own_session ? POSIX_SPAWN_SETSID : 0);
    posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
    const int error =
        posix_spawnp(&pid_, arguments.front(), &files, &attributes, arguments.data(), surroundings.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
  }

  void wait() {
    process_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [keep = shared_from_this()](const boost::system::error_code&) { keep->ended(); });
  }
  void listen() {
    words_.async_read_some(asio::buffer(part_),
                           [keep = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
                             keep->hear(size);
                             if (!error && !keep->over_) keep->listen();
                           });
  }
  void hear(std::size_t size) {
    said_.append(part_.data(), std::min(size, max_child_words - std::min(max_child_words, said_.size())));
  }

  void ended() {
    int how = 0;
    if (::waitpid(pid_, &how, WNOHANG) == 0) return wait();  // it was woken for nothing
    over_ = true;
    limit_.cancel();
    boost::system::error_code ignored;
    while (const auto size = words_.read_some(asio::buffer(part_), ignored)) hear(size);
    words_.close(ignored);
    tell(WIFEXITED(how) ? WEXITSTATUS(how) : signal_status_base + WTERMSIG(how));
  }
  pid_t fail(const char* what, int number) {
    over_ = true;
    said_ = std::string(what) + ": " + std::strerror(number);
    asio::post(io_, [keep = shared_from_this()] { keep->tell(child_not_started); });
    return -1;
  }
  void tell(int status) {
    if (const auto done = std::exchange(done_, nullptr)) done(status, said_.substr(0, said_.find('\n')));
  }

  asio::io_context& io_;
  asio::posix::stream_descriptor process_;
  asio::posix::stream_descriptor words_;
  asio::steady_timer limit_;
  std::function<void(int, const std::string&)> done_;
  std::array<char, 512> part_{};
  std::string said_;
  pid_t pid_ = -1;
  bool over_ = false;
};

}  // namespace

pid_t run_child(asio::io_context& io, std::vector<std::string> command, std::chrono::milliseconds limit,
                std::function<void(int, const std::string&)> done, ChildFiles files) {
  return std::make_shared<Child>(io, std::move(done))->start(std::move(command), {{"LC_ALL=C"}, limit, files});
}

void remove_later(asio::io_context& io, const std::filesystem::path& path) {
  run_child(io, {"rm", "--recursive", "--force", "--", path.string()}, removal_limit, [](int, const auto&) {});
}

void start_child(asio::io_context& io, std::vector<std::string> command, std::vector<std::string> variables,
                 std::function<void(int, const std::string&)> done) {
  std::make_shared<Child>(io, std::move(done))->start(std::move(command), {std::move(variables), std::nullopt, {}});
}

std::optional<std::uint64_t> bytes_written_by(pid_t child) {
  std::ifstream counts("/proc/" + std::to_string(child) + "/io");
  std::string key;
  std::uint64_t value = 0;
  while (counts >> key >> value)
    if (key == "wchar:") return value;
  return std::nullopt;
}

}  // namespace sessionfs::fs
