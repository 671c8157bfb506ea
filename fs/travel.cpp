#include "fs/travel.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "fs/child.hpp"
#include "fs/places.hpp"
#include "fs/stick.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::chrono::minutes sync_limit{15};

}  // namespace

Travel::Travel(boost::asio::io_context& io, Runtime& runtime, Residents& residents, Names& names, const Paths& paths,
               std::shared_ptr<Trust> trust, std::chrono::milliseconds save_grace, Hooks hooks)
    : io_(io),
      runtime_(runtime),
      residents_(residents),
      names_(names),
      paths_(paths),
      trust_(std::move(trust)),
      save_grace_(save_grace),
      hooks_(std::move(hooks)) {}

void Travel::after(std::chrono::milliseconds delay, std::function<void()> what) {
  const auto timer = std::make_shared<boost::asio::steady_timer>(io_, delay);
  timer->async_wait([this, timer, what = std::move(what)](const boost::system::error_code& error) {
    if (error) return;
    what();
    runtime_.pump();
  });
}

// --- the former residence -------------------------------------------------------------------------------------------

std::uint64_t Travel::generation_of(const Resident& resident) const {
  return runtime_.host().find_endpoint(resident.name)->generation;
}

void Travel::answer_handoff(const EndpointName& endpoint, std::uint64_t generation,
                            std::shared_ptr<SecureConnection> connection) {
  try {
    hand_over_state(endpoint, generation, connection);
  } catch (const std::exception& error) {
    spdlog::error("{}: cannot be handed over: {}", endpoint.str(), error.what());
    deny_handoff(*connection, HandoffDenial::busy, generation);
    handed_over(endpoint, false);
  }
}

void Travel::hand_over_state(const EndpointName& endpoint, std::uint64_t generation,
                             const std::shared_ptr<SecureConnection>& connection) {
  Resident* resident = residents_.find(endpoint);
  // What lies elsewhere stays there, as a copy.
  const bool is_elsewhere = resident != nullptr && !residents_.is_at_home(*resident) && !resident->storage_gone &&
                            resident->stay != Stay::storage_away;
  Handover what;
  what.done = [this, endpoint, elsewhere = is_elsewhere ? resident->storage : std::filesystem::path()](
                  bool taken) -> std::optional<std::filesystem::path> {
    giving_.erase(endpoint);
    handed_over(endpoint, taken);
    runtime_.pump();
    const Resident* still = residents_.find(endpoint);
    if (!taken || (still != nullptr && still->stay == Stay::handing_over)) return std::nullopt;
    const auto documents = residents_.former_documents(endpoint);
    return documents.empty() ? elsewhere : documents;
  };
  what.documents_taken = [this, endpoint] {
    residents_.forget_former_documents(endpoint);
    residents_.forget_former(endpoint);
  };
  if (resident == nullptr) {
    what.generation = generation - 1;
    what.record = residents_.former_record(endpoint);
    if (what.record.empty()) return deny_handoff(*connection, HandoffDenial::not_here, 0);
    return hand_over(io_, connection, std::move(what));
  }
  what.generation = generation_of(*resident);
  if (generation <= what.generation) return deny_handoff(*connection, HandoffDenial::not_newer, what.generation);
  if (resident->stay == Stay::arriving || resident->stay == Stay::leaving || resident->stay == Stay::copying ||
      giving_.contains(endpoint))
    return deny_handoff(*connection, HandoffDenial::busy, what.generation);
  spdlog::info("{}: handed over to its residence of generation {}", endpoint.str(), generation);
  residents_.freeze(*resident, Stay::handing_over);
  what.record = residents_.record_bytes(*resident);
  giving_.insert(endpoint);
  hand_over(io_, connection, std::move(what));
}

void Travel::handed_over(const EndpointName& name, bool taken) {
  Resident* resident = residents_.find(name);
  const bool is_over = resident == nullptr || resident->stay != Stay::handing_over;
  if (taken) {
    if (!is_over) residents_.retire_superseded(*resident);
    // Until its documents are taken it can be asked once more.
    if (residents_.former_documents(name).empty()) residents_.forget_former(name);
    return;
  }
  if (is_over) return;
  // Whether the other one has taken it, or only has wanted to, the name server knows.
  if (!asking_.insert(name).second) return;
  residents_.ask_whether_it_may_stay(*resident, [this, name](sns::Status status) {
    asking_.erase(name);
    Resident* still = residents_.find(name);
    if (still == nullptr || still->stay != Stay::handing_over || giving_.contains(name)) return;
    if (status == sns::Status::ok) residents_.thaw(*still);
    runtime_.pump();
  });
}

void Travel::superseded(Resident& resident) {
  if (resident.stay == Stay::arriving || resident.stay == Stay::leaving || resident.stay == Stay::copying ||
      giving_.contains(resident.name))
    return;
  residents_.retire_superseded(resident);
  runtime_.pump();
}

// --- sticks ---------------------------------------------------------------------------------------------------------

void Travel::medium_came(const std::filesystem::path& root) {
  try {
    const auto content = look_at_stick(root);
    for (const auto& fault : content.faults) spdlog::warn("{}", fault);
    waiting_.insert(content.folders.begin(), content.folders.end());
  } catch (const std::system_error& error) {
    spdlog::error("{}: the stick cannot be read: {}", one_line(root.string()), error.code().message());
  }
  keep_trying();
}

void Travel::medium_went(const std::filesystem::path& root) {
  std::erase_if(waiting_, [&](const auto& folder) { return lies_below(folder, root); });
  std::vector<EndpointName> gone;
  for (const auto& [name, resident] : residents_.all())
    if (lies_below(resident.storage, root)) gone.push_back(name);
  for (const auto& name : gone) {
    Resident& resident = *residents_.find(name);
    spdlog::warn("{}: its stick is gone; it waits for the stick, or for another host to take over", name.str());
    resident.storage_gone = true;
    if (resident.stay == Stay::here) residents_.freeze(resident, Stay::storage_away);
    residents_.close_storage(resident);
  }
  runtime_.pump();
}

void Travel::keep_trying() {
  load_waiting(waiting_);
  for (const auto& [name, resident] : residents_.all())
    if (resident.stay == Stay::handing_over && !giving_.contains(name)) handed_over(name, false);
}

// One in a turn of the loop: a stick may be full of them.
void Travel::load_waiting(std::set<std::filesystem::path> folders) {
  if (folders.empty()) return;
  const auto folder = folders.extract(folders.begin()).value();
  if (waiting_.erase(folder) > 0)
    load_one(folder, "", Asked::by_nobody, [this, folder](int error, const std::string& why) {
      if (error == EHOSTUNREACH || error == EBUSY) waiting_.insert(folder);  // a name server, a residence: later
      if (error == EHOSTUNREACH || error == EBUSY || error == EEXIST || error == 0) return;
      spdlog::error("{}", one_line(why));
    });
  after(std::chrono::milliseconds(0), [this, folders = std::move(folders)] { load_waiting(folders); });
}

// --- mv(1) ----------------------------------------------------------------------------------------------------------

bool Travel::begin_move(Resident& resident) {
  if (resident.stay != Stay::here) return false;
  moving_.insert(resident.serial);
  residents_.freeze(resident, Stay::leaving);
  return true;
}

void Travel::cancel_move(Resident& resident) {
  if (moving_.erase(resident.serial) == 0) return;
  residents_.thaw(resident);
  runtime_.pump();
}

void Travel::finish_move(Resident& resident, const Done& done) {
  if (!moving_.contains(resident.serial)) return done(EBUSY, "");
  // Where it was copied to is not known.
  run_child(io_, {"sync"}, sync_limit, [this, serial = resident.serial, done](int, const std::string&) {
    Resident* still = residents_.find(serial);
    if (still == nullptr || moving_.erase(serial) == 0) return done(EBUSY, "");
    const auto left = still->storage;
    const bool has_left = !residents_.is_at_home(*still);
    residents_.retire(*still, Residents::Successor::none_yet);
    if (has_left) Residents::discard(left);
    done(0, "");
    runtime_.pump();
  });
}

}  // namespace sessionfs::fs
