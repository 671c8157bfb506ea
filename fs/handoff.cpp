#include "fs/handoff.hpp"

#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "engine/record.hpp"

namespace sessionfs::fs {
namespace {

// One end of a handoff. It keeps itself while its connection or its timer may still call.
class HandoffEnd : public ConnectionHandler, public std::enable_shared_from_this<HandoffEnd> {
 public:
  explicit HandoffEnd(boost::asio::io_context& io) : timer_(io) {}
  ~HandoffEnd() override {
    if (!connection_) return;
    connection_->set_handler(nullptr);
    connection_->abort();
  }
  HandoffEnd(const HandoffEnd&) = delete;
  HandoffEnd& operator=(const HandoffEnd&) = delete;

  void on_ready(const EndpointName&) override {}
  void on_drained() override {}
  void on_input(std::span<const std::byte> bytes) override {
    const auto keep = shared_from_this();
    while (connection_) {
      const auto event = reader_.next(bytes);
      if (std::holds_alternative<FrameReader::NeedMore>(event)) return;
      if (!handle(event)) return fail("it has broken the protocol");
    }
  }
  void on_closed(CloseReason, std::string why) override {
    const auto keep = shared_from_this();
    connection_.reset();
    fail(std::move(why));
  }

 protected:
  virtual bool handle(const FrameReader::Event& event) = 0;
  virtual void fail(std::string why) = 0;

  void begin(std::shared_ptr<SecureConnection> connection) {
    connection_ = std::move(connection);
    self_ = shared_from_this();
  }
  void expire_after(std::chrono::milliseconds limit) {
    timer_.expires_after(limit);
    timer_.async_wait([this, keep = weak_from_this()](const boost::system::error_code& error) {
      const auto held = keep.lock();
      if (!error && held) fail("it has not answered in time");
    });
  }
  void end(bool flush) {
    timer_.cancel();
    if (const auto connection = std::exchange(connection_, nullptr)) {
      connection->set_handler(nullptr);
      if (flush) {
        connection->close_after_flush();
      } else {
        connection->abort();
      }
    }
    self_.reset();
  }
  /// From now on it lives only as long as somebody else keeps it; its end closes the connection.
  void let_go() { self_.reset(); }
  void send(const Message& message) { connection_->send(Frame(message).bytes()); }

  std::shared_ptr<SecureConnection> connection_;

 private:
  boost::asio::steady_timer timer_;
  FrameReader reader_;
  std::shared_ptr<HandoffEnd> self_;
};

class Asking final : public HandoffEnd {
 public:
  Asking(boost::asio::io_context& io, std::uint64_t generation, std::function<void(HandoffAnswer)> done)
      : HandoffEnd(io), generation_(generation), done_(std::move(done)) {}

  void start(boost::asio::io_context& io, const TlsIdentity& identity, std::vector<Way> ways) {
    begin(dial(io, identity, identity.name(), std::move(ways), this));
    expire_after(handoff_reach_limit);
  }
  void on_ready(const EndpointName&) override {
    is_reached_ = true;
    send(Handoff{protocol_version, generation_});
    expire_after(handoff_stall_limit);
  }

 private:
  bool handle(const FrameReader::Event& event) override {
    if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) return take(*part);
    const auto* message = std::get_if<Message>(&event);
    if (message == nullptr) return false;
    if (const auto* denied = std::get_if<HandoffDenied>(message)) {
      HandoffAnswer answer;
      answer.kind = HandoffAnswer::Kind::denied;
      answer.denial = denied->reason;
      end(false);
      tell(std::move(answer));
      return true;
    }
    const auto* ok = std::get_if<HandoffOk>(message);
    if (ok == nullptr || size_ != 0 || ok->size == 0 || ok->size > max_record_bytes) return false;
    size_ = static_cast<std::size_t>(ok->size);
    expire_after(handoff_stall_limit);
    return true;
  }
  bool take(const FrameReader::DataPart& part) {
    if (part.offset != record_.size() || part.bytes.size() > size_ - record_.size()) return false;
    record_.append(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
    expire_after(handoff_stall_limit);
    if (record_.size() < size_) return true;
    HandoffAnswer answer;
    answer.kind = HandoffAnswer::Kind::record;
    answer.record = std::move(record_);
    answer.taken = [keep = std::static_pointer_cast<Asking>(shared_from_this())] { keep->confirm(); };
    let_go();
    tell(std::move(answer));
    return true;
  }
  void confirm() {
    if (!connection_) return;
    send(HandoffTaken{});
    end(true);
  }
  void fail(std::string why) override {
    end(false);
    HandoffAnswer answer;
    answer.kind = is_reached_ ? HandoffAnswer::Kind::broken : HandoffAnswer::Kind::unreachable;
    answer.why = std::move(why);
    tell(std::move(answer));
  }
  void tell(HandoffAnswer answer) {
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(answer));
  }

  std::uint64_t generation_;
  std::function<void(HandoffAnswer)> done_;
  std::string record_;
  std::size_t size_ = 0;
  bool is_reached_ = false;
};

class Giving final : public HandoffEnd {
 public:
  Giving(boost::asio::io_context& io, std::string record, std::function<void(bool)> done)
      : HandoffEnd(io), record_(std::move(record)), done_(std::move(done)) {}

  void start(std::shared_ptr<SecureConnection> connection, std::uint64_t generation) {
    begin(std::move(connection));
    connection_->set_handler(this);
    send(HandoffOk{generation, record_.size()});
    give();
  }
  void on_drained() override { give(); }

 private:
  void give() {
    expire_after(handoff_stall_limit);
    while (connection_ && connection_->takes_more() && sent_ < record_.size()) {
      const auto part =
          std::as_bytes(std::span(record_)).subspan(sent_, std::min(max_data_bytes, record_.size() - sent_));
      connection_->send(data_header(sent_, part.size()), {part, {}});
      sent_ += part.size();
    }
  }
  bool handle(const FrameReader::Event& event) override {
    const auto* message = std::get_if<Message>(&event);
    if (message == nullptr || !std::holds_alternative<HandoffTaken>(*message) || sent_ < record_.size()) return false;
    end(false);
    tell(true);
    return true;
  }
  void fail(std::string) override {
    end(false);
    tell(false);
  }
  void tell(bool taken) {
    if (const auto done = std::exchange(done_, nullptr)) done(taken);
  }

  std::string record_;
  std::size_t sent_ = 0;
  std::function<void(bool)> done_;
};

}  // namespace

void ask_for_handoff(boost::asio::io_context& io, const TlsIdentity& identity, std::vector<Way> ways,
                     std::uint64_t generation, std::function<void(HandoffAnswer)> done) {
  std::make_shared<Asking>(io, generation, std::move(done))->start(io, identity, std::move(ways));
}

void hand_over(boost::asio::io_context& io, std::shared_ptr<SecureConnection> connection, std::uint64_t generation,
               std::string record, std::function<void(bool taken)> done) {
  std::make_shared<Giving>(io, std::move(record), std::move(done))->start(std::move(connection), generation);
}

void deny_handoff(SecureConnection& connection, HandoffDenial reason, std::uint64_t generation) {
  connection.send(Frame(HandoffDenied{reason, generation}).bytes());
  connection.close_after_flush();
}

}  // namespace sessionfs::fs
