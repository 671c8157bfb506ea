// The same as file-server, in C++; their states are alike, so that one can go on where the other has left.
#include <fcntl.h>

#include <array>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "travelling.hpp"

namespace {

using examples::Arguments;
using examples::Endpoint;
using examples::Failure;
using examples::File;
using examples::Leaving;

constexpr const char* program = "file-server";
constexpr std::size_t piece_bytes = std::size_t{64} << 10;

// What a request names: a document at the top of the endpoint, or nothing.
std::filesystem::path document_of(const Endpoint& endpoint, const std::string& name) {
  const bool plain = !name.empty() && name.front() != '.' && name.find('/') == std::string::npos && name != "ctl" &&
                     name != "status" && name != "policy" && name != "access";
  const auto path = plain ? endpoint.document(name) : "/dev/null";
  return std::filesystem::is_regular_file(path) ? path : "/dev/null";
}

// One session, from the state that it is in.
class Service {
 public:
  Service(const Endpoint& endpoint, std::string kind, std::string session, std::string text)
      : endpoint_(endpoint), kind_(std::move(kind)), session_(std::move(session)), text_(std::move(text)) {}

  void run() {
    try {
      while (kind_ != "done") step();
    } catch (const Leaving&) {
      endpoint_.keep_state(program, {kind_, session_, text_});
    } catch (const std::exception& lost) {
      std::fprintf(stderr, "%s: %s: %s\n", program, session_.c_str(), lost.what());
    }
  }

 private:
  void step() try { kind_ == "request" ? request() : send(); } catch (const std::system_error& error) {
    endpoint_.after(error);
  }

  void request() {
    const File stream(endpoint_.session(session_), O_RDONLY);
    stream.read_line(text_);
    kind_ = "send";
  }

  // The size and the document, from where the session has it.
  void send() {
    const auto path = document_of(endpoint_, text_);
    const File document(path, O_RDONLY);
    const bool is_file = std::filesystem::is_regular_file(path);
    const std::string head = std::to_string(is_file ? std::filesystem::file_size(path) : 0) + "\n";
    std::uint64_t skip = endpoint_.sent(session_);
    const File stream(endpoint_.session(session_), O_WRONLY);
    if (skip < head.size()) {
      stream.write_all(std::string_view(head).substr(skip));
      skip = 0;
    } else {
      skip -= head.size();
    }
    document.seek(skip);
    std::array<char, piece_bytes> piece{};
    while (const auto count = document.read(piece.data(), piece.size())) stream.write_all({piece.data(), count});
    endpoint_.command("finish " + session_);
    kind_ = "done";
  }

  const Endpoint& endpoint_;
  std::string kind_;
  std::string session_;
  std::string text_;
};

// A thread for each client, until the endpoint leaves.
void listen(const Endpoint& endpoint) {
  std::vector<std::jthread> threads;
  try {
    const auto service = endpoint.service("file");
    while (true) {
      try {
        const File waiting(service, O_RDONLY | O_CREAT);
        for (std::string session;; session.clear()) {
          waiting.read_line(session);
          threads.emplace_back([&endpoint, session] { Service(endpoint, "request", session, "").run(); });
        }
      } catch (const std::system_error& error) {
        endpoint.after(error);
      }
    }
  } catch (const Leaving&) {
    endpoint.keep_state(program, {"listen", "-", "-"});
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const Arguments arguments(argc, argv);
  if (!arguments.rest.empty()) throw Failure("usage: file-server --ep ENDPOINT [--statefile PATH]");
  const Endpoint endpoint(arguments.endpoint);
  if (arguments.statefile.empty()) {
    listen(endpoint);
    return 0;
  }
  const auto state = Endpoint::take_state(arguments.statefile, 3);
  if (state[0] == "listen") {
    listen(endpoint);
  } else {
    Service(endpoint, state[0], state[1], state[2]).run();
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", program, error.what());
  return 1;
}
