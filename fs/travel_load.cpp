// Loading: an endpoint from elsewhere goes on here.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/stick.hpp"
#include "fs/travel.hpp"
#include "fs/travel_arrival.hpp"
#include "sns/tls.hpp"

namespace sessionfs::fs {

void Travel::load(const std::filesystem::path& folder, const std::string& passphrase, const Done& done) {
  if (!folder.is_absolute()) return done(EINVAL, "load: name the folder by its whole path");
  std::error_code failed;
  const auto place = std::filesystem::canonical(folder, failed);
  if (failed) return done(failed.value(), "load: " + folder.string() + ": " + failed.message());
  if (!std::filesystem::is_directory(place, failed))
    return done(ENOTDIR, "load: " + folder.string() + ": is no folder");
  if (std::filesystem::exists(std::filesystem::symlink_status(place / record_name, failed)))
    return load_one(place, passphrase, Asked::by_user, done);
  StickContent content;
  try {
    content = look_at_stick(place);
  } catch (const std::system_error& error) {
    return done(error.code().value(), "load: " + folder.string() + ": " + error.code().message());
  }
  if (content.folders.empty())
    return done(ENOENT, "load: " + (content.faults.empty() ? folder.string() + ": there is no endpoint in it"
                                                           : content.faults.front()));
  load_next(std::move(content.folders), passphrase, done);
}

std::vector<std::string> Travel::loading() const {
  std::vector<std::string> lines;
  for (const auto& name : arriving_) {
    const bool is_settled = residents_.find(name) != nullptr;
    const char* const settled =
        bringing_.contains(name) ? " brings its documents here" : " waits for the name server's word";
    lines.push_back(name.str() + (is_settled ? settled : " asks where it was last"));
  }
  return lines;
}

void Travel::load_next(std::vector<std::filesystem::path> folders, const std::string& passphrase, const Done& done) {
  if (folders.empty()) return done(0, "");
  const auto folder = folders.back();
  folders.pop_back();
  load_one(folder, passphrase, Asked::by_user, [this, folders, passphrase, done](int error, const std::string& why) {
    if (error != 0) return done(error, why);
    load_next(folders, passphrase, done);
  });
}

void Travel::load_one(const std::filesystem::path& folder, const std::string& passphrase, Asked asked,
                      const Done& done) {
  const auto arrival = std::make_shared<Arrival>();
  arrival->asked = asked;
  arrival->folder = folder;
  const auto refuse = [&](int error, const std::string& why) { done(error, "load: " + folder.string() + ": " + why); };
  try {
    arrival->read = read_record(folder, passphrase, seal_of(folder));
  } catch (const BadRecord& error) {
    return refuse(error.error, error.what());
  } catch (const std::exception& error) {
    return refuse(ENOMEM, error.what());
  }
  try {
    arrival->key = sns::KeyPair::from_pem(arrival->read.record.private_key);
  } catch (const std::exception&) {
    return refuse(EINVAL, "its record holds no key");
  }
  const EndpointName& name = arrival->name();
  if (const auto place = EndpointName::parse(folder.filename().string()); place && *place != name)
    return refuse(EINVAL, "its record is that of " + name.str() + "; a folder's name must be its endpoint's, or none");
  if (arriving_.contains(name)) return refuse(EBUSY, name.str() + " is being loaded already");
  if (residents_.find(name) != nullptr) {
    try {
      if (take_back(*arrival)) return done(0, "");
    } catch (const std::exception& error) {
      return refuse(EIO, error.what());
    }
    if (residents_.find(name) != nullptr) return refuse(EEXIST, name.str() + " resides here already");
  }
  if (!names_.joined()) return refuse(EHOSTUNREACH, "this host has not joined a domain yet");
  if (name.domain() != names_.domain())
    return refuse(EINVAL, name.str() + ": this host is configured for the domain " + names_.domain());
  if (runtime_.host().endpoints().contains(name))
    return refuse(EBUSY, "an endpoint of this name was removed here and still delivers what it has written");
  arriving_.insert(name);
  arrival->done = done;
  claim(arrival);
}

// The key by which it has left here, or came: whoever has plugged its stick in once more is asked for nothing.
std::string Travel::seal_of(const std::filesystem::path& folder) {
  const auto name = EndpointName::parse(folder.filename().string());
  const Resident* resident = name ? residents_.find(*name) : nullptr;
  return resident != nullptr ? resident->seal : "";
}

// The stick of an endpoint that waits for it. True when it goes on; false when it does not, or has gone on elsewhere
// since: then it is no more here.
bool Travel::take_back(const Arrival& arrival) {
  Resident& resident = *residents_.find(arrival.name());
  if (resident.key.public_key() != arrival.key.public_key()) return false;
  if (arrival.read.record.generation > generation_of(resident)) {
    if (resident.stay == Stay::here || resident.stay == Stay::storage_away) residents_.retire_superseded(resident);
    return false;
  }
  if (resident.stay != Stay::storage_away) return false;
  residents_.set_storage(resident, arrival.folder);
  residents_.thaw(resident);
  const Resident* still = residents_.find(arrival.name());
  if (still == nullptr || still->stay != Stay::here) return false;
  residents_.announce(resident);
  spdlog::info("{}: its stick is back", arrival.name().str());
  runtime_.pump();
  return true;
}

void Travel::claim(const std::shared_ptr<Arrival>& arrival) {
  names_.client()->get_ep(arrival->name(), [this, arrival](sns::Status status, const sns::EndpointInfo& former) {
    claim_against(arrival, status, former);
  });
}

// This host vouches for it with its own key: only for what the domain has vouched for before, and somebody asks for.
bool Travel::may_register(const Arrival& arrival) const {
  if (arrival.asked != Asked::by_user) return false;
  try {
    const auto certificate = sns::Certificate::from_pem(arrival.read.record.certificate);
    if (sns::certified_name(certificate.get()) != arrival.name() ||
        certificate.public_key() != arrival.key.public_key())
      return false;
    const auto valid = std::min(sns::wall_time(), certificate.not_after() - std::chrono::seconds(1));
    return std::ranges::any_of(trust_->authorities(arrival.name().domain()), [&](X509* authority) {
      return sns::verify_chain(certificate.get(), authority, X509_PURPOSE_SSL_SERVER, valid);
    });
  } catch (const std::exception&) {
    return false;
  }
}

void Travel::claim_against(const std::shared_ptr<Arrival>& arrival, sns::Status status,
                           const sns::EndpointInfo& former) {
  if (status != sns::Status::ok && status != sns::Status::not_found)
    return end_loading(arrival, errno_of(status), std::string(sns::describe(status)));
  if (status == sns::Status::ok && former.public_key != arrival->key.public_key())
    return end_loading(arrival, EKEYREJECTED, "the name belongs to another key now");
  arrival->residence.generation = std::max(former.generation, arrival->read.record.generation) + 1;
  const auto mark = random_bytes(arrival->residence.mark.size());
  std::ranges::copy(mark, arrival->residence.mark.begin());
  arrival->former = former.addresses;
  const auto told = [this, arrival](sns::Status ended, const sns::Client::Registered& registered) {
    claimed(arrival, ended, registered);
  };
  // A name server that was set back to an older state has forgotten it.
  if (status == sns::Status::not_found && !may_register(*arrival))
    return end_loading(arrival, EKEYREJECTED,
                       arrival->asked == Asked::by_user
                           ? "the name server does not know it, and it has no certificate of this domain"
                           : "the name server does not know it; if it is yours, use sessionctl load");
  if (status == sns::Status::not_found)
    return names_.client()->new_ep(arrival->name(), arrival->key, arrival->residence, {}, told);
  names_.client()->change_ep(arrival->name(), arrival->key, arrival->residence, former.addresses, true, told);
}

void Travel::claimed(const std::shared_ptr<Arrival>& arrival, sns::Status status,
                     const sns::Client::Registered& registered) {
  if (status == sns::Status::stale_generation)
    return end_loading(arrival, ESTALE, "superseded: another host has loaded it at the same time");
  if (status != sns::Status::ok || !registered.certificate)
    return end_loading(arrival, status == sns::Status::ok ? EIO : errno_of(status), std::string(sns::describe(status)));
  arrival->certificate = *registered.certificate;
  if (arrival->former.empty()) return settle(arrival);
  ask_former(arrival);
}

void Travel::ask_former(const std::shared_ptr<Arrival>& arrival) {
  ask_former(arrival, [this, arrival](HandoffAnswer answer) { former_answered(arrival, std::move(answer)); });
}

void Travel::ask_former(const std::shared_ptr<Arrival>& arrival, const std::function<void(HandoffAnswer)>& answered) {
  Runtime::Addresses addresses;
  for (const auto& address : arrival->former) addresses.push_back(sns::to_endpoint(address));
  try {
    const TlsIdentity identity(arrival->certificate.get(), arrival->key.get(), trust_);
    ask_for_handoff(io_, identity, paths_.ways(arrival->name(), addresses, false), arrival->residence.generation,
                    answered);
  } catch (const std::exception& error) {
    HandoffAnswer answer;
    answer.kind = HandoffAnswer::Kind::broken;
    answer.why = error.what();
    answered(std::move(answer));
  }
}

void Travel::former_answered(const std::shared_ptr<Arrival>& arrival, HandoffAnswer answer) {
  const std::string whose = arrival->name().str();
  switch (answer.kind) {
    case HandoffAnswer::Kind::unreachable:
      spdlog::warn("{}: its former residence cannot be reached ({}); what its record says counts", whose, answer.why);
      break;
    case HandoffAnswer::Kind::broken:
      // It may have a later state: what the record says must not count.
      if (++arrival->tries < handoff_retries)
        return after(handoff_retry_delay, [this, arrival] { ask_former(arrival); });
      return end_loading(
          arrival, EBUSY,
          "its former residence could not hand it over whole (" + answer.why + "); try again, or switch that one off");
    case HandoffAnswer::Kind::denied:
      if (answer.denial == HandoffDenial::not_here) break;
      if (answer.denial == HandoffDenial::busy && ++arrival->tries < handoff_retries)
        return after(handoff_retry_delay, [this, arrival] { ask_former(arrival); });
      if (answer.denial == HandoffDenial::busy)
        return end_loading(arrival, EBUSY, "its former residence is just saving it; try again");
      if (answer.denial == HandoffDenial::version)
        return end_loading(arrival, EPROTO, "its former residence is of another version; use the same on both");
      return end_loading(arrival, ESTALE, "superseded: it resides elsewhere with a higher generation");
    case HandoffAnswer::Kind::record: {
      auto latest = decode_endpoint_record(std::as_bytes(std::span(answer.record)));
      if (!latest || latest->name != arrival->name() || latest->private_key != arrival->read.record.private_key)
        return end_loading(arrival, EPROTO, "its former residence has handed over something else");
      arrival->read.record = std::move(*latest);
      arrival->taken = std::move(answer.taken);
    }
  }
  settle(arrival);
}

void Travel::settle(const std::shared_ptr<Arrival>& arrival) {
  EndpointRecord& record = arrival->read.record;
  record.generation = arrival->residence.generation;
  record.certificate = arrival->certificate.pem();
  try {
    residents_.settle(record, arrival->residence.mark, arrival->folder, arrival->read.seal);
    ask_to_stay(arrival);
  } catch (const std::system_error& error) {
    end_loading(arrival, error.code().value(), error.what());
  } catch (const std::exception& error) {
    end_loading(arrival, EIO, error.what());
  }
}

void Travel::confirmed(const std::shared_ptr<Arrival>& arrival, sns::Status status) {
  Resident* resident = residents_.find(arrival->name());
  if (resident == nullptr) return end_loading(arrival, ESTALE, "it was removed meanwhile");
  if (is_silence(status))  // another host may have claimed it meanwhile: only the name server knows
    return after(confirm_retry_delay, [this, arrival] { ask_to_stay(arrival); });
  if (status != sns::Status::ok) {
    residents_.retire(*resident, Residents::Successor::elsewhere);
    return end_loading(arrival, status == sns::Status::stale_generation ? ESTALE : errno_of(status),
                       status == sns::Status::stale_generation
                           ? "superseded: another host has loaded it at the same time"
                           : std::string(sns::describe(status)));
  }
  residents_.forget_former(arrival->name());
  take_documents_of_former(arrival);
}

void Travel::go_on(const std::shared_ptr<Arrival>& arrival) {
  Resident* resident = residents_.find(arrival->name());
  if (resident == nullptr) return end_loading(arrival, ESTALE, "it was removed meanwhile");
  residents_.thaw(*resident);
  if (residents_.find(arrival->name()) == nullptr)
    return end_loading(arrival, ESTALE, "superseded: another host has loaded it meanwhile");
  spdlog::info("{}: loaded from {}", arrival->name().str(), one_line(arrival->folder.string()));
  end_loading(arrival, 0, "");
  resident = residents_.find(arrival->name());
  if (resident != nullptr && resident->stay == Stay::here) hooks_.arrived(*resident);
}

void Travel::ask_to_stay(const std::shared_ptr<Arrival>& arrival) {
  Resident* resident = residents_.find(arrival->name());
  if (resident == nullptr) return end_loading(arrival, ESTALE, "it was removed meanwhile");
  residents_.ask_whether_it_may_stay(*resident, [this, arrival](sns::Status status) { confirmed(arrival, status); });
}

void Travel::end_loading(const std::shared_ptr<Arrival>& arrival, int error, const std::string& why) {
  arriving_.erase(arrival->name());
  arrival->taken = nullptr;
  arrival->done(error, error == 0 ? "" : "load: " + arrival->folder.string() + ": " + why);
  runtime_.pump();
}

}  // namespace sessionfs::fs
