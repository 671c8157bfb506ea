// TCP connections to the addresses of one peer, the next started before the last has failed (RFC 8305, section 5).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>

namespace sessionfs::fs {

namespace asio = boost::asio;

/// Where to, and by which of our interfaces; empty: as the system's routes say.
struct Way {
  Way(asio::ip::tcp::endpoint to, std::string by = {})  // NOLINT(google-explicit-constructor): an address is a way
      : address(std::move(to)), interface(std::move(by)) {}

  asio::ip::tcp::endpoint address;
  std::string interface;
};

class AddressRace : public std::enable_shared_from_this<AddressRace> {
 public:
  using Tcp = asio::ip::tcp;
  /// A connected socket; or, when no way is left, the last error and whom it was about.
  using Done = std::function<void(boost::system::error_code, const Tcp::endpoint&, Tcp::socket)>;

  AddressRace(asio::io_context& io, std::deque<Way> ways);

  /// Looks for the next connection among the ways that have not failed or won yet. `done` comes once, from the
  /// loop, unless cancel() comes before. Not to be called again before.
  void next(Done done);
  void cancel();

 private:
  struct Attempt {
    Tcp::socket socket;
    Way way;
    asio::steady_timer limit;
    bool timed_out = false;
    bool over = false;
  };

  void start_one();
  void handle_outcome(const std::shared_ptr<Attempt>& attempt, boost::system::error_code error);
  void finish(boost::system::error_code error, const Tcp::endpoint& address, Tcp::socket socket);
  /// Those that are still running are tried again by another next().
  void stop_running();

  asio::io_context& io_;
  std::deque<Way> waiting_;
  std::list<std::shared_ptr<Attempt>> running_;
  asio::steady_timer stagger_;
  Done done_;
  boost::system::error_code last_error_ = asio::error::host_unreachable;
  Tcp::endpoint last_address_;
};

}  // namespace sessionfs::fs
