// What the tests of sns/ share.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "engine/name.hpp"
#include "sns/client.hpp"
#include "sns/responder.hpp"
#include "sns/types.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {

/// By this name GoogleTest finds how to show a status.
inline void PrintTo(Status status, std::ostream* out) {  // NOLINT(readability-identifier-naming)
  *out << static_cast<int>(status) << " (" << describe(status) << ")";
}

inline constexpr std::chrono::seconds test_limit{60};
inline constexpr UnixTime test_time{std::chrono::seconds(1'800'000'000)};

inline UnixTime real_time() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

inline EndpointName endpoint(std::string_view text) { return EndpointName::parse(text).value(); }
inline ServiceName service(std::string_view text) { return ServiceName::parse(text).value(); }

inline Address v4(std::uint8_t last, std::uint16_t port) {
  return {Family::v4, {10, 0, 0, last}, port, Protocol::tls_tcp};
}
inline Address v6(std::uint8_t last, std::uint16_t port) {
  Address address{Family::v6, {0x20, 0x01, 0x0d, 0xb8}, port, Protocol::tls_tcp};
  address.ip[15] = last;
  return address;
}

/// A residence whose mark is all `mark`.
inline Residence at(std::uint64_t generation, std::uint8_t mark = 1) {
  Residence residence{generation, {}};
  residence.mark.fill(std::byte{mark});
  return residence;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sns-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs the loop until `ready()` or the limit, which fails the test.
template <class Ready>
bool run_until(asio::io_context& io, Ready ready) {
  const auto limit = std::chrono::steady_clock::now() + test_limit;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > limit) {
      ADD_FAILURE() << "waited in vain";
      return false;
    }
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

/// A client's calls, made to look synchronous.
class Asker {
 public:
  Asker(asio::io_context& io, Client& client) : io_(io), client_(client) {}

  Status new_ep(const EndpointName& name, const KeyPair& key, const Residence& residence = at(1),
                std::vector<Address> addresses = {v4(1, 4700)}) {
    return wait([&](auto done) {
      client_.new_ep(name, key, residence, std::move(addresses), [this, done](Status status, const auto& made) {
        registered = made;
        done(status);
      });
    });
  }
  Status change_ep(const EndpointName& name, const KeyPair& key, const Residence& residence,
                   std::vector<Address> addresses, bool certify = false) {
    return wait([&](auto done) {
      client_.change_ep(name, key, residence, std::move(addresses), certify,
                        [this, done](Status status, const auto& made) {
                          registered = made;
                          done(status);
                        });
    });
  }
  Status del_ep(const EndpointName& name, const KeyPair& key, const Residence& residence = at(1)) {
    return wait([&](auto done) { client_.del_ep(name, key, residence, done); });
  }
  Status get_ep(const EndpointName& name) {
    return wait([&](auto done) {
      client_.get_ep(name, [this, done](Status status, const EndpointInfo& found) {
        info = found;
        done(status);
      });
    });
  }
  Status new_service(const ServiceName& name, const KeyPair& key, const Residence& residence = at(1),
                     std::uint16_t port = 0) {
    return wait([&](auto done) { client_.new_service(name, key, residence, done, port); });
  }
  Status change_service(const ServiceName& name, const KeyPair& key, std::uint16_t port,
                        const Residence& residence = at(1)) {
    return wait([&](auto done) { client_.change_service(name, key, residence, port, done); });
  }
  Status del_service(const ServiceName& name, const KeyPair& key, const Residence& residence = at(1)) {
    return wait([&](auto done) { client_.del_service(name, key, residence, done); });
  }
  Status get_service(const ServiceName& name) {
    return wait([&](auto done) {
      client_.get_service(name, [this, done](Status status, const EndpointInfo& found) {
        info = found;
        done(status);
      });
    });
  }

  Client::Registered registered;
  EndpointInfo info;

 private:
  template <class Start>
  Status wait(Start start) {
    std::optional<Status> result;
    bool inside = true;
    start([&](Status status) {
      EXPECT_FALSE(inside) << "a callback came from inside the call";
      EXPECT_FALSE(result) << "a callback came twice";
      result = status;
    });
    inside = false;
    if (!run_until(io_, [&] { return result.has_value(); })) std::abort();  // the callback refers to this frame
    return *result;
  }
  asio::io_context& io_;
  Client& client_;
};

}  // namespace sessionfs::sns
