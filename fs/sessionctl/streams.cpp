#include "fs/sessionctl/streams.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>

#include "fs/sessionctl/pump.hpp"
#include "fs/sessionctl/session_file.hpp"
#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/sockets.hpp"
#include "fs/sessionctl/words.hpp"
#include "fs/sessionctl/workers.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int signal_status_base = 128;

// What is cut off in the middle must not look like an end to the peer.
void carry(SessionFile& session, const Ends& ends) {
  try {
    pump(session, ends);
  } catch (const Error& error) {
    if (error.number() == ECONNRESET) session.close();  // only its name is left
    if (error.number() != ECONNRESET && error.number() != ESTALE && error.number() != ENOENT) session.abort();
    throw;
  } catch (const Interrupted&) {
    session.abort();
    throw;
  }
  session.close();
}

void carry(SessionFile& session, const Descriptor& socket) {
  carry(session, {socket.get(), socket.get(), [&socket] { ::shutdown(socket.get(), SHUT_WR); }});
}

// A program that was started, and its standard input and output.
struct Program {
  pid_t process = -1;
  Descriptor to;
  Descriptor from;
};

Program start(const std::vector<std::string>& command) {
  std::array<int, 2> input{};
  std::array<int, 2> output{};
  if (::pipe2(input.data(), O_CLOEXEC) != 0 || ::pipe2(output.data(), O_CLOEXEC) != 0)
    throw Error(command.front() + ": no pipes: " + std::strerror(errno), errno);
  Program program{-1, Descriptor(input[1]), Descriptor(output[0])};
  const Descriptor its_input(input[0]);
  const Descriptor its_output(output[1]);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, its_input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, its_output.get(), STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int failed = posix_spawnp(&program.process, arguments.front(), &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) throw Error(command.front() + ": cannot be started: " + std::strerror(failed), failed);
  return program;
}

// Waits until it has ended; its exit status, as shells say it. Who asks this process to end makes it end.
int status_of(const Program& program) {
  int how = 0;
  while (::waitpid(program.process, &how, WNOHANG) == 0) {
    if (Signals::asked_to_end() > 0) ::kill(program.process, SIGTERM);
    Signals::wait({});
  }
  return WIFEXITED(how) ? WEXITSTATUS(how) : signal_status_base + WTERMSIG(how);
}

void serve_one(const Tree& tree, const std::string& endpoint, const std::string& service, const std::string& name,
               const std::vector<std::string>& command) {
  auto session = SessionFile::open(tree, endpoint, name);
  ::setenv("SESSION_NAME", name.c_str(), 1);
  ::setenv("SESSION_PEER", session.peer().c_str(), 1);
  ::setenv("SESSION_SERVICE", service.c_str(), 1);
  ::setenv("SESSIONFS_MOUNT", tree.mount().c_str(), 1);
  Program program;
  try {
    program = start(command);
  } catch (const Error&) {
    session.abort();
    throw;
  }
  try {
    carry(session, {program.from.get(), program.to.get(), [&program] { program.to.reset(); }});
  } catch (const std::exception&) {
    ::kill(program.process, SIGTERM);
    (void)status_of(program);
    throw;
  }
  program.to.reset();
  program.from.reset();
  if (const int status = status_of(program); status != 0)
    throw Error(name + ": " + command.front() + " has ended with status " + std::to_string(status));
}

void expose_one(const Tree& tree, const std::string& endpoint, const std::string& name, const std::string& place) {
  auto session = SessionFile::open(tree, endpoint, name);
  Descriptor socket;
  try {
    socket = connect_to(place);
  } catch (const Error&) {
    session.abort();
    throw;
  }
  carry(session, socket);
}

void forward_one(const Tree& tree, const std::string& endpoint, const std::string& service, const Descriptor& socket) {
  auto session = SessionFile::dial(tree, endpoint, service);
  carry(session, socket);
}

// `work` for each session that comes, in a process of its own.
void for_each_session(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
                      const std::function<void(const std::string&)>& work) {
  const Signals signals;
  Workers workers(limit);
  {
    ServiceFile waiting(tree, endpoint, service);
    while (Signals::asked_to_end() == 0) {
      workers.reap();
      if (!workers.full()) {
        if (const auto name = waiting.accept()) {
          workers.start([&] {
            waiting.leave();
            work(*name);
          });
          continue;
        }
      }
      pollfd file{workers.full() ? -1 : waiting.descriptor(), POLLIN, 0};
      Signals::wait({&file, 1});
    }
  }
  workers.finish();
}

}  // namespace

void connect(const Tree& tree, const std::string& endpoint, const std::string& service) {
  const Signals signals;
  auto session = SessionFile::dial(tree, endpoint, service);
  // Its number stays taken: a file that is opened later must not become the standard output.
  const auto end_output = [] {
    const Descriptor nothing(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    ::dup2(nothing.get(), STDOUT_FILENO);
  };
  carry(session, {STDIN_FILENO, STDOUT_FILENO, end_output, true});
}

void serve(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
           const std::vector<std::string>& command) {
  for_each_session(tree, endpoint, service, limit,
                   [&](const std::string& name) { serve_one(tree, endpoint, service, name, command); });
}

void expose(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
            const std::string& place) {
  for_each_session(tree, endpoint, service, limit,
                   [&](const std::string& name) { expose_one(tree, endpoint, name, place); });
}

void forward(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
             const std::string& place) {
  const Signals signals;
  Workers workers(limit);
  {
    const Listeners listeners(place);
    while (Signals::asked_to_end() == 0) {
      workers.reap();
      std::vector<pollfd> files;
      for (const auto& socket : listeners.all()) {
        while (!workers.full()) {
          const Descriptor accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
          if (accepted.get() < 0) break;
          workers.start([&] { forward_one(tree, endpoint, service, accepted); });
        }
        files.push_back({workers.full() ? -1 : socket.get(), POLLIN, 0});
      }
      Signals::wait(files);
    }
  }
  workers.finish();
}

}  // namespace sessionfs::ctl
