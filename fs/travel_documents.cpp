// Loading: the documents that the former residence hands over take the place of those that were copied earlier.
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "fs/child.hpp"
#include "fs/documents.hpp"
#include "fs/travel.hpp"
#include "fs/travel_arrival.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::chrono::hours comparing_limit{24};
constexpr const char* handed_suffix = ".handed";
constexpr const char* replaced_suffix = ".replaced";
// Of the differences so much is looked at; more are some in any case.
constexpr std::size_t max_differences_bytes = std::size_t{64} << 10;

// At an endpoint's top: what is no document, or was put there by this.
bool is_document(const std::string& name) {
  return std::ranges::find(reserved_names, name) == reserved_names.end() && !name.starts_with(handed_suffix) &&
         !name.starts_with(replaced_suffix);
}

// Without the number at its end. On the same file system, of which `folder` may be the root, and where it may be made.
std::filesystem::path beside(const std::filesystem::path& folder, const std::string& suffix) {
  const auto above = folder.parent_path();
  struct stat own {};
  struct stat st {};
  const bool can_be_above = ::stat(folder.c_str(), &own) == 0 && ::stat(above.c_str(), &st) == 0 &&
                            own.st_dev == st.st_dev && ::access(above.c_str(), W_OK) == 0;
  return can_be_above ? std::filesystem::path(folder.string() + suffix) : folder / suffix;
}

void move_documents(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::vector<std::filesystem::path> names;
  for (const auto& entry : std::filesystem::directory_iterator(from)) names.push_back(entry.path().filename());
  for (const auto& name : names)
    if (is_document(name.string())) std::filesystem::rename(from / name, to / name);
}

// What diff(1) writes down, and whether that is more than files that are no documents.
class Differences {
 public:
  Differences() : file_(::memfd_create("differences", MFD_CLOEXEC)) {}
  ~Differences() {
    if (file_ >= 0) ::close(file_);
  }
  Differences(const Differences&) = delete;
  Differences& operator=(const Differences&) = delete;

  [[nodiscard]] int file() const { return file_; }
  [[nodiscard]] bool none(int status, const std::filesystem::path& folder) const {
    if (status != 0 && status != 1) return false;
    std::string text(max_differences_bytes, '\0');
    const ssize_t size = file_ < 0 ? -1 : ::pread(file_, text.data(), text.size(), 0);
    if (size < 0 || static_cast<std::size_t>(size) == text.size()) return false;
    std::istringstream lines(text.substr(0, static_cast<std::size_t>(size)));
    const std::string only = "Only in " + folder.string() + ": ";
    for (std::string line; std::getline(lines, line);)
      if (!line.starts_with(only) || is_document(line.substr(only.size()))) return false;
    return true;
  }

 private:
  int file_;
};

}  // namespace

void Travel::take_documents_of_former(const std::shared_ptr<Arrival>& arrival) {
  const auto taken = std::exchange(arrival->taken, nullptr);
  if (!taken) return go_on(arrival);
  bringing_.insert(arrival->name());
  const auto make_folder = [arrival] {
    arrival->documents = std::make_unique<OwnFolder>(beside(arrival->folder, handed_suffix));
    return arrival->documents->place();
  };
  taken(make_folder, [this, arrival](const HandedDocuments& documents) { documents_came(arrival, documents); });
}

void Travel::documents_came(const std::shared_ptr<Arrival>& arrival, const HandedDocuments& documents) {
  switch (documents.kind) {
    case HandedDocuments::Kind::none:
      return end_documents(arrival, "");
    case HandedDocuments::Kind::all:
      return compare_documents(arrival, documents.stored);
    case HandedDocuments::Kind::failed:
      return end_documents(arrival, documents.why);
    case HandedDocuments::Kind::lost:
      if (arrival->documents) remove_later(io_, arrival->documents->path());
      arrival->documents.reset();
      if (++arrival->tries >= documents_retries) return end_documents(arrival, documents.why);
      return after(handoff_retry_delay, [this, arrival] { ask_for_documents(arrival); });
  }
}

// By asking for the record once more: it is the same, since the former residence is over.
void Travel::ask_for_documents(const std::shared_ptr<Arrival>& arrival) {
  ask_former(arrival, [this, arrival](HandoffAnswer answer) {
    switch (answer.kind) {
      case HandoffAnswer::Kind::record:
        arrival->taken = std::move(answer.taken);
        return take_documents_of_former(arrival);
      case HandoffAnswer::Kind::denied:
        return end_documents(arrival, "it has them no more");
      case HandoffAnswer::Kind::unreachable:
      case HandoffAnswer::Kind::broken:
        return documents_came(arrival, {HandedDocuments::Kind::lost, answer.why, nullptr});
    }
  });
}

void Travel::compare_documents(const std::shared_ptr<Arrival>& arrival, const std::function<void()>& stored) {
  const auto found = std::make_shared<Differences>();
  const auto folder = arrival->folder / ".";
  run_child(io_, {"diff", "--recursive", "--brief", "--no-dereference", "--", arrival->documents->place(), folder},
            comparing_limit,
            [this, arrival, stored, found, folder](int status, const auto&) {
              replace_documents(arrival, found->none(status, folder), stored);
            },
            {-1, found->file()});
}

// Also those that are the same: their modes and times may have changed. Whoever has changed the copy itself finds what
// it held again.
void Travel::replace_documents(const std::shared_ptr<Arrival>& arrival, bool are_the_same,
                               const std::function<void()>& stored) {
  try {
    const auto folder = OwnFolder::open(arrival->folder);
    const OwnFolder replaced(beside(arrival->folder, replaced_suffix));
    const auto handed = arrival->documents->place();
    try {
      move_documents(folder.place(), replaced.place());
      move_documents(handed, folder.place());
    } catch (const std::exception&) {
      move_documents(folder.place(), handed);
      move_documents(replaced.place(), folder.place());
      std::error_code ignored;
      std::filesystem::remove(replaced.path(), ignored);
      throw;
    }
    std::error_code not_empty;
    if (are_the_same) {
      remove_later(io_, replaced.path());
    } else if (!std::filesystem::remove(replaced.path(), not_empty)) {
      spdlog::warn("{}: the documents of the former residence are in it now; those of the copy are in {}",
                   one_line(arrival->folder.string()), one_line(replaced.path().string()));
    }
  } catch (const std::exception& error) {
    return end_documents(arrival, error.what());
  }
  run_child(io_, {"sync", "--file-system", "--", arrival->folder.string()}, comparing_limit,
            [this, arrival, stored](int status, const std::string& why) {
              if (status == 0) stored();
              end_documents(arrival, status == 0 ? "" : why);
            });
}

void Travel::end_documents(const std::shared_ptr<Arrival>& arrival, const std::string& why) {
  if (!why.empty())
    spdlog::error("{}: not all documents of its former residence could be brought here; they are kept there: {}",
                  arrival->name().str(), one_line(why));
  if (arrival->documents) remove_later(io_, arrival->documents->path());
  arrival->documents.reset();
  bringing_.erase(arrival->name());
  go_on(arrival);
}

}  // namespace sessionfs::fs
