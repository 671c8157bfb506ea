// What `sessionctl top` shows, and what its keys do: looks, keys and sizes go in, lines and commands come out. It knows
// no clock, no terminal and no mount.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/sessionctl/top/flows.hpp"
#include "fs/sessionctl/top/line.hpp"

namespace sessionfs::ctl {

struct Size {
  std::size_t columns;
  std::size_t rows;
};

/// VERB SESSION, for `ctl` of an endpoint.
struct Command {
  std::string endpoint;
  std::string verb;
  std::string session;
};

class View {
 public:
  /// `interval` is how often it is looked, in words.
  View(std::string interval, const Signs& signs) : interval_(std::move(interval)), signs_(&signs) {}

  void handle_look(Look look);
  /// There was no look, for this reason; what is shown is old.
  void handle_silence(std::string why) { silence_ = std::move(why); }
  /// A command was carried out, or was not.
  void handle_success(const Command& command);
  void handle_failure(const std::string& why);
  void handle_size(Size size);
  /// Keys that are no characters come as the letters that do the same: j and k for the arrows, g and G for the first
  /// and last line, b and a blank for pages.
  void handle_key(char key);

  /// What a key has asked for, once.
  std::optional<Command> poll_command();
  [[nodiscard]] bool is_paused() const { return is_paused_; }
  [[nodiscard]] bool has_ended() const { return has_ended_; }

  /// As many as the terminal has rows, and none wider than it.
  [[nodiscard]] std::vector<Line> lines() const;

 private:
  // How many rows each part has.
  struct Parts {
    std::size_t head = 0;
    std::size_t list = 0;
    std::size_t details = 0;
  };
  [[nodiscard]] Parts parts() const;
  [[nodiscard]] const Flow* selected() const;
  void select(std::size_t index);
  void answer(char key);
  void order(const char* verb);

  [[nodiscard]] Line title() const;
  [[nodiscard]] Line states() const;
  [[nodiscard]] Line totals() const;
  [[nodiscard]] Line trouble() const;
  [[nodiscard]] std::vector<Line> details() const;
  [[nodiscard]] std::vector<Line> help() const;
  [[nodiscard]] Line bottom() const;

  std::string interval_;
  const Signs* signs_;
  Size size_{80, 24};
  std::optional<Look> look_;
  std::vector<Flow> flows_;
  std::size_t selected_ = 0;
  std::size_t first_ = 0;  // of the flows that are seen
  bool is_paused_ = false;
  bool has_ended_ = false;
  bool shows_help_ = false;
  std::string silence_;  // empty: it has answered
  Segment message_;
  std::optional<Command> question_;
  std::optional<Command> command_;
};

}  // namespace sessionfs::ctl
