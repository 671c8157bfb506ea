// Endpoints that leave this host, and those that come from elsewhere (thesis 4.3, 4.8.3).
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>

#include "fs/residents.hpp"

namespace sessionfs::fs {
namespace {

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
  if (is_away(resident)) {
    resident.stay = Stay::storage_away;
    return;
  }
  Endpoint& endpoint = *runtime_.host().find_endpoint(resident.name);
  Host::thaw(endpoint);
  const bool was_closed = std::exchange(resident.stay, Stay::here) != Stay::leaving;
  if (was_closed && on_storage) on_storage(resident);
  resident.frozen_sessions.clear();
  load_sessions(endpoint);
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

void Residents::discard(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  if (failed) spdlog::warn("{}: cannot be removed: {}", path.string(), failed.message());
}

void Residents::retire(Resident& resident, Successor successor) {
  const EndpointName name = resident.name;
  if (successor == Successor::none_yet && names_.joined())
    names_.client()->change_ep(name, resident.key, residence_of(resident), {}, false, [](sns::Status, const auto&) {});
  drop(resident);
  if (const auto identity = identities_.extract(name)) by_sni_.erase(identity.mapped()->sni());
  discard(mark_file(name));
  discard(folder(name));
}

std::filesystem::path Residents::folder_of_former(const EndpointName& name) const {
  return state_ / former_name / name.str();
}

void Residents::retire_superseded(Resident& resident) {
  const EndpointName name = resident.name;
  freeze(resident, Stay::handing_over);
  const std::string record = record_bytes(resident);
  const auto former = folder_of_former(name);
  discard(former);
  try {
    std::filesystem::rename(folder(name), former);
    replace_file(former / record_name, record);
  } catch (const std::system_error& error) {
    spdlog::error("{}: its last state cannot be kept for its new residence: {}", name.str(), error.what());
  }
  for (const char* part : {sessions_name, ended_name, storage_name, seal_name}) discard(former / part);
  const bool leaves_documents = !is_empty_folder(former / documents_name);
  if (!leaves_documents) discard(former / documents_name);
  drop(resident);
  discard(mark_file(name));
  not_here_[name.str()] =
      "superseded: it resides elsewhere with a higher generation" +
      (leaves_documents ? "; the documents that were here are in " + (former / documents_name).string()
                        : std::string());
  spdlog::warn("{}: {}", name.str(), not_here_[name.str()]);
}

std::string Residents::former_record(const EndpointName& name) const {
  const auto file = folder_of_former(name) / record_name;
  std::error_code failed;
  if (!std::filesystem::exists(file, failed)) return "";
  return read_file(file, max_record_bytes);
}

void Residents::forget_former(const EndpointName& name) {
  const auto former = folder_of_former(name);
  discard(former / record_name);
  std::error_code ignored;
  std::filesystem::remove(former, ignored);  // unless there are documents
  if (find(name) != nullptr || runtime_.host().endpoints().contains(name)) return;
  if (const auto identity = identities_.extract(name)) by_sni_.erase(identity.mapped()->sni());
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
  forget_former(name);
  replace_file(mark_file(name), {reinterpret_cast<const char*>(mark.data()), mark.size()});
  std::filesystem::rename(arriving, folder(name));
  not_here_.erase(name.str());
  load_one(folder(name), Stay::arriving);
  return residents_.at(name);
}

void Residents::set_storage(Resident& resident, const std::filesystem::path& storage) {
  replace_file(folder(resident.name) / storage_name, storage.string());
  resident.storage = storage;
  if (on_storage) on_storage(resident);
}

}  // namespace sessionfs::fs
