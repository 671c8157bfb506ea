#include "fs/residents.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/policy.hpp"
#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

constexpr const char* record_name = ".endpoint";
constexpr const char* documents_name = "documents";
constexpr const char* sessions_name = "sessions";

}  // namespace

Residents::Residents(boost::asio::io_context& io, Runtime& runtime, Names& names, std::filesystem::path state)
    : io_(io), runtime_(runtime), names_(names), state_(std::move(state)) {
  std::filesystem::create_directories(state_ / "endpoints");
}

std::filesystem::path Residents::folder(const EndpointName& name) const { return state_ / "endpoints" / name.str(); }

std::filesystem::path Residents::documents_folder(const EndpointName& name) const {
  return folder(name) / documents_name;
}

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

Resident& Residents::add(const EndpointName& name, std::uint64_t generation, sns::KeyPair key,
                         sns::Certificate certificate) {
  std::filesystem::create_directories(documents_folder(name));
  std::filesystem::create_directories(session_folder(name));
  auto identity =
      std::make_shared<const TlsIdentity>(certificate.get(), key.get(), std::vector<X509*>{names_.authority()});
  Resident& resident = residents_[name];
  resident.serial = ++last_serial_;
  resident.name = name;
  resident.key = std::move(key);
  resident.certificate = std::move(certificate);
  by_serial_[resident.serial] = name;
  by_sni_[identity->sni()] = name;
  identities_[name] = std::move(identity);
  runtime_.host().add_endpoint(name, generation, runtime_.now());
  return resident;
}

void Residents::create(const EndpointName& name, Done done) {
  const auto fail = [&](int error) { boost::asio::post(io_, [done, error] { done(error); }); };
  if (find(name) != nullptr || creating_.contains(name)) return fail(EEXIST);
  if (name.domain() != names_.domain() || !names_.joined()) return fail(EACCES);
  creating_.insert(name);
  const auto key = sns::KeyPair::generate();
  names_.client()->new_ep(name, key, 1, names_.residence(),
                          [this, name, key, done](sns::Status status, std::optional<sns::Certificate> certificate) {
                            creating_.erase(name);
                            if (status != sns::Status::ok || !certificate) return done(errno_of(status));
                            done(created(name, key, std::move(*certificate)));
                          });
}

int Residents::created(const EndpointName& name, const sns::KeyPair& key, sns::Certificate certificate) {
  try {
    std::filesystem::remove_all(folder(name));  // what an endpoint of this name has left that was removed
    Resident& resident = add(name, 1, key, std::move(certificate));
    resident.registration = "registered";
    save(resident);
    on_added(resident);
    return 0;
  } catch (const std::exception& error) {
    spdlog::error("{}: cannot be created: {}", name.str(), error.what());
    return EIO;
  }
}

void Residents::remove(const EndpointName& name, const Done& done) {
  Resident* resident = find(name);
  if (resident == nullptr) return boost::asio::post(io_, [done] { done(ENOENT); });
  const auto gone = [this, name, done](sns::Status status) {
    // An endpoint that the name server does not know is removed here all the same.
    if (status == sns::Status::bad_signature || status == sns::Status::stale_generation) return done(EPERM);
    if (status != sns::Status::ok && status != sns::Status::not_found) return done(errno_of(status));
    removed(name);
    done(0);
  };
  if (!names_.joined()) return boost::asio::post(io_, [done] { done(EHOSTUNREACH); });
  names_.client()->del_ep(name, resident->key, gone);
}

void Residents::removed(const EndpointName& name) {
  const auto found = residents_.find(name);
  if (found == residents_.end()) return;
  on_removed(found->second);
  runtime_.host().remove_endpoint(name, runtime_.now());
  by_serial_.erase(found->second.serial);
  residents_.erase(found);
  // The identity stays for what its sessions still deliver; the record goes, so that it does not come back.
  std::error_code ignored;
  std::filesystem::remove(folder(name) / record_name, ignored);
  std::filesystem::remove_all(documents_folder(name), ignored);
}

void Residents::add_service(Resident& resident, const std::string& service, const Done& done) {
  if (!names_.joined()) return boost::asio::post(io_, [done] { done(EHOSTUNREACH); });
  const EndpointName name = resident.name;
  names_.client()->new_service({service, name}, resident.key, [this, name, service, done](sns::Status status) {
    Resident* owner = find(name);
    if (owner == nullptr) return done(ESTALE);
    // The name server may still have it from before; this endpoint is the one that may say so.
    if (status != sns::Status::ok && status != sns::Status::exists) return done(errno_of(status));
    (void)runtime_.host().find_endpoint(name)->services[service];
    save(*owner);
    done(0);
  });
}

void Residents::remove_service(Resident& resident, const std::string& service) {
  runtime_.host().remove_service(*runtime_.host().find_endpoint(resident.name), service, runtime_.now());
  save(resident);
  runtime_.pump();
  if (!names_.joined()) return;
  names_.client()->del_service({service, resident.name}, resident.key, [](sns::Status) {});
}

void Residents::ensure_default() {
  if (!names_.joined() || find(default_name_) != nullptr || creating_.contains(default_name_)) return;
  create(default_name_, [this](int error) {
    if (error != 0)
      spdlog::warn("{}: the default endpoint cannot be made: {}", default_name_.str(), std::strerror(error));
    runtime_.pump();
  });
}

// --- rules --------------------------------------------------------------------------------------------------------

int Residents::set_access(Resident& resident, const std::string& text) {
  const auto parsed = Access::parse(text);
  if (const auto* error = std::get_if<RuleError>(&parsed)) {
    resident.last_error = "access line " + std::to_string(error->line) + ": " + error->reason;
    return EINVAL;
  }
  runtime_.host().find_endpoint(resident.name)->access = std::get<Access>(parsed);
  resident.access = text;
  save(resident);
  return 0;
}

int Residents::set_policy(Resident& resident, const std::string& text) {
  if (const auto error = check_policy(text)) {
    resident.last_error = "policy line " + std::to_string(error->line) + ": " + error->reason;
    return EINVAL;
  }
  resident.policy = text;
  save(resident);
  return 0;
}

// --- the name server ----------------------------------------------------------------------------------------------

void Residents::announce() {
  for (auto& [name, resident] : residents_) announce(resident);
}

void Residents::announce(Resident& resident) {
  if (!names_.joined()) return;
  const Endpoint* endpoint = runtime_.host().find_endpoint(resident.name);
  names_.client()->change_ep(resident.name, resident.key, endpoint->generation, names_.residence(),
                             [this, name = resident.name](sns::Status status) {
                               Resident* owner = find(name);
                               if (owner == nullptr) return;
                               owner->registration =
                                   status == sns::Status::ok ? "registered" : std::string(sns::describe(status));
                             });
}

bool Residents::all_registered() const {
  for (const auto& [name, resident] : residents_)
    if (resident.registration != "registered") return false;
  return true;
}

// --- on disk ------------------------------------------------------------------------------------------------------

std::string Residents::record_bytes(const Resident& resident) const {
  const Endpoint* endpoint = runtime_.host().find_endpoint(resident.name);
  EndpointRecord record;
  record.name = resident.name;
  record.generation = endpoint->generation;
  record.private_key = resident.key.pem();
  record.certificate = resident.certificate.pem();
  record.policy = resident.policy;
  record.access = resident.access;
  for (const auto& [name, service] : endpoint->services) record.services.push_back(name);
  record.tombstones.assign(endpoint->tombstones.begin(), endpoint->tombstones.end());
  const auto bytes = encode(record);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void Residents::save(const Resident& resident) {
  try {
    replace_file(folder(resident.name) / record_name, record_bytes(resident));
  } catch (const std::exception& error) {
    spdlog::error("{}: its record cannot be stored: {}", resident.name.str(), error.what());
  }
}

void Residents::save_all() {
  for (const auto& [name, resident] : residents_) save(resident);
}

void Residents::load() {
  for (const auto& entry : std::filesystem::directory_iterator(state_ / "endpoints")) {
    if (!std::filesystem::exists(entry.path() / record_name)) continue;
    try {
      load_one(entry.path());
    } catch (const std::exception& error) {
      const auto aside = entry.path().string() + ".damaged";
      spdlog::error("{}: cannot be loaded and is set aside as {}: {}", entry.path().filename().string(), aside,
                    error.what());
      std::error_code ignored;
      std::filesystem::rename(entry.path(), aside, ignored);
    }
  }
}

void Residents::load_one(const std::filesystem::path& folder) {
  const std::string bytes = read_file(folder / record_name, max_record_bytes);
  auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!record || record->name.str() != folder.filename()) throw std::runtime_error("the record is damaged");
  Resident& resident = add(record->name, record->generation, sns::KeyPair::from_pem(record->private_key),
                           sns::Certificate::from_pem(record->certificate));
  Endpoint& endpoint = *runtime_.host().find_endpoint(record->name);
  for (const auto& service : record->services) (void)endpoint.services[service];
  endpoint.tombstones.assign(record->tombstones.begin(), record->tombstones.end());
  resident.policy = record->policy;
  resident.access = record->access;
  const auto access = Access::parse(record->access);
  if (const auto* rules = std::get_if<Access>(&access)) endpoint.access = *rules;
  load_sessions(endpoint);
  on_added(resident);
}

void Residents::load_sessions(Endpoint& endpoint) {
  for (const auto& file : std::filesystem::directory_iterator(session_folder(endpoint.name))) {
    if (file.path().extension() == ".damaged") continue;
    try {
      runtime_.restore(endpoint, file.path());
    } catch (const std::exception& error) {
      spdlog::error("{}: a session is set aside: {}", endpoint.name.str(), error.what());
      std::error_code ignored;
      std::filesystem::rename(file.path(), file.path().string() + ".damaged", ignored);
    }
  }
}

}  // namespace sessionfs::fs
