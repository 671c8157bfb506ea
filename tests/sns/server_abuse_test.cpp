// What strangers may send to a server's port: it costs their own connection.
#include <random>

#include "tests/sns/running_server.hpp"

namespace sessionfs::sns {
namespace {

using ServerAbuseTest = ServerTest;

TEST_F(ServerAbuseTest, NonsenseCostsItsConnectionAlone) {
  start();
  expect_served();
  const std::string http = "GET / HTTP/1.1\r\nHost: verkstad.net\r\n\r\n";
  const auto text = std::as_bytes(std::span(http));
  expect_closed("HTTP", {text.begin(), text.end()});
  std::mt19937 random(11);  // NOLINT(cert-msc51-cpp): the same run every time
  for (const std::size_t size : {1000U, 20000U}) {
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    expect_closed("random bytes", bytes);
  }
  auto changed = client_hello();
  for (std::size_t i = 5; i < changed.size(); i += 3) changed[i] ^= std::byte{0x55};
  expect_closed("a damaged handshake", changed);
  connect().close();
  expect_served();
}

TEST_F(ServerAbuseTest, WhoDoesNotFinishItsHandshakeIsClosed) {
  ServerLimits limits;
  limits.handshake = std::chrono::seconds(2);  // enough for honest ones on a slow machine
  start("127.0.0.1", 0, limits);
  expect_served();
  const auto hello = client_hello();
  auto nothing = connect();
  auto half_a_message = connect();
  asio::write(half_a_message, asio::buffer(hello.data(), hello.size() / 2));
  auto half_a_handshake = connect();
  asio::write(half_a_handshake, asio::buffer(hello));
  expect_served();
  EXPECT_TRUE(read_all(nothing).empty());
  EXPECT_TRUE(read_all(half_a_message).empty());
  EXPECT_FALSE(read_all(half_a_handshake).empty()) << "the server's part of it";
  expect_served();
}

// On a socket that blocks, without asio: it can send messages of TLS's own.
class BarePeer {
 public:
  BarePeer(asio::io_context& io, const RunningServer& server)
      : trust_{"verkstad.net", server.ca().fingerprint(), server.ca()},
        context_(make_client_context(trust_)),
        socket_(io),
        ssl_(SSL_new(context_.native_handle())) {
    socket_.connect(server.endpoint());
    SSL_set_fd(ssl_.get(), static_cast<int>(socket_.native_handle()));
    EXPECT_EQ(SSL_connect(ssl_.get()), 1);
  }
  bool change_key() {
    return SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl_.get()) == 1;
  }
  bool is_answered(const Request& request) {
    std::vector<std::byte> frame;
    append_frame(frame, encode(request));
    std::array<std::byte, 4096> reply;
    return SSL_write(ssl_.get(), frame.data(), static_cast<int>(frame.size())) > 0 &&
           SSL_read(ssl_.get(), reply.data(), static_cast<int>(reply.size())) > 0;
  }

 private:
  Trust trust_;
  asio::ssl::context context_;
  Tcp::socket socket_;
  SslPtr ssl_;
};

TEST_F(ServerAbuseTest, WhoChangesItsKeyWithoutEndIsClosed) {
  constexpr int without_end = 1'000'000;
  start();
  auto request = request_for(Operation::get_ep, "alice@verkstad.net");
  request.id = 1;
  RawConnection other(io_, *server_, "127.0.0.2");
  BarePeer some(io_, *server_);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(some.change_key());
  EXPECT_TRUE(some.is_answered(request)) << "some are no harm";
  BarePeer flood(io_, *server_);
  int sent = 0;
  for (; sent < without_end && flood.change_key(); ++sent) {
    if (sent % 1000 == 0) ASSERT_EQ(other.ask(request)->status, Status::not_found) << "others are answered meanwhile";
  }
  EXPECT_LT(sent, without_end);
  EXPECT_FALSE(flood.is_answered(request));
  EXPECT_EQ(other.ask(request)->status, Status::not_found);
  expect_served();
}

TEST_F(ServerAbuseTest, AMillionByteNameCostsItsConnectionAlone) {
  start();
  expect_served();
  RawConnection raw(io_, *server_);
  Request request;
  request.id = 1;
  request.name = "x";
  auto body = encode(request);
  body.resize(1'000'000, std::byte{'x'});
  std::vector<std::byte> stream;
  append_frame(stream, body);
  error_code ignored;
  asio::write(raw.stream, asio::buffer(stream), ignored);  // the server may close before it has all
  read_all(raw.stream);
  expect_served();

  RawConnection header(io_, *server_);
  stream.resize(frame_header_bytes);
  asio::write(header.stream, asio::buffer(stream), ignored);
  const auto reply = read_all(header.stream);
  const auto frame = split_frame(reply);
  ASSERT_EQ(frame.kind, FrameSplit::Kind::complete);
  EXPECT_EQ(decode_reply(frame.body)->status, Status::bad_request);
  expect_served();
}

TEST_F(ServerAbuseTest, WhatIsNoRequestIsAnsweredAndClosed) {
  start();
  std::mt19937 random(5);  // NOLINT(cert-msc51-cpp): the same run every time
  for (int round = 0; round < 20; ++round) {
    RawConnection raw(io_, *server_);
    std::vector<std::byte> body(1 + random() % 200);
    for (auto& byte : body) byte = static_cast<std::byte>(random());
    std::vector<std::byte> stream;
    append_frame(stream, body);
    asio::write(raw.stream, asio::buffer(stream));
    const auto reply = read_all(raw.stream);
    const auto frame = split_frame(reply);
    ASSERT_EQ(frame.kind, FrameSplit::Kind::complete);
    EXPECT_NE(decode_reply(frame.body)->status, Status::ok);
  }
  expect_served();
}

TEST_F(ServerAbuseTest, WhoStopsWithinARequestOrSaysNothingIsClosed) {
  ServerLimits limits;
  limits.frame = milliseconds(200);
  start("127.0.0.1", 0, limits);
  std::vector<std::byte> stream;
  append_frame(stream, encode(Request{}));
  stream.pop_back();
  error_code ignored;
  {
    RawConnection raw(io_, *server_);
    asio::write(raw.stream, asio::buffer(stream), ignored);
    EXPECT_TRUE(read_all(raw.stream).empty());
  }
  expect_served();
  kept_.reset();
  server_.reset();
  limits = {};
  limits.idle = milliseconds(200);
  start("127.0.0.1", 0, limits);
  RawConnection idle(io_, *server_);
  EXPECT_TRUE(read_all(idle.stream).empty());
}

TEST_F(ServerAbuseTest, ConnectionsOfOneAddressAreLimited) {
  ServerLimits limits;
  limits.max_connections_per_address = 3;
  start("127.0.0.1", 0, limits);
  std::vector<Tcp::socket> open;
  open.reserve(3);
  for (int i = 0; i < 3; ++i) open.push_back(connect());
  ASSERT_TRUE(run_until(io_, [&] { return server_->connections() == 3; }));
  auto refused = connect();
  EXPECT_TRUE(read_all(refused).empty());
  EXPECT_EQ(server_->connections(), 3U);
  open.clear();
  ASSERT_TRUE(run_until(io_, [&] { return server_->connections() == 0; }));
  expect_served();
}

TEST_F(ServerAbuseTest, AServerGoesWithConnectionsOpen) {
  start();
  expect_served();
  auto half = connect();
  RawConnection raw(io_, *server_);
  server_.reset();
  EXPECT_TRUE(read_all(half).empty());
  EXPECT_TRUE(read_all(raw.stream).empty());
}

}  // namespace
}  // namespace sessionfs::sns
