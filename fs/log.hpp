// Where the daemon says what happens. A line that is about an endpoint begins with its name, one about a session with
// both names (`laptop@local: print.office@local: ...`).
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <string>
#include <string_view>

namespace sessionfs::fs {

/// To the journal, when it is what standard error is connected to; else to standard error.
void log_to_standard_error();
/// Standard error is about to go: to syslog from now on, unless the journal has it already.
void log_in_background();

/// Whether `stream`, the value of $JOURNAL_STREAM (systemd.exec(5)), names the file behind `descriptor`.
bool is_journal(const char* stream, int descriptor);

/// What a line is about; empty: that it does not tell.
struct LogFields {
  std::string endpoint;
  std::string session;
  std::string transition;  // T1

  friend bool operator==(const LogFields&, const LogFields&) = default;
};
LogFields fields_of(std::string_view line);

/// Gives each line to the journal, with its fields: journalctl SESSIONFS_ENDPOINT=laptop@local
class JournalSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}
};

}  // namespace sessionfs::fs
