// Storage of `durability = "process"`: bytes and images that outlive a Session and its Host.
#pragma once

#include <algorithm>
#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "engine/session.hpp"

namespace sessionfs::test {

using Bytes = std::vector<std::byte>;

/// A Memory over bytes that somebody else keeps. What was not reserved, or was released, is overwritten, so that
/// a use of it shows.
class KeptMemory final : public Memory {
 public:
  KeptMemory(std::shared_ptr<Bytes> kept, std::shared_ptr<bool> full)
      : kept_(std::move(kept)), full_(std::move(full)) {}

  std::span<std::byte> bytes() noexcept override { return *kept_; }
  bool reserve(std::size_t) noexcept override { return !*full_; }
  void release() noexcept override { std::ranges::fill(*kept_, std::byte{0}); }

 private:
  std::shared_ptr<Bytes> kept_;
  std::shared_ptr<bool> full_;
};

struct SessionKey {
  EndpointName local;
  SessionId id;
  bool creator = false;
  friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

inline SessionKey key_of(const Session& session) { return {session.local(), session.id(), session.creator()}; }

class MemoryStore {
 public:
  struct Entry {
    std::shared_ptr<Bytes> send;
    std::shared_ptr<Bytes> receive;
    Bytes image;  // encoded; empty: not stored yet
  };

  explicit MemoryStore(std::size_t capacity) : capacity_(capacity) {}

  Session::Memories make(const SessionKey& key) {
    entries_[key] = {std::make_shared<Bytes>(capacity_), std::make_shared<Bytes>(capacity_), {}};
    return memories(key);
  }
  Session::Memories memories(const SessionKey& key) {
    const Entry& entry = entries_.at(key);
    return {std::make_unique<KeptMemory>(entry.send, full_), std::make_unique<KeptMemory>(entry.receive, full_)};
  }
  void save(const Session& session) { entries_.at(key_of(session)).image = encode(session.image()); }
  [[nodiscard]] bool contains(const SessionKey& key) const { return entries_.contains(key); }
  [[nodiscard]] std::optional<SessionImage> load(const SessionKey& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? std::nullopt : decode_session_image(found->second.image, capacity_);
  }
  void remove(const SessionKey& key) { entries_.erase(key); }
  /// Entries that were made and never stored are nothing after a crash.
  void drop_unstored() {
    std::erase_if(entries_, [](const auto& entry) { return entry.second.image.empty(); });
  }
  [[nodiscard]] std::vector<SessionKey> keys() const {
    std::vector<SessionKey> keys;
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    return keys;
  }
  /// Another store with a copy of all that is in this one.
  [[nodiscard]] MemoryStore copy() const {
    MemoryStore other(capacity_);
    for (const auto& [key, entry] : entries_)
      other.entries_[key] = {std::make_shared<Bytes>(*entry.send), std::make_shared<Bytes>(*entry.receive),
                             entry.image};
    return other;
  }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// While true no further memory can be reserved.
  void set_full(bool full) { *full_ = full; }

 private:
  std::size_t capacity_;
  std::shared_ptr<bool> full_ = std::make_shared<bool>(false);
  std::map<SessionKey, Entry> entries_;
};

}  // namespace sessionfs::test
