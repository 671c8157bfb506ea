#include "fs/sessionctl/pump.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "fs/sessionctl/descriptor.hpp"
#include "fs/sessionctl/signals.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t piece_bytes = std::size_t{128} << 10;  // what one request to a FUSE daemon carries

class Piece {
 public:
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::span<char> room() { return bytes_; }
  [[nodiscard]] std::string_view content() const { return {bytes_.data() + begin_, end_ - begin_}; }
  void filled(std::size_t size) {
    begin_ = 0;
    end_ = size;
  }
  void taken(std::size_t size) { begin_ += size; }
  void clear() { begin_ = end_; }

 private:
  std::vector<char> bytes_ = std::vector<char>(piece_bytes);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

class Pump {
 public:
  Pump(SessionFile& session, const Ends& ends) : session_(session), ends_(ends) {}

  void run() {
    while (!is_over()) {
      Signals::check();
      const bool sent = send();
      const bool received = receive();
      if (!sent && !received) wait();
    }
  }

 private:
  [[nodiscard]] bool is_over() const { return (finished_ && output_ended_) || abandoned_; }

  // From `in` to the session; true when something has happened.
  bool send() {
    bool moved = false;
    if (!input_ended_ && up_.empty()) moved = fill();
    if (!up_.empty()) moved = deliver() || moved;
    if (input_ended_ && up_.empty() && !finished_) {
      session_.finish();
      finished_ = moved = true;
    }
    return moved;
  }
  bool fill() {
    const ssize_t count = ::read(in_.get(), up_.room().data(), up_.room().size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count < 0 && errno != EIO) fail("input", errno);  // EIO: a terminal that is gone
    if (count <= 0) return input_ended_ = true;
    up_.filled(static_cast<std::size_t>(count));
    return true;
  }
  bool deliver() try {
    const auto count = session_.write(up_.content());
    if (count) up_.taken(*count);
    return count && *count > 0;
  } catch (const Error& error) {
    if (error.number() != EPIPE) throw;
    up_.clear();  // nobody reads it
    return input_ended_ = finished_ = true;
  }

  // From the session to `out`.
  bool receive() {
    bool moved = false;
    if (!session_ended_ && down_.empty()) {
      if (const auto count = session_.read(down_.room())) {
        down_.filled(*count);
        session_ended_ = *count == 0;
        moved = true;
      }
    }
    if (!down_.empty()) moved = show() || moved;
    if (session_ended_ && down_.empty() && !output_ended_) {
      out_.reset();
      ends_.end_output();
      output_ended_ = moved = true;
    }
    return moved;
  }
  bool show() {
    const auto content = down_.content();
    const ssize_t count = ::write(out_.get(), content.data(), content.size());
    if (count >= 0) down_.taken(static_cast<std::size_t>(count));
    if (count >= 0) return count > 0;
    if (errno == EAGAIN || errno == EINTR) return false;
    if (errno != EPIPE && errno != EIO) fail("output", errno);
    nobody_reads(errno == EIO);
    return true;
  }
  // `hung_up`: a terminal that is gone. That, and a socket, may have said something before that is not read yet.
  void nobody_reads(bool hung_up) {
    int number = 0;
    socklen_t size = sizeof number;
    const bool is_socket = ::getsockopt(out_.get(), SOL_SOCKET, SO_ERROR, &number, &size) == 0;
    if (number != 0 && number != EPIPE) fail("output", number);  // the other side has reset the connection
    if (ends_.is_filter && !is_socket && !hung_up) throw Interrupted(SIGPIPE);
    down_.clear();
    session_ended_ = output_ended_ = true;
  }
  [[noreturn]] void fail(const char* end, int number) const {
    throw session_.fault(std::string(end) + ": " + std::strerror(number));
  }

  void wait() {
    const int sending = up_.empty() ? 0 : POLLOUT;
    const int receiving = !session_ended_ && down_.empty() ? POLLIN : 0;
    // With nothing to do, poll(2) would tell of a failure again and again; after the last byte it is worth knowing.
    const bool looks = sending != 0 || receiving != 0 || output_ended_;
    std::array<pollfd, 3> files{{
        {looks ? session_.descriptor() : -1, static_cast<short>(sending | receiving), 0},
        {!input_ended_ && up_.empty() ? in_.get() : -1, POLLIN, 0},
        {!output_ended_ ? out_.get() : -1, static_cast<short>(down_.empty() ? 0 : POLLOUT), 0},
    }};
    Signals::wait(files);
    const auto of_output = static_cast<unsigned>(files[2].revents);
    if ((of_output & (POLLERR | POLLHUP)) != 0) return nobody_reads((of_output & POLLHUP) != 0);
    // It is over on both sides, though `in` may have more to say; or the daemon is gone.
    const auto happened = static_cast<unsigned>(files[0].revents);
    if ((happened & POLLHUP) != 0 && output_ended_) abandoned_ = true;
    if ((happened & (POLLERR | POLLNVAL)) != 0 && output_ended_) (void)session_.read(down_.room().first(1));
  }

  SessionFile& session_;
  const Ends& ends_;
  Unblocked in_{ends_.in};
  Unblocked out_{ends_.out};
  Piece up_;
  Piece down_;
  bool input_ended_ = false;
  bool finished_ = false;
  bool session_ended_ = false;
  bool output_ended_ = false;
  bool abandoned_ = false;
};

}  // namespace

void pump(SessionFile& session, const Ends& ends) { Pump(session, ends).run(); }

}  // namespace sessionfs::ctl
