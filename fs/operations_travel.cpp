// Endpoints that come and go: the commands for it, their records as files, and programs that copy their folders.
#include <fcntl.h>

#include <cerrno>
#include <filesystem>

#include "fs/operations.hpp"
#include "fs/places.hpp"
#include "fs/sealed.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::string_view passphrase_word = "passphrase ";

// To look there would be to wait for ourselves.
constexpr const char* in_own_mount = ": lies in the mount of sessionfs itself; name a folder elsewhere";

// A path that is not absolute is meant where the caller stands.
std::optional<std::filesystem::path> path_of(std::string_view text, pid_t caller) {
  const std::filesystem::path path(text);
  if (path.is_absolute()) return path;
  std::error_code failed;
  const auto place = std::filesystem::read_symlink("/proc/" + std::to_string(caller) + "/cwd", failed);
  if (failed) return std::nullopt;
  return (place / path).lexically_normal();
}

}  // namespace

// --- commands -------------------------------------------------------------------------------------------------------

std::string Operations::take_passphrase(std::string_view& data) {
  if (!data.starts_with(passphrase_word)) return "";
  return std::string(next_line(data).substr(passphrase_word.size()));
}

// What answers later: the result is the write's, the reason stands in `status`.
Travel::Done Operations::tell_later(fuse_req_t req, std::size_t size, std::function<std::string*()> last_error) {
  const auto answer = later(req, EINTR);
  return [this, answer, size, last_error = std::move(last_error)](int error, const std::string& why) {
    if (std::string* place = last_error()) *place = why;
    answer([error, size](fuse_req_t waiting) {
      if (error != 0) {
        fuse_reply_err(waiting, error);
      } else {
        fuse_reply_write(waiting, size);
      }
    });
    runtime_.pump();
  };
}

void Operations::load(fuse_req_t req, std::string_view folder, const std::string& passphrase, std::size_t size) {
  const auto done = tell_later(req, size, [this] { return &last_error_; });
  const auto path = path_of(folder, fuse_req_ctx(req)->pid);
  if (folder.empty() || !path) return done(EINVAL, "load: name the folder of the endpoint by its whole path");
  if (leads_into(*path, own_mount_)) return done(EINVAL, "load: " + one_line(path->string()) + in_own_mount);
  travel_.load(*path, passphrase, done);
}

void Operations::save(fuse_req_t req, Resident& resident, std::string_view folder, const std::string& passphrase,
                      std::size_t size) {
  const auto done = tell_later(req, size, [this, serial = resident.serial] {
    Resident* still = residents_.find(serial);
    return still != nullptr ? &still->last_error : nullptr;
  });
  std::optional<std::filesystem::path> target;
  if (!folder.empty()) {
    target = path_of(folder, fuse_req_ctx(req)->pid);
    if (!target) return done(EINVAL, "save: name the folder to save it to by its whole path");
    if (leads_into(*target, own_mount_)) return done(EINVAL, "save: " + one_line(target->string()) + in_own_mount);
  }
  travel_.save(resident, target, passphrase, done);
}

// What lives on it is saved first. A stick that cannot be let go of is as one that has just come.
void Operations::eject(fuse_req_t req, std::string_view what, std::size_t size) {
  const auto done = tell_later(req, size, [this] { return &last_error_; });
  const auto tell = [done](int error, const std::string& why) { done(error, error == 0 ? "" : "eject: " + why); };
  const std::string name(what);
  const auto found = media_.find(name);
  if (found.error != 0) return tell(found.error, found.why);
  std::vector<std::filesystem::path> roots;
  for (const auto& medium : found.media)
    if (!medium.root.empty()) roots.push_back(medium.root);
  const auto ejected = [this, tell, roots](int error, const std::string& why) {
    if (error != 0) std::ranges::for_each(roots, [&](const auto& root) { travel_.medium_came(root); });
    tell(error, why);
  };
  travel_.save_all_on(roots, [this, ejected, name](int error, const std::string& why) {
    if (error != 0) return ejected(error, why);
    media_.eject(name, ejected);
  });
}

bool Operations::in_use(const Resident& resident) {
  const auto open = [&](const auto& entry) {
    return entry.second->endpoint == resident.serial && entry.second->handles > 0;
  };
  return std::ranges::any_of(sessions_.all(), open) || std::ranges::any_of(services_.all(), open);
}

// --- records --------------------------------------------------------------------------------------------------------

// Null: it is too large to travel.
// A tool looks at the size, opens, looks again, reads: it is the same record each time, though the sessions go on.
std::shared_ptr<const std::string> Operations::record_for(Inode inode, pid_t caller, Snapshot when) {
  const Time now = runtime_.now();
  std::erase_if(records_, [&](const auto& entry) { return now - entry.second.used > record_lifetime; });
  auto& kept = records_[{inode, caller}];
  kept.used = now;
  // What was made for a look is opened once; what is to be moved must be true now.
  const bool reuse = kept.record && (when == Snapshot::at_look || (when == Snapshot::at_open && kept.unopened));
  if (!reuse) {
    Resident* resident = residents_.find(serial_of(inode));
    try {
      kept.record = nullptr;
      kept.record =
          std::make_shared<const std::string>(resident != nullptr ? residents_.portable_record(*resident) : "");
    } catch (const std::system_error& error) {
      resident->last_error = std::string("its record cannot be read: ") + error.what();
    }
  }
  kept.unopened = when == Snapshot::at_look && (!reuse || kept.unopened);
  return kept.record;
}

void Operations::note_walk(fuse_req_t req, Inode inode, int flags) {
  const Resident* resident = residents_.find(serial_of(inode));
  if ((flags & O_NOFOLLOW) == 0 || resident == nullptr || resident->stay != Stay::here) return;
  walkers_.reads_record(fuse_req_ctx(req)->pid, resident->serial);
}

// True when it was answered: a copy that was made too long ago, or of what stays, does not become a move.
bool Operations::refuses_removal(fuse_req_t req, Inode parent) {
  const pid_t caller = fuse_req_ctx(req)->pid;
  if (!walkers_.knows(caller)) return false;
  const Kind kind = kind_of(parent);
  const std::uint64_t endpoint = kind == Kind::document ? documents_.endpoint_of(parent) : serial_of(parent);
  if (walkers_.removes(caller, endpoint) != Walkers::Removal::refused) return false;
  if (Resident* resident = residents_.find(endpoint))
    resident->last_error = resident->name == residents_.default_name()
                               ? "mv: it is the default endpoint of this host, which stays here"
                               : "mv: it has gone on since its record was copied, and stays here; use sessionctl save";
  fuse_reply_err(req, EBUSY);
  return true;
}

// True when `parent` is of an endpoint that the caller moves: what it removes has gone with it.
bool Operations::moves_away(fuse_req_t req, Inode parent) {
  const Kind kind = kind_of(parent);
  if (kind != Kind::endpoint && kind != Kind::services && kind != Kind::sessions) return false;
  return walkers_.removes(fuse_req_ctx(req)->pid, serial_of(parent)) == Walkers::Removal::moves;
}

// --- walkers --------------------------------------------------------------------------------------------------------

Walkers::Hooks Operations::walker_hooks() {
  const auto with = [this](auto act) {
    return [this, act](std::uint64_t endpoint) {
      if (Resident* resident = residents_.find(endpoint)) act(*resident);
    };
  };
  return {
      .may_move =
          [this](std::uint64_t endpoint) {
            const Resident* resident = residents_.find(endpoint);
            return resident != nullptr && resident->name != residents_.default_name();
          },
      .hold = with([this](Resident& resident) { runtime_.hold(resident.name); }),
      .release = with([this](Resident& resident) { release(resident); }),
      .begin_move =
          [this](std::uint64_t endpoint) {
            Resident* resident = residents_.find(endpoint);
            return resident != nullptr && travel_.begin_move(*resident);
          },
      .cancel_move = with([this](Resident& resident) { travel_.cancel_move(resident); }),
  };
}

void Operations::release(const Resident& resident) {
  runtime_.release(resident.name);
  for (const auto& session : runtime_.host().sessions_at(resident.name)) wake(session);
  runtime_.pump();
}

// Its sessions have departed: who waits for a new one is told.
void Operations::endpoint_frozen(const Resident& resident) {
  for (auto& [serial, node] : services_.all()) {
    if (node->endpoint != resident.serial) continue;
    auto waiting = std::exchange(node->accepts, {});
    for (const auto& parked : waiting) fuse_reply_err(parked->req, ESTALE);
    notify_polls(node->files);
  }
}

}  // namespace sessionfs::fs
