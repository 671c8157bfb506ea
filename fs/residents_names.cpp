// What the name server of the domain knows of the endpoints of this host.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "fs/residents.hpp"
#include "sns/tls.hpp"

namespace sessionfs::fs {

void Residents::announce() {
  for (auto& [name, resident] : residents_) {
    resident.place = names_.residence(name);
    resident.retry_delay = first_registration_delay;
    announce(resident);
  }
}

bool Residents::have_moved() const {
  return std::ranges::any_of(residents_, [this](const auto& each) {
    const auto& [name, resident] = each;
    return resident.place != names_.residence(name);
  });
}

// Claims the residence where that has not been done, and says that it goes on, and where.
void Residents::announce(Resident& resident) {
  if (!names_.joined() || resident.given_up) return;
  resident.announce_at = runtime_.now() + resident.retry_delay;
  resident.retry_delay = std::min(2 * resident.retry_delay, last_registration_delay);
  const bool certify = resident.wants_certificate || resident.certificate.not_after() < sns::wall_time() + renewal_time;
  names_.client()->change_ep(resident.name, resident.key, residence_of(resident), names_.residence(resident.name),
                             certify, [this, name = resident.name](sns::Status status, const auto& registered) {
                               if (Resident* owner = find(name)) announced(*owner, status, registered);
                             });
}

void Residents::ask_whether_it_may_stay(Resident& resident, const std::function<void(sns::Status)>& done) {
  names_.client()->change_ep(resident.name, resident.key, residence_of(resident), names_.residence(resident.name),
                             false, [this, name = resident.name, done](sns::Status status, const auto& registered) {
                               if (Resident* owner = find(name)) announced(*owner, status, registered);
                               done(status);
                             });
}

void Residents::announced(Resident& resident, sns::Status status, const sns::Client::Registered& registered) {
  // A name server that was set back to an older state has forgotten it.
  if (status == sns::Status::not_found) return register_again(resident);
  resident.given_up = status == sns::Status::stale_generation || status == sns::Status::revoked;
  resident.registration = status == sns::Status::ok ? "registered" : std::string(sns::describe(status));
  resident.superseded = status == sns::Status::stale_generation;
  if (resident.superseded) resident.registration = "superseded: it resides elsewhere with a higher generation";
  if (resident.superseded && on_superseded) return on_superseded(resident);
  if (status != sns::Status::ok) return;
  resident.retry_delay = first_registration_delay;
  resident.announce_at = runtime_.now() + std::max<Duration>(registered.lease / renewals_in_a_lease, min_renewal);
  if (registered.certificate) {
    resident.wants_certificate = false;
    resident.certificate = *registered.certificate;
    (void)make_identity(resident.name, resident.key, resident.certificate);
    (void)save(resident);
  }
  settle_services(resident);
}

void Residents::register_again(Resident& resident) {
  names_.client()->new_ep(resident.name, resident.key, residence_of(resident), names_.residence(resident.name),
                          [this, name = resident.name](sns::Status status, const auto& registered) {
                            Resident* owner = find(name);
                            if (owner == nullptr) return;
                            if (status == sns::Status::not_found) status = sns::Status::internal;
                            if (status == sns::Status::ok)
                              for (const auto& [service, listening] : runtime_.host().find_endpoint(name)->services)
                                owner->unsettled_services.insert(service);
                            announced(*owner, status, registered);
                          });
}

// Tells of each service whether it is here. What is not answered stays for the next time that the endpoint is
// announced.
void Residents::settle_services(Resident& resident) {
  if (!names_.joined()) return;
  const auto& services = runtime_.host().find_endpoint(resident.name)->services;
  for (const auto& service : resident.unsettled_services) {
    const ServiceName name{service, resident.name};
    const bool is_here = services.contains(service);
    const auto told = [this, name, is_here](sns::Status status) {
      service_told(name.endpoint, name.service, is_here, status);
    };
    if (is_here) {
      names_.client()->new_service(name, resident.key, residence_of(resident), told);
    } else {
      names_.client()->del_service(name, resident.key, residence_of(resident), told);
    }
  }
}

void Residents::service_told(const EndpointName& name, const std::string& service, bool was_here, sns::Status status) {
  Resident* resident = find(name);
  if (resident == nullptr) return;
  const bool is_told = status == sns::Status::ok || status == (was_here ? sns::Status::exists : sns::Status::not_found);
  const bool is_here = runtime_.host().find_endpoint(name)->services.contains(service);
  if (is_told && is_here == was_here) {
    resident->unsettled_services.erase(service);
  } else if (is_told || is_silence(status)) {
    // It has changed meanwhile, or nobody has heard it.
    resident->announce_at = std::min(resident->announce_at, runtime_.now() + first_registration_delay);
  }
}

void Residents::ensure_default() {
  if (find(default_name_) != nullptr || creating_.contains(default_name_)) return;
  create(default_name_, [this](int error) {
    std::string trouble;
    if (error == EEXIST) {
      trouble = "the name is taken in the domain; set another one as endpoint in the configuration";
    } else if (error != 0) {
      trouble = std::string("cannot be made: ") + std::strerror(error);
    }
    if (trouble != default_trouble_ && !trouble.empty()) spdlog::warn("{}: {}", default_name_.str(), trouble);
    default_trouble_ = std::move(trouble);
    runtime_.pump();
  });
}

void Residents::keep_registered() {
  if (!names_.joined()) return;
  if (!std::exchange(was_joined_, true)) load();
  const Time now = runtime_.now();
  if (find(default_name_) != nullptr) {
    default_delay_ = first_registration_delay;
  } else if (now >= next_default_) {
    next_default_ = now + default_delay_ - first_registration_delay / 2;
    default_delay_ = std::min(2 * default_delay_, last_registration_delay);
    ensure_default();
  }
  for (auto& [name, resident] : residents_)
    if (now >= resident.announce_at) announce(resident);
}

std::vector<std::string> Residents::troubles() const {
  std::vector<std::string> lines;
  if (!default_trouble_.empty() && !residents_.contains(default_name_))
    lines.push_back(default_name_.str() + ": " + default_trouble_);
  for (const auto& [name, reason] : not_here_) lines.emplace_back(name).append(": ").append(reason);
  std::ranges::copy(left_documents(), std::back_inserter(lines));
  return lines;
}

}  // namespace sessionfs::fs
