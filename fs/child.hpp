// Programs that the daemon runs for what may take long, and must not hold up anybody else: copying, syncing, mounting.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sessionfs::fs {

/// Of what a program says on standard error this much is read; the first line of it is told.
inline constexpr std::size_t max_child_words = 4096;
/// Status of a program that could not be started, as shells say it.
inline constexpr int child_not_started = 127;

/// Descriptors of the caller's, for a program's standard input and output; -1: it has none.
struct ChildFiles {
  int input = -1;
  int output = -1;
};

/// Runs `command` (a program in PATH and its arguments, in the C locale) with `files`; it is killed after `limit`.
/// `done` is called once, later: its exit status, 128 and the signal's number when a signal has ended it,
/// child_not_started; and the first line that it has written on standard error. Its process number, good until then; -1
/// when it could not be started.
pid_t run_child(boost::asio::io_context& io, std::vector<std::string> command, std::chrono::milliseconds limit,
                std::function<void(int status, const std::string& said)> done, ChildFiles files = {});

/// Removes a file, or a folder with all that is in it, which may take long. What cannot be removed stays.
void remove_later(boost::asio::io_context& io, const std::filesystem::path& path);

/// As run_child(), for a program of the user's: in a session of its own, with his locale and with `variables`
/// (NAME=VALUE) in its environment, and nobody hears what it says; it takes as long as it likes, and outlives the
/// daemon. `said` is only why it could not be started.
void start_child(boost::asio::io_context& io, std::vector<std::string> command, std::vector<std::string> variables,
                 std::function<void(int status, const std::string& said)> done);

/// What a program that runs has written so far, as the kernel counts it. Nothing: the kernel does not tell.
std::optional<std::uint64_t> bytes_written_by(pid_t child);

}  // namespace sessionfs::fs
