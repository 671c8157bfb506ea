// A process for each session: what one does never holds up another.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <set>

namespace sessionfs::ctl {

class Workers {
 public:
  explicit Workers(std::size_t limit) : limit_(limit) {}
  /// Waits until all have ended; who asks to end meanwhile makes them end.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  [[nodiscard]] bool full() const { return running_.size() >= limit_; }
  /// In a process of its own. What `work` throws is told on standard error. False, after a while, and told: the system
  /// has none.
  [[nodiscard]] bool start(const std::function<void()>& work);
  /// Takes note of those that have ended.
  void reap();

 private:
  std::size_t limit_;
  std::set<pid_t> running_;
};

}  // namespace sessionfs::ctl
