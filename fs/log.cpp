#include "fs/log.hpp"

// Else each line would carry a place in this file.
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "engine/name.hpp"

namespace sessionfs::fs {
namespace {

constexpr const char* identifier = "sessionfs";

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
      return LOG_CRIT;
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::info:
      return LOG_INFO;
    default:
      return LOG_DEBUG;
  }
}

// Up to the next ": ", which is taken away with it; nothing when there is none.
std::string_view next_part(std::string_view& line) {
  constexpr std::string_view mark = ": ";
  const auto end = line.find(mark);
  if (end == std::string_view::npos) return {};
  const auto part = line.substr(0, end);
  line.remove_prefix(end + mark.size());
  return part;
}

// A name in `sessions/` has the peer's in it.
bool is_session(std::string_view part) {
  return part.find('@') != std::string_view::npos && part.find_first_of(" /") == std::string_view::npos;
}

// Of `T1:channel_lost`.
std::string_view number_of(std::string_view part) {
  const auto number = part.substr(0, part.find(':'));
  const bool is_number = number.size() > 1 && number.size() < part.size() && number[0] == 'T' &&
                         number.find_first_not_of("0123456789", 1) == std::string_view::npos;
  return is_number ? number : std::string_view();
}

}  // namespace

void log_to_standard_error() {
  const bool journal = is_journal(std::getenv("JOURNAL_STREAM"), STDERR_FILENO);
  spdlog::set_default_logger(journal ? std::make_shared<spdlog::logger>("journal", std::make_shared<JournalSink>())
                                     : spdlog::stderr_logger_mt(identifier));
  spdlog::set_pattern(std::string(identifier) + ": %v");
}

void log_in_background() {
  if (is_journal(std::getenv("JOURNAL_STREAM"), STDERR_FILENO)) return;
  spdlog::set_default_logger(spdlog::syslog_logger_mt("sessionfs-syslog", identifier, LOG_PID, LOG_DAEMON));
}

bool is_journal(const char* stream, int descriptor) {
  struct stat file {};
  if (stream == nullptr || ::fstat(descriptor, &file) != 0) return false;
  return stream == std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
}

LogFields fields_of(std::string_view line) {
  LogFields fields;
  const auto endpoint = EndpointName::parse(next_part(line));
  if (!endpoint) return fields;
  fields.endpoint = endpoint->str();
  const auto session = next_part(line);
  if (!is_session(session)) return fields;
  fields.session = session;
  fields.transition = number_of(next_part(line));
  return fields;
}

void JournalSink::sink_it_(const spdlog::details::log_msg& message) {
  const std::string_view line(message.payload.data(), message.payload.size());
  const LogFields about = fields_of(line);
  std::vector<std::string> fields{"MESSAGE=" + std::string(line),
                                  "PRIORITY=" + std::to_string(priority_of(message.level)),
                                  std::string("SYSLOG_IDENTIFIER=") + identifier};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) fields.push_back(std::string(name) + "=" + value);
  };
  add("SESSIONFS_ENDPOINT", about.endpoint);
  add("SESSIONFS_SESSION", about.session);
  add("SESSIONFS_TRANSITION", about.transition);
  std::vector<iovec> parts;
  parts.reserve(fields.size());
  for (auto& field : fields) parts.push_back({field.data(), field.size()});
  (void)::sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));  // there is nobody to tell of its failure
}

}  // namespace sessionfs::fs
