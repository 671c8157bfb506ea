// A session and a service that this program uses, across restarts of the daemon: both wait until it is back, and go on
// where they were.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fs/sessionctl/descriptor.hpp"
#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

/// The calls throw Error when the session is lost for good, was closed here, or has moved away with its endpoint;
/// Interrupted while they wait for the daemon.
class SessionFile {
 public:
  /// Dials SERVICE.OBJECT@DOMAIN[~LABEL]; without a label, with one that nobody else has.
  static SessionFile dial(const Tree& tree, const std::string& endpoint, const std::string& service);
  /// Opens one that is there.
  static SessionFile open(const Tree& tree, const std::string& endpoint, const std::string& name);

  [[nodiscard]] int descriptor() const { return file_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string peer() const { return attribute("peer"); }

  /// Nothing: there is nothing to be read just now. 0: the end. What was being handed over when a daemon was killed
  /// cannot be had again: Error.
  std::optional<std::size_t> read(std::span<char> into);
  /// How much of it the session has taken; nothing: it takes nothing just now. Error with EPIPE: the peer reads no
  /// more.
  std::optional<std::size_t> write(std::string_view bytes);
  /// Nothing more is written; reading goes on.
  void finish();
  [[nodiscard]] bool is_finished() const { return finished_; }
  /// What was written is still delivered. It cannot be used any more. Error when somebody else has done it before all
  /// was written.
  void close();
  /// The peer gets ECONNRESET.
  void abort();
  /// Something that has to do with this session, for people.
  [[nodiscard]] Error fault(const std::string& what, int number = 0) const;

 private:
  SessionFile(const Tree& tree, std::string endpoint, std::string name);
  void reopen();
  void come_back();
  void command(const std::string& verb);
  [[nodiscard]] std::filesystem::path path() const { return tree_->mount() / endpoint_ / "sessions" / name_; }
  [[nodiscard]] std::string attribute(const std::string& name) const;
  [[nodiscard]] std::uint64_t number(const std::string& name) const;
  [[nodiscard]] std::uint64_t bytes_given() const;
  [[nodiscard]] bool was_closed_here() const;
  [[nodiscard]] std::string unheld_words() const;
  [[noreturn]] void fail(int number) const;

  const Tree* tree_;
  std::string endpoint_;
  std::string name_;
  std::string id_;
  Descriptor file_;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;
  bool finished_ = false;
};

class ServiceFile {
 public:
  /// Makes the service when it is not there, and removes it then at the end; who shares one leaves it.
  ServiceFile(const Tree& tree, const std::string& endpoint, const std::string& service);
  ~ServiceFile();
  ServiceFile(const ServiceFile&) = delete;
  ServiceFile& operator=(const ServiceFile&) = delete;

  [[nodiscard]] int descriptor() const { return file_.get(); }
  /// The name of a session that has come; nothing: none has. Throws Error when the service is there no more,
  /// Interrupted while it waits for the daemon.
  std::optional<std::string> accept();
  /// In a process that was forked, and has nothing to do with it.
  void leave() { file_.reset(); }

 private:
  void make();
  void open();
  [[noreturn]] void fail(int number) const;

  std::filesystem::path mount_;
  std::filesystem::path path_;
  std::string endpoint_;
  std::string service_;
  bool is_made_ = false;
  Descriptor file_;
};

}  // namespace sessionfs::ctl
