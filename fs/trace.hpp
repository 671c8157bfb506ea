// The transitions of sessions as lines, for those who follow them in `trace`. Lines are kept once for all readers; each
// reader has a place among them, and one that falls behind what is kept is told how many it has lost.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "engine/session.hpp"

namespace sessionfs::fs {

/// Of lines that not all have read; the oldest go first.
inline constexpr std::size_t max_trace_bytes = std::size_t{1} << 20;

/// `T1:channel_lost`, as in PROTOCOL.md.
std::string transition_words(std::uint8_t number, Event event);

/// A line of `trace`: when, whose, what, and where the streams are.
std::string trace_line(const Session& session, const Transitioned& what, std::chrono::system_clock::time_point when);

class Trace {
 public:
  /// Whose lines come from open() until close().
  class Reader {
    friend class Trace;
    std::uint64_t next_ = 0;  // the line that it gets next
    std::string rest_;        // what it was offered, and has not taken yet
  };

  Reader open();
  void close(const Reader& reader);
  [[nodiscard]] bool has_readers() const { return readers_ > 0; }

  /// `line` ends with a newline. Nothing is kept when nobody reads.
  void add(std::string line);
  [[nodiscard]] bool has_more(const Reader& reader) const { return !reader.rest_.empty() || reader.next_ < end(); }
  /// At most `max` bytes, in whole lines where one fits; empty when there are none. Valid until the next call.
  std::string_view offer(Reader& reader, std::size_t max) const;
  /// The reader has got `count` of the bytes that it was offered last.
  static void take(Reader& reader, std::size_t count) { reader.rest_.erase(0, count); }

 private:
  [[nodiscard]] std::uint64_t end() const { return first_ + lines_.size(); }

  std::deque<std::string> lines_;
  std::uint64_t first_ = 0;  // the number of lines_.front()
  std::size_t bytes_ = 0;
  std::size_t readers_ = 0;
};

}  // namespace sessionfs::fs
