// Loading: the documents that the former residence hands over take the place of those that were copied earlier.
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "fs/child.hpp"
#include "fs/documents.hpp"
#include "fs/travel.hpp"
#include "fs/travel_arrival.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::chrono::hours comparing_limit{24};
constexpr const char* handed_suffix = ".handed";
constexpr const char* replaced_suffix = ".replaced";

bool is_reserved(const std::filesystem::path& entry) {
  return std::ranges::find(reserved_names, entry.filename().string()) != reserved_names.end();
}

// On the same file system: `folder` may be the root of its own.
std::filesystem::path beside(const std::filesystem::path& folder, const std::string& suffix) {
  struct stat own {};
  struct stat above {};
  const bool is_root = ::stat(folder.c_str(), &own) == 0 && ::stat(folder.parent_path().c_str(), &above) == 0 &&
                       own.st_dev != above.st_dev;
  return is_root ? folder / suffix : std::filesystem::path(folder.string() + suffix);
}

// All but what is no document.
void move_documents(const std::filesystem::path& from, const std::filesystem::path& to,
                    const std::filesystem::path& but = {}) {
  std::vector<std::filesystem::path> entries;
  for (const auto& entry : std::filesystem::directory_iterator(from))
    if (!is_reserved(entry.path()) && entry.path() != to && entry.path() != but) entries.push_back(entry.path());
  for (const auto& entry : entries) std::filesystem::rename(entry, to / entry.filename());
}

std::filesystem::path free_name_beside(const std::filesystem::path& folder, const std::string& suffix) {
  std::error_code failed;
  for (int number = 1;; ++number) {
    auto name = beside(folder, suffix + "." + std::to_string(number));
    if (!std::filesystem::exists(std::filesystem::symlink_status(name, failed))) return name;
  }
}

}  // namespace

void Travel::take_documents_of_former(const std::shared_ptr<Arrival>& arrival) {
  const auto taken = std::exchange(arrival->taken, nullptr);
  if (!taken) return go_on(arrival);
  const auto handed = beside(arrival->folder, handed_suffix);
  taken(handed, [this, arrival, handed](const HandedDocuments& documents) {
    switch (documents.kind) {
      case HandedDocuments::Kind::none:
        return go_on(arrival);
      case HandedDocuments::Kind::failed:
        return end_documents(arrival, handed, documents.why);
      case HandedDocuments::Kind::all:
        return compare_documents(arrival, handed, documents.stored);
    }
  });
}

void Travel::compare_documents(const std::shared_ptr<Arrival>& arrival, const std::filesystem::path& handed,
                               const std::function<void()>& stored) {
  std::vector<std::string> compare{"diff", "--recursive", "--brief", "--no-dereference"};
  for (const auto name : reserved_names) compare.push_back("--exclude=" + std::string(name));
  compare.push_back("--exclude=" + handed.filename().string());
  compare.insert(compare.end(), {"--", handed.string(), arrival->folder.string()});
  run_child(io_, std::move(compare), comparing_limit, [this, arrival, handed, stored](int status, const auto&) {
    try {
      if (status != 0) replace_documents(arrival->folder, handed);
    } catch (const std::exception& error) {
      return end_documents(arrival, handed, error.what());
    }
    run_child(io_, {"sync", "--file-system", "--", arrival->folder.string()}, comparing_limit,
              [this, arrival, handed, stored](int failed, const std::string& why) {
                if (failed == 0) stored();
                end_documents(arrival, handed, failed == 0 ? "" : why);
              });
  });
}

// Whoever has changed the copy itself finds that again.
void Travel::replace_documents(const std::filesystem::path& folder, const std::filesystem::path& handed) {
  const auto replaced = free_name_beside(folder, replaced_suffix);
  std::filesystem::create_directory(replaced);
  move_documents(folder, replaced, handed);
  move_documents(handed, folder);
  std::error_code not_empty;
  if (!std::filesystem::remove(replaced, not_empty))
    spdlog::warn("{}: the documents of the former residence are in it now; those of the copy are in {}",
                 one_line(folder.string()), one_line(replaced.string()));
}

void Travel::end_documents(const std::shared_ptr<Arrival>& arrival, const std::filesystem::path& handed,
                           const std::string& why) {
  if (!why.empty())
    spdlog::error("{}: not all documents of its former residence could be brought here; they are kept there: {}",
                  arrival->name().str(), one_line(why));
  Residents::discard(handed);
  go_on(arrival);
}

}  // namespace sessionfs::fs
