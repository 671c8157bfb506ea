#include "fs/walkers.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sessionfs::fs {

void Walkers::reads_record(pid_t pid, std::uint64_t endpoint) {
  auto found = walkers_.find(pid);
  if (found == walkers_.end()) {
    if (walkers_.size() >= max_walkers) return;
    const auto process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (process < 0) return;  // of another namespace, or a thread: what it removes is not what it has copied
    found = walkers_.emplace(pid, std::make_shared<Walker>(io_)).first;
    found->second->process.assign(process);
    watch(pid, found->second);
  }
  const auto walker = found->second;
  if (walker->endpoint != endpoint) let_go(*walker);
  if (walker->endpoint == endpoint && walker->phase != Walker::Phase::copies) return;
  if (std::exchange(walker->endpoint, endpoint) != endpoint) {
    if (!hooks_.may_move(endpoint)) {
      walker->phase = Walker::Phase::late;
      return wait(pid, walker, late_walker_memory);
    }
    walker->phase = Walker::Phase::copies;
    hooks_.hold(endpoint);
  }
  wait(pid, walker, walker_patience);
}

void Walkers::wait(pid_t pid, const std::shared_ptr<Walker>& walker, std::chrono::milliseconds how_long) {
  walker->patience.expires_after(how_long);
  walker->patience.async_wait([this, pid, walker](const boost::system::error_code& error) {
    const auto found = walkers_.find(pid);
    if (!error && found != walkers_.end() && found->second == walker) lost_patience(pid, walker);
  });
}

void Walkers::lost_patience(pid_t pid, const std::shared_ptr<Walker>& walker) {
  if (walker->phase == Walker::Phase::late) {
    walkers_.erase(pid);
  } else if (walker->phase == Walker::Phase::copies) {
    let_go(*walker);
    wait(pid, walker, late_walker_memory);
  }
}

void Walkers::watch(pid_t pid, const std::shared_ptr<Walker>& walker) {
  walker->process.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                             [this, pid, weak = std::weak_ptr(walker)](const boost::system::error_code& error) {
                               const auto still = weak.lock();
                               if (error || !still) return;
                               pollfd process{still->process.native_handle(), POLLIN, 0};
                               if (::poll(&process, 1, 0) > 0) return ended(pid);
                               watch(pid, still);  // it was woken for nothing
                             });
}

void Walkers::let_go(Walker& walker) {
  walker.patience.cancel();
  if (walker.endpoint == 0) return;
  const std::uint64_t endpoint = walker.endpoint;
  const auto phase = std::exchange(walker.phase, Walker::Phase::late);
  if (phase == Walker::Phase::moves) hooks_.cancel_move(endpoint);
  const bool held_by_another = std::ranges::any_of(walkers_, [&](const auto& entry) {
    return entry.second->endpoint == endpoint && entry.second->phase != Walker::Phase::late;
  });
  if (phase == Walker::Phase::copies && !held_by_another) hooks_.release(endpoint);
}

void Walkers::ended(pid_t pid) {
  if (const auto node = walkers_.extract(pid)) let_go(*node.mapped());
}

Walkers::Removal Walkers::removes(pid_t pid, std::uint64_t endpoint) {
  const auto found = walkers_.find(pid);
  if (found == walkers_.end() || found->second->endpoint != endpoint) return Removal::ordinary;
  Walker& walker = *found->second;
  if (walker.phase == Walker::Phase::late) return Removal::refused;
  if (walker.phase == Walker::Phase::copies && moving(endpoint)) return Removal::refused;  // another one is faster
  if (walker.phase == Walker::Phase::copies) {
    walker.patience.cancel();
    if (!hooks_.begin_move(endpoint)) {
      let_go(walker);
      return Removal::refused;
    }
    walker.phase = Walker::Phase::moves;
  }
  return Removal::moves;
}

void Walkers::changes(std::uint64_t endpoint) {
  for (const auto& [pid, walker] : walkers_)
    if (walker->endpoint == endpoint && walker->phase == Walker::Phase::copies) {
      let_go(*walker);
      wait(pid, walker, late_walker_memory);
    }
}

bool Walkers::moving(std::uint64_t endpoint) const {
  return std::ranges::any_of(walkers_, [&](const auto& entry) {
    return entry.second->endpoint == endpoint && entry.second->phase == Walker::Phase::moves;
  });
}

void Walkers::forget(std::uint64_t endpoint) {
  std::erase_if(walkers_, [&](const auto& entry) { return entry.second->endpoint == endpoint; });
}

}  // namespace sessionfs::fs
