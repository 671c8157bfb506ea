// Storage that outlives a killed daemon, in memory: bytes and images that outlive a Session and its Host.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/store.hpp"

namespace sessionfs::test {

using Bytes = std::vector<std::byte>;

/// A Memory over bytes that somebody else keeps. What was released is overwritten, so that a use of it shows.
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

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::size_t capacity) : capacity_(capacity) {}

  Session::Memories make(const SessionKey& key) override {
    entries_[key] = {std::make_shared<Bytes>(capacity_), std::make_shared<Bytes>(capacity_), {}, 0};
    return memories(key);
  }
  Session::Memories memories(const SessionKey& key) override {
    const Entry& entry = entries_.at(key);
    return {std::make_unique<KeptMemory>(entry.send, full_), std::make_unique<KeptMemory>(entry.receive, full_)};
  }
  void save(const Session& session) override { entries_.at(key_of(session)).image = encode(session.image()); }
  void note_given(const SessionKey& key, std::uint64_t offset) override { entries_.at(key).given = offset; }
  [[nodiscard]] bool contains(const SessionKey& key) const override { return entries_.contains(key); }
  [[nodiscard]] std::optional<SessionImage> load(const SessionKey& key) const override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    auto image = decode_session_image(found->second.image, capacity_);
    if (!image || found->second.given <= image->received.read) return image;
    auto& received = image->received;
    received.start = (received.start + static_cast<std::size_t>(found->second.given - received.read)) % capacity_;
    received.read = found->second.given;
    return image;
  }
  void remove(const SessionKey& key) override { entries_.erase(key); }
  void crashed(bool, Random&) override {
    std::erase_if(entries_, [](const auto& entry) { return entry.second.image.empty(); });
  }
  [[nodiscard]] std::vector<SessionKey> keys() const override {
    std::vector<SessionKey> keys;
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    return keys;
  }
  [[nodiscard]] std::unique_ptr<Store> copy() const override {
    auto other = std::make_unique<MemoryStore>(capacity_);
    for (const auto& [key, entry] : entries_)
      other->entries_[key] = {std::make_shared<Bytes>(*entry.send), std::make_shared<Bytes>(*entry.receive),
                              entry.image, entry.given};
    return other;
  }
  void set_full(bool full) override { *full_ = full; }

 private:
  struct Entry {
    std::shared_ptr<Bytes> send;
    std::shared_ptr<Bytes> receive;
    Bytes image;  // encoded; empty: not stored yet
    std::uint64_t given = 0;
  };

  std::size_t capacity_;
  std::shared_ptr<bool> full_ = std::make_shared<bool>(false);
  std::map<SessionKey, Entry> entries_;
};

}  // namespace sessionfs::test
