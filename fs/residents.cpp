#include "fs/residents.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "engine/policy.hpp"

namespace sessionfs::fs {

Residents::Residents(boost::asio::io_context& io, Runtime& runtime, Names& names, std::shared_ptr<Trust> trust,
                     std::filesystem::path state, Durability durability)
    : io_(io),
      runtime_(runtime),
      names_(names),
      trust_(std::move(trust)),
      state_(std::move(state)),
      durability_(durability) {
  for (const char* name : {endpoints_name, creating_name, residences_name, arriving_name, former_name})
    if (std::filesystem::create_directories(state_ / name))
      std::filesystem::permissions(state_ / name, std::filesystem::perms::owner_all);
}

std::filesystem::path Residents::folder(const EndpointName& name) const { return state_ / endpoints_name / name.str(); }

std::filesystem::path Residents::session_folder(const EndpointName& name) const { return folder(name) / sessions_name; }

Resident* Residents::find(const EndpointName& name) {
  const auto found = residents_.find(name);
  return found == residents_.end() ? nullptr : &found->second;
}

Resident* Residents::find(std::uint64_t serial) {
  const auto found = by_serial_.find(serial);
  return found == by_serial_.end() ? nullptr : find(found->second);
}

std::shared_ptr<const TlsIdentity> Residents::identity(const EndpointName& name) const {
  const auto found = identities_.find(name);
  return found == identities_.end() ? nullptr : found->second;
}

const TlsIdentity* Residents::identity_for_sni(std::string_view sni) const {
  const auto found = by_sni_.find(sni);
  return found == by_sni_.end() ? nullptr : identity(found->second).get();
}

// --- coming and going ---------------------------------------------------------------------------------------------

std::shared_ptr<const TlsIdentity> Residents::make_identity(const EndpointName& name, const sns::KeyPair& key,
                                                            const sns::Certificate& certificate) {
  auto identity = std::make_shared<const TlsIdentity>(certificate.get(), key.get(), trust_);
  by_sni_[identity->sni()] = name;
  identities_[name] = identity;
  return identity;
}

Resident& Residents::add(const EndpointName& name, std::uint64_t generation, sns::KeyPair key,
                         sns::Certificate certificate) {
  std::filesystem::create_directories(session_folder(name));
  (void)make_identity(name, key, certificate);
  Resident& resident = residents_[name];
  resident.serial = ++last_serial_;
  resident.name = name;
  resident.key = std::move(key);
  resident.certificate = std::move(certificate);
  resident.mark = mark_of(name);
  resident.storage = folder(name) / documents_name;
  by_serial_[resident.serial] = name;
  runtime_.host().add_endpoint(name, generation, runtime_.now());
  return resident;
}

std::filesystem::path Residents::mark_file(const EndpointName& name) const {
  return state_ / residences_name / name.str();
}

bool Residents::has_mark(const EndpointName& name) const {
  std::error_code none;
  return std::filesystem::file_size(mark_file(name), none) == sizeof(sns::ResidenceMark) && !none;
}

// Made when there is none.
sns::ResidenceMark Residents::mark_of(const EndpointName& name) const {
  sns::ResidenceMark mark{};
  if (!has_mark(name)) {
    const auto made = random_bytes(mark.size());
    replace_file(mark_file(name), {reinterpret_cast<const char*>(made.data()), made.size()});
  }
  const std::string kept = read_file(mark_file(name), mark.size());
  std::ranges::copy(std::as_bytes(std::span(kept)).first(mark.size()), mark.begin());
  return mark;
}

sns::Residence Residents::residence_of(const Resident& resident) const {
  return {runtime_.host().find_endpoint(resident.name)->generation, resident.mark};
}

void Residents::create(const EndpointName& name, Done done) {
  const auto fail = [&](int error) { boost::asio::post(io_, [done, error] { done(error); }); };
  if (find(name) != nullptr || creating_.contains(name)) return fail(EEXIST);
  if (name.domain() != names_.domain() || !names_.joined()) return fail(EACCES);
  sns::KeyPair key;
  sns::Residence residence{first_generation, {}};
  try {
    // The same one at each attempt: the name server may have given the name to it and answered too late.
    key = kept_key(state_ / creating_name / name.str());
    residence.mark = mark_of(name);
  } catch (const std::exception& error) {
    spdlog::error("{}: cannot be created: {}", name.str(), error.what());
    return fail(EIO);
  }
  creating_.insert(name);
  names_.client()->new_ep(name, key, residence, names_.residence(name),
                          [this, name, key, done](sns::Status status, const sns::Client::Registered& registered) {
                            creating_.erase(name);
                            std::error_code ignored;
                            if (status == sns::Status::exists) {
                              std::filesystem::remove(state_ / creating_name / name.str(), ignored);
                              std::filesystem::remove(mark_file(name), ignored);
                            }
                            done(status == sns::Status::ok ? created(name, key, registered) : errno_of(status));
                          });
}

int Residents::created(const EndpointName& name, const sns::KeyPair& key, const sns::Client::Registered& registered) {
  try {
    Resident& resident = add(name, first_generation, key, *registered.certificate);
    announced(resident, sns::Status::ok, {std::nullopt, registered.lease});
    if (const int error = save(resident); error != 0) {
      let_go(name);
      return error;
    }
    std::error_code ignored;
    std::filesystem::remove(folder(name) / removed_name, ignored);
    std::filesystem::remove(state_ / creating_name / name.str(), ignored);
    forget_former(name);
    added(resident);
    return 0;
  } catch (const std::exception& error) {
    spdlog::error("{}: cannot be created: {}", name.str(), error.what());
    let_go(name);
    return EIO;
  }
}

void Residents::added(Resident& resident) {
  if (is_at_home(resident)) std::filesystem::create_directories(resident.storage);
  on_added(resident);
  resident.place = names_.residence(resident.name);
}

void Residents::remove(const EndpointName& name, const Done& done) {
  Resident* resident = find(name);
  if (resident == nullptr) return boost::asio::post(io_, [done] { done(ENOENT); });
  const auto gone = [this, name, done](sns::Status status) {
    Resident* here = find(name);
    // The answer to the next announcement tells whether the residence was lost, or not claimed yet.
    if (status == sns::Status::stale_generation && here != nullptr && !here->given_up) {
      here->announce_at = runtime_.now();
      return done(EPERM);
    }
    // What is nobody's or somebody else's there is removed here all the same.
    const bool is_ours_no_more = status == sns::Status::not_found || status == sns::Status::revoked ||
                                 status == sns::Status::bad_signature || status == sns::Status::stale_generation;
    if (status != sns::Status::ok && !is_ours_no_more) return done(errno_of(status));
    removed(name);
    done(0);
  };
  if (!names_.joined()) return boost::asio::post(io_, [done] { done(EHOSTUNREACH); });
  names_.client()->del_ep(name, resident->key, residence_of(*resident), gone);
}

void Residents::removed(const EndpointName& name) {
  const auto found = residents_.find(name);
  if (found == residents_.end()) return;
  if (found->second.stay == Stay::storage_away) go_on(found->second);  // its sessions are here; they are closed
  if (on_removed) on_removed(found->second);
  // Identity and record stay for what its sessions still deliver.
  std::error_code ignored;
  // On a stick it would come back with it.
  if (!is_at_home(found->second) && !found->second.storage_gone) {
    std::filesystem::remove(found->second.storage / record_name, ignored);
    std::filesystem::remove(found->second.storage, ignored);
  }
  forget_former(name);
  std::filesystem::remove(mark_file(name), ignored);
  std::filesystem::rename(folder(name) / record_name, folder(name) / removed_name, ignored);
  let_go(name);
}

// The mark of the residence stays, and so does the key of one that could not be created: with both it is registered,
// and can be created once more.
void Residents::let_go(const EndpointName& name) {
  const auto found = residents_.find(name);
  if (found == residents_.end()) return;
  if (runtime_.host().find_endpoint(name) != nullptr) runtime_.host().remove_endpoint(name, runtime_.now());
  by_serial_.erase(found->second.serial);
  residents_.erase(found);
  clean_up(name);
}

// Of an endpoint that was removed nothing stays once its last session is over, but for documents that came meanwhile.
void Residents::clean_up(const EndpointName& name) {
  std::error_code failed;
  std::filesystem::remove(folder(name) / documents_name, failed);
  if (!std::filesystem::remove(session_folder(name), failed) || failed) return;
  for (const char* file : {removed_name, ended_name, storage_name, seal_name})
    std::filesystem::remove(folder(name) / file, failed);
  std::filesystem::remove(folder(name), failed);
  if (const auto identity = identities_.extract(name)) by_sni_.erase(identity.mapped()->sni());
}

// Apart from the record, which holds the only copy of the key and is written seldom and to the disk.
bool Residents::remember_end(const Session& session) const {
  const auto& endpoints = runtime_.host().endpoints();
  const auto found = endpoints.find(session.local());
  if (found == endpoints.end()) return true;
  const auto& tombstones = found->second.tombstones;
  EndpointRecord ended;
  ended.name = session.local();
  ended.tombstones.assign(tombstones.begin(), tombstones.end());
  const auto bytes = encode(ended);
  try {
    replace_file(folder(session.local()) / ended_name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                 durability_);
    return true;
  } catch (const std::system_error& error) {
    spdlog::error("{}: the end of a session cannot be stored: {}", session.local().str(), error.what());
    return false;
  }
}

void Residents::forgotten(const Session& session) {
  if (find(session.local()) == nullptr) clean_up(session.local());
}

void Residents::add_service(Resident& resident, const std::string& service, const Done& done) {
  if (!names_.joined()) return boost::asio::post(io_, [done] { done(EHOSTUNREACH); });
  const EndpointName name = resident.name;
  const auto made = [this, name, service, done](sns::Status status) {
    Resident* owner = find(name);
    if (owner == nullptr) return done(ESTALE);
    // The name server may still have it from before; this endpoint is the one that may say so.
    const bool is_registered = status == sns::Status::ok || status == sns::Status::exists;
    int error = is_registered ? 0 : errno_of(status);
    auto& services = runtime_.host().find_endpoint(name)->services;
    if (is_registered && services.try_emplace(service).second) {
      error = save(*owner);
      if (error != 0) services.erase(service);
    }
    if (error != 0 && (is_registered || is_silence(status))) owner->unsettled_services.insert(service);
    if (status == sns::Status::stale_generation) owner->announce_at = runtime_.now();
    done(error);
  };
  names_.client()->new_service({service, name}, resident.key, residence_of(resident), made);
}

void Residents::remove_service(Resident& resident, const std::string& service) {
  runtime_.host().remove_service(*runtime_.host().find_endpoint(resident.name), service, runtime_.now());
  (void)save(resident);
  runtime_.pump();
  resident.unsettled_services.insert(service);
  settle_services(resident);
}

// --- rules --------------------------------------------------------------------------------------------------------

int Residents::set_access(Resident& resident, const std::string& text) {
  const auto parsed = Access::parse(text);
  if (const auto* error = std::get_if<RuleError>(&parsed)) {
    resident.last_error = "access line " + std::to_string(error->line) + ": " + error->reason;
    return EINVAL;
  }
  const auto former = std::exchange(resident.access, text);
  if (const int error = save(resident); error != 0) {
    resident.access = former;
    return error;
  }
  runtime_.host().find_endpoint(resident.name)->access = std::get<Access>(parsed);
  return 0;
}

int Residents::set_policy(Resident& resident, const std::string& text) {
  if (const auto error = check_policy(text)) {
    resident.last_error = "policy line " + std::to_string(error->line) + ": " + error->reason;
    return EINVAL;
  }
  const auto former = std::exchange(resident.policy, text);
  if (const int error = save(resident); error != 0) {
    resident.policy = former;
    return error;
  }
  if (on_policy) on_policy(resident);
  return 0;
}

}  // namespace sessionfs::fs
