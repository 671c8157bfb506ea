// Two endpoints, a listener, and handlers that remember what they were told.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/transport/dial.hpp"
#include "fs/transport/listener.hpp"
#include "tests/fs/transport_certificates.hpp"

namespace sessionfs::fs {

inline EndpointName endpoint_name(const std::string& text) { return EndpointName::parse(text).value(); }

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Remembers all that its connection tells.
class Recorder final : public ConnectionHandler {
 public:
  Recorder() = default;
  ~Recorder() override { drop(); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Ends the connection, and forgets what was told.
  void drop() {
    if (connection) {
      connection->set_handler(nullptr);
      connection->abort();
      connection.reset();
    }
    ready = false;
    input.clear();
    drained = closed = 0;
    when_input = nullptr;
    when_drained = when_ready = nullptr;
  }

  std::shared_ptr<SecureConnection> connection;
  bool ready = false;
  EndpointName peer;
  std::string input;
  std::size_t drained = 0;
  std::size_t closed = 0;
  CloseReason reason{};
  std::string why;
  std::function<void(std::span<const std::byte>)> when_input;
  std::function<void()> when_drained;
  std::function<void()> when_ready;

  void on_ready(const EndpointName& name) override {
    EXPECT_FALSE(ready);
    EXPECT_EQ(closed, 0U);
    ready = true;
    peer = name;
    if (when_ready) when_ready();
  }
  void on_input(std::span<const std::byte> plaintext) override {
    EXPECT_EQ(closed, 0U);
    EXPECT_FALSE(plaintext.empty());
    if (when_input) {
      when_input(plaintext);
    } else {
      input.append(reinterpret_cast<const char*>(plaintext.data()), plaintext.size());
    }
  }
  void on_drained() override {
    EXPECT_EQ(closed, 0U);
    ++drained;
    if (when_drained) when_drained();
  }
  void on_closed(CloseReason because, std::string text) override {
    ++closed;
    reason = because;
    why = std::move(text);
  }
};

class TransportTest : public ::testing::Test {
 public:
  ~TransportTest() override {
    listener.reset();
    incoming.clear();
    out.drop();
    io.restart();
    run_until([this] { return io.stopped(); });
  }

 protected:
  using Tcp = asio::ip::tcp;
  static constexpr std::chrono::seconds limit{200};  // of any wait; far more than is ever needed

  TransportTest() {
    listener = std::make_unique<Listener>(
        io, Tcp::endpoint(asio::ip::address_v4::loopback(), 0), Listener::WhenTaken::fail,
        [this](std::string_view sni) { return find_identity(sni); },
        [this](std::shared_ptr<SecureConnection> connection) { take(std::move(connection)); });
  }
  virtual const TlsIdentity* find_identity(std::string_view sni) { return sni == bob.sni() ? &bob : nullptr; }

  void take(std::shared_ptr<SecureConnection> connection) {
    auto recorder = std::make_unique<Recorder>();
    recorder->connection = connection;
    recorder->peer = connection->peer();
    connection->set_handler(recorder.get());
    incoming.push_back(std::move(recorder));
    if (when_incoming) when_incoming(*incoming.back());
  }

  [[nodiscard]] Tcp::endpoint address() const { return {asio::ip::address_v4::loopback(), listener->port()}; }

  /// Lets the loop run until `done`, or nothing is left to do. Returns whether it is done.
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= end || io.stopped()) return done();
      io.run_one_for(std::min<std::chrono::nanoseconds>(end - now, std::chrono::milliseconds(20)));
    }
    return true;
  }

  /// As `identity` to `peer`, into `out`.
  void dial_out(const TlsIdentity& identity, const EndpointName& peer, std::vector<Way> ways) {
    out.connection = dial(io, identity, peer, std::move(ways), &out);
  }
  /// A connection from alice (`out`) to bob (`in()`).
  void connect() {
    dial_out(alice, bob.name(), {address()});
    ASSERT_TRUE(run_until([this] { return out.ready && !incoming.empty(); })) << out.why;
  }
  Recorder& in() { return *incoming.at(0); }

  asio::io_context io{1};
  TestKey authority = make_authority("authority");
  TestKey stranger = make_authority("stranger");
  TlsIdentity alice = make_identity(authority, "alice@verkstad.net");
  TlsIdentity bob = make_identity(authority, "bob@verkstad.net");
  Recorder out;
  std::vector<std::unique_ptr<Recorder>> incoming;
  std::function<void(Recorder&)> when_incoming;
  std::unique_ptr<Listener> listener;
};

}  // namespace sessionfs::fs
