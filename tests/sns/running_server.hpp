// A name server on loopback for tests, and connections to it by hand.
#pragma once

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <thread>

#include "sns/server.hpp"
#include "sns/tls.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {

using Tcp = asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

// A name server on a thread of its own, as if it were another process.
class RunningServer {
 public:
  RunningServer(const std::filesystem::path& folder, const Tcp::endpoint& listen, ServerLimits limits = {},
                std::chrono::seconds lease = default_lease)
      : responder_(open(folder), lease),
        ca_(responder_.authority().certificate()),
        member_(responder_.admit(KeyPair::generate(), real_time())),
        server_(std::make_unique<Server>(io_, responder_, listen, limits)),
        endpoint_(server_->local_endpoint()),
        thread_([this] { io_.run(); }) {
    member_.servers = {address()};
  }
  ~RunningServer() {
    asio::post(io_, [this] { server_.reset(); });
    asio::post(io_, [this] { io_.stop(); });
    thread_.join();
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  [[nodiscard]] const Certificate& ca() const { return ca_; }
  [[nodiscard]] const Tcp::endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] std::string address() const { return to_string(to_address(endpoint_)); }
  [[nodiscard]] const Membership& member() const { return member_; }
  [[nodiscard]] std::size_t connections() {
    return ask<std::size_t>([this] { return server_->connections(); });
  }
  /// Done by the server's thread, between its own work.
  template <class Result = bool>
  Result with_responder(std::function<Result(Responder&)> what) {
    return ask<Result>([&] { return what(responder_); });
  }
  [[nodiscard]] JoinToken token(std::chrono::seconds expires) {
    JoinToken made{"verkstad.net", {address()}, ca_.fingerprint(), {}};
    made.secret[0] = static_cast<std::byte>(++tokens_);
    const bool added =
        ask<bool>([&] { return responder_.storage().add_token(made.secret, real_time() + expires, real_time()); });
    EXPECT_TRUE(added);
    return made;
  }

 private:
  static Storage open(const std::filesystem::path& folder) {
    std::signal(SIGPIPE, SIG_IGN);  // as the server wants it
    return Storage::open(folder, "verkstad.net", real_time());
  }
  template <class Result>
  Result ask(std::function<Result()> what) {
    std::promise<Result> promise;
    asio::post(io_, [&] { promise.set_value(what()); });
    return promise.get_future().get();
  }

  asio::io_context io_;
  Responder responder_;
  Certificate ca_;
  Membership member_;
  std::unique_ptr<Server> server_;
  Tcp::endpoint endpoint_;
  int tokens_ = 0;
  std::thread thread_;
};

inline bool has_ipv6() {
  asio::io_context io;
  Tcp::acceptor acceptor(io);
  error_code error;
  acceptor.open(Tcp::v6(), error);
  if (!error) acceptor.bind({asio::ip::address_v6::loopback(), 0}, error);
  return !error;
}

class ServerTest : public ::testing::Test {
 protected:
  void start(const char* address = "127.0.0.1", std::uint16_t port = 0, ServerLimits limits = {},
             std::chrono::seconds lease = default_lease) {
    server_.emplace(folder_.path(), Tcp::endpoint(asio::ip::make_address(address), port), limits, lease);
  }
  Client::Config config() { return server_->member(); }
  // Whether the server still answers, to a client that has a connection and to a new one.
  void expect_served() {
    if (!kept_) kept_ = std::make_unique<Client>(io_, config());
    Client fresh(io_, config());
    EXPECT_EQ(Asker(io_, *kept_).get_ep(alice_), Status::not_found);
    EXPECT_EQ(Asker(io_, fresh).get_ep(alice_), Status::not_found);
  }
  Tcp::socket connect() {
    Tcp::socket socket(io_);
    socket.connect(server_->endpoint());
    return socket;
  }
  // Reads until the server closes.
  template <class Stream>
  std::vector<std::byte> read_all(Stream& stream) {
    std::vector<std::byte> received;
    bool ended = false;
    asio::async_read(stream, asio::dynamic_buffer(received), [&](error_code, std::size_t) { ended = true; });
    if (!run_until(io_, [&] { return ended; })) std::abort();  // the operation refers to this frame
    return received;
  }
  void expect_closed(const std::string& what, const std::vector<std::byte>& bytes) {
    auto socket = connect();
    error_code ignored;
    asio::write(socket, asio::buffer(bytes), ignored);
    read_all(socket);
    SCOPED_TRACE(what);
    expect_served();
  }
  // The first message of a handshake.
  std::vector<std::byte> client_hello() {
    const Trust trust{"verkstad.net", server_->ca().fingerprint(), server_->ca()};
    auto context = make_client_context(trust);
    const SslPtr ssl(SSL_new(context.native_handle()));
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl.get());
    EXPECT_LT(SSL_do_handshake(ssl.get()), 1);
    std::vector<std::byte> bytes(4096);
    const int size = BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    EXPECT_GT(size, 0);
    bytes.resize(static_cast<std::size_t>(std::max(size, 0)));
    return bytes;
  }

  TemporaryFolder folder_;
  asio::io_context io_;
  std::optional<RunningServer> server_;
  std::unique_ptr<Client> kept_;
  EndpointName alice_ = endpoint("alice@verkstad.net");
  KeyPair key_ = KeyPair::generate();
};

// A connection by hand, to send what a Client never would.
struct RawConnection {
  RawConnection(asio::io_context& loop, const RunningServer& server, const char* from = "127.0.0.1")
      : io(loop),
        trust{"verkstad.net", server.ca().fingerprint(), server.ca()},
        context(make_client_context(trust)),
        stream(io, context) {
    auto& socket = stream.next_layer();
    if (server.endpoint().address().is_v4()) {
      socket.open(Tcp::v4());
      socket.bind({asio::ip::make_address(from), 0});
    }
    socket.connect(server.endpoint());
    bool ended = false;
    stream.async_handshake(asio::ssl::stream_base::client, [&](error_code error) {
      EXPECT_FALSE(error) << error.message();
      ended = true;
    });
    if (!run_until(io, [&] { return ended; })) std::abort();  // the operation refers to this frame
  }

  /// The request as a frame, with the next id, signed where a key is given.
  std::vector<std::byte> frame(Request request, const KeyPair& by = {}) {
    request.id = ++last_id;
    auto body = encode(request);
    if (by) {
      const auto signature = by.sign(to_be_signed(channel_binding(stream.native_handle()), body));
      body.insert(body.end(), signature.begin(), signature.end());
    }
    std::vector<std::byte> out;
    append_frame(out, body);
    return out;
  }
  void send(const Request& request, const KeyPair& by = {}) { asio::write(stream, asio::buffer(frame(request, by))); }

  /// The next reply; nothing when the server has closed.
  std::optional<Reply> receive() {
    while (true) {
      const auto split = split_frame(received);
      if (split.kind == FrameSplit::Kind::complete) {
        auto reply = decode_reply(split.body);
        EXPECT_TRUE(reply);
        received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(split.consumed_bytes));
        return reply;
      }
      std::array<std::byte, 4096> more;
      std::optional<std::size_t> count;
      stream.async_read_some(asio::buffer(more), [&](error_code, std::size_t got) { count = got; });
      if (!run_until(io, [&] { return count.has_value(); })) std::abort();
      if (*count == 0) return std::nullopt;
      received.insert(received.end(), more.begin(), more.begin() + static_cast<std::ptrdiff_t>(*count));
    }
  }
  std::optional<Reply> ask(const Request& request, const KeyPair& by = {}) {
    send(request, by);
    return receive();
  }

  asio::io_context& io;
  Trust trust;
  asio::ssl::context context;
  asio::ssl::stream<Tcp::socket> stream;
  std::vector<std::byte> received;
  std::uint64_t last_id = 0;
};

inline Request request_for(Operation operation, std::string name, const Residence& residence = at(1)) {
  Request request;
  request.operation = operation;
  request.name = std::move(name);
  request.residence = residence;
  return request;
}

}  // namespace sessionfs::sns
