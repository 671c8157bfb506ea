#include "fs/sessionctl/streams.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>

#include "fs/sessionctl/program.hpp"
#include "fs/sessionctl/pump.hpp"
#include "fs/sessionctl/session_file.hpp"
#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/sockets.hpp"
#include "fs/sessionctl/workers.hpp"

namespace sessionfs::ctl {
namespace {

// What is cut off in the middle must not look like an end to the peer; what was said to the end is delivered.
void drop(SessionFile& session) { session.is_finished() ? session.close() : session.abort(); }

void carry(SessionFile& session, const Ends& ends) {
  try {
    pump(session, ends);
  } catch (const Error& error) {
    if (error.number() == ECONNRESET) session.close();  // only its name is left
    if (error.number() != ECONNRESET && error.number() != ESTALE && error.number() != ENOENT) drop(session);
    throw;
  } catch (const Interrupted&) {
    try {
      drop(session);
    } catch (const std::exception&) {
      // There is nobody to tell, and no time to wait.
    }
    throw;
  }
  session.close();
}

void carry(SessionFile& session, Descriptor& socket) {
  try {
    carry(session, {socket.get(), socket.get(), [&socket] { ::shutdown(socket.get(), SHUT_WR); }});
  } catch (const std::exception&) {
    reset(socket);
    throw;
  }
  close_when_delivered(socket);
}

void serve_one(const Tree& tree, const std::string& endpoint, const std::string& service, const std::string& name,
               const std::vector<std::string>& command) {
  auto session = SessionFile::open(tree, endpoint, name);
  ::setenv("SESSION_NAME", name.c_str(), 1);
  ::setenv("SESSION_PEER", session.peer().c_str(), 1);
  ::setenv("SESSION_SERVICE", service.c_str(), 1);
  ::setenv("SESSIONFS_MOUNT", tree.mount().c_str(), 1);
  std::optional<Program> program;
  try {
    program.emplace(command);
  } catch (const Error& error) {
    session.abort();
    throw session.fault(error.what());
  }
  try {
    carry(session, {program->output(), program->input(), [&program] { program->end_input(); }});
  } catch (const std::exception&) {
    program->end();
    (void)program->finish();
    throw;
  }
  if (const int status = program->finish(); status != 0)
    throw session.fault(command.front() + " has ended with status " + std::to_string(status));
}

void expose_one(const Tree& tree, const std::string& endpoint, const std::string& name, const std::string& place) {
  auto session = SessionFile::open(tree, endpoint, name);
  Descriptor socket;
  try {
    socket = connect_to(place);
  } catch (const Error& error) {
    session.abort();
    throw session.fault(error.what());
  } catch (const Interrupted&) {
    session.abort();
    throw;
  }
  carry(session, socket);
}

void forward_one(const Tree& tree, const std::string& endpoint, const std::string& service, Descriptor& socket) {
  std::optional<SessionFile> session;
  try {
    session = SessionFile::dial(tree, endpoint, service);
  } catch (const std::exception&) {
    reset(socket);
    throw;
  }
  carry(*session, socket);
}

// `work` for each session that comes, in a process of its own.
void for_each_session(const Tree& tree, const std::string& endpoint, const std::string& service, std::size_t limit,
                      const std::function<void(const std::string&)>& work) {
  const Signals signals;
  Workers workers(limit);
  ServiceFile waiting(tree, endpoint, service);
  try {
    while (Signals::asked_to_end() == 0) {
      workers.reap();
      if (!workers.full()) {
        if (const auto name = waiting.accept()) {
          const bool started = workers.start([&] {
            waiting.leave();
            work(*name);
          });
          if (!started) tree.command("abort " + *name, endpoint);
          continue;
        }
      }
      pollfd file{workers.full() ? -1 : waiting.descriptor(), POLLIN, 0};
      Signals::wait({&file, 1});
    }
  } catch (const Interrupted&) {
    // It has waited for the daemon, as those do that run: they are let go on all the same.
  }
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
  Listeners listeners(place);
  for (const auto& each : listeners.places()) std::printf("%s\n", each.c_str());
  std::fflush(stdout);
  while (Signals::asked_to_end() == 0) {
    workers.reap();
    if (!workers.full()) {
      if (auto socket = listeners.accept()) {
        const bool started = workers.start([&] {
          listeners.leave();
          forward_one(tree, endpoint, service, *socket);
        });
        if (!started) reset(*socket);
        continue;
      }
    }
    auto files = workers.full() ? std::vector<pollfd>{} : listeners.awaited();
    Signals::wait(files);
  }
}

}  // namespace sessionfs::ctl
