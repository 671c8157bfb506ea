// What of a host's sessions outlives its crash: the driver's storage, as a test sees it.
#pragma once

#include <compare>
#include <memory>
#include <optional>
#include <vector>

#include "engine/session.hpp"
#include "tests/sim/random.hpp"

namespace sessionfs::test {

struct SessionKey {
  EndpointName local;
  SessionId id;
  bool creator = false;
  friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

inline SessionKey key_of(const Session& session) { return {session.local(), session.id(), session.creator()}; }

class Store {
 public:
  virtual ~Store() = default;

  virtual Session::Memories make(const SessionKey& key) = 0;
  virtual Session::Memories memories(const SessionKey& key) = 0;
  virtual void save(const Session& session) = 0;
  /// A reader is given the stream up to `offset` now.
  virtual void note_given(const SessionKey& key, std::uint64_t offset) = 0;
  [[nodiscard]] virtual bool contains(const SessionKey& key) const = 0;
  /// The image as a start would find it.
  [[nodiscard]] virtual std::optional<SessionImage> load(const SessionKey& key) const = 0;
  virtual void remove(const SessionKey& key) = 0;
  [[nodiscard]] virtual std::vector<SessionKey> keys() const = 0;
  /// The host has died: what was made and never stored is gone; with `power_cut` all that was on no disk may be too.
  virtual void crashed(bool power_cut, Random& random) = 0;
  /// Another store with a copy of all that is in this one.
  [[nodiscard]] virtual std::unique_ptr<Store> copy() const = 0;
  /// While true no further memory can be reserved.
  virtual void set_full(bool full) = 0;

  [[nodiscard]] bool empty() const { return keys().empty(); }
};

}  // namespace sessionfs::test
