// What tools ask of the stored endpoints.
#include "sns/sqlite.hpp"
#include "sns/storage.hpp"

namespace sessionfs::sns {

std::optional<StoredEndpoint> Storage::find_endpoint(const EndpointName& name) const {
  std::optional<StoredEndpoint> found;
  for_each_endpoint(name.str(), [&](const StoredEndpoint& first) {
    if (first.name == name) found = first;
    return false;
  });
  return found;
}

void Storage::read_at_once(const std::function<void()>& reads) const {
  struct Reading {
    explicit Reading(sqlite3* database) : database_(database) { Statement(database_, "BEGIN").run(); }
    ~Reading() { sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    sqlite3* database_;
  };
  const Reading reading(database_.get());
  reads();
}

}  // namespace sessionfs::sns
