#include "fs/sessionctl/passphrase.hpp"

#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <stdexcept>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t max_passphrase_bytes = 1024;

// The terminal shows nothing, and no signal of the keyboard leaves it like that.
class Silence {
 public:
  Silence() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    silent.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  ~Silence() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

std::string read_line(const char* prompt, bool from_terminal) {
  std::string line;
  if (from_terminal) std::fputs(prompt, stderr);
  const bool is_there = [&] {
    if (!from_terminal) return static_cast<bool>(std::getline(std::cin, line));
    const Silence silence;
    return static_cast<bool>(std::getline(std::cin, line));
  }();
  constexpr char interrupt = '\x03';
  if (!is_there || line.empty() || line.find(interrupt) != std::string::npos) throw Error("no passphrase was given");
  if (line.size() > max_passphrase_bytes) throw Error("a passphrase has at most 1024 bytes");
  return line;
}

}  // namespace

std::string ask_passphrase(bool twice) {
  const bool from_terminal = ::isatty(STDIN_FILENO) != 0;
  std::string passphrase = read_line("passphrase: ", from_terminal);
  if (from_terminal && twice && read_line("the same again: ", true) != passphrase)
    throw Error("the two are not the same; nothing was done");
  return passphrase;
}

}  // namespace sessionfs::ctl
