// A client's calls over a transport that does what a test says.
#pragma once

#include <boost/asio/post.hpp>
#include <map>

#include "sns/calls.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {

struct Script {
  int opened = 0;
  Status open_status = Status::ok;
  bool opens = true;
  std::vector<Request> received;
  Transport::Handlers handlers;
};

class ScriptedTransport : public Transport {
 public:
  ScriptedTransport(asio::io_context& io, Script& script) : io_(io), script_(script) {}
  void open(Handlers handlers) override {
    ++script_.opened;
    script_.handlers = std::move(handlers);
    if (script_.opens) asio::post(io_, [this] { script_.handlers.opened({script_.open_status, {}, {}}); });
  }
  void send(std::span<const std::byte> body) override { script_.received.push_back(decode_request(body).request); }
  void close() override {}

 private:
  asio::io_context& io_;
  Script& script_;
};

class CallsTest : public ::testing::Test {
 public:
  ~CallsTest() override {
    if (calls_) calls_->close();
  }

 protected:
  void start(std::chrono::milliseconds timeout) {
    calls_ = std::make_shared<Calls>(io_, std::make_unique<ScriptedTransport>(io_, script_), timeout);
  }
  void get(int number) {
    Request request;
    request.operation = Operation::get_ep;
    request.name = std::to_string(number);
    calls_->call(request, {}, [this, number](const Reply& reply) { ended_[number] = reply.status; });
  }
  void reply(std::uint64_t id, Status status) {
    Reply reply;
    reply.id = id;
    reply.operation = static_cast<std::uint8_t>(Operation::get_ep);
    reply.status = status;
    script_.handlers.received(encode(reply));
  }
  bool wait_received(std::size_t count) {
    return run_until(io_, [&] { return script_.received.size() >= count; });
  }

  asio::io_context io_;
  Script script_;
  std::shared_ptr<Calls> calls_;
  std::map<int, Status> ended_;
};

}  // namespace sessionfs::sns
