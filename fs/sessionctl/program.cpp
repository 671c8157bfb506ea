#include "fs/sessionctl/program.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {
namespace {

constexpr int signal_status_base = 128;

}  // namespace

Program::Program(std::vector<std::string> command) {
  std::array<int, 2> input{};
  std::array<int, 2> output{};
  if (::pipe2(input.data(), O_CLOEXEC) != 0 || ::pipe2(output.data(), O_CLOEXEC) != 0)
    throw Error(command.front() + ": no pipes: " + std::strerror(errno), errno);
  input_.reset(input[1]);
  output_.reset(output[0]);
  const Descriptor its_input(input[0]);
  const Descriptor its_output(output[1]);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (auto& word : command) arguments.push_back(word.data());
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
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int failed = posix_spawnp(&process_, arguments.front(), &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) throw Error(command.front() + ": cannot be started: " + std::strerror(failed), failed);
}

void Program::end() const { ::kill(-process_, SIGTERM); }

int Program::finish() {
  input_.reset();
  output_.reset();
  int how = 0;
  while (::waitpid(process_, &how, WNOHANG) == 0) {
    if (Signals::asked_to_end() > 0) end();
    Signals::wait({});
  }
  return WIFEXITED(how) ? WEXITSTATUS(how) : signal_status_base + WTERMSIG(how);
}

}  // namespace sessionfs::ctl
