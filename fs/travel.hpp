// Endpoints on the move: saving and loading them, and the handoff between two residences (thesis 4.3, 4.8.3).
//
//   save    freeze; applications save their states; documents are copied, the record is written; the residence ends
//   load    read the record; claim the next generation at the name server; ask the former residence for its latest
//           state; store it; tell the name server to stay; tell the former residence to forget it, and take its
//           documents; go on here
//
// Of two hosts that load it at once, only one gets the name server's word that it may stay, and the former residence
// forgets nothing before: what the other one asks for is still there.
//
// What was claimed and not yet settled keeps the addresses of the former residence at the name server, so that a load
// that is cut short finds it again. Everything happens on the event loop; `Done` is called once, later or at once.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fs/handoff.hpp"
#include "fs/residents.hpp"

namespace sessionfs::fs {

/// After the last application has closed what it had open of an endpoint that is being saved, nothing may be opened for
/// this long: a script that has lost its session needs a moment to write down its state.
inline constexpr std::chrono::milliseconds save_quiet_time{1000};
inline constexpr std::chrono::milliseconds save_poll_interval{50};
/// A former residence that is busy is asked again after this, ...
inline constexpr std::chrono::milliseconds handoff_retry_delay{300};
/// ... as often as this.
inline constexpr int handoff_retries = 50;  // longer than one that died while asking keeps it busy
/// Documents whose connection is lost on the way are asked for again as often as this.
inline constexpr int documents_retries = 10;
/// A name server that does not say whether a loaded endpoint may stay is asked again after this.
inline constexpr std::chrono::milliseconds confirm_retry_delay{1000};

class Travel {
 public:
  /// `error` is an errno, 0 for success; `why` is one line for people, empty for success.
  using Done = std::function<void(int error, const std::string& why)>;
  struct Hooks {
    /// Whether somebody has a session, a service or a document of it open.
    std::function<bool(const Resident&)> in_use;
    /// It has come, and goes on.
    std::function<void(const Resident&)> arrived;
  };

  Travel(boost::asio::io_context& io, Runtime& runtime, Residents& residents, Names& names, const Paths& paths,
         std::shared_ptr<Trust> trust, std::chrono::milliseconds save_grace, Hooks hooks);

  /// Saves it to `target`: into that folder if it exists, as that folder if it does not; without a target to the
  /// storage that it was loaded from. With a `passphrase` its record is sealed. EBUSY: the default endpoint, or one
  /// that is on its way already. What fails leaves it here, as it was.
  void save(Resident& resident, std::optional<std::filesystem::path> target, const std::string& passphrase, Done done);
  /// Saves all endpoints whose documents are below one of `roots` to where they are; one after the other, up to the
  /// first that cannot be saved.
  void save_all_on(const std::vector<std::filesystem::path>& roots, const Done& done);

  /// Loads the endpoint in `folder`, or all those in its folders. ENOENT: there is none. EEXIST: it resides here.
  /// ENOKEY: its record is sealed and no passphrase is given; EKEYREJECTED: it is the wrong one, or the name belongs to
  /// another key. EHOSTUNREACH: the name server has not answered. ESTALE: another host was faster.
  void load(const std::filesystem::path& folder, const std::string& passphrase, const Done& done);

  /// What is being saved or loaded, a line each: NAME, and `N of M bytes` of its documents, or other words.
  [[nodiscard]] std::vector<std::string> saving() const;
  [[nodiscard]] std::vector<std::string> loading() const;

  /// A stick has come, with `root` as its root folder: what is on it is loaded, or goes on.
  void medium_came(const std::filesystem::path& root);
  /// It is gone, without a warning.
  void medium_went(const std::filesystem::path& root);

  /// A residence of `generation` asks on `connection` for the state of `endpoint`.
  void answer_handoff(const EndpointName& endpoint, std::uint64_t generation,
                      std::shared_ptr<SecureConnection> connection);
  /// The name server knows a newer residence.
  void superseded(Resident& resident);

  /// mv(1) has copied it and begins to remove it: nothing of it changes here any more. False: it is on its way
  /// already.
  bool begin_move(Resident& resident);
  /// It has ended without removing all: what is left goes on here.
  void cancel_move(Resident& resident);
  /// It has removed all: what it has copied is brought to the disk, then the residence ends.
  void finish_move(Resident& resident, const Done& done);

  /// To be called now and then: tries again what could not be done for want of a name server.
  void keep_trying();

 private:
  struct Saving;
  struct Arrival;

  // travel_save.cpp
  void wait_for_applications(const std::shared_ptr<Saving>& saving);
  void copy_documents(const std::shared_ptr<Saving>& saving);
  void measure_documents(const std::shared_ptr<Saving>& saving);
  [[nodiscard]] bool was_loaded_since(const Resident& resident, const std::string& seal) const;
  void write_record(const std::shared_ptr<Saving>& saving);
  void bring_to_storage(const std::shared_ptr<Saving>& saving);
  void end_saving(const std::shared_ptr<Saving>& saving, int error, const std::string& why);
  void save_next(std::vector<EndpointName> names, const Done& done);

  // travel_load.cpp
  enum class Asked : std::uint8_t { by_user, by_nobody };  // it was on a stick that was plugged in
  void load_one(const std::filesystem::path& folder, const std::string& passphrase, Asked asked, const Done& done);
  [[nodiscard]] bool may_register(const Arrival& arrival) const;
  [[nodiscard]] std::string seal_of(const std::filesystem::path& folder);
  bool take_back(const Arrival& arrival);
  void claim(const std::shared_ptr<Arrival>& arrival);
  void claim_against(const std::shared_ptr<Arrival>& arrival, sns::Status status, const sns::EndpointInfo& former);
  void claimed(const std::shared_ptr<Arrival>& arrival, sns::Status status, const sns::Client::Registered& registered);
  void ask_former(const std::shared_ptr<Arrival>& arrival);
  void ask_former(const std::shared_ptr<Arrival>& arrival, const std::function<void(HandoffAnswer)>& answered);
  void former_answered(const std::shared_ptr<Arrival>& arrival, HandoffAnswer answer);
  void settle(const std::shared_ptr<Arrival>& arrival);
  void ask_to_stay(const std::shared_ptr<Arrival>& arrival);
  void confirmed(const std::shared_ptr<Arrival>& arrival, sns::Status status);
  void go_on(const std::shared_ptr<Arrival>& arrival);
  void end_loading(const std::shared_ptr<Arrival>& arrival, int error, const std::string& why);
  void load_next(std::vector<std::filesystem::path> folders, const std::string& passphrase, const Done& done);

  // travel_documents.cpp
  void take_documents_of_former(const std::shared_ptr<Arrival>& arrival);
  void documents_came(const std::shared_ptr<Arrival>& arrival, const HandedDocuments& documents);
  void ask_for_documents(const std::shared_ptr<Arrival>& arrival);
  void compare_documents(const std::shared_ptr<Arrival>& arrival, const std::function<void()>& stored);
  void replace_documents(const std::shared_ptr<Arrival>& arrival, bool are_the_same,
                         const std::function<void()>& stored);
  void end_documents(const std::shared_ptr<Arrival>& arrival, const std::string& why);

  // travel.cpp
  [[nodiscard]] std::uint64_t generation_of(const Resident& resident) const;
  void handed_over(const EndpointName& name, bool taken);
  void hand_over_state(const EndpointName& endpoint, std::uint64_t generation,
                       const std::shared_ptr<SecureConnection>& connection);
  void load_waiting(std::set<std::filesystem::path> folders);
  void after(std::chrono::milliseconds delay, std::function<void()> what);

  boost::asio::io_context& io_;
  Runtime& runtime_;
  Residents& residents_;
  Names& names_;
  const Paths& paths_;
  std::shared_ptr<Trust> trust_;
  std::chrono::milliseconds save_grace_;
  Hooks hooks_;
  std::set<std::shared_ptr<Saving>> saving_;
  std::set<EndpointName> arriving_;
  std::set<std::uint64_t> moving_;           // by mv(1)
  std::set<EndpointName> giving_;            // whose handoff is under way
  std::set<EndpointName> bringing_;          // whose documents come from their former residence
  std::set<EndpointName> asking_;            // of which the name server is asked whether they may stay
  std::set<std::filesystem::path> waiting_;  // folders on sticks, for a name server
};

}  // namespace sessionfs::fs
