// Peers that are not ours: plain sockets, and OpenSSL as it comes, on a thread of their own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "fs/transport/identity.hpp"
#include "tests/fs/transport_certificates.hpp"

namespace sessionfs::fs {

/// A blocking TCP socket to 127.0.0.1.
class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  explicit RawSocket(int accepted, bool) : socket_(accepted) {}
  ~RawSocket() {
    if (socket_ >= 0) ::close(socket_);
  }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  [[nodiscard]] int descriptor() const { return socket_; }
  void write(std::string_view bytes) const {
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  /// Whether the other side has closed; what it has sent until then is dropped. Does not wait.
  [[nodiscard]] bool is_closed() const {
    char dropped[4096];
    while (true) {
      const ssize_t count = ::recv(socket_, dropped, sizeof(dropped), MSG_DONTWAIT);
      if (count > 0) continue;
      return count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
  }
  /// Closes with a RST.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
};

/// OpenSSL's own client or server, with or without a certificate.
class StockTls {
 public:
  StockTls(const RawSocket& socket, const TestKey* key, const TestKey& authority, bool dials) {
    context_.reset(SSL_CTX_new(dials ? TLS_client_method() : TLS_server_method()));
    SSL_CTX_set_num_tickets(context_.get(), 0);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), authority.certificate.get());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    if (key != nullptr) {
      EXPECT_EQ(SSL_CTX_use_certificate(context_.get(), key->certificate.get()), 1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey(context_.get(), key->key.get()), 1);
    }
    SSL_CTX_set_alpn_select_cb(
        context_.get(),
        [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned, void*) {
          *out = in + 1;
          *size = *in;
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket.descriptor());
  }

  void offer(const std::string& alpn) {
    const std::string wire = static_cast<char>(alpn.size()) + alpn;
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  bool write(std::string_view text) const {
    return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
  }
  /// As many bytes as asked for, or fewer when the connection ends.
  std::string read(std::size_t count) const {
    std::string text(count, '\0');
    std::size_t have = 0;
    while (have < count) {
      const int got = SSL_read(ssl_.get(), text.data() + have, static_cast<int>(count - have));
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    text.resize(have);
    return text;
  }

 private:
  SslCtxPtr context_;
  SslPtr ssl_;
};

/// Runs something that blocks beside the loop.
class Beside {
 public:
  explicit Beside(std::function<void()> what)
      : thread_([this, what = std::move(what)] {
          what();
          done_ = true;
        }) {}
  ~Beside() { thread_.join(); }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  [[nodiscard]] bool done() const { return done_; }

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace sessionfs::fs
