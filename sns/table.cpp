#include "sns/table.hpp"

#include <algorithm>
#include <type_traits>

namespace sessionfs::sns {
namespace {

auto place_of(const std::vector<Table::Service>& services, std::string_view name) {
  return std::ranges::lower_bound(services, name, {},
                                  [](const auto& service) { return std::string_view(service.name); });
}

bool are_usable(const std::vector<Address>& addresses) {
  return addresses.size() <= max_addresses && std::ranges::all_of(addresses, is_usable);
}

}  // namespace

bool is_usable(const Address& address) {
  if (address.port == 0 || address.protocol != Protocol::tls_tcp) return false;
  if (std::ranges::all_of(address.ip, [](auto byte) { return byte == 0; })) return false;
  if (address.family == Family::v4) return address.ip[0] < 224;
  return address.family == Family::v6 && address.ip[0] != 0xff;
}

const EndpointName& subject(const Change& change) {
  return std::visit(
      [](const auto& one) -> const EndpointName& {
        if constexpr (std::is_same_v<decltype(one.name), ServiceName>) {
          return one.name.endpoint;
        } else {
          return one.name;
        }
      },
      change);
}

Status Table::check(const Change& change) const {
  if (subject(change).domain() != domain_) return Status::wrong_domain;
  return std::visit([this](const auto& one) { return check_one(one); }, change);
}

void Table::apply(const Change& change) {
  std::visit([this](const auto& one) { apply_one(one); }, change);
}

Status Table::check_one(const NewEndpoint& change) const {
  if (change.generation > max_generation || !are_usable(change.addresses)) return Status::bad_request;
  const Endpoint* known = find(change.name);
  if (known == nullptr) return endpoints_.size() < max_endpoints ? Status::ok : Status::limit;
  // The same owner asks again when the first answer was lost on its way.
  if (known->key != change.key) return Status::exists;
  return change.generation < known->generation ? Status::stale_generation : Status::ok;
}

void Table::apply_one(const NewEndpoint& change) {
  Endpoint& endpoint = endpoints_[change.name];
  endpoint.key = change.key;
  endpoint.generation = change.generation;
  endpoint.addresses = change.addresses;
}

Status Table::check_one(const ChangeEndpoint& change) const {
  if (change.generation > max_generation || !are_usable(change.addresses)) return Status::bad_request;
  const Endpoint* known = find(change.name);
  if (known == nullptr) return Status::not_found;
  return change.generation < known->generation ? Status::stale_generation : Status::ok;
}

void Table::apply_one(const ChangeEndpoint& change) {
  Endpoint& endpoint = endpoints_.at(change.name);
  endpoint.generation = change.generation;
  endpoint.addresses = change.addresses;
}

Status Table::check_one(const DeleteEndpoint& change) const {
  return find(change.name) == nullptr ? Status::not_found : Status::ok;
}

void Table::apply_one(const DeleteEndpoint& change) { endpoints_.erase(change.name); }

Status Table::check_one(const NewService& change) const {
  const Endpoint* endpoint = find(change.name.endpoint);
  if (endpoint == nullptr) return Status::not_found;
  if (find(*endpoint, change.name.service) != nullptr) return Status::exists;
  return endpoint->services.size() < max_services_per_endpoint ? Status::ok : Status::limit;
}

void Table::apply_one(const NewService& change) {
  auto& services = endpoints_.at(change.name.endpoint).services;
  services.insert(place_of(services, change.name.service), {change.name.service, change.port});
}

Status Table::find_service(const ServiceName& name) const {
  const Endpoint* endpoint = find(name.endpoint);
  return endpoint == nullptr || find(*endpoint, name.service) == nullptr ? Status::not_found : Status::ok;
}

Status Table::check_one(const ChangeService& change) const { return find_service(change.name); }

void Table::apply_one(const ChangeService& change) {
  auto& services = endpoints_.at(change.name.endpoint).services;
  const auto at = place_of(services, change.name.service) - services.cbegin();
  services[static_cast<std::size_t>(at)].port = change.port;
}

Status Table::check_one(const DeleteService& change) const { return find_service(change.name); }

void Table::apply_one(const DeleteService& change) {
  auto& services = endpoints_.at(change.name.endpoint).services;
  services.erase(place_of(services, change.name.service));
}

const Table::Endpoint* Table::find(const EndpointName& name) const {
  const auto found = endpoints_.find(name);
  return found == endpoints_.end() ? nullptr : &found->second;
}

const Table::Service* Table::find(const Endpoint& endpoint, std::string_view service) const {
  const auto place = place_of(endpoint.services, service);
  return place == endpoint.services.end() || place->name != service ? nullptr : &*place;
}

Status Table::get(const EndpointName& name, EndpointInfo& info) const {
  if (name.domain() != domain_) return Status::wrong_domain;
  const Endpoint* endpoint = find(name);
  if (endpoint == nullptr) return Status::not_found;
  info = {endpoint->generation, endpoint->key, endpoint->addresses};
  return Status::ok;
}

Status Table::get(const ServiceName& name, EndpointInfo& info) const {
  const Status status = get(name.endpoint, info);
  if (status != Status::ok) return status;
  const Service* service = find(*find(name.endpoint), name.service);
  if (service == nullptr) {
    info = {};
    return Status::not_found;
  }
  if (service->port != 0) std::ranges::for_each(info.addresses, [&](Address& one) { one.port = service->port; });
  return Status::ok;
}

}  // namespace sessionfs::sns
