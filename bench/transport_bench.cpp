// What the encrypted connection costs: two processes and one connection over loopback.
//
//   transport_bench [MIB [SEND_KIB]]      bulk data one way; default 2048 MiB in sends of 256 KiB
//   transport_bench ping [COUNT]          64 bytes there and back; default 50000 times
//
// Prints the speed and the processor time of each side; bench/transport puts socat beside it.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fs/transport/dial.hpp"
#include "fs/transport/listener.hpp"
#include "tests/fs/transport_certificates.hpp"

namespace {

using namespace sessionfs;
using namespace sessionfs::fs;
using Clock = std::chrono::steady_clock;

constexpr double bytes_per_gib = 1024.0 * 1024.0 * 1024.0;

double cpu_seconds(double& system) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return double(time.tv_sec) + double(time.tv_usec) / 1e6; };
  system = seconds(usage.ru_stime);
  return seconds(usage.ru_utime) + system;
}

struct Meter {
  double cpu = 0;
  double system = 0;
  Clock::time_point began = Clock::now();
  Meter() { cpu = cpu_seconds(system); }
  void print(const char* who, double bytes) const {
    double system_now = 0;
    const double cpu_now = cpu_seconds(system_now);
    const double wall = std::chrono::duration<double>(Clock::now() - began).count();
    const double gib = bytes / bytes_per_gib;
    std::printf("%-8s %8.0f MiB/s   %.3f CPU s/GiB (%.3f user, %.3f system)\n", who, gib * 1024 / wall,
                (cpu_now - cpu) / gib, (cpu_now - cpu - (system_now - system)) / gib, (system_now - system) / gib);
  }
};

class Sender final : public ConnectionHandler {
 public:
  Sender(std::size_t total, std::size_t piece) : left_(total), total_(total), piece_(piece) {
    for (auto& byte : piece_) byte = std::byte(std::rand());
  }
  std::shared_ptr<SecureConnection> connection;

  void on_ready(const EndpointName&) override {
    meter_ = Meter();
    pump();
  }
  void on_input(std::span<const std::byte>) override {}
  void on_drained() override { pump(); }
  void on_closed(CloseReason reason, std::string why) override {
    meter_.print("sender", double(total_));
    if (reason != CloseReason::local) std::printf("closed: %s\n", why.c_str());
    connection.reset();
  }

 private:
  void pump() {
    while (left_ > 0 && connection->takes_more()) {
      const std::size_t size = std::min(left_, piece_.size());
      connection->send(std::span(piece_).first(size));
      left_ -= size;
    }
    if (left_ == 0) connection->close_after_flush();
  }
  std::size_t left_;
  std::size_t total_;
  std::vector<std::byte> piece_;
  Meter meter_;
};

class Receiver final : public ConnectionHandler {
 public:
  std::shared_ptr<SecureConnection> connection;
  void on_ready(const EndpointName&) override {}
  void on_input(std::span<const std::byte> bytes) override {
    if (received_ == 0) meter_ = Meter();
    received_ += bytes.size();
    ++calls_;
  }
  void on_drained() override {}
  void on_closed(CloseReason, std::string) override {
    meter_.print("receiver", double(received_));
    std::printf("         %.0f KiB a call of on_input()\n", double(received_) / 1024 / double(calls_));
    connection.reset();
  }

 private:
  std::size_t received_ = 0;
  std::size_t calls_ = 0;
  Meter meter_;
};

/// Sends back what comes.
class Echo final : public ConnectionHandler {
 public:
  std::shared_ptr<SecureConnection> connection;
  void on_ready(const EndpointName&) override {}
  void on_input(std::span<const std::byte> bytes) override { connection->send(bytes); }
  void on_drained() override {}
  void on_closed(CloseReason, std::string) override { connection.reset(); }
};

class Pinger final : public ConnectionHandler {
 public:
  explicit Pinger(std::size_t count) : left_(count), count_(count) {}
  std::shared_ptr<SecureConnection> connection;

  void on_ready(const EndpointName&) override {
    began_ = Clock::now();
    connection->send(ping_);
  }
  void on_input(std::span<const std::byte> bytes) override {
    received_ += bytes.size();
    if (received_ < ping_.size()) return;
    received_ = 0;
    if (--left_ > 0) {
      connection->send(ping_);
      return;
    }
    const double wall = std::chrono::duration<double>(Clock::now() - began_).count();
    double system = 0;
    std::printf("ping     %8.0f round trips/s   %.1f CPU us each on this side\n", double(count_) / wall,
                cpu_seconds(system) * 1e6 / double(count_));
    connection->close_after_flush();
  }
  void on_drained() override {}
  void on_closed(CloseReason, std::string) override { connection.reset(); }

 private:
  std::array<std::byte, 64> ping_{};
  std::size_t received_ = 0;
  std::size_t left_;
  std::size_t count_;
  Clock::time_point began_;
};

/// Serves one connection, and tells its port by `port_pipe`.
template <class Handler>
void serve(const TlsIdentity& identity, Handler& handler, int port_pipe) {
  asio::io_context io(1);
  std::unique_ptr<Listener> listener;
  listener = std::make_unique<Listener>(
      io, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0), Listener::WhenTaken::fail,
      [&](std::string_view) { return &identity; },
      [&](std::shared_ptr<SecureConnection> connection) {
        connection->set_handler(&handler);
        handler.connection = std::move(connection);
        asio::post(io, [&] { listener.reset(); });
      });
  const std::uint16_t port = listener->port();
  if (write(port_pipe, &port, sizeof(port)) != sizeof(port)) std::exit(1);
  io.run();
}

template <class Here, class There>
int run(Here& here, There& there) {
  const TestKey authority = make_authority("benchmark");
  const TlsIdentity our_identity = make_identity(authority, "a@bench");
  const TlsIdentity their_identity = make_identity(authority, "b@bench");
  int pipes[2];
  if (pipe(pipes) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    serve(their_identity, there, pipes[1]);
    std::fflush(stdout);
    _exit(0);
  }
  std::uint16_t port = 0;
  if (read(pipes[0], &port, sizeof(port)) != sizeof(port)) return 1;
  asio::io_context io(1);
  here.connection = dial(io, our_identity, their_identity.name(),
                         {asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port)}, &here);
  io.run();
  std::fflush(stdout);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "ping") {
    Pinger pinger(argc > 2 ? std::stoul(argv[2]) : 50'000);
    Echo echo;
    return run(pinger, echo);
  }
  const std::size_t mib = argc > 1 ? std::stoul(argv[1]) : 2048;
  const std::size_t send_kib = argc > 2 ? std::stoul(argv[2]) : 256;
  Sender sender(mib * 1024 * 1024, send_kib * 1024);
  Receiver receiver;
  return run(sender, receiver);
}
