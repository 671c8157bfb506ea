// The program snsd with all that it reads and writes, as a person sees it.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/sns/fixtures.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not in every libc's headers

namespace sessionfs::sns {

inline std::string text_of_file(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// A running snsd; killed with its object. What it writes goes to files.
class SnsdProgram {
 public:
  SnsdProgram(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
              const std::string& input = "", const std::string& output = "")
      : output_(output.empty() ? folder / "stdout" : std::filesystem::path(output)), errors_(folder / "stderr") {
    const auto in = folder / "stdin";
    std::ofstream(in) << input;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, errors_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    std::vector<std::string> words{SNSD_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int result = ::posix_spawn(&pid_, SNSD_PROGRAM, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result != 0) throw std::runtime_error(std::strerror(result));
  }
  ~SnsdProgram() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  SnsdProgram(const SnsdProgram&) = delete;
  SnsdProgram& operator=(const SnsdProgram&) = delete;

  void signal(int number) const { ::kill(pid_, number); }
  /// Its exit status, or minus the signal that has ended it.
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  /// Waits until it has written a line. Empty when it ends or the time is over without one.
  std::string first_line() {
    const auto limit = std::chrono::steady_clock::now() + test_limit;
    while (std::chrono::steady_clock::now() < limit) {
      const auto text = output();
      if (const auto end = text.find('\n'); end != std::string::npos) return text.substr(0, end);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return "";
  }
  [[nodiscard]] std::string output() const { return text_of_file(output_); }
  [[nodiscard]] std::string errors() const { return text_of_file(errors_); }

 private:
  std::filesystem::path output_;
  std::filesystem::path errors_;
  pid_t pid_ = -1;
};

struct SnsdOutcome {
  int status = 0;
  std::string output;
  std::string errors;
};

/// Runs a command of snsd to its end.
inline SnsdOutcome run_snsd(const std::vector<std::string>& arguments, const std::string& input = "") {
  const TemporaryFolder folder;
  SnsdProgram program(folder.path(), arguments, input);
  const int status = program.wait();
  return {status, program.output(), program.errors()};
}

}  // namespace sessionfs::sns
