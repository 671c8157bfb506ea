// The endpoints that reside at this host: their keys and certificates, their records on disk, and their entries at the
// name server of their domain.
//
//   STATE/domain/                  this host's membership of its domain
//   STATE/endpoints/NAME/.endpoint the record; documents/ and sessions/ beside it
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
#include <set>
#include <string>

#include "engine/record.hpp"
#include "fs/names.hpp"
#include "fs/runtime.hpp"
#include "fs/transport/identity.hpp"
#include "sns/identity.hpp"

namespace sessionfs::fs {

struct Resident {
  std::uint64_t serial = 0;
  EndpointName name;
  sns::KeyPair key;
  sns::Certificate certificate;
  std::shared_ptr<const TlsIdentity> identity;
  std::string policy;
  std::string access;
  std::string last_error;  // of the last command that failed, for `status`
  std::string registration = "not registered yet";
};

class Residents {
 public:
  using Done = std::function<void(int error)>;

  Residents(boost::asio::io_context& io, Runtime& runtime, Names& names, std::filesystem::path state);

  /// Loads every endpoint of the state directory, its sessions with it, and announces them. A damaged one is set
  /// aside with a message.
  void load();

  /// Registers and creates `name`. EEXIST, EACCES, EHOSTUNREACH, EINVAL (a name of another domain).
  void create(const EndpointName& name, Done done);
  /// Unregisters and removes it with its services; its sessions still deliver what was written.
  void remove(const EndpointName& name, const Done& done);
  void add_service(Resident& resident, const std::string& service, const Done& done);
  void remove_service(Resident& resident, const std::string& service);

  /// Makes the endpoint that the configuration names if it is not there and can be made.
  void ensure_default();
  [[nodiscard]] const EndpointName& default_name() const { return default_name_; }
  void set_default_name(EndpointName name) { default_name_ = std::move(name); }

  Resident* find(const EndpointName& name);
  Resident* find(std::uint64_t serial);
  [[nodiscard]] const std::map<EndpointName, Resident>& all() const { return residents_; }
  /// What proves that we are `name`; null when it does not reside here and delivers nothing any more.
  [[nodiscard]] std::shared_ptr<const TlsIdentity> identity(const EndpointName& name) const;
  [[nodiscard]] const TlsIdentity* identity_for_sni(std::string_view sni) const;
  [[nodiscard]] std::filesystem::path documents_folder(const EndpointName& name) const;
  [[nodiscard]] std::filesystem::path session_folder(const EndpointName& name) const;

  /// Replaces the rules of an endpoint. A line that does not parse is EINVAL and changes nothing.
  int set_access(Resident& resident, const std::string& text);
  int set_policy(Resident& resident, const std::string& text);

  /// Tells the name server where this host is now.
  void announce();
  /// Whether the name server has confirmed the last announcement of every endpoint.
  [[nodiscard]] bool all_registered() const;
  /// Writes the records of all endpoints.
  void save_all();
  [[nodiscard]] std::string record_bytes(const Resident& resident) const;

  std::function<void(const Resident&)> on_added;
  std::function<void(const Resident&)> on_removed;

 private:
  Resident& add(const EndpointName& name, std::uint64_t generation, sns::KeyPair key, sns::Certificate certificate);
  int created(const EndpointName& name, const sns::KeyPair& key, sns::Certificate certificate);
  void removed(const EndpointName& name);
  void save(const Resident& resident);
  [[nodiscard]] std::filesystem::path folder(const EndpointName& name) const;
  void load_one(const std::filesystem::path& folder);
  void load_sessions(Endpoint& endpoint);
  void announce(Resident& resident);

  boost::asio::io_context& io_;
  Runtime& runtime_;
  Names& names_;
  std::filesystem::path state_;
  EndpointName default_name_;
  std::map<EndpointName, Resident> residents_;
  std::map<EndpointName, std::shared_ptr<const TlsIdentity>> identities_;  // outlive their endpoint while it delivers
  std::map<std::string, EndpointName, std::less<>> by_sni_;
  std::map<std::uint64_t, EndpointName> by_serial_;
  std::set<EndpointName> creating_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace sessionfs::fs
