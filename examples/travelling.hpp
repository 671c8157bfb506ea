// What both programs share: the endpoint whose documents and sessions they use, and the states that they leave in it.
// All calls on files throw std::system_error; Endpoint::after(error) tells what it means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace examples {

/// The endpoint leaves this host: whoever works for it writes down its state and ends.
class Leaving : public std::exception {};

/// One line for people.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class File {
 public:
  File(const std::filesystem::path& path, int flags);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// 0: the end.
  std::size_t read(char* into, std::size_t size) const;
  void seek(std::uint64_t offset) const;
  void write_all(std::string_view bytes) const;
  /// May be done again, however much of it has been done.
  void write_all_at(std::uint64_t offset, std::string_view bytes) const;
  /// Adds to `line` what comes before the next newline, byte by byte: what follows stays in the file. When that fails
  /// the line holds what has come. Failure: the end comes before.
  void read_line(std::string& line) const;

 private:
  int descriptor_;
};

class Endpoint {
 public:
  /// In the mount that SESSIONFS_MOUNT names, else in /session.
  explicit Endpoint(const std::string& name);

  [[nodiscard]] std::filesystem::path document(const std::string& name) const { return home_ / name; }
  [[nodiscard]] std::filesystem::path session(const std::string& name) const { return home_ / "sessions" / name; }
  [[nodiscard]] std::filesystem::path service(const std::string& name) const { return home_ / "services" / name; }

  /// How many bytes a session has taken from us since it was made, whatever has happened since.
  [[nodiscard]] std::uint64_t sent(const std::string& name) const;
  /// To `ctl`.
  void command(const std::string& line) const;
  /// Throws Leaving when the endpoint leaves, Failure when the session was lost; else returns a moment later, perhaps
  /// before the daemon is back: the call may be tried again, with the file opened anew.
  void after(const std::system_error& error) const;

  /// Writes the lines into the first file `.state.PROGRAM.N` that is free.
  void keep_state(std::string_view program, const std::vector<std::string>& lines) const;
  /// So many lines of a state file, which is removed: it is used once.
  static std::vector<std::string> take_state(const std::filesystem::path& file, std::size_t lines);

 private:
  std::filesystem::path home_;
};

/// `--ep ENDPOINT`, `--statefile PATH`, and what follows them. Throws Failure.
struct Arguments {
  Arguments(int argc, char** argv);
  std::string endpoint;
  std::string statefile;
  std::vector<std::string> rest;
};

}  // namespace examples
