// The endpoints that reside at this host: their keys and certificates, their records on disk, and their entries at the
// name server of their domain.
//
//   STATE/endpoints/NAME/.endpoint the record; documents/ and sessions/ beside it
//   STATE/endpoints/NAME/ended     its tombstones: how its last sessions have ended
//   STATE/endpoints/NAME/storage   where its documents are, if not in documents/
//   STATE/endpoints/NAME/seal      the key that its record is sealed with when it leaves; see fs/sealed.hpp
//   STATE/endpoints/NAME/.removed  the record of one that was removed, until its sessions have delivered everything
//   STATE/creating/NAME            the key of one that is being created: a name server that has answered too late has
//                                  given the name to this key
//   STATE/residences/NAME          the mark of its residence here (see sns/types.hpp). An endpoint that is found
//   without
//                                  one has come from elsewhere: a new residence, with the next generation
//   STATE/arriving/NAME            one that is being loaded, until it is whole
//   STATE/former/NAME              what is left of a residence that is over: its last record, until it was handed over,
//                                  and documents that nobody has taken along
//
// All calls come from the event loop. What has to ask the name server answers by a callback with an errno, 0 for
// success, within the name server client's time limit.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/record.hpp"
#include "fs/files.hpp"
#include "fs/names.hpp"
#include "fs/runtime.hpp"
#include "fs/transport/identity.hpp"
#include "sns/authority.hpp"
#include "sns/identity.hpp"

namespace sessionfs::fs {

// In the state directory.
inline constexpr const char* endpoints_name = "endpoints";
inline constexpr const char* creating_name = "creating";
inline constexpr const char* residences_name = "residences";
inline constexpr const char* record_name = ".endpoint";
inline constexpr const char* removed_name = ".removed";
inline constexpr const char* ended_name = "ended";
inline constexpr const char* damaged_suffix = ".damaged";
inline constexpr const char* documents_name = "documents";
inline constexpr const char* sessions_name = "sessions";
inline constexpr const char* storage_name = "storage";
inline constexpr const char* seal_name = "seal";
inline constexpr const char* arriving_name = "arriving";
inline constexpr const char* former_name = "former";
/// What is left of a former residence is kept this long.
inline constexpr std::chrono::hours former_lifetime{30 * 24};

/// Between two attempts to tell the name server where an endpoint is: doubled from the first to the last. When it has
/// been told, it is told again each time that a part of the lease has passed.
inline constexpr Duration first_registration_delay = std::chrono::seconds(2);
inline constexpr Duration last_registration_delay = std::chrono::seconds(16);
inline constexpr int renewals_in_a_lease = 3;
inline constexpr Duration min_renewal = std::chrono::milliseconds(500);
/// Of an endpoint that has never been elsewhere.
inline constexpr std::uint64_t first_generation = 1;
/// An endpoint gets a new certificate when the present one is valid for less than this.
inline constexpr std::chrono::seconds renewal_time = sns::endpoint_lifetime / 3;

/// Whether an endpoint is used here, or on its way.
enum class Stay : std::uint8_t {
  here,
  arriving,      // all of it is here, and the name server has not confirmed yet that it may stay
  leaving,       // it is being saved or moved
  copying,       // it is being saved, and its documents cannot be used any more
  handing_over,  // its state is given to another residence
  storage_away,  // its stick was pulled; it waits for the stick, or for a handoff
};

/// For people; empty: it is here.
std::string_view describe(Stay stay);

struct Resident {
  std::uint64_t serial = 0;
  EndpointName name;
  sns::KeyPair key;
  sns::Certificate certificate;
  std::shared_ptr<const TlsIdentity> identity;
  std::string policy;
  std::string access;
  std::filesystem::path storage;  // the folder of its documents
  std::string seal;               // as fs/sealed.hpp stores its key; empty: its record leaves unsealed
  Stay stay = Stay::here;
  std::vector<SessionRecord> frozen_sessions;  // unless it is `here`
  std::string last_error;                      // of the last command that failed, for `status`
  std::string registration = "not registered yet";
  sns::ResidenceMark mark{};
  Time announce_at{};  // when the name server is to be told next
  Duration retry_delay = first_registration_delay;
  bool given_up = false;    // the name server knows a newer residence, or has revoked the key: nobody is asked any more
  bool superseded = false;  // it knows a newer residence
  bool storage_gone = false;                 // its stick was pulled; what is seen at `storage` may be a leftover
  bool wants_certificate = false;            // a new one, though the present one may be valid for long
  std::set<std::string> unsettled_services;  // of which the name server may not know that they are here, or no more
  std::optional<std::vector<sns::Address>> place;  // when the network was last looked at
};

class Residents {
 public:
  using Done = std::function<void(int error)>;

  Residents(boost::asio::io_context& io, Runtime& runtime, Names& names, std::shared_ptr<Trust> trust,
            std::filesystem::path state, Durability durability);

  /// Loads the endpoints of the state directory that are not loaded yet, and their sessions. One that is damaged is set
  /// aside with a message; one of another domain is left where it is. Throws when a record or session cannot be read.
  void load();

  /// Registers and creates `name`. EEXIST, EHOSTUNREACH; EACCES: this host is no member of the name's domain.
  void create(const EndpointName& name, Done done);
  /// Unregisters and removes it with its services; its sessions still deliver what was written. One that the name
  /// server has revoked, or knows as somebody else's, is removed here alone. EPERM while it is not known whose it is.
  void remove(const EndpointName& name, const Done& done);
  void add_service(Resident& resident, const std::string& service, const Done& done);
  void remove_service(Resident& resident, const std::string& service);

  /// To be called now and then: makes the default endpoint, tells the name server what it does not know yet, and
  /// renews certificates.
  void keep_registered();
  [[nodiscard]] const EndpointName& default_name() const { return default_name_; }
  void set_default_name(EndpointName name) { default_name_ = std::move(name); }
  /// Why there is no default endpoint, and what is in the state directory and not loaded: lines for `status`.
  [[nodiscard]] std::vector<std::string> troubles() const;

  Resident* find(const EndpointName& name);
  Resident* find(std::uint64_t serial);
  [[nodiscard]] const std::map<EndpointName, Resident>& all() const { return residents_; }
  /// What proves that we are `name`; null when it does not reside here and delivers nothing any more.
  [[nodiscard]] std::shared_ptr<const TlsIdentity> identity(const EndpointName& name) const;
  [[nodiscard]] const TlsIdentity* identity_for_sni(std::string_view sni) const;
  [[nodiscard]] std::filesystem::path session_folder(const EndpointName& name) const;

  /// Replaces the rules of an endpoint. A line that does not parse is EINVAL and changes nothing.
  int set_access(Resident& resident, const std::string& text);
  int set_policy(Resident& resident, const std::string& text);

  /// Whether an endpoint is reached at other addresses than when announce() was called last.
  [[nodiscard]] bool have_moved() const;
  /// Tells the name server where this host is now.
  void announce();
  /// Stores that the session has ended, and how; false when that cannot be stored.
  [[nodiscard]] bool remember_end(const Session& session) const;
  void forgotten(const Session& session);
  /// Writes the records of all endpoints.
  void save_all();
  /// Its record as it would travel now, with its sessions. Throws std::system_error (EFBIG): they hold more than a
  /// record can.
  [[nodiscard]] std::string record_bytes(const Resident& resident) const;
  /// The same as it lies on a stick: sealed, if it is.
  [[nodiscard]] std::string portable_record(const Resident& resident) const;

  // --- coming and going (residents_travel.cpp) ------------------------------------------------------------------
  /// Takes its sessions out of the host: from now on nothing of it changes here.
  void freeze(Resident& resident, Stay stay);
  /// It goes on here; when another residence has taken over meanwhile, that is what happens. A session that cannot be
  /// read waits on the disk for the next start, with a message.
  void thaw(Resident& resident);
  /// Its residence here is over, and nothing of it stays. `none_yet`: the name server is told that it is nowhere;
  /// `elsewhere`: what a former residence here has left counts again.
  enum class Successor : std::uint8_t { none_yet, elsewhere };
  void retire(Resident& resident, Successor successor);
  /// Another residence has taken over, perhaps without the latest state: that stays, to be handed over, and so do
  /// documents that are kept here. When that cannot be stored, it stays frozen, and is asked for its state there.
  void retire_superseded(Resident& resident);
  /// The last record of a former residence that nobody has taken yet; empty: there is none.
  [[nodiscard]] std::string former_record(const EndpointName& name) const;
  void forget_former(const EndpointName& name);
  /// The folder of the documents that a former residence has left; empty: it has left none here.
  [[nodiscard]] std::filesystem::path former_documents(const EndpointName& name) const;
  void forget_former_documents(const EndpointName& name) const;
  /// An endpoint from elsewhere resides here from now on, with the generation in `record` and the `mark` by which it
  /// was claimed; its documents are in `storage`. It is `arriving`: frozen, until thaw() lets it go on. What a former
  /// residence here has left stays until forget_former(). Throws std::exception; then nothing has changed.
  Resident& settle(const EndpointRecord& record, const sns::ResidenceMark& mark, const std::filesystem::path& storage,
                   const std::string& seal);
  /// Removes a file or folder; what cannot be removed stays, with a message.
  static void discard(const std::filesystem::path& path);
  /// Nothing of it can be used any more: what is open is closed.
  void close_documents(Resident& resident) const;
  /// Whether its documents are in the state folder.
  [[nodiscard]] bool is_at_home(const Resident& resident) const {
    return resident.storage == folder(resident.name) / documents_name;
  }
  /// Its documents are there no more: what is open of them is nothing any more.
  void close_storage(const Resident& resident) const {
    if (on_storage) on_storage(resident);
  }
  /// Asks the name server whether this residence is the last one; the answer counts as that to any announcement.
  void ask_whether_it_may_stay(Resident& resident, const std::function<void(sns::Status)>& done);
  /// Tells the name server where it is, now.
  void announce(Resident& resident);
  /// Its stick is back, there.
  void set_storage(Resident& resident, const std::filesystem::path& storage);

  std::function<void(const Resident&)> on_added;
  std::function<void(const Resident&)> on_removed;
  std::function<void(const Resident&)> on_policy;  // it has another one
  /// The name server knows a newer residence.
  std::function<void(Resident&)> on_superseded;
  std::function<void(const Resident&)> on_frozen;
  std::function<void(const Resident&)> on_storage;  // its documents are elsewhere, or not there any more

 private:
  Resident& add(const EndpointName& name, std::uint64_t generation, sns::KeyPair key, sns::Certificate certificate);
  int created(const EndpointName& name, const sns::KeyPair& key, const sns::Client::Registered& registered);
  void added(Resident& resident);
  std::shared_ptr<const TlsIdentity> make_identity(const EndpointName& name, const sns::KeyPair& key,
                                                   const sns::Certificate& certificate);
  void let_go(const EndpointName& name);
  void removed(const EndpointName& name);
  void clean_up(const EndpointName& name);
  /// 0, or the errno: what is not stored is not done.
  [[nodiscard]] int save(const Resident& resident);
  [[nodiscard]] std::filesystem::path folder(const EndpointName& name) const;
  [[nodiscard]] std::filesystem::path mark_file(const EndpointName& name) const;
  [[nodiscard]] bool has_mark(const EndpointName& name) const;
  [[nodiscard]] sns::ResidenceMark mark_of(const EndpointName& name) const;
  [[nodiscard]] sns::Residence residence_of(const Resident& resident) const;
  [[nodiscard]] EndpointRecord record_of(const Resident& resident) const;
  void go_on(Resident& resident);
  void drop(Resident& resident);
  void drop_identity(const EndpointName& name);
  void throw_away(const EndpointName& name);
  [[nodiscard]] std::vector<std::string> left_documents() const;
  void keep_documents_of(const std::filesystem::path& former) const;
  [[nodiscard]] std::filesystem::path folder_of_former(const EndpointName& name) const;
  void load_former(const std::filesystem::path& folder);
  void load_one(const std::filesystem::path& folder, Stay stay = Stay::here);
  void load_resident(const EndpointRecord& record, Stay stay);
  void load_removed(const EndpointRecord& record);
  void load_tombstones(const EndpointRecord& record);
  void load_sessions(Endpoint& endpoint);
  void load_storage(Resident& resident);
  [[nodiscard]] bool is_away(const Resident& resident) const;
  void ensure_default();
  void announced(Resident& resident, sns::Status status, const sns::Client::Registered& registered);
  void register_again(Resident& resident);
  void settle_services(Resident& resident);
  void service_told(const EndpointName& name, const std::string& service, bool was_here, sns::Status status);

  boost::asio::io_context& io_;
  Runtime& runtime_;
  Names& names_;
  std::shared_ptr<Trust> trust_;
  std::filesystem::path state_;
  Durability durability_;
  EndpointName default_name_;
  std::map<EndpointName, Resident> residents_;
  std::map<EndpointName, std::shared_ptr<const TlsIdentity>> identities_;  // outlive their endpoint while it delivers
  std::map<std::string, EndpointName, std::less<>> by_sni_;
  std::map<std::uint64_t, EndpointName> by_serial_;
  std::set<EndpointName> creating_;
  std::map<std::string, std::string> not_here_;  // folder name to reason
  std::string default_trouble_;
  bool was_joined_ = false;
  Duration default_delay_ = first_registration_delay;  // to the next attempt to make the default endpoint
  Time next_default_{};
  std::uint64_t last_serial_ = 0;
};

}  // namespace sessionfs::fs
