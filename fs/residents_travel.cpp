// Endpoints that leave this host, and those that come from elsewhere (thesis 4.3, 4.8.3).
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>

#include "fs/child.hpp"
#include "fs/residents.hpp"

namespace sessionfs::fs {
namespace {

constexpr const char* thrown_suffix = ".thrown";

std::string as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_empty_folder(const std::filesystem::path& folder) {
  std::error_code failed;
  return std::filesystem::is_empty(folder, failed) || failed;
}

}  // namespace

std::string_view describe(Stay stay) {
  switch (stay) {
    case Stay::here:
      return "";
    case Stay::arriving:
      return "it is being loaded";
    case Stay::leaving:
    case Stay::copying:
      return "it is being saved";
    case Stay::handing_over:
      return "it is being handed over to another host";
    case Stay::storage_away:
      return "its stick is gone; plug it in again, or load it elsewhere";
  }
  return "";
}

void Residents::freeze(Resident& resident, Stay stay) {
  const bool was_here = std::exchange(resident.stay, stay) == Stay::here;
  if (!was_here) return;
  resident.frozen_sessions = runtime_.freeze(*runtime_.host().find_endpoint(resident.name));
  if (on_frozen) on_frozen(resident);
}

void Residents::close_documents(Resident& resident) const {
  resident.stay = Stay::copying;
  if (on_storage) on_storage(resident);
}

void Residents::thaw(Resident& resident) {
  if (resident.stay == Stay::here) return;
  if (resident.superseded) return retire_superseded(resident);
  if (is_away(resident)) {
    resident.stay = Stay::storage_away;
    return;
  }
  go_on(resident);
}

void Residents::go_on(Resident& resident) {
  Endpoint& endpoint = *runtime_.host().find_endpoint(resident.name);
  Host::thaw(endpoint);
  const bool was_closed = std::exchange(resident.stay, Stay::here) != Stay::leaving;
  if (was_closed && on_storage) on_storage(resident);
  resident.frozen_sessions.clear();
  try {
    load_sessions(endpoint);
  } catch (const std::exception& error) {
    resident.last_error = std::string("not all its sessions can be read: ") + error.what() + "; restart the daemon";
    spdlog::error("{}: {}", resident.name.str(), resident.last_error);
  }
}

// From the tables of this host, not from its disk.
void Residents::drop(Resident& resident) {
  const EndpointName name = resident.name;
  freeze(resident, Stay::leaving);
  if (on_removed) on_removed(resident);
  runtime_.host().forget_endpoint(name);
  by_serial_.erase(resident.serial);
  residents_.erase(name);
}

void Residents::drop_identity(const EndpointName& name) {
  if (const auto identity = identities_.extract(name)) by_sni_.erase(identity.mapped()->sni());
}

void Residents::discard(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  if (failed) spdlog::warn("{}: cannot be removed: {}", path.string(), failed.message());
}

// All of it at once: half of an endpoint would be one that comes from elsewhere. What a daemon that was killed has not
// removed the next one finds among those that never arrived.
void Residents::throw_away(const EndpointName& name) {
  const auto thrown = state_ / arriving_name / (name.str() + thrown_suffix);
  discard(thrown);
  std::error_code failed;
  std::filesystem::rename(folder(name), thrown, failed);
  if (failed) spdlog::error("{}: cannot be removed: {}", folder(name).string(), failed.message());
  if (failed) return;
  sync_folder(state_ / endpoints_name);
  discard(mark_file(name));
  remove_later(io_, thrown);
}

void Residents::retire(Resident& resident, Successor successor) {
  const EndpointName name = resident.name;
  if (successor == Successor::none_yet && names_.joined())
    names_.client()->change_ep(name, resident.key, residence_of(resident), {}, false, [](sns::Status, const auto&) {});
  drop(resident);
  drop_identity(name);
  throw_away(name);
  // A former residence here may still have the latest state, unless that has just left.
  if (successor == Successor::none_yet) return forget_former(name);
  load_former(folder_of_former(name));
}

std::filesystem::path Residents::folder_of_former(const EndpointName& name) const {
  return state_ / former_name / name.str();
}

// Those of an earlier residence whose documents nobody has taken.
void Residents::keep_documents_of(const std::filesystem::path& former) const {
  if (is_empty_folder(former / documents_name)) return;
  for (int number = 1;; ++number) {
    const auto kept = former.string() + "." + documents_name + "." + std::to_string(number);
    if (std::filesystem::exists(kept)) continue;
    return std::filesystem::rename(former / documents_name, kept);
  }
}

void Residents::retire_superseded(Resident& resident) {
  const EndpointName name = resident.name;
  freeze(resident, Stay::handing_over);
  const auto former = folder_of_former(name);
  try {
    // With its sessions, before it counts as what is left.
    replace_file(folder(name) / record_name, record_bytes(resident));
    keep_documents_of(former);
    discard(former);
    std::filesystem::rename(folder(name), former);
    sync_folder(former.parent_path());
    sync_folder(state_ / endpoints_name);
  } catch (const std::exception& error) {
    resident.last_error = std::string("superseded; its last state cannot be kept apart: ") + error.what();
    spdlog::error("{}: {}", name.str(), resident.last_error);
    return;
  }
  for (const char* part : {sessions_name, ended_name, storage_name, seal_name}) discard(former / part);
  drop(resident);
  discard(mark_file(name));
  not_here_[name.str()] = "superseded: it resides elsewhere with a higher generation";
  spdlog::warn("{}: {}", name.str(), not_here_[name.str()]);
}

std::string Residents::former_record(const EndpointName& name) const {
  const auto file = folder_of_former(name) / record_name;
  std::error_code failed;
  if (!std::filesystem::exists(file, failed)) return "";
  return read_file(file, max_record_bytes);
}

std::filesystem::path Residents::former_documents(const EndpointName& name) const {
  auto documents = folder_of_former(name) / documents_name;
  std::error_code failed;
  return std::filesystem::is_directory(documents, failed) ? documents : std::filesystem::path();
}

// As throw_away().
void Residents::forget_former_documents(const EndpointName& name) const {
  const auto former = folder_of_former(name);
  const auto thrown = state_ / arriving_name / (name.str() + "." + documents_name + thrown_suffix);
  discard(thrown);
  std::error_code failed;
  std::filesystem::rename(former / documents_name, thrown, failed);
  if (!failed) remove_later(io_, thrown);
  std::filesystem::remove(former, failed);  // unless its record has not been taken
}

// What nobody has taken, of any former residence here: lines for `status`.
std::vector<std::string> Residents::left_documents() const {
  std::vector<std::string> lines;
  const auto tell = [&](const std::filesystem::path& former, const std::filesystem::path& documents) {
    if (is_empty_folder(documents)) return;
    const std::string folder = former.filename().string();
    const auto name = folder.substr(0, folder.find("." + std::string(documents_name) + "."));
    lines.push_back(name + ": documents of a former residence, which no other has taken, are in " + documents.string() +
                    "; remove them when you have what you need");
  };
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(state_ / former_name, failed)) {
    const bool is_kept_apart =
        entry.path().filename().string().find("." + std::string(documents_name) + ".") != std::string::npos;
    tell(entry.path(), is_kept_apart ? entry.path() : entry.path() / documents_name);
  }
  return lines;
}

void Residents::forget_former(const EndpointName& name) {
  const auto former = folder_of_former(name);
  discard(former / record_name);
  std::error_code ignored;
  std::filesystem::remove(former, ignored);  // unless there are documents
  if (find(name) == nullptr && !runtime_.host().endpoints().contains(name)) drop_identity(name);
}

// It can still be asked for its state, and must prove then who it is.
void Residents::load_former(const std::filesystem::path& folder) {
  const auto name = EndpointName::parse(folder.filename().string());
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(folder / record_name, failed);
  if (!name || failed || identities_.contains(*name)) return;
  if (std::filesystem::file_time_type::clock::now() - written > former_lifetime) return forget_former(*name);
  try {
    const std::string bytes = former_record(*name);
    const auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
    if (!record || record->name != *name) throw Damaged("it is damaged");
    (void)make_identity(*name, sns::KeyPair::from_pem(record->private_key),
                        sns::Certificate::from_pem(record->certificate));
  } catch (const std::exception& error) {
    spdlog::warn("{}: what its former residence here has left cannot be used: {}", name->str(), error.what());
  }
}

Resident& Residents::settle(const EndpointRecord& record, const sns::ResidenceMark& mark,
                            const std::filesystem::path& storage, const std::string& seal) {
  const EndpointName& name = record.name;
  const auto arriving = state_ / arriving_name / name.str();
  discard(arriving);
  std::filesystem::create_directories(arriving / sessions_name);
  EndpointRecord kept = record;
  kept.sessions.clear();
  replace_file(arriving / record_name, as_text(encode(kept)));
  replace_file(arriving / storage_name, storage.string());
  if (!seal.empty()) replace_file(arriving / seal_name, seal);
  for (SessionRecord session : record.sessions) {
    session.image.mark_loaded();
    runtime_.store_arrived(arriving / sessions_name, session);
  }
  sync_folder(arriving / sessions_name);
  replace_file(mark_file(name), {reinterpret_cast<const char*>(mark.data()), mark.size()});
  std::filesystem::rename(arriving, folder(name));
  sync_folder(state_ / endpoints_name);
  drop_identity(name);  // that of a former residence here, which has another certificate
  not_here_.erase(name.str());
  load_one(folder(name), Stay::arriving);
  return residents_.at(name);
}

void Residents::set_storage(Resident& resident, const std::filesystem::path& storage) {
  replace_file(folder(resident.name) / storage_name, storage.string());
  resident.storage = storage;
  resident.storage_gone = false;
  if (on_storage) on_storage(resident);
}

}  // namespace sessionfs::fs
