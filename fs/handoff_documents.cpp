#include "fs/handoff_documents.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "fs/child.hpp"
#include "fs/documents.hpp"
#include "fs/files.hpp"
#include "fs/handoff_end.hpp"
#include "fs/stick.hpp"

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::hours packing_limit{24};
constexpr std::size_t max_piece_bytes = std::size_t{64} << 10;

// A program's standard input or output, and our end of it.
class Pipe {
 public:
  explicit Pipe(asio::io_context& io) : ours_(io) {}
  ~Pipe() { close_theirs(); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  enum class Direction : std::uint8_t { to_program, from_program };
  /// The errno.
  int open(Direction direction) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno;
    const bool reads = direction == Direction::from_program;
    ours_.assign(ends[reads ? 0 : 1]);
    ours_.non_blocking(true);
    theirs_ = ends[reads ? 1 : 0];
    return 0;
  }
  [[nodiscard]] int theirs() const { return theirs_; }
  void close_theirs() {
    if (theirs_ >= 0) ::close(std::exchange(theirs_, -1));
  }
  asio::posix::stream_descriptor& ours() { return ours_; }
  void close() {
    boost::system::error_code ignored;
    ours_.close(ignored);
  }

 private:
  asio::posix::stream_descriptor ours_;
  int theirs_ = -1;
};

class GivingDocuments final : public HandoffEnd {
 public:
  GivingDocuments(asio::io_context& io, std::function<void()> taken)
      : HandoffEnd(io), io_(io), pipe_(io), taken_(std::move(taken)) {}

  void start(std::shared_ptr<SecureConnection> connection, const std::filesystem::path& folder) {
    begin(std::move(connection));
    connection_->set_handler(this);
    if (folder.empty()) return finish();
    if (pipe_.open(Pipe::Direction::from_program) != 0) return end(false);
    expire_after(documents_stall_limit);
    std::vector<std::string> pack{"tar",      "--create",           "--file=-",  "--format=posix",
                                  "--xattrs", "--hard-dereference", "--anchored"};
    for (const auto name : reserved_names) pack.push_back("--exclude=./" + std::string(name));
    pack.insert(pack.end(), {"--directory", folder.string(), "--", "."});
    run_child(io_, std::move(pack), packing_limit,
              [this, folder, keep = shared_from_this()](int status, const std::string& why) {
                if (status != 0 && connection_)
                  spdlog::error("{}: cannot be packed: {}", one_line(folder.string()), why);
                if (status != 0) return end(false);
                is_packed_ = true;
                finish_when_all_is_sent();
              },
              {-1, pipe_.theirs()});
    pipe_.close_theirs();
    give();
  }
  void on_drained() override { give(); }

 private:
  void give() {
    if (reading_ || at_end_ || !connection_ || !connection_->takes_more() || sent_ >= limit_) return;
    reading_ = true;
    const std::size_t size = std::min<std::uint64_t>(piece_.size(), limit_ - sent_);
    pipe_.ours().async_read_some(
        asio::buffer(piece_.data(), size),
        [this, keep = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
          reading_ = false;
          if (!connection_) return;
          if (error) at_end_ = true;
          if (error) return finish_when_all_is_sent();
          expire_after(documents_stall_limit);
          connection_->send(data_header(sent_, count), {std::as_bytes(std::span(piece_)).first(count), {}});
          sent_ += count;
          give();
        });
  }
  void finish_when_all_is_sent() {
    if (is_packed_ && at_end_ && connection_) finish();
  }
  void finish() {
    is_finished_ = true;
    send(Finish{sent_});
    expire_after(documents_stall_limit);
  }
  bool handle(const FrameReader::Event& event) override {
    const auto* message = std::get_if<Message>(&event);
    if (message == nullptr) return false;
    if (const auto* checkpoint = std::get_if<Checkpoint>(message)) {
      limit_ = std::max(limit_, checkpoint->progress.limit);
      expire_after(documents_stall_limit);
      give();
      return true;
    }
    if (!std::holds_alternative<HandoffTaken>(*message) || !is_finished_) return false;
    end(false);
    if (sent_ > 0) taken_();
    return true;
  }
  void fail(std::string) override {
    pipe_.close();  // which ends the program
    end(false);
  }

  asio::io_context& io_;
  Pipe pipe_;
  std::function<void()> taken_;
  std::vector<char> piece_ = std::vector<char>(max_piece_bytes);
  std::uint64_t sent_ = 0;
  std::uint64_t limit_ = documents_window_bytes;
  bool reading_ = false;
  bool at_end_ = false;
  bool is_packed_ = false;
  bool is_finished_ = false;
};

class TakingDocuments final : public HandoffEnd {
 public:
  using Kind = HandedDocuments::Kind;

  TakingDocuments(asio::io_context& io, MakeFolder make_folder, std::function<void(HandedDocuments)> done)
      : HandoffEnd(io), io_(io), pipe_(io), word_(io), make_folder_(std::move(make_folder)), done_(std::move(done)) {}

  void start(std::shared_ptr<SecureConnection> connection) {
    begin(std::move(connection));
    connection_->set_handler(this);
    expire_after(documents_stall_limit);
    say_so_now_and_then();
  }

 private:
  bool handle(const FrameReader::Event& event) override {
    expire_after(documents_stall_limit);
    if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) return take(*part);
    const auto* message = std::get_if<Message>(&event);
    const auto* finish = message != nullptr ? std::get_if<Finish>(message) : nullptr;
    if (finish == nullptr || is_finished_ || finish->offset != received_) return false;
    is_finished_ = true;
    if (received_ == 0) {
      close(Kind::none, "");
    } else {
      unpack();
      tell_when_all_is_here();
    }
    return true;
  }
  bool take(const FrameReader::DataPart& part) {
    if (is_finished_ || part.offset != received_ || part.bytes.size() > limit_ - received_) return false;
    if (received_ == 0)
      if (const std::string why = begin_unpacking(); !why.empty()) {
        close(Kind::failed, why);
        return true;
      }
    const auto* bytes = reinterpret_cast<const char*>(part.bytes.data());
    waiting_.insert(waiting_.end(), bytes, bytes + part.bytes.size());
    received_ += part.bytes.size();
    unpack();
    return true;
  }
  std::string begin_unpacking() {
    try {
      folder_ = make_folder_();
    } catch (const std::exception& error) {
      return error.what();
    }
    if (const int error = pipe_.open(Pipe::Direction::to_program); error != 0) return std::strerror(error);
    std::vector<std::string> command{"tar", "--extract", "--file=-", "--no-overwrite-dir", "--directory", folder_};
    if (keeps_owners(folder_)) {
      command.insert(command.end(), {"--xattrs", "--preserve-permissions"});
    } else {
      command.insert(command.end(), {"--no-same-owner", "--no-same-permissions"});
    }
    run(std::move(command), {pipe_.theirs(), -1}, [this] { disarm(); });
    pipe_.close_theirs();
    return "";
  }
  // What would have the rights of somebody else is for nobody to bring from elsewhere.
  void disarm() {
    pipe_.close();
    if (::geteuid() != 0) return unpacked();
    run({"find", folder_, "(", "-type", "b",     "-o",    "-type", "c",   ")",  "-delete",
         "-o",   "-type", "f", "-perm", "/6000", "-exec", "chmod", "a-s", "{}", "+"},
        {}, [this] { unpacked(); });
  }
  void unpacked() {
    is_unpacked_ = true;
    tell_when_all_is_here();
  }
  void run(std::vector<std::string> command, ChildFiles files, std::function<void()> then) {
    is_running_ = true;
    run_child(
        io_, std::move(command), packing_limit,
        [this, keep = shared_from_this(), then = std::move(then)](int status, const std::string& why) {
          is_running_ = false;
          if (ended_) return tell(ended_->first, ended_->second);
          if (status != 0)
            return close(Kind::failed, "they cannot be unpacked: " + (why.empty() ? "tar has failed" : why));
          then();
        },
        files);
  }
  void unpack() {
    if (!writing_.empty()) return;
    // It may end before it has read all that fills an archive up.
    if (!pipe_.ours().is_open()) return waiting_.clear();
    if (waiting_.empty()) {
      if (is_finished_) pipe_.close();  // it has it all
      return;
    }
    std::swap(writing_, waiting_);
    asio::async_write(pipe_.ours(), asio::buffer(writing_),
                      [this, keep = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                        writing_.clear();
                        if (error || !connection_) pipe_.close();
                        if (connection_) say_so();
                        unpack();
                      });
  }
  void tell_when_all_is_here() {
    if (!is_finished_ || !is_unpacked_) return;
    expire_never();
    tell(Kind::all, "");
  }
  void say_so() {
    const std::uint64_t unpacked = received_ - waiting_.size() - writing_.size();
    if (!is_unpacked_) limit_ = unpacked + documents_window_bytes;
    send(Checkpoint{{unpacked, limit_}});
  }
  void say_so_now_and_then() {
    word_.expires_after(documents_word_interval);
    word_.async_wait([this, weak = weak_from_this()](const boost::system::error_code& error) {
      const auto keep = weak.lock();
      if (error || !keep || !connection_) return;
      // Not the other end is slow then, but the storage here.
      if (!writing_.empty() || (is_finished_ && !is_unpacked_)) expire_after(documents_stall_limit);
      say_so();
      say_so_now_and_then();
    });
  }
  void fail(std::string why) override { close(Kind::lost, std::move(why)); }
  // It is told when no program writes into the folder any more.
  void close(Kind kind, std::string why) {
    word_.cancel();
    pipe_.close();
    end(kind == Kind::none);
    if (is_running_) {
      ended_.emplace(kind, std::move(why));
    } else {
      tell(kind, std::move(why));
    }
  }
  void tell(Kind kind, std::string why) {
    HandedDocuments answer{kind, std::move(why), nullptr};
    if (kind == Kind::all) {
      answer.stored = [this, keep = shared_from_this()] {
        if (!connection_) return;
        send(HandoffTaken{});
        word_.cancel();
        end(true);
      };
      let_go();
    }
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(answer));
  }

  asio::io_context& io_;
  Pipe pipe_;
  asio::steady_timer word_;
  MakeFolder make_folder_;
  std::string folder_;
  std::function<void(HandedDocuments)> done_;
  std::vector<char> waiting_;
  std::vector<char> writing_;  // to the program
  std::uint64_t received_ = 0;
  std::uint64_t limit_ = documents_window_bytes;
  bool is_finished_ = false;
  bool is_running_ = false;  // a program, in the folder
  bool is_unpacked_ = false;
  std::optional<std::pair<Kind, std::string>> ended_;  // while it was
};

}  // namespace

void give_documents(asio::io_context& io, std::shared_ptr<SecureConnection> connection,
                    const std::filesystem::path& folder, std::function<void()> taken) {
  std::make_shared<GivingDocuments>(io, std::move(taken))->start(std::move(connection), folder);
}

void take_documents(asio::io_context& io, std::shared_ptr<SecureConnection> connection, MakeFolder make_folder,
                    std::function<void(HandedDocuments)> done) {
  std::make_shared<TakingDocuments>(io, std::move(make_folder), std::move(done))->start(std::move(connection));
}

}  // namespace sessionfs::fs
