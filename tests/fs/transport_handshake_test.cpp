// Who may connect, who may not, and what comes from strangers.
#include <random>

#include "tests/fs/transport_fixture.hpp"
#include "tests/fs/transport_raw_peer.hpp"

namespace sessionfs::fs {
namespace {

class HandshakeWith : public TransportTest {
 protected:
  const TlsIdentity* find_identity(std::string_view sni) override {
    last_sni = sni;
    return found != nullptr ? found : TransportTest::find_identity(sni);
  }
  /// Dials bob and waits for the end.
  void dial_and_fail(const TlsIdentity& identity) {
    dial_out(identity, bob.name(), {address()});
    ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
    EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 0; }));
    EXPECT_TRUE(incoming.empty());
  }
  /// Anybody else can still connect.
  void expect_service() {
    out.drop();
    connect();
  }
  TlsIdentity identity_of(const TestCertificate& what) {
    const TestKey key = make_certificate(authority, what);
    return TlsIdentity(key.certificate.get(), key.key.get(), {authority.certificate.get()});
  }

  const TlsIdentity* found = nullptr;  // in place of the right one
  std::string last_sni;
  std::atomic<std::size_t> last_input_size = 0;
};

TEST_F(HandshakeWith, TheNameIsNotOnTheWireInClear) {
  connect();
  EXPECT_EQ(last_sni, sni_of(bob.name()));
  EXPECT_EQ(last_sni.size(), 32 + std::string(".sessionfs.invalid").size());
  EXPECT_EQ(last_sni.find("bob"), std::string::npos);
  // echo -n bob@verkstad.net | sha256sum
  EXPECT_TRUE(last_sni.ends_with(".sessionfs.invalid"));
  EXPECT_NE(sni_of(alice.name()), sni_of(bob.name()));
}

TEST_F(HandshakeWith, AnAuthorityThatTheDiallerDoesNotKnow) {
  const TlsIdentity other = make_identity(authority, "alice@verkstad.net", stranger);
  dial_and_fail(other);
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
  EXPECT_FALSE(out.ready);
  expect_service();
}

TEST_F(HandshakeWith, AnAuthorityThatTheListenerDoesNotKnow) {
  const TlsIdentity other = make_identity(stranger, "alice@verkstad.net", authority);
  dial_and_fail(other);
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
  expect_service();
}

TEST_F(HandshakeWith, ACertificateForAnotherNameThanTheOneDialled) {
  const TlsIdentity mallory = make_identity(authority, "mallory@verkstad.net");
  found = &mallory;
  dial_and_fail(alice);
  EXPECT_EQ(out.reason, CloseReason::untrusted);
  EXPECT_NE(out.why.find("mallory@verkstad.net"), std::string::npos) << out.why;
  EXPECT_FALSE(out.ready);
}

TEST_F(HandshakeWith, AnEndpointThatIsNotHere) {
  dial_out(alice, endpoint_name("carol@verkstad.net"), {address()});
  ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::not_here) << out.why;
  EXPECT_FALSE(out.ready);
  EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 0; }));
  expect_service();
}

TEST_F(HandshakeWith, ACertificateThatIsOver) {
  dial_and_fail(identity_of({.emails = {"alice@verkstad.net"}, .valid_from_s = -3600, .valid_until_s = -60}));
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
}

TEST_F(HandshakeWith, NameConstraintsAreObeyed) {
  const TestKey limited = make_authority("limited", "critical,permitted;email:verkstad.net");
  const TestKey good = make_certificate(limited, {.emails = {"bob@verkstad.net"}});
  const TestKey bad = make_certificate(limited, {.emails = {"bob@example.com"}});
  const TlsIdentity good_bob(good.certificate.get(), good.key.get(), {authority.certificate.get()});
  const TlsIdentity bad_bob(bad.certificate.get(), bad.key.get(), {authority.certificate.get()});
  const TlsIdentity trusting = make_identity(authority, "alice@verkstad.net", limited);
  found = &bad_bob;
  dial_out(trusting, bad_bob.name(), {address()});
  ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
  out.drop();
  found = &good_bob;
  dial_out(trusting, good_bob.name(), {address()});
  EXPECT_TRUE(run_until([this] { return out.ready; })) << out.why;
}

TEST_F(HandshakeWith, IdentitiesNeedOneValidName) {
  const auto name_in = [this](std::vector<std::string> emails) {
    const TestKey key = make_certificate(authority, {.emails = std::move(emails)});
    return certified_name(key.certificate.get()).str();
  };
  EXPECT_EQ(name_in({"alice@verkstad.net"}), "alice@verkstad.net");
  EXPECT_EQ(name_in({"Alice@Verkstad.net"}), "alice@verkstad.net");
  EXPECT_EQ(name_in({}), "");
  EXPECT_EQ(name_in({"alice@verkstad.net", "bob@verkstad.net"}), "");
  EXPECT_EQ(name_in({"no name"}), "");
  EXPECT_THROW(identity_of({}), std::runtime_error);

  const TestKey one = make_certificate(authority, {.emails = {"one@verkstad.net"}});
  const TestKey two = make_certificate(authority, {.emails = {"two@verkstad.net"}});
  EXPECT_THROW(TlsIdentity(one.certificate.get(), two.key.get(), std::vector<X509*>{}), std::runtime_error);
}

// --- strangers ----------------------------------------------------------------------------------------------------

TEST_F(HandshakeWith, PlainHttpCostsItsConnectionOnly) {
  const RawSocket http(listener->port());
  http.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(run_until([&] { return http.is_closed(); }));
  EXPECT_TRUE(incoming.empty());
  expect_service();
}

TEST_F(HandshakeWith, RandomBytesCostTheirConnectionOnly) {
  std::mt19937 random(4711);
  for (int round = 0; round < 30; ++round) {
    const RawSocket noise(listener->port());
    std::string bytes(1 + random() % 8192, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (round % 3 == 0) bytes.replace(0, std::min<std::size_t>(bytes.size(), 3), "\x16\x03\x01", 3);
    noise.write(bytes);
    ::shutdown(noise.descriptor(), SHUT_WR);
    EXPECT_TRUE(run_until([&] { return noise.is_closed(); }));
  }
  EXPECT_TRUE(incoming.empty());
  expect_service();
}

TEST_F(HandshakeWith, AMillionBytesOfOneNameCostTheirConnectionOnly) {
  const RawSocket noise(listener->port());
  std::string hello("\x16\x03\x01\x40\x00\x01\x0f\xff\xff", 9);
  hello += std::string(200'000, 'a');
  noise.write(hello);
  EXPECT_TRUE(run_until([&] { return noise.is_closed(); }));
  expect_service();
}

TEST_F(HandshakeWith, HalfAHandshakeIsGivenUp) {
  const RawSocket silent(listener->port());
  const RawSocket half(listener->port());
  half.write(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 2; }));
  connect();  // in the meantime
  EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 0; }));
  EXPECT_TRUE(run_until([&] { return silent.is_closed() && half.is_closed(); }));
}

TEST_F(HandshakeWith, ADiallerGivesUpASilentListener) {
  asio::ip::tcp::acceptor silent(io, {asio::ip::address_v4::loopback(), 0});
  dial_out(alice, bob.name(), {silent.local_endpoint()});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::handshake_timeout) << out.why;
}

TEST_F(HandshakeWith, OfTooManyStrangersTheOldestIsDropped) {
  std::vector<std::unique_ptr<RawSocket>> strangers;
  for (std::size_t i = 0; i <= max_unproven_connections; ++i) {
    strangers.push_back(std::make_unique<RawSocket>(listener->port()));
    while (io.poll_one() > 0) {
    }
  }
  EXPECT_TRUE(run_until([&] { return strangers.front()->is_closed(); }));
  EXPECT_EQ(listener->unproven_count(), max_unproven_connections);
  EXPECT_FALSE(strangers.back()->is_closed());
  expect_service();
}

TEST_F(HandshakeWith, NoCertificate) {
  const RawSocket socket(listener->port());
  const Beside client([&] {
    const StockTls tls(socket, nullptr, authority, true);
    SSL_set_tlsext_host_name(tls.ssl(), bob.sni().c_str());
    SSL_connect(tls.ssl());
    EXPECT_EQ(tls.read(1), "");
    EXPECT_EQ(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED);
  });
  EXPECT_TRUE(run_until([&] { return client.done(); }));
  EXPECT_TRUE(incoming.empty());
}

TEST_F(HandshakeWith, NoNameAskedForAndNoProtocolOrAnotherOne) {
  const TestKey key = make_certificate(authority, {.emails = {"alice@verkstad.net"}});
  for (const bool with_name : {false, true}) {
    for (const char* alpn : {"", "h2"}) {
      const RawSocket socket(listener->port());
      const Beside client([&] {
        StockTls tls(socket, &key, authority, true);
        if (*alpn != '\0') tls.offer(alpn);
        if (with_name) SSL_set_tlsext_host_name(tls.ssl(), bob.sni().c_str());
        SSL_connect(tls.ssl());
        EXPECT_EQ(tls.read(1), "");
      });
      EXPECT_TRUE(run_until([&] { return client.done(); }));
    }
  }
  EXPECT_TRUE(incoming.empty());
}

TEST_F(HandshakeWith, AnOlderTls) {
  const TestKey key = make_certificate(authority, {.emails = {"alice@verkstad.net"}});
  const RawSocket socket(listener->port());
  const Beside client([&] {
    const StockTls tls(socket, &key, authority, true);
    SSL_set_max_proto_version(tls.ssl(), TLS1_2_VERSION);
    EXPECT_NE(SSL_connect(tls.ssl()), 1);
  });
  EXPECT_TRUE(run_until([&] { return client.done(); }));
  EXPECT_TRUE(incoming.empty());
}

// --- what we seal is TLS 1.3: OpenSSL as it comes understands it, in both roles, key updates included ---------------

TEST_F(HandshakeWith, OpenSslAsAClient) {
  const TestKey key = make_certificate(authority, {.emails = {"alice@verkstad.net"}});
  const RawSocket socket(listener->port());
  const std::string much(300'000, 'm');
  when_incoming = [](Recorder& recorder) {
    recorder.when_input = [&recorder](auto bytes) {
      if (recorder.connection->is_open()) recorder.connection->send(bytes);  // an echo
    };
  };
  for (const char* suite : {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    const RawSocket each(listener->port());
    const Beside client([&] {
      StockTls tls(each, &key, authority, true);
      tls.offer(alpn_protocol);
      SSL_set_tlsext_host_name(tls.ssl(), bob.sni().c_str());
      SSL_set_ciphersuites(tls.ssl(), suite);
      ASSERT_EQ(SSL_connect(tls.ssl()), 1);
      for (const int update : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
        EXPECT_TRUE(tls.write("ping"));
        EXPECT_EQ(tls.read(4), "ping");
        EXPECT_EQ(SSL_key_update(tls.ssl(), update), 1);
        EXPECT_TRUE(tls.write(much));
        EXPECT_EQ(tls.read(much.size()), much);
      }
      SSL_shutdown(tls.ssl());
    });
    EXPECT_TRUE(run_until([&] { return client.done(); }));
    EXPECT_TRUE(run_until([&] { return incoming.back()->closed > 0; }));
    EXPECT_EQ(incoming.back()->reason, CloseReason::eof) << incoming.back()->why;
  }
}

TEST_F(HandshakeWith, OpenSslAsAServer) {
  const TestKey key = make_certificate(authority, {.emails = {"bob@verkstad.net"}});
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  dial_out(alice, bob.name(), {acceptor.local_endpoint()});
  const Beside server([&] {
    const RawSocket socket(::accept(acceptor.native_handle(), nullptr, nullptr), true);
    const StockTls tls(socket, &key, authority, false);
    ASSERT_EQ(SSL_accept(tls.ssl()), 1);
    EXPECT_EQ(SSL_get_servername(tls.ssl(), TLSEXT_NAMETYPE_host_name), sni_of(bob.name()));
    EXPECT_EQ(tls.read(5), "hello");
    EXPECT_TRUE(tls.write("hello yourself"));
    EXPECT_EQ(tls.read(1), "");
    EXPECT_NE(SSL_get_shutdown(tls.ssl()) & SSL_RECEIVED_SHUTDOWN, 0) << "no close_notify";
  });
  ASSERT_TRUE(run_until([this] { return out.ready; })) << out.why;
  out.connection->send(bytes_of("hello"));
  EXPECT_TRUE(run_until([this] { return out.input == "hello yourself"; })) << out.why;
  out.connection->close_after_flush();
  EXPECT_TRUE(run_until([&] { return server.done() && out.closed > 0; }));
}

// Nothing is ever resumed, so there is no use for tickets, or for any other message of a handshake that is over.
TEST_F(HandshakeWith, ASessionTicketIsRefused) {
  const TestKey key = make_certificate(authority, {.emails = {"bob@verkstad.net"}});
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  dial_out(alice, bob.name(), {acceptor.local_endpoint()});
  const Beside server([&] {
    const RawSocket socket(::accept(acceptor.native_handle(), nullptr, nullptr), true);
    const StockTls tls(socket, &key, authority, false);
    SSL_set_num_tickets(tls.ssl(), 1);
    SSL_set_session_id_context(tls.ssl(), reinterpret_cast<const unsigned char*>("test"), 4);
    ASSERT_EQ(SSL_accept(tls.ssl()), 1);
    EXPECT_EQ(tls.read(1), "");
  });
  EXPECT_TRUE(run_until([&] { return server.done() && out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::protocol) << out.why;
}

TEST_F(HandshakeWith, AReset) {
  const TestKey key = make_certificate(authority, {.emails = {"alice@verkstad.net"}});
  RawSocket socket(listener->port());
  const Beside client([&] {
    StockTls tls(socket, &key, authority, true);
    tls.offer(alpn_protocol);
    SSL_set_tlsext_host_name(tls.ssl(), bob.sni().c_str());
    ASSERT_EQ(SSL_connect(tls.ssl()), 1);
    EXPECT_TRUE(tls.write("last words"));
    while (last_input_size < 10) std::this_thread::yield();
    socket.reset();
  });
  when_incoming = [this](Recorder& recorder) {
    recorder.when_input = [this](auto bytes) { last_input_size += bytes.size(); };
  };
  EXPECT_TRUE(run_until([&] { return client.done() && incoming.size() == 1 && incoming[0]->closed > 0; }));
  EXPECT_EQ(incoming[0]->reason, CloseReason::reset) << incoming[0]->why;
}

// Bytes that are no records, sent by somebody who has taken the place of a proven peer on the wire.
TEST_F(HandshakeWith, AnAlteredStreamIsNoticed) {
  const TestKey key = make_certificate(authority, {.emails = {"alice@verkstad.net"}});
  for (const std::string& bytes :
       {std::string("not a record"), std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'),
        std::string("\x17\x03\x03\xff\xff", 5)}) {
    const std::size_t before = incoming.size();
    const RawSocket socket(listener->port());
    const Beside client([&] {
      StockTls tls(socket, &key, authority, true);
      tls.offer(alpn_protocol);
      SSL_set_tlsext_host_name(tls.ssl(), bob.sni().c_str());
      ASSERT_EQ(SSL_connect(tls.ssl()), 1);
      EXPECT_TRUE(tls.write("genuine"));
      socket.write(bytes);
    });
    EXPECT_TRUE(run_until([&] { return client.done() && incoming.size() > before && incoming.back()->closed > 0; }));
    EXPECT_EQ(incoming.back()->reason, CloseReason::protocol) << incoming.back()->why;
    EXPECT_EQ(incoming.back()->input, "genuine");
  }
}

}  // namespace
}  // namespace sessionfs::fs
