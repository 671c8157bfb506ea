#include "fs/trace.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace sessionfs::fs {
namespace {

// RFC 3339, in UTC.
std::string time_words(std::chrono::system_clock::time_point when) {
  using std::chrono::microseconds;
  using std::chrono::seconds;
  const auto second = std::chrono::floor<seconds>(when.time_since_epoch());
  const auto rest = std::chrono::floor<microseconds>(when.time_since_epoch()) - second;
  const std::time_t time = second.count();
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  (void)std::snprintf(text.data() + size, text.size() - size, ".%06ldZ", static_cast<long>(rest.count()));
  return text.data();
}

}  // namespace

std::string transition_words(std::uint8_t number, Event event) {
  return "T" + std::to_string(number) + ":" + std::string(name_of(event));
}

std::string trace_line(const Session& session, const Transitioned& what, std::chrono::system_clock::time_point when) {
  const Transition& transition = what.transition;
  return time_words(when) + " " + session.local().str() + " " + session.file_name() + " " +
         transition_words(transition.number, transition.event) + " " + std::string(name_of(transition.state)) + " -> " +
         std::string(name_of(transition.next)) + " sent=" + std::to_string(what.written) +
         " acked=" + std::to_string(what.acked) + " received=" + std::to_string(what.held) +
         " read=" + std::to_string(what.read) + "\n";
}

Trace::Reader Trace::open() {
  ++readers_;
  Reader reader;
  reader.next_ = end();
  return reader;
}

void Trace::close(const Reader&) {
  if (--readers_ > 0) return;
  first_ = end();
  lines_.clear();
  bytes_ = 0;
}

void Trace::add(std::string line) {
  if (!has_readers()) return;
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  while (bytes_ > max_trace_bytes) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
    ++first_;
  }
}

std::string_view Trace::offer(Reader& reader, std::size_t max) const {
  std::string& rest = reader.rest_;
  if (reader.next_ < first_) {
    rest += "# " + std::to_string(first_ - reader.next_) + " lines are lost: they were not read in time\n";
    reader.next_ = first_;
  }
  for (; rest.size() < max && reader.next_ < end(); ++reader.next_) rest += lines_[reader.next_ - first_];
  const auto whole = rest.size() <= max ? std::string::npos : rest.rfind('\n', max - 1);
  return std::string_view(rest).substr(0, whole == std::string::npos ? max : whole + 1);
}

}  // namespace sessionfs::fs
