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

bool Table::is_renewal(const Change& change) const {
  const auto* renewal = std::get_if<ChangeEndpoint>(&change);
  if (renewal == nullptr) return false;
  const Endpoint& known = *find(renewal->name);
  return known.residence == renewal->residence && known.addresses == renewal->addresses && !known.away_since;
}

std::vector<EndpointName> Table::advance(std::chrono::seconds clock, UnixTime now) {
  std::vector<EndpointName> gone;
  const auto passed = static_cast<std::size_t>((clock - clock_).count());
  clock_ = clock;
  const auto round = std::max<std::size_t>(1, static_cast<std::size_t>(lease_.count()) / 4);
  const std::size_t all = entries_.size();
  const std::size_t share = std::min(all, (all * passed + round - 1) / round);
  due_entries_ = std::min(all, due_entries_ + share);
  for (; due_entries_ > 0 && gone.size() < max_away_per_call; --due_entries_) {
    next_entry_ = next_entry_ + 1 < all ? next_entry_ + 1 : 0;
    auto& [name, hash, endpoint] = entries_[next_entry_];
    if (name.empty() || endpoint.away_since || endpoint.revoked || clock_ - endpoint.heard <= lease_) continue;
    endpoint.away_since = now - (clock_ - endpoint.heard);
    gone.push_back(name);
  }
  return gone;
}

void Table::set_away(const EndpointName& name, UnixTime since) { find_to_change(name)->away_since = since; }

// What only the present residence may do.
Status Table::check_resident(const EndpointName& name, const Residence& residence) const {
  const Endpoint* known = find(name);
  if (known == nullptr) return Status::not_found;
  if (known->revoked) return Status::revoked;
  return residence == known->residence ? Status::ok : Status::stale_generation;
}

Status Table::check_one(const NewEndpoint& change) const {
  if (change.residence.generation > max_generation || !are_usable(change.addresses)) return Status::bad_request;
  const Endpoint* known = find(change.name);
  if (known == nullptr) return names_.size() < max_endpoints ? Status::ok : Status::limit;
  if (known->key != change.key) return known->revoked ? Status::ok : Status::exists;
  // The same owner asks again when the first answer was lost on its way.
  return check_one(ChangeEndpoint{change.name, change.residence, change.addresses, known->order});
}

void Table::apply_one(const NewEndpoint& change) {
  Endpoint& endpoint = find_or_add(change.name);
  if (endpoint.revoked) endpoint = {};
  endpoint.key = change.key;
  endpoint.residence = change.residence;
  endpoint.addresses = change.addresses;
  endpoint.away_since.reset();
  endpoint.heard = clock_;
}

Status Table::check_one(const ChangeEndpoint& change) const {
  if (change.residence.generation > max_generation || !are_usable(change.addresses)) return Status::bad_request;
  const Endpoint* known = find(change.name);
  if (known == nullptr) return Status::not_found;
  if (known->revoked) return Status::revoked;
  if (change.residence.generation > known->residence.generation) return Status::ok;
  return change.residence == known->residence && change.order >= known->order ? Status::ok : Status::stale_generation;
}

void Table::apply_one(const ChangeEndpoint& change) {
  Endpoint& endpoint = *find_to_change(change.name);
  endpoint.residence = change.residence;
  endpoint.addresses = change.addresses;
  endpoint.away_since.reset();
  endpoint.heard = clock_;
  endpoint.order = change.order;
}

Status Table::check_one(const DeleteEndpoint& change) const { return check_resident(change.name, change.residence); }

void Table::apply_one(const DeleteEndpoint& change) { erase(change.name); }

Status Table::check_one(const RevokeEndpoint& change) const {
  return find(change.name) == nullptr ? Status::not_found : Status::ok;
}

void Table::apply_one(const RevokeEndpoint& change) {
  Endpoint& endpoint = *find_to_change(change.name);
  endpoint.revoked = true;
  endpoint.addresses.clear();
  endpoint.services.clear();
}

Status Table::check_one(const NewService& change) const {
  if (const Status status = check_resident(change.name.endpoint, change.residence); status != Status::ok) return status;
  const Endpoint& endpoint = *find(change.name.endpoint);
  if (find(endpoint, change.name.service) != nullptr) return Status::exists;
  return endpoint.services.size() < max_services_per_endpoint ? Status::ok : Status::limit;
}

void Table::apply_one(const NewService& change) {
  auto& services = find_to_change(change.name.endpoint)->services;
  services.insert(place_of(services, change.name.service), {change.name.service, change.port});
}

Status Table::check_service(const ServiceName& name, const Residence& residence) const {
  if (const Status status = check_resident(name.endpoint, residence); status != Status::ok) return status;
  return find(*find(name.endpoint), name.service) == nullptr ? Status::not_found : Status::ok;
}

Status Table::check_one(const ChangeService& change) const { return check_service(change.name, change.residence); }

void Table::apply_one(const ChangeService& change) {
  auto& services = find_to_change(change.name.endpoint)->services;
  const auto at = place_of(services, change.name.service) - services.cbegin();
  services[static_cast<std::size_t>(at)].port = change.port;
}

Status Table::check_one(const DeleteService& change) const { return check_service(change.name, change.residence); }

void Table::apply_one(const DeleteService& change) {
  auto& services = find_to_change(change.name.endpoint)->services;
  services.erase(place_of(services, change.name.service));
}

std::optional<Table::Endpoint> Table::copy(const EndpointName& name) const {
  const Endpoint* known = find(name);
  return known == nullptr ? std::nullopt : std::optional(*known);
}

void Table::put_back(const EndpointName& name, std::optional<Endpoint> endpoint) {
  if (endpoint) {
    find_or_add(name) = std::move(*endpoint);
  } else {
    erase(name);
  }
}

const Table::Endpoint* Table::find(const EndpointName& name) const { return find_to_change(name); }

Table::Endpoint* Table::find_to_change(const EndpointName& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &(*found)->endpoint;
}

Table::Endpoint& Table::find_or_add(const EndpointName& name) {
  if (Endpoint* known = find_to_change(name)) return *known;
  if (free_entries_.empty()) free_entries_.push_back(&entries_.emplace_back());
  Entry* entry = free_entries_.back();
  EndpointName kept = name;  // before anything is changed: it may find no memory
  entry->hash = HashName{}(name);
  names_.insert(entry);
  entry->name = std::move(kept);
  free_entries_.pop_back();
  return entry->endpoint;
}

void Table::erase(const EndpointName& name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;
  Entry* entry = *found;
  free_entries_.push_back(entry);
  names_.erase(found);
  *entry = {};
}

const Table::Service* Table::find(const Endpoint& endpoint, std::string_view service) const {
  const auto place = place_of(endpoint.services, service);
  return place == endpoint.services.end() || place->name != service ? nullptr : &*place;
}

Status Table::get(const EndpointName& name, EndpointInfo& info) const {
  if (name.domain() != domain_) return Status::wrong_domain;
  const Endpoint* endpoint = find(name);
  if (endpoint == nullptr) return Status::not_found;
  if (endpoint->revoked) return Status::revoked;
  info = {endpoint->residence.generation, endpoint->key, endpoint->addresses, endpoint->away_since};
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
