#include "fs/sessionctl/trace.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "fs/sessionctl/daemon_wait.hpp"
#include "fs/sessionctl/descriptor.hpp"
#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

Descriptor open_trace(const std::filesystem::path& mount) {
  Descriptor file;
  with_daemon(mount, [&] {
    const auto path = mount / "trace";
    file.reset(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const int number = errno;
    if (file.get() < 0) throw Error(path.string() + ": " + std::strerror(number), number);
  });
  return file;
}

// The whole lines of `text`, which are taken out of it.
void print_lines(std::string& text, const TraceChoice& choice) {
  std::size_t begin = 0;
  for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const auto line = std::string_view(text).substr(begin, end + 1 - begin);
    if (choice.has(line)) std::fputs(printable(line, "\n").c_str(), stdout);
    begin = end + 1;
  }
  text.erase(0, begin);
  std::fflush(stdout);
}

void follow(const Tree& tree, const TraceChoice& choice) {
  Descriptor file = open_trace(tree.mount());
  std::array<char, 65536> part{};
  std::string text;
  while (std::ferror(stdout) == 0) {
    Signals::check();
    const ssize_t count = ::read(file.get(), part.data(), part.size());
    const int number = errno;
    if (count > 0) {
      text.append(part.data(), static_cast<std::size_t>(count));
      print_lines(text, choice);
    } else if (count < 0 && (number == EAGAIN || number == EINTR)) {
      std::array<pollfd, 2> files{{{file.get(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
      Signals::wait(files);
      if ((files[1].revents & (POLLERR | POLLHUP)) != 0) return;
    } else if (count == 0 || is_of_dead_mount(number, tree.mount())) {
      file.reset();
      text.clear();
      file = open_trace(tree.mount());
    } else {
      throw Error((tree.mount() / "trace").string() + ": " + std::strerror(number), number);
    }
  }
}

}  // namespace

bool TraceChoice::has(std::string_view line) const {
  if (line.starts_with('#')) return true;
  std::array<std::string_view, 3> fields;  // time, endpoint, session
  for (auto& field : fields) {
    const auto end = std::min(line.find(' '), line.size());
    field = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return (!endpoint || fields[1] == *endpoint) && (!session || fields[2] == *session);
}

void trace(const Tree& tree, const TraceChoice& choice) {
  const Signals signals;
  try {
    follow(tree, choice);
  } catch (const Interrupted&) {
    return;  // that is how it ends
  }
}

}  // namespace sessionfs::ctl
