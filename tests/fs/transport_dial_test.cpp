// Dialling: several addresses, some of which do not answer.
#include "tests/fs/transport_fixture.hpp"
#include "tests/fs/transport_raw_peer.hpp"

namespace sessionfs::fs {
namespace {

class Dial : public TransportTest {
 protected:
  using Acceptor = asio::ip::tcp::acceptor;
  /// A port at which nobody listens.
  Tcp::endpoint refusing() {
    const Acceptor gone(io, {asio::ip::address_v4::loopback(), 0});
    return gone.local_endpoint();
  }
  /// A port whose backlog is full: the kernel drops what comes, as a dead host would.
  Tcp::endpoint silent() {
    full_.open(Tcp::v4());
    full_.bind({asio::ip::address_v4::loopback(), 0});
    full_.listen(0);
    for (int i = 0; i < 8; ++i) {
      waiting_.emplace_back(io);
      waiting_.back().async_connect(full_.local_endpoint(), [](boost::system::error_code) {});
    }
    return full_.local_endpoint();
  }

 private:
  Acceptor full_{io};
  std::vector<Tcp::socket> waiting_;
};

TEST_F(Dial, RefusedIsANetworkError) {
  dial_out(alice, bob.name(), {refusing()});
  EXPECT_EQ(out.closed, 0U) << "told from inside the call";
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::network_error);
  EXPECT_NE(out.why.find("127.0.0.1:"), std::string::npos) << out.why;
}

TEST_F(Dial, WithoutAnAddressThereIsNoWay) {
  dial_out(alice, bob.name(), {});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::network_error);
}

TEST_F(Dial, TheNextAddressIsTriedWhenOneRefuses) {
  dial_out(alice, bob.name(), {refusing(), refusing(), address()});
  EXPECT_TRUE(run_until([this] { return out.ready; })) << out.why;
  EXPECT_EQ(out.connection->remote_endpoint(), address());
}

TEST_F(Dial, TheNextAddressIsTriedWhenOneIsSilent) {
  dial_out(alice, bob.name(), {silent(), address()});
  EXPECT_TRUE(run_until([this] { return out.ready; })) << out.why;
  EXPECT_EQ(out.connection->remote_endpoint(), address());
}

TEST_F(Dial, SilenceIsATimeout) {
  dial_out(alice, bob.name(), {silent()});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::handshake_timeout) << out.why;
}

TEST_F(Dial, TheNextAddressIsTriedWhenTheEndpointIsNotThere) {
  Listener wrong(
      io, {asio::ip::address_v4::loopback(), 0}, Listener::WhenTaken::fail,
      [](std::string_view) -> const TlsIdentity* { return nullptr; }, [](const std::shared_ptr<SecureConnection>&) {});
  const Tcp::endpoint wrong_address(asio::ip::address_v4::loopback(), wrong.port());
  dial_out(alice, bob.name(), {wrong_address, address()});
  EXPECT_TRUE(run_until([this] { return out.ready; })) << out.why;

  out.drop();
  dial_out(alice, bob.name(), {wrong_address, refusing()});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::not_here) << out.why;
}

TEST_F(Dial, AbortCancelsEverything) {
  dial_out(alice, bob.name(), {silent(), refusing()});
  run_until([this] { return io.poll_one() == 0; });
  out.connection->abort();
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::local);

  out.drop();
  dial_out(alice, bob.name(), {address()});
  out.connection->close_after_flush();  // nothing to flush yet
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::local);
  EXPECT_FALSE(out.ready);
}

TEST_F(Dial, AbortDuringTheHandshake) {
  const Acceptor mute(io, {asio::ip::address_v4::loopback(), 0});
  dial_out(alice, bob.name(), {mute.local_endpoint()});
  EXPECT_TRUE(run_until([this] { return out.connection->remote_endpoint().port() != 0; }));
  out.connection->abort();
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::local);
}

TEST_F(Dial, ByAGivenInterface) {
  dial_out(alice, bob.name(), {{address(), "none-such"}, {address(), "lo"}});
  EXPECT_TRUE(run_until([this] { return out.ready && !incoming.empty(); })) << out.why;

  out.drop();
  dial_out(alice, bob.name(), {{address(), "none-such"}});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::network_error) << out.why;
}

TEST_F(Dial, ToOneself) {
  dial_out(bob, bob.name(), {address()});
  EXPECT_TRUE(run_until([this] { return out.ready && !incoming.empty(); })) << out.why;
  EXPECT_EQ(in().peer, bob.name());
}

}  // namespace
}  // namespace sessionfs::fs
