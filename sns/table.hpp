// The table of a name server: which endpoints and services there are, and where. Pure: no I/O, no clock, no randomness.
//
// Who asks for a change must have proved before that he may. A change is made in two steps, so that it can be stored
// in between: check() says whether it can be made and changes nothing, apply() makes it and cannot fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/name.hpp"
#include "sns/types.hpp"

namespace sessionfs::sns {

inline constexpr std::size_t max_endpoints = 4000000;
inline constexpr std::size_t max_services_per_endpoint = 1024;
inline constexpr std::uint64_t max_generation = 0x7fff'ffff'ffff'ffff;  // what SQLite's integers hold

struct NewEndpoint {
  EndpointName name;
  PublicKey key{};
  std::uint64_t generation = 0;
  std::vector<Address> addresses;
};
struct ChangeEndpoint {
  EndpointName name;
  std::uint64_t generation = 0;
  std::vector<Address> addresses;
};
struct DeleteEndpoint {
  EndpointName name;
};
struct NewService {
  ServiceName name;
  std::uint16_t port = 0;  // 0: the endpoint's
};
struct ChangeService {
  ServiceName name;
  std::uint16_t port = 0;
};
struct DeleteService {
  ServiceName name;
};
using Change = std::variant<NewEndpoint, ChangeEndpoint, DeleteEndpoint, NewService, ChangeService, DeleteService>;

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
    std::uint64_t generation = 0;
    std::vector<Address> addresses;
    std::vector<Service> services;  // in the order of their names
  };

  explicit Table(std::string domain) : domain_(std::move(domain)) {}

  [[nodiscard]] const std::string& domain() const { return domain_; }
  [[nodiscard]] std::size_t size() const { return endpoints_.size(); }

  /// ok: apply() can be called. Else wrong_domain, exists, not_found, stale_generation, bad_request (an address that
  /// leads nowhere, or a generation out of range), limit.
  [[nodiscard]] Status check(const Change& change) const;
  /// Makes a change for which check() is ok.
  void apply(const Change& change);

  /// Null when there is none.
  [[nodiscard]] const Endpoint* find(const EndpointName& name) const;
  [[nodiscard]] const Service* find(const Endpoint& endpoint, std::string_view service) const;

  /// ok, not_found or wrong_domain. Of a service: the endpoint's addresses with the service's port.
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
  [[nodiscard]] Status find_service(const ServiceName& name) const;

  std::string domain_;
  std::unordered_map<EndpointName, Endpoint> endpoints_;
};

/// Whether a peer can be sent there: a port, and an address that is neither unspecified nor multicast.
bool is_usable(const Address& address);

}  // namespace sessionfs::sns
