// The table of a name server: which endpoints and services there are, and where. Pure: no I/O, no clock, no randomness.
//
// Who asks for a change must have proved before that he may. A change is made in two steps, so that it can be stored
// in between: check() says whether it can be made and changes nothing, apply() makes it and cannot fail.
//
// Residences are compared and set: a higher generation than the known one takes the endpoint over, an equal one must
// have the known mark, and all that a residence changes it changes as the known one. An endpoint is there as long as
// its residence says so within the lease; after that it counts as away, and its last addresses are still told.
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/name.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::size_t max_endpoints = 4000000;
inline constexpr std::size_t max_services_per_endpoint = 1024;
inline constexpr std::uint64_t max_generation = 0x7fff'ffff'ffff'ffff;  // what SQLite's integers hold

/// Endpoints that one call of Table::advance() finds to be away, but for the rest of the last one's bucket.
inline constexpr std::size_t max_away_per_call = 500;

/// How long an endpoint counts as being there after its host was last heard of.
inline constexpr std::chrono::seconds default_lease{90};

struct NewEndpoint {
  EndpointName name;
  PublicKey key{};
  Residence residence;
  std::vector<Address> addresses;
};
struct ChangeEndpoint {
  EndpointName name;
  Residence residence;
  std::vector<Address> addresses;
  std::uint64_t order = 0;  // of the connection that it came by: a lower one than the last counts no more
};
struct DeleteEndpoint {
  EndpointName name;
  Residence residence;
};
struct NewService {
  ServiceName name;
  Residence residence;
  std::uint16_t port = 0;  // 0: the endpoint's
};
struct ChangeService {
  ServiceName name;
  Residence residence;
  std::uint16_t port = 0;
};
struct DeleteService {
  ServiceName name;
  Residence residence;
};
/// Its key counts no more; the name is free for another key. Made by the domain's administrator.
struct RevokeEndpoint {
  EndpointName name;
};
using Change =
    std::variant<NewEndpoint, ChangeEndpoint, DeleteEndpoint, NewService, ChangeService, DeleteService, RevokeEndpoint>;

/// The endpoint that a change is about.
const EndpointName& subject(const Change& change);

class Table {
 public:
  struct Service {
    std::string name;
    std::uint16_t port = 0;
  };
  struct Endpoint {
    PublicKey key{};
    Residence residence;
    std::vector<Address> addresses;
    std::vector<Service> services;  // in the order of their names
    std::optional<UnixTime> away_since;
    std::chrono::seconds heard{};  // of, by the clock of advance()
    std::uint64_t order = 0;       // of the last ChangeEndpoint
    bool revoked = false;
  };

  explicit Table(std::string domain, std::chrono::seconds lease = default_lease)
      : domain_(std::move(domain)), lease_(lease) {}
  Table(Table&&) = default;

  [[nodiscard]] const std::string& domain() const { return domain_; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

  [[nodiscard]] std::chrono::seconds lease() const { return lease_; }

  /// ok: apply() can be called. Else wrong_domain, exists, not_found, stale_generation, revoked, bad_request (an
  /// address that leads nowhere, or a generation out of range), limit.
  [[nodiscard]] Status check(const Change& change) const;
  /// Makes a change for which check() is ok.
  void apply(const Change& change);
  /// Whether a change for which check() is ok only says that the endpoint is still where it was: nothing to be stored,
  /// nothing to be told.
  [[nodiscard]] bool is_renewal(const Change& change) const;

  /// Time has passed: `clock` never goes back and starts at 0. Returns those that have become away, each once, within
  /// a quarter of the lease after it has run out: it looks at a part of the table at each call. Where more than
  /// max_away_per_call have, the next calls return the others, also with the same clock.
  std::vector<EndpointName> advance(std::chrono::seconds clock, UnixTime now);
  /// As it was stored: that it was away already.
  void set_away(const EndpointName& name, UnixTime since);

  /// For taking changes back: an endpoint as it is, and as it was; nothing where there is or was none.
  [[nodiscard]] std::optional<Endpoint> copy(const EndpointName& name) const;
  void put_back(const EndpointName& name, std::optional<Endpoint> endpoint);

  /// Null when there is none.
  [[nodiscard]] const Endpoint* find(const EndpointName& name) const;
  [[nodiscard]] const Service* find(const Endpoint& endpoint, std::string_view service) const;

  /// ok, not_found, revoked or wrong_domain. Of a service: the endpoint's addresses with the service's port.
  Status get(const EndpointName& name, EndpointInfo& info) const;
  Status get(const ServiceName& name, EndpointInfo& info) const;

 private:
  [[nodiscard]] Status check_one(const NewEndpoint& change) const;
  [[nodiscard]] Status check_one(const ChangeEndpoint& change) const;
  [[nodiscard]] Status check_one(const DeleteEndpoint& change) const;
  [[nodiscard]] Status check_one(const NewService& change) const;
  [[nodiscard]] Status check_one(const ChangeService& change) const;
  [[nodiscard]] Status check_one(const DeleteService& change) const;
  void apply_one(const NewEndpoint& change);
  void apply_one(const ChangeEndpoint& change);
  void apply_one(const DeleteEndpoint& change);
  void apply_one(const NewService& change);
  void apply_one(const ChangeService& change);
  void apply_one(const DeleteService& change);
  [[nodiscard]] Status check_one(const RevokeEndpoint& change) const;
  void apply_one(const RevokeEndpoint& change);
  [[nodiscard]] Status check_resident(const EndpointName& name, const Residence& residence) const;
  [[nodiscard]] Status check_service(const ServiceName& name, const Residence& residence) const;

  // Entries never move, so that the table can be looked through in parts. That the name stands beside what is told of
  // it, and the index holds nothing but where, spares a lookup some lines of the cache.
  struct Entry {
    EndpointName name;  // empty: free
    std::size_t hash = 0;
    Endpoint endpoint;
  };
  struct HashName {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const EndpointName& name) const { return std::hash<EndpointName>{}(name); }
    std::size_t operator()(const Entry* entry) const { return entry->hash; }
  };
  struct EqualName {
    using is_transparent = void;
    bool operator()(const EndpointName& name, const Entry* entry) const { return name == entry->name; }
    bool operator()(const Entry* entry, const EndpointName& name) const { return name == entry->name; }
    bool operator()(const Entry* one, const Entry* other) const { return one == other; }
  };
  [[nodiscard]] Endpoint* find_to_change(const EndpointName& name) const;
  Endpoint& find_or_add(const EndpointName& name);
  void erase(const EndpointName& name);

  std::string domain_;
  std::chrono::seconds lease_;
  std::chrono::seconds clock_{};
  std::size_t next_entry_ = 0;   // to be looked at for leases
  std::size_t due_entries_ = 0;  // from there on
  std::deque<Entry> entries_;
  std::vector<Entry*> free_entries_;
  boost::unordered_flat_set<Entry*, HashName, EqualName> names_;
};

/// Whether a peer can be sent there: a port, and an address that is neither unspecified nor multicast.
bool is_usable(const Address& address);

}  // namespace sessionfs::sns
