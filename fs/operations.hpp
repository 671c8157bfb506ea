// The operations of the mount: what mkdir, cat, echo, rm and the others mean (docs: the tree, and what the ordinary
// operations do). One instance a mount, called from the event loop.
//
// Split by room: operations_tree.cpp (names, attributes, directories), operations_session.cpp (opening, waiting),
// operations_stream.cpp (reading, writing), operations_service.cpp (accepting), operations_text.cpp (ctl, policy,
// access, attributes in words), operations_status.cpp, operations_metrics.cpp, operations_trace.cpp (what those who
// watch are told), operations_travel.cpp (saving, loading, copying).
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/documents.hpp"
#include "fs/media.hpp"
#include "fs/nodes.hpp"
#include "fs/paths.hpp"
#include "fs/peers.hpp"
#include "fs/residents.hpp"
#include "fs/runtime.hpp"
#include "fs/travel.hpp"
#include "fs/walkers.hpp"

namespace sessionfs::fs {

/// A record that a program has looked at is the same for it as long as it does not forget about it for this long.
inline constexpr Duration record_lifetime = std::chrono::seconds(2);

class Operations {
 public:
  Operations(boost::asio::io_context& io, Runtime& runtime, Residents& residents, Names& names, Peers& peers,
             Paths& paths, Documents& documents, Travel& travel, Media& media, std::filesystem::path own_mount);

  /// For fuse_session_new(), with `this` as user data.
  static const fuse_lowlevel_ops& table();

  /// From the runtime's hooks.
  void wake(const std::shared_ptr<Session>& session);
  void arrived(const EndpointName& endpoint, const std::string& service);
  void forgotten(const Session& session);
  void transitioned(const Session& session, const Transitioned& what);
  void endpoint_removed(const Resident& resident);
  void endpoint_frozen(const Resident& resident);
  /// Whether somebody has a session or a service of it open.
  [[nodiscard]] bool in_use(const Resident& resident);

  /// Answers every request that waits, with `error`; the mount can go. What would answer them later goes nowhere.
  void release_all(int error);

 private:
  friend struct Trampolines;
  struct Pending;  // an asynchronous request (mkdir, create of a service, join)

  // operations_tree.cpp
  void lookup(fuse_req_t req, Inode parent, const char* name);
  void forget(Inode inode, std::uint64_t count);
  void getattr(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void setattr(fuse_req_t req, Inode inode, struct stat* attr, int to_set, fuse_file_info* fi);
  void mkdir(fuse_req_t req, Inode parent, const char* name, mode_t mode);
  void rmdir(fuse_req_t req, Inode parent, const char* name);
  void unlink(fuse_req_t req, Inode parent, const char* name);
  void opendir(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void readdir(fuse_req_t req, Inode inode, std::size_t size, off_t offset, fuse_file_info* fi);
  void releasedir(fuse_req_t req, Inode inode, fuse_file_info* fi);
  bool attributes(Inode inode, struct stat& out, pid_t caller);
  Inode find_child(Inode parent, std::string_view name, int& error);
  void remove_endpoint(fuse_req_t req, std::string_view name);
  void fsyncdir(fuse_req_t req, Inode inode);
  void unlink_session(fuse_req_t req, Resident& resident, const std::string& name);
  void part_with(const Resident& resident, const std::shared_ptr<Session>& session, void (Host::*act)(Session&, Time));

  // operations_session.cpp
  void open(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void create(fuse_req_t req, Inode parent, const char* name, mode_t mode, fuse_file_info* fi);
  void flush(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void release(fuse_req_t req, Inode inode, fuse_file_info* fi);
  void poll(fuse_req_t req, Inode inode, fuse_file_info* fi, fuse_pollhandle* handle);
  void open_session(fuse_req_t req, SessionNode& node);
  int begin_dial(SessionNode& node);
  void finish_opens(SessionNode& node);
  void reply_stream(fuse_req_t req, Inode inode);
  std::set<OpenFile*>& pollers(Inode inode);
  unsigned poll_events(const OpenFile& file);
  void notify_polls(std::set<OpenFile*>& files);
  Parked& park(ParkedQueue& queue, Parked request);
  static void interrupted(fuse_req_t req, void* parked);
  void interrupt(Parked& parked);
  void drop_if_unused(SessionNode& node);
  SessionNode& node_of(std::uint64_t endpoint, const std::string& file_name, std::shared_ptr<Session> session);

  // operations_stream.cpp
  void read(fuse_req_t req, Inode inode, std::size_t size, off_t offset, fuse_file_info* fi);
  void write(fuse_req_t req, Inode inode, const char* data, std::size_t size, off_t offset, fuse_file_info* fi);
  void fsync(fuse_req_t req, Inode inode, int datasync, fuse_file_info* fi);
  bool try_read(fuse_req_t req, SessionNode& node, std::size_t size);
  bool try_write(Parked& parked, SessionNode& node);
  bool try_sync(fuse_req_t req, SessionNode& node, std::uint64_t offset);

  // operations_travel.cpp
  static std::string take_passphrase(std::string_view& data);
  Travel::Done tell_later(fuse_req_t req, std::size_t size, std::function<std::string*()> last_error);
  void load(fuse_req_t req, std::string_view folder, const std::string& passphrase, std::size_t size);
  void save(fuse_req_t req, Resident& resident, std::string_view folder, const std::string& passphrase,
            std::size_t size);
  void eject(fuse_req_t req, std::string_view what, std::size_t size);
  enum class Snapshot : std::uint8_t { at_look, at_open, at_walk };
  std::shared_ptr<const std::string> record_for(Inode inode, pid_t caller, Snapshot when);
  void note_walk(fuse_req_t req, Inode inode, int flags);
  bool refuses_removal(fuse_req_t req, Inode parent);
  bool moves_away(fuse_req_t req, Inode parent);
  Walkers::Hooks walker_hooks();
  void release(const Resident& resident);

  // operations_service.cpp
  void create_service(fuse_req_t req, Resident& resident, const std::string& name, int flags);
  void read_service(fuse_req_t req, ServiceNode& node, OpenFile& file, std::size_t size, int flags);
  bool try_accept(fuse_req_t req, ServiceNode& node, OpenFile& file, std::size_t size);
  void give_name_back(ServiceNode& node, OpenFile& file);
  void end_accepts(ServiceNode& node);
  void drop_if_unused(ServiceNode& node);
  ServiceNode& service_node(const Resident& resident, const std::string& name);
  bool service_exists(const ServiceNode& node);

  // operations_trace.cpp
  void read_trace(fuse_req_t req, OpenFile& file, std::size_t size, int flags);
  bool try_trace(fuse_req_t req, OpenFile& file, std::size_t size);

  // operations_text.cpp
  std::string text_of(Inode inode);
  std::string session_text(const SessionNode& node);
  std::string host_status();
  std::string metrics();
  std::string host_metrics();
  std::string endpoint_status(const Resident& resident);
  void lseek(fuse_req_t req, off_t offset, int whence, fuse_file_info* fi);
  int write_rules(OpenFile& file, std::string_view data, off_t offset);
  void write_command(fuse_req_t req, OpenFile& file, std::string_view data);
  void join(fuse_req_t req, std::string_view token, std::size_t size);
  int session_command(Resident& resident, std::string_view line);
  void endpoint_commands(fuse_req_t req, Resident& resident, std::string_view data);
  void getxattr(fuse_req_t req, Inode inode, const char* name, std::size_t size);
  void listxattr(fuse_req_t req, Inode inode, std::size_t size);
  std::optional<std::string> session_attribute(const SessionNode& node, std::string_view name);

  /// Remembers an asynchronous request; the returned callback answers it unless it was interrupted before.
  using Answer = std::function<void(std::function<void(fuse_req_t)>)>;
  Answer later(fuse_req_t req, int interrupt_error);

  Runtime& runtime_;
  Residents& residents_;
  Names& names_;
  Peers& peers_;
  Paths& paths_;
  Documents& documents_;
  Travel& travel_;
  Media& media_;
  std::filesystem::path own_mount_;  // without symbolic links
  Walkers walkers_;
  struct Record {
    std::shared_ptr<const std::string> record;
    Time used{};
    bool unopened = false;  // by the program that has looked at it
  };
  std::map<std::pair<Inode, pid_t>, Record> records_;  // for the programs that look at them
  NodeTable<SessionNode> sessions_;
  NodeTable<ServiceNode> services_;
  std::unordered_map<const Session*, SessionNode*> by_session_;
  Trace trace_;
  ParkedQueue trace_reads_;
  std::set<OpenFile*> trace_files_;
  std::map<std::uint8_t, std::uint64_t> transition_counts_;  // by number, since the start
  std::set<std::shared_ptr<Pending>> pending_;
  std::string last_error_;  // of the last command to the host that failed, for `status`
  struct timespec started_ {};
};

/// The errno that says why a session does not stand.
int errno_of(Failure failure);

}  // namespace sessionfs::fs
