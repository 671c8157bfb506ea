// The endpoints of this host on its disk: records, sessions, and how sessions have ended.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "fs/residents.hpp"
#include "fs/sealed.hpp"

namespace sessionfs::fs {
namespace {

std::string encoded(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// What is kept of it beside its sessions, which have files of their own.
EndpointRecord Residents::record_of(const Resident& resident) const {
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
  return record;
}

std::string Residents::record_bytes(const Resident& resident) const {
  EndpointRecord record = record_of(resident);
  record.sessions = resident.frozen_sessions;
  if (resident.stay == Stay::here)
    for (const auto& session : runtime_.host().sessions_at(resident.name))
      if (session->state() != State::connecting) record.sessions.push_back(sessionfs::record_of(*session));
  std::string bytes = encoded(encode(record));
  if (bytes.size() > max_record_bytes)
    throw std::system_error(EFBIG, std::generic_category(), "its sessions hold more than a record can");
  return bytes;
}

std::string Residents::portable_record(const Resident& resident) const {
  const auto key = SealKey::from_text(resident.seal);
  return key ? key->seal(record_bytes(resident)) : record_bytes(resident);
}

int Residents::save(const Resident& resident) {
  try {
    replace_file(folder(resident.name) / record_name, encoded(encode(record_of(resident))));
    return 0;
  } catch (const std::system_error& error) {
    spdlog::error("{}: its record cannot be stored: {}", resident.name.str(), error.what());
    return error.code().value();
  }
}

void Residents::save_all() {
  for (const auto& [name, resident] : residents_) (void)save(resident);
}

void Residents::load() {
  not_here_.clear();
  for (const auto& entry : std::filesystem::directory_iterator(state_ / arriving_name)) discard(entry.path());
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(state_ / endpoints_name))
    if (entry.path().extension() != damaged_suffix) folders.push_back(entry.path());
  for (const auto& folder : folders) {
    try {
      load_one(folder);
    } catch (const Damaged& error) {
      const auto aside = folder.string() + damaged_suffix;
      spdlog::error("{}: cannot be loaded and is set aside as {}: {}", folder.filename().string(), aside, error.what());
      std::filesystem::rename(folder, aside);
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(state_ / former_name)) load_former(entry.path());
}

void Residents::load_one(const std::filesystem::path& folder, Stay stay) {
  const auto place = folder.filename().string();
  const bool is_removed = !std::filesystem::exists(folder / record_name);
  const auto file = folder / (is_removed ? removed_name : record_name);
  const auto name = EndpointName::parse(place);
  if (!name || find(*name) != nullptr || identities_.contains(*name) || !std::filesystem::exists(file)) return;
  if (name->domain() != names_.domain() || !names_.joined()) {
    not_here_[place] = "not loaded: " + (name->domain() != names_.domain()
                                             ? "this host is configured for the domain " + names_.domain()
                                             : "this host has not joined the domain yet");
    spdlog::warn("{}: {}", place, not_here_[place]);
    return;
  }
  const std::string bytes = read_file(file, max_record_bytes);
  const auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!record || record->name != *name) throw Damaged(file.string() + ": is damaged");
  if (is_removed) {
    load_removed(*record);
  } else {
    load_resident(*record, stay);
  }
}

void Residents::load_resident(const EndpointRecord& record, Stay stay) {
  const bool comes_from_elsewhere = !has_mark(record.name);
  const std::uint64_t generation = record.generation + (comes_from_elsewhere ? 1 : 0);
  Resident& resident = add(record.name, generation, sns::KeyPair::from_pem(record.private_key),
                           sns::Certificate::from_pem(record.certificate));
  Endpoint& endpoint = *runtime_.host().find_endpoint(record.name);
  for (const auto& service : record.services) (void)endpoint.services[service];
  load_tombstones(record);
  resident.policy = record.policy;
  resident.access = record.access;
  const auto access = Access::parse(record.access);
  if (const auto* rules = std::get_if<Access>(&access)) endpoint.access = *rules;
  // A generation is stored before it is claimed.
  if (comes_from_elsewhere) (void)save(resident);
  resident.wants_certificate = true;
  load_storage(resident);
  resident.stay = stay;
  if (stay == Stay::here) {
    load_sessions(endpoint);
    if (is_away(resident)) freeze(resident, Stay::storage_away);
  } else {
    endpoint.frozen = true;
  }
  added(resident);
}

// Documents that were left on a stick are there, or are waited for.
void Residents::load_storage(Resident& resident) {
  const auto note = folder(resident.name) / storage_name;
  if (std::filesystem::exists(note)) resident.storage = read_file(note, PATH_MAX);
  const auto seal = folder(resident.name) / seal_name;
  if (std::filesystem::exists(seal)) resident.seal = read_file(seal, max_key_bytes);
}

bool Residents::is_away(const Resident& resident) const {
  std::error_code failed;
  return resident.storage_gone ||
         (!is_at_home(resident) && !std::filesystem::exists(resident.storage / record_name, failed));
}

// Its sessions still deliver what was written before it was removed.
void Residents::load_removed(const EndpointRecord& record) {
  std::filesystem::create_directories(session_folder(record.name));
  (void)make_identity(record.name, sns::KeyPair::from_pem(record.private_key),
                      sns::Certificate::from_pem(record.certificate));
  Endpoint& endpoint = runtime_.host().add_endpoint(record.name, record.generation, runtime_.now());
  load_tombstones(record);
  load_sessions(endpoint);
  runtime_.host().remove_endpoint(record.name, runtime_.now());
  clean_up(record.name);
}

// Those of the record, which may come from another host, and those that were stored here since.
void Residents::load_tombstones(const EndpointRecord& record) {
  auto& tombstones = runtime_.host().find_endpoint(record.name)->tombstones;
  tombstones.assign(record.tombstones.begin(), record.tombstones.end());
  const auto file = folder(record.name) / ended_name;
  if (!std::filesystem::exists(file)) return;
  const std::string bytes = read_file(file, max_record_bytes);
  const auto ended = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!ended || ended->name != record.name) {
    spdlog::warn("{}: is damaged and not used", file.string());
    return;
  }
  for (const auto& tombstone : ended->tombstones)
    if (std::ranges::find(tombstones, tombstone) == tombstones.end()) tombstones.push_back(tombstone);
  while (tombstones.size() > max_tombstones) tombstones.pop_front();
}

void Residents::load_sessions(Endpoint& endpoint) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(session_folder(endpoint.name)))
    if (file.path().extension() != damaged_suffix) files.push_back(file.path());
  for (const auto& file : files) {
    try {
      if (StateFile::never_saved(file)) {
        std::filesystem::remove(file);
      } else {
        runtime_.restore(endpoint, file);
      }
    } catch (const Damaged& error) {
      spdlog::error("{}: a session is set aside: {}", endpoint.name.str(), error.what());
      std::filesystem::rename(file, file.string() + damaged_suffix);
    }
  }
}

}  // namespace sessionfs::fs
