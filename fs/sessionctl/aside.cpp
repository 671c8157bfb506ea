#include "fs/sessionctl/aside.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr char done_mark = '+';  // in front of an answer
constexpr char failed_mark = '-';

void write_answer(int pipe, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t count = ::write(pipe, text.data() + at, text.size() - at);
    if (count < 0 && errno != EINTR) return;  // nobody waits for it any more
    if (count > 0) at += static_cast<std::size_t>(count);
  }
}

[[noreturn]] void work_for(int pipe, const std::function<std::string()>& work) {
  // Whoever waits for us has the terminal.
  for (const int number : {SIGTSTP, SIGWINCH}) ::signal(number, SIG_IGN);
  std::string answer;
  try {
    answer = done_mark + work();
  } catch (const std::exception& error) {
    answer = failed_mark + std::string(error.what());
  }
  write_answer(pipe, answer);
  ::_exit(0);
}

}  // namespace

Aside::Aside(const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error(std::string("no pipe: ") + std::strerror(errno), errno);
  pipe_.reset(ends[0]);
  Descriptor far(ends[1]);
  ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
  process_ = ::fork();
  if (process_ < 0) throw Error(std::string("no process to ask the daemon: ") + std::strerror(errno), errno);
  if (process_ == 0) work_for(far.get(), work);
}

Aside::~Aside() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, WNOHANG);  // a call that the daemon has taken ends with the daemon
}

std::optional<Aside::Answer> Aside::poll() {
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t count = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return std::nullopt;
    if (count <= 0) break;
    read_.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::waitpid(std::exchange(process_, -1), nullptr, 0);
  if (read_.empty()) return Answer{false, "whoever asked the daemon was ended"};
  return Answer{read_.front() == done_mark, read_.substr(1)};
}

}  // namespace sessionfs::ctl
