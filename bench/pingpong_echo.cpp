// The two ends of a ping-pong of 64 bytes on standard input and output, whatever these are connected to.
//
//   pingpong_echo               sends back each message, until the input ends
//   pingpong_echo SECONDS       sends a message, waits until it is back, and so on for that long; prints on standard
//                               error: round trips, seconds, and the 50th and 99th percentile of a trip in microseconds
//
// Exits with 1 when a message comes back changed or not at all.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Message = std::array<char, 64>;

constexpr int warm_up_trips = 200;
constexpr std::size_t max_kept_trips = 4'000'000;  // whose times are kept: 16 MB

/// False at the end of the input.
bool read_message(Message& message) {
  std::size_t got = 0;
  while (got < message.size()) {
    const ssize_t count = read(STDIN_FILENO, message.data() + got, message.size() - got);
    if (count == 0 || (count < 0 && errno != EINTR)) return false;
    if (count > 0) got += static_cast<std::size_t>(count);
  }
  return true;
}

bool write_message(const Message& message) {
  std::size_t put = 0;
  while (put < message.size()) {
    const ssize_t count = write(STDOUT_FILENO, message.data() + put, message.size() - put);
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) put += static_cast<std::size_t>(count);
  }
  return true;
}

int echo() {
  Message message;
  while (read_message(message)) {
    if (!write_message(message)) return 1;
  }
  return 0;
}

/// One trip, whose message holds its number so that an old one is not taken for it.
bool trip(std::size_t number) {
  Message ping{};
  std::memcpy(ping.data(), &number, sizeof(number));
  Message pong{};
  return write_message(ping) && read_message(pong) && ping == pong;
}

int ping(double limit_s) {
  for (std::size_t number = 0; number < warm_up_trips; ++number) {
    if (!trip(number)) return 1;
  }
  std::vector<float> times_us;
  times_us.reserve(max_kept_trips);
  std::size_t count = 0;
  const auto begin = Clock::now();
  auto last = begin;
  double seconds = 0;
  while (seconds < limit_s) {
    if (!trip(++count)) return 1;
    const auto now = Clock::now();
    if (times_us.size() < max_kept_trips) {
      times_us.push_back(std::chrono::duration<float, std::micro>(now - last).count());
    }
    last = now;
    seconds = std::chrono::duration<double>(now - begin).count();
  }
  std::sort(times_us.begin(), times_us.end());
  const auto percentile = [&](std::size_t part) { return double{times_us[(times_us.size() - 1) * part / 100]}; };
  std::fprintf(stderr, "%zu %.6f %.1f %.1f\n", count, seconds, percentile(50), percentile(99));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return echo();
  const double limit_s = std::strtod(argv[1], nullptr);
  if (!(limit_s > 0)) {
    std::fprintf(stderr, "usage: pingpong_echo [SECONDS]\n");
    return 2;
  }
  return ping(limit_s);
}
