#include "fs/sessionctl/passphrase.hpp"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "fs/sealed.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr const char* terminal_name = "/dev/tty";
constexpr std::array<int, 5> caught_signals{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

volatile std::sig_atomic_t caught_signal = 0;

void note_signal(int number) { caught_signal = number; }

// Signals come only while waiting with outside(); what has come is in caught_signal.
class SignalsNoted {
 public:
  SignalsNoted() {
    caught_signal = 0;
    sigset_t set;
    sigemptyset(&set);
    for (const int number : caught_signals) sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, &outside_);
    struct sigaction note {};
    note.sa_handler = note_signal;
    sigemptyset(&note.sa_mask);
    for (std::size_t i = 0; i < caught_signals.size(); ++i) {
      ::sigaction(caught_signals.at(i), nullptr, &before_.at(i));
      // What whoever has started us wants ignored (nohup) stays so.
      if (before_.at(i).sa_handler != SIG_IGN) ::sigaction(caught_signals.at(i), &note, nullptr);
    }
  }
  ~SignalsNoted() {
    for (std::size_t i = 0; i < caught_signals.size(); ++i) ::sigaction(caught_signals.at(i), &before_.at(i), nullptr);
    ::sigprocmask(SIG_SETMASK, &outside_, nullptr);
  }
  SignalsNoted(const SignalsNoted&) = delete;
  SignalsNoted& operator=(const SignalsNoted&) = delete;
  [[nodiscard]] const sigset_t& outside() const { return outside_; }

 private:
  sigset_t outside_{};
  std::array<struct sigaction, caught_signals.size()> before_{};
};

class Terminal {
 public:
  Terminal() : fd_(::open(terminal_name, O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (fd_ < 0)
      throw Error(std::string("there is no terminal to ask for the passphrase: ") + std::strerror(errno), errno);
  }
  ~Terminal() { ::close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void say(const std::string& text) const { (void)!::write(fd_, text.data(), text.size()); }

  // A line without an echo; nothing when a signal has come.
  [[nodiscard]] std::optional<std::string> read_unseen() const {
    const SignalsNoted signals;
    termios before{};
    if (::tcgetattr(fd_, &before) != 0) fail();
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
    quiet.c_lflag |= static_cast<tcflag_t>(ICANON | ISIG);
    if (::tcsetattr(fd_, TCSAFLUSH, &quiet) != 0) fail();
    std::array<char, 4096> line{};  // as long as a terminal has them
    pollfd waiting{fd_, POLLIN, 0};
    ssize_t size = -1;
    if (::ppoll(&waiting, 1, nullptr, &signals.outside()) == 1) size = ::read(fd_, line.data(), line.size());
    const int error = size < 0 ? errno : 0;
    ::tcsetattr(fd_, TCSAFLUSH, &before);
    say("\n");
    if (caught_signal != 0) return std::nullopt;
    if (error != 0) throw Error(std::string("the terminal cannot be read: ") + std::strerror(error), error);
    std::string text(line.data(), static_cast<std::size_t>(size));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }

 private:
  [[noreturn]] static void fail() {
    throw Error(std::string("the terminal cannot be used to ask for the passphrase: ") + std::strerror(errno), errno);
  }
  int fd_;
};

std::string read_line_of_input() {
  std::string line;
  char byte = 0;
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(std::string("standard input: ") + std::strerror(errno), errno);
    if (count == 0 || byte == '\n') return line;
    line += byte;
    if (line.size() > fs::max_passphrase_bytes) return line;
  }
}

std::string ask_once(const Terminal& terminal, const std::string& prompt) {
  while (true) {
    terminal.say(printable(prompt) + ": ");
    if (auto line = terminal.read_unseen()) return *line;
    // Ends this program, or stops it: when it goes on, it asks again.
    ::raise(caught_signal);
  }
}

}  // namespace

bool can_ask() {
  if (::isatty(STDIN_FILENO) == 0) return false;
  const int fd = ::open(terminal_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

void check_passphrase(const std::string& passphrase) {
  if (passphrase.empty()) throw Error("the passphrase is empty; give one of 1 to 1024 bytes");
  if (passphrase.size() > fs::max_passphrase_bytes)
    throw Error("the passphrase is too long; give one of 1 to 1024 bytes");
  if (passphrase.find('\n') != std::string::npos) throw Error("the passphrase holds a line end; give one of one line");
}

std::string ask_passphrase(const std::string& prompt, Asking times) {
  const Terminal terminal;
  std::string passphrase = ask_once(terminal, prompt);
  check_passphrase(passphrase);
  if (times == Asking::twice && ask_once(terminal, prompt + ", again") != passphrase)
    throw Error("the two passphrases are not the same; try again");
  return passphrase;
}

std::string passphrase_from_user(const std::string& prompt, Asking times) {
  if (::isatty(STDIN_FILENO) != 0) return ask_passphrase(prompt, times);
  std::string passphrase = read_line_of_input();
  if (passphrase.empty())
    throw Error("standard input holds no passphrase; give one of 1 to 1024 bytes as its first line");
  check_passphrase(passphrase);
  return passphrase;
}

}  // namespace sessionfs::ctl
