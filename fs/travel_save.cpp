// Saving: what is here goes to a folder, and nothing of it stays.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "fs/child.hpp"
#include "fs/documents.hpp"
#include "fs/places.hpp"
#include "fs/sealed.hpp"
#include "fs/stick.hpp"
#include "fs/travel.hpp"

namespace sessionfs::fs {
namespace {

// A stick may be slow; whoever waits for it can take it out, which ends the copying with an error.
constexpr std::chrono::hours copy_limit{24};
// Beside the folder that it becomes when it is whole.
constexpr const char* unfinished_suffix = ".saving";
// What a save does, as `status` tells it.
constexpr std::string_view waiting_words = "waits until programs have closed its files";
constexpr std::string_view copying_words = "copies its documents";
constexpr std::string_view storing_words = "is brought to the storage";

}  // namespace

struct Travel::Saving {
  EndpointName name;
  std::uint64_t serial = 0;
  std::filesystem::path folder;      // where it will be
  std::filesystem::path unfinished;  // where its documents are copied to; empty: they are in `folder`
  Done done;
  std::chrono::steady_clock::time_point deadline;  // of the applications
  std::chrono::steady_clock::time_point quiet_since;
  std::string former_seal;  // as what lies at its storage is sealed
  // How far it is.
  std::string_view doing = waiting_words;
  pid_t copier = -1;                            // while it copies
  std::optional<std::uint64_t> document_bytes;  // when they have been counted

  [[nodiscard]] std::string words() const {
    const auto written = copier > 0 && document_bytes ? bytes_written_by(copier) : std::nullopt;
    if (!written) return std::string(doing);
    return std::to_string(std::min(*written, *document_bytes)) + " of " + std::to_string(*document_bytes) + " bytes";
  }
};

std::vector<std::string> Travel::saving() const {
  std::vector<std::string> lines;
  for (const auto& saving : saving_) lines.push_back(saving->name.str() + " " + saving->words());
  return lines;
}

void Travel::save(Resident& resident, std::optional<std::filesystem::path> target, const std::string& passphrase,
                  Done done) {
  const auto refuse = [&](int error, const std::string& why) { done(error, "save: " + why); };
  if (resident.name == residents_.default_name())
    return refuse(EBUSY, "it is the default endpoint of this host, which stays here");
  if (resident.stay == Stay::storage_away) return refuse(ENODEV, "its stick is not here; plug it in again");
  if (resident.stay != Stay::here) return refuse(EBUSY, "it is on its way already");
  const bool is_at_home = residents_.is_at_home(resident);
  if (!target && is_at_home) return refuse(EINVAL, "name the folder to save it to");
  const auto saving = std::make_shared<Saving>();
  saving->name = resident.name;
  saving->serial = resident.serial;
  saving->folder = resident.storage;
  if (target) {
    std::error_code failed;
    if (!target->is_absolute()) return refuse(EINVAL, "name the folder by its whole path");
    saving->folder = std::filesystem::is_directory(*target, failed) ? *target / resident.name.str() : *target;
    if (is_at_home || saving->folder.lexically_normal() != resident.storage) {
      if (std::filesystem::exists(std::filesystem::symlink_status(saving->folder, failed)))
        return refuse(EEXIST, saving->folder.string() + " is there already; remove it, or save to another folder");
      if (!std::filesystem::is_directory(saving->folder.parent_path(), failed))
        return refuse(ENOENT, saving->folder.parent_path().string() + ": there is no such folder");
      saving->unfinished = saving->folder.string() + unfinished_suffix;
    }
  }
  saving->former_seal = resident.seal;
  try {
    if (!passphrase.empty()) resident.seal = SealKey::from_passphrase(passphrase).text();
  } catch (const std::exception& error) {
    return refuse(ENOMEM, error.what());
  }
  saving->done = std::move(done);
  saving_.insert(saving);
  const bool had_users = hooks_.in_use(resident);
  residents_.freeze(resident, Stay::leaving);
  saving->quiet_since = std::chrono::steady_clock::now() - (had_users ? std::chrono::milliseconds(0) : save_quiet_time);
  saving->deadline = std::chrono::steady_clock::now() + save_grace_;
  wait_for_applications(saving);
}

void Travel::wait_for_applications(const std::shared_ptr<Saving>& saving) {
  Resident* resident = residents_.find(saving->serial);
  if (resident == nullptr) return end_saving(saving, ESTALE, "it was removed meanwhile");
  const auto now = std::chrono::steady_clock::now();
  if (hooks_.in_use(*resident)) saving->quiet_since = now;
  if (now - saving->quiet_since >= save_quiet_time || now >= saving->deadline) return copy_documents(saving);
  after(save_poll_interval, [this, saving] { wait_for_applications(saving); });
}

void Travel::copy_documents(const std::shared_ptr<Saving>& saving) {
  residents_.close_documents(*residents_.find(saving->serial));
  if (residents_.find(saving->serial)->storage_gone) return end_saving(saving, ENODEV, "its stick was pulled");
  if (saving->unfinished.empty()) return write_record(saving);
  std::error_code failed;
  std::filesystem::remove_all(saving->unfinished, failed);  // of a save that was cut short
  const Resident& resident = *residents_.find(saving->serial);
  std::vector<std::string> copy{"cp", "--recursive", "--no-dereference", "--no-target-directory"};
  copy.emplace_back(keeps_owners(saving->folder.parent_path()) ? "--archive" : "--preserve=timestamps");
  copy.emplace_back("--");
  copy.push_back(resident.storage.string());
  copy.push_back(saving->unfinished.string());
  measure_documents(saving);
  saving->doing = copying_words;
  saving->copier = run_child(io_, std::move(copy), copy_limit, [this, saving](int status, const std::string& why) {
    saving->copier = -1;
    if (status != 0) return end_saving(saving, EIO, "its documents cannot be copied: " + why);
    write_record(saving);
  });
}

// For those who look on: the copy does not wait for it. What a child says, it says on standard error.
void Travel::measure_documents(const std::shared_ptr<Saving>& saving) {
  const auto& place = residents_.find(saving->serial)->storage;
  run_child(io_, {"sh", "-c", "exec du --summarize --bytes -- \"$1\" >&2", "du", place.string()}, copy_limit,
            [saving](int, const std::string& said) {
              std::uint64_t bytes = 0;
              if (std::from_chars(said.data(), said.data() + said.size(), bytes).ec == std::errc())
                saving->document_bytes = bytes;
            });
}

// What lies at its storage has gone on elsewhere, and must not be overwritten. So it has when it is sealed in a way
// that is not known here.
bool Travel::was_loaded_since(const Resident& resident, const std::string& seal) const {
  try {
    const auto there = read_record(resident.storage, "", seal).record;
    return there.name == resident.name && there.generation > generation_of(resident);
  } catch (const BadRecord& error) {
    return error.error == ENOKEY;
  }
}

void Travel::write_record(const std::shared_ptr<Saving>& saving) {
  Resident* resident = residents_.find(saving->serial);
  if (resident == nullptr) return end_saving(saving, ESTALE, "it was removed meanwhile");
  if (resident->storage_gone) return end_saving(saving, ENODEV, "its stick was pulled");
  const bool is_copy = !saving->unfinished.empty();
  const auto place = is_copy ? saving->unfinished : saving->folder;
  try {
    // A stick from which it came may hold, as a copy made by cp, what looks like the fixed files.
    if (is_copy)
      for (const auto name : reserved_names) std::filesystem::remove_all(place / name);
    if (!is_copy && was_loaded_since(*resident, saving->former_seal))
      return end_saving(saving, ESTALE, "another host has loaded it from there since");
    replace_file(place / record_name, residents_.portable_record(*resident));
    if (!is_copy) saving->former_seal = resident->seal;
    if (is_copy) std::filesystem::rename(saving->unfinished, saving->folder);
    if (is_copy) sync_folder(saving->folder.parent_path());
  } catch (const std::system_error& error) {
    return end_saving(saving, error.code().value(), "its record cannot be written: " + std::string(error.what()));
  } catch (const std::exception& error) {
    return end_saving(saving, EIO, error.what());
  }
  bring_to_storage(saving);
}

void Travel::bring_to_storage(const std::shared_ptr<Saving>& saving) {
  saving->doing = storing_words;
  run_child(io_, {"sync", "--file-system", "--", saving->folder.string()}, copy_limit,
            [this, saving](int status, const std::string& why) {
              const Resident* resident = residents_.find(saving->serial);
              const bool is_gone = resident != nullptr && resident->storage_gone;
              if (is_gone) return end_saving(saving, ENODEV, "its stick was pulled");
              if (status != 0) return end_saving(saving, EIO, "it cannot be brought to the storage: " + why);
              end_saving(saving, 0, "");
            });
}

void Travel::end_saving(const std::shared_ptr<Saving>& saving, int error, const std::string& why) {
  saving_.erase(saving);
  Resident* resident = residents_.find(saving->serial);
  if (error == 0 && resident == nullptr) error = ESTALE;
  if (error == 0) {
    spdlog::info("{}: saved to {}", saving->name.str(), one_line(saving->folder.string()));
    const auto left = resident->storage;
    const bool has_left = !saving->unfinished.empty() && !residents_.is_at_home(*resident);
    residents_.retire(*resident, Residents::Successor::none_yet);
    if (has_left) Residents::discard(left);
  } else {
    // What is whole at its place would be a second copy: it stays unfinished.
    std::error_code ignored;
    if (!saving->unfinished.empty()) std::filesystem::rename(saving->folder, saving->unfinished, ignored);
    if (!saving->unfinished.empty()) std::filesystem::remove_all(saving->unfinished, ignored);
    if (resident != nullptr) resident->seal = saving->former_seal;
    if (resident != nullptr && resident->stay == Stay::copying) residents_.thaw(*resident);
  }
  saving->done(error, error == 0 ? "" : "save: " + why);
  runtime_.pump();
}

void Travel::save_all_on(const std::vector<std::filesystem::path>& roots, const Done& done) {
  std::vector<EndpointName> names;
  for (const auto& [name, resident] : residents_.all()) {
    const auto holds_it = [&storage = resident.storage](const auto& root) { return lies_below(storage, root); };
    if (std::ranges::any_of(roots, holds_it)) names.push_back(name);
  }
  save_next(std::move(names), done);
}

void Travel::save_next(std::vector<EndpointName> names, const Done& done) {
  if (names.empty()) return done(0, "");
  const EndpointName name = names.back();
  names.pop_back();
  Resident* resident = residents_.find(name);
  if (resident == nullptr) return save_next(std::move(names), done);
  save(*resident, std::nullopt, "", [this, name, names, done](int error, const std::string& why) {
    if (error != 0) return done(error, name.str() + ": " + why);
    save_next(names, done);
  });
}

}  // namespace sessionfs::fs
