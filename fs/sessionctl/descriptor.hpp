// File descriptors: closed with their owner, and not blocking.
#pragma once

#include <unistd.h>

#include <utility>

namespace sessionfs::ctl {

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) reset(std::exchange(other.number_, -1));
    return *this;
  }

  [[nodiscard]] int get() const { return number_; }
  void reset(int number = -1) {
    if (number_ >= 0) ::close(number_);
    number_ = number;
  }

 private:
  int number_;
};

/// Where standard input, output or error are closed something takes their numbers, and fails as they would: no file
/// that is opened later becomes one of them.
void hold_standard_descriptors();

/// A file that does not block us. Whoever has a pipe or a terminal open, too, sees nothing of it.
class Unblocked {
 public:
  explicit Unblocked(int file);
  ~Unblocked();
  Unblocked(const Unblocked&) = delete;
  Unblocked& operator=(const Unblocked&) = delete;

  [[nodiscard]] int get() const { return own_.get() >= 0 ? own_.get() : file_; }
  /// Holds it open no longer; the descriptor that was given stays.
  void reset() { own_.reset(); }

 private:
  int file_;
  int flags_before_ = -1;  // when the file itself had to be changed
  Descriptor own_;
};

}  // namespace sessionfs::ctl
