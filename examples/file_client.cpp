// The same as file-client, in C++; their states are alike, so that one can go on where the other has left.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "travelling.hpp"

namespace {

using examples::Arguments;
using examples::Endpoint;
using examples::Failure;
using examples::File;
using examples::Leaving;

constexpr const char* program = "file-client";
constexpr std::size_t piece_bytes = std::size_t{64} << 10;

// What is to be done (ask, size, body, end), the session, the name that is asked for, where it goes, and its size as
// far as that is known.
struct State {
  std::string kind;
  std::string session;
  std::string wanted;
  std::string out;
  std::string size;
};

class Fetching {
 public:
  Fetching(const Endpoint& endpoint, State state) : endpoint_(endpoint), state_(std::move(state)) {}

  void run() {
    try {
      while (state_.kind != "done") step();
    } catch (const Leaving&) {
      store();
      return endpoint_.keep_state(program, {state_.kind, state_.session, state_.wanted, state_.out, state_.size});
    }
  }

 private:
  void step() try {
    if (state_.kind == "ask") return ask();
    if (state_.kind == "size") return size();
    if (state_.kind == "body") return body();
    end();
  } catch (const std::system_error& error) {
    endpoint_.after(error);
  }

  // A line is taken whole, or not at all.
  void ask() {
    const File stream(endpoint_.session(state_.session), O_RDWR);
    if (endpoint_.sent(state_.session) == 0) stream.write_all(state_.wanted + "\n");
    state_.kind = "size";
  }

  void size() {
    const File stream(endpoint_.session(state_.session), O_RDONLY);
    stream.read_line(state_.size);
    state_.kind = "body";
  }

  // What was read is written before more is read, though the daemon may be started again between the two.
  void body() {
    store();
    const File stream(endpoint_.session(state_.session), O_RDONLY);
    while ((unstored_ = stream.read(piece_.data(), piece_.size())) > 0) store();
    state_.kind = "end";
  }

  void store() {
    if (unstored_ == 0) return;
    const auto path = endpoint_.document(state_.out);
    if (!stored_) stored_ = std::filesystem::file_size(path);
    File(path, O_WRONLY).write_all_at(*stored_, {piece_.data(), unstored_});
    *stored_ += std::exchange(unstored_, 0);
  }

  void end() {
    const auto have = std::filesystem::file_size(endpoint_.document(state_.out));
    if (std::to_string(have) != state_.size)
      throw Failure(state_.out + ": " + std::to_string(have) + " bytes have come, not " + state_.size);
    std::filesystem::remove(endpoint_.session(state_.session));
    state_.kind = "done";
  }

  const Endpoint& endpoint_;
  State state_;
  std::array<char, piece_bytes> piece_{};
  std::size_t unstored_ = 0;             // of the piece
  std::optional<std::uint64_t> stored_;  // of the body
};

}  // namespace

int main(int argc, char** argv) try {
  const Arguments arguments(argc, argv);
  const Endpoint endpoint(arguments.endpoint);
  State state;
  if (!arguments.statefile.empty()) {
    const auto lines = Endpoint::take_state(arguments.statefile, 5);
    state = {lines[0], lines[1], lines[2], lines[3], lines[4]};
  } else {
    if (arguments.rest.size() != 3)
      throw Failure("usage: file-client --ep ENDPOINT SERVICE NAME OUT | file-client --ep ENDPOINT --statefile PATH");
    const auto& rest = arguments.rest;
    state = {"ask", rest[0] + "~" + std::to_string(::getpid()), rest[1], rest[2], ""};
    const File emptied(endpoint.document(state.out), O_WRONLY | O_CREAT | O_TRUNC);
  }
  Fetching(endpoint, state).run();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", program, error.what());
  return 1;
}
