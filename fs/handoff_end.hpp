// What both ends of a handoff, of its two parts, have in common.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "engine/wire.hpp"
#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

/// One end of a handoff. It keeps itself while its connection or its timer may still call.
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
  void expire_never() { timer_.cancel(); }
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
  /// The connection is somebody else's from now on.
  std::shared_ptr<SecureConnection> give_up() {
    timer_.cancel();
    self_.reset();
    connection_->set_handler(nullptr);
    return std::exchange(connection_, nullptr);
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

}  // namespace sessionfs::fs
