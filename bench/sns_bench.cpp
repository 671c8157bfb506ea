// The asking side of bench/sns: many kept connections, on each of them one request at a time, without pipelining.
//
//   sns_bench PROTOCOL --to ADDR:PORT [--tls] --connections N --seconds S --keys N
//   PROTOCOL: sns      GET_EP of eNNNNNNN@DOMAIN, over TLS
//             updates  CHANGE_EP of an endpoint that the connection has made before, signed, over TLS; --token TOKEN
//             redis    GET eNNNNNNN@DOMAIN
// Prints one line of JSON: requests, seconds, CPU seconds of this program, and times in microseconds (median, p99,
// worst). One thread; it does the same for all protocols but what they ask for.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "sns/client.hpp"
#include "sns/openssl.hpp"
#include "sns/tls.hpp"
#include "sns/wire.hpp"

namespace sessionfs::bench {
namespace {

using Clock = std::chrono::steady_clock;
using namespace sns;

constexpr int ready_at_once = 256;
constexpr std::size_t read_chunk_bytes = 16384;
constexpr unsigned char sns_alpn[] = "\x0fsessionfs-sns/1";

struct Options {
  std::string protocol;
  std::string to;
  std::string domain = "verkstad.net";
  std::string token;
  bool tls = false;
  std::size_t connections = 64;
  double seconds = 5;
  std::size_t keys = 1000000;
};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

std::string name_of(std::size_t number, const Options& options) {
  char text[32];
  std::snprintf(text, sizeof(text), "e%07zu@", number);
  return text + options.domain;
}

sockaddr_in address_of(const std::string& text) {
  const auto colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
    fail("--to takes an IPv4 address and a port");
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
  return address;
}

/// What is asked, and where an answer ends.
class Speaker {
 public:
  virtual ~Speaker() = default;
  /// The bytes of the next request of a connection.
  virtual std::string request() = 0;
  /// How many of these bytes are one answer; 0: not all of it is there yet. Throws when it is not what was asked for.
  virtual std::size_t answer(std::string_view bytes) = 0;
};

std::string framed(std::span<const std::byte> body) {
  std::vector<std::byte> frame;
  append_frame(frame, body);
  return {reinterpret_cast<const char*>(frame.data()), frame.size()};
}

std::size_t sns_answer(std::string_view bytes) {
  const auto frame = split_frame(std::as_bytes(std::span(bytes)));
  if (frame.kind == FrameSplit::Kind::incomplete) return 0;
  const auto reply = frame.kind == FrameSplit::Kind::complete ? decode_reply(frame.body) : std::nullopt;
  if (!reply) fail("the server's answer is none");
  if (reply->status != Status::ok) fail("the server answers: " + std::string(describe(reply->status)));
  return frame.consumed_bytes;
}

/// As thin as what asks redis: no more than finding an answer's end, and that it is one.
class Lookups final : public Speaker {
 public:
  Lookups(const Options& options, std::uint64_t seed) : options_(options), random_(seed) {
    Request model;
    model.name = name_of(1, options_);
    frame_ = framed(encode(model));
  }
  std::string request() override {
    ++last_id_;
    for (std::size_t i = 0; i < id_bytes; ++i)
      frame_[id_at + i] = static_cast<char>(last_id_ >> 8 * (id_bytes - 1 - i) & 0xff);
    const std::string name = name_of(random_() % options_.keys + 1, options_);
    std::ranges::copy(name, frame_.end() - static_cast<std::ptrdiff_t>(name.size()));
    return frame_;
  }
  std::size_t answer(std::string_view bytes) override {
    const auto frame = split_frame(std::as_bytes(std::span(bytes)));
    if (frame.kind == FrameSplit::Kind::incomplete) return 0;
    // Of the same id, and ok.
    if (frame.kind == FrameSplit::Kind::violation || frame.body.size() <= info_at ||
        bytes.substr(id_at, id_bytes) != std::string_view(frame_).substr(id_at, id_bytes) || bytes[status_at] != 0) {
      (void)sns_answer(bytes);
      fail("the server's answer is to another request");
    }
    return frame.consumed_bytes;
  }

 private:
  // In a frame of either direction.
  static constexpr std::size_t id_at = frame_header_bytes + 2;
  static constexpr std::size_t id_bytes = 8;
  static constexpr std::size_t status_at = id_at + id_bytes;
  static constexpr std::size_t info_at = status_at + 1 - frame_header_bytes;

  const Options& options_;
  std::mt19937_64 random_;
  std::uint64_t last_id_ = 0;
  std::string frame_;  // the last request
};

class Updates final : public Speaker {
 public:
  Updates(std::string name, KeyPair key, const ChannelBinding& binding)
      : name_(std::move(name)), key_(std::move(key)), binding_(binding) {}
  std::string request() override {
    Request asked;
    asked.id = ++last_id_;
    asked.operation = Operation::change_ep;
    asked.name = name_;
    asked.residence.generation = 1;
    asked.addresses = {{Family::v4, {10, 0, 0, static_cast<std::uint8_t>(1 + last_id_ % 200)}, 4700, {}}};
    asked.addresses[0].protocol = Protocol::tls_tcp;
    auto body = encode(asked);
    const auto signature = key_.sign(to_be_signed(binding_, body));
    body.insert(body.end(), signature.begin(), signature.end());
    return framed(body);
  }
  std::size_t answer(std::string_view bytes) override { return sns_answer(bytes); }

 private:
  std::string name_;
  KeyPair key_;
  ChannelBinding binding_;
  std::uint64_t last_id_ = 0;
};

class RedisGets final : public Speaker {
 public:
  RedisGets(const Options& options, std::uint64_t seed) : options_(options), random_(seed) {}
  std::string request() override {
    const std::string name = name_of(random_() % options_.keys + 1, options_);
    return "*2\r\n$3\r\nGET\r\n$" + std::to_string(name.size()) + "\r\n" + name + "\r\n";
  }
  std::size_t answer(std::string_view bytes) override {
    const auto line = bytes.find("\r\n");
    if (line == std::string_view::npos) return 0;
    const int size = bytes[0] == '$' ? std::atoi(bytes.data() + 1) : -1;
    if (size < 0) fail("redis answers: " + std::string(bytes.substr(0, line)));
    const std::size_t whole = line + 2 + static_cast<std::size_t>(size) + 2;
    return bytes.size() < whole ? 0 : whole;
  }

 private:
  const Options& options_;
  std::mt19937_64 random_;
};

/// A connection, with or without TLS; everything but its beginning without waiting.
class Connection {
 public:
  Connection(const sockaddr_in& to, SSL_CTX* context) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0)
      fail(std::string("connect: ") + std::strerror(errno));
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (context != nullptr) {
      ssl_.reset(SSL_new(context));
      SSL_set_fd(ssl_.get(), fd_);
      if (SSL_connect(ssl_.get()) != 1) throw_openssl("TLS");
    }
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  void ask() {
    const std::string request = speaker->request();
    asked_at = Clock::now();
    const auto size = static_cast<int>(request.size());
    const auto sent = ssl_ ? SSL_write(ssl_.get(), request.data(), size)
                           : static_cast<int>(::send(fd_, request.data(), request.size(), MSG_NOSIGNAL));
    if (sent != size) fail("a request was not taken at once");
  }
  /// Whether the answer is whole.
  bool take() {
    char chunk[read_chunk_bytes];
    const auto got =
        ssl_ ? SSL_read(ssl_.get(), chunk, sizeof(chunk)) : static_cast<int>(::recv(fd_, chunk, sizeof(chunk), 0));
    if (got <= 0) {
      const bool later = ssl_ ? SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN;
      if (!later) fail("the server has closed a connection");
      return false;
    }
    received_.append(chunk, static_cast<std::size_t>(got));
    const auto size = speaker->answer(received_);
    received_.erase(0, size);
    return size > 0;
  }

  std::unique_ptr<Speaker> speaker;
  Clock::time_point asked_at;

 private:
  int fd_;
  SslPtr ssl_;
  std::string received_;
};

SslCtxPtr make_context(const Options& options) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_read_ahead(context.get(), 1);
  if (options.protocol != "redis") SSL_CTX_set_alpn_protos(context.get(), sns_alpn, sizeof(sns_alpn) - 1);
  return context;
}

/// A new endpoint for each connection that sends updates, by a member that the token makes.
class Members {
 public:
  explicit Members(const Options& options) : options_(options) {
    const auto token = parse_join_token(options.token);
    if (!token) fail("--token is none");
    join(io_, *token, [this](Status status, const Membership& made) {
      if (status != Status::ok) fail("join: " + std::string(describe(status)));
      client_ = std::make_unique<Client>(io_, made);
    });
    while (!client_) io_.run_one();
  }
  std::pair<std::string, KeyPair> make() {
    const std::string name = "bench" + std::to_string(std::random_device{}()) + "@" + options_.domain;
    const KeyPair key = KeyPair::generate();
    bool done = false;
    client_->new_ep(EndpointName::parse(name).value(), key, {1, {}}, {}, [&](Status status, const auto&) {
      if (status != Status::ok) fail("NEW_EP: " + std::string(describe(status)));
      done = true;
    });
    while (!done) io_.run_one();
    return {name, key};
  }

 private:
  const Options& options_;
  boost::asio::io_context io_;
  std::unique_ptr<Client> client_;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void measure(const Options& options) {
  const SslCtxPtr context = make_context(options);
  const bool encrypted = options.tls || options.protocol != "redis";
  std::unique_ptr<Members> members;
  if (options.protocol == "updates") members = std::make_unique<Members>(options);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::size_t i = 0; i < options.connections; ++i) {
    auto connection = std::make_unique<Connection>(address_of(options.to), encrypted ? context.get() : nullptr);
    if (options.protocol == "redis") {
      connection->speaker = std::make_unique<RedisGets>(options, i);
    } else if (members) {
      auto [name, key] = members->make();
      connection->speaker = std::make_unique<Updates>(name, key, channel_binding(connection->ssl()));
    } else {
      connection->speaker = std::make_unique<Lookups>(options, i);
    }
    epoll_event event{EPOLLIN, {.ptr = connection.get()}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connection->fd(), &event);
    connections.push_back(std::move(connection));
  }

  std::vector<std::uint32_t> times_us;
  times_us.reserve(1 << 22);
  const double cpu_before = cpu_seconds();
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  for (const auto& connection : connections) connection->ask();
  auto now = begin;
  while (now < end) {
    epoll_event ready[ready_at_once];
    const int count = ::epoll_wait(poll, ready, ready_at_once, 1000);
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(ready[i].data.ptr);
      if (!connection.take()) continue;
      now = Clock::now();
      times_us.push_back(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now - connection.asked_at).count()));
      connection.ask();
    }
    if (count == 0) now = Clock::now();
  }
  ::close(poll);
  const double seconds = std::chrono::duration<double>(now - begin).count();
  const double cpu = cpu_seconds() - cpu_before;
  if (times_us.empty()) fail("nothing was answered");
  std::ranges::sort(times_us);
  const auto at = [&](double part) {
    return times_us[static_cast<std::size_t>(part * static_cast<double>(times_us.size() - 1))];
  };
  std::printf(
      "{\"requests\": %zu, \"seconds\": %.3f, \"cpu_s\": %.3f, \"median_us\": %u, \"p99_us\": %u, \"worst_us\": %u}\n",
      times_us.size(), seconds, cpu, at(0.5), at(0.99), at(1));
}

}  // namespace
}  // namespace sessionfs::bench

int main(int argc, char** argv) {
  sessionfs::bench::Options options;
  CLI::App app("Asks a name server, or redis, over many connections", "sns_bench");
  app.add_option("protocol", options.protocol)->required()->check(CLI::IsMember({"sns", "updates", "redis"}));
  app.add_option("--to", options.to, "ADDR:PORT")->required();
  app.add_option("--domain", options.domain);
  app.add_option("--token", options.token, "of snsd token, for updates");
  app.add_flag("--tls", options.tls, "redis over TLS; the others always are");
  app.add_option("--connections", options.connections);
  app.add_option("--seconds", options.seconds);
  app.add_option("--keys", options.keys, "names e0000001 to this number are asked for")->check(CLI::Range(1, 9999999));
  CLI11_PARSE(app, argc, argv);
  try {
    std::signal(SIGPIPE, SIG_IGN);
    sessionfs::bench::measure(options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "sns_bench: " << error.what() << "\n";
    return 1;
  }
}
