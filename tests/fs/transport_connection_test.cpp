// Connections that stand: data, backpressure, closing.
#include <deque>
#include <random>

#include "fs/config.hpp"
#include "tests/fs/transport_fixture.hpp"

namespace sessionfs::fs {
namespace {

using Connection = TransportTest;

static_assert(open_user_timeout_ms >= max_duration, "a configured limit of silence would have no effect");

TEST_F(Connection, ProvesBothNames) {
  connect();
  EXPECT_EQ(out.peer, bob.name());
  EXPECT_EQ(out.connection->peer(), bob.name());
  EXPECT_EQ(out.connection->local_name(), alice.name());
  EXPECT_EQ(in().peer, alice.name());
  EXPECT_EQ(in().connection->local_name(), bob.name());
  EXPECT_EQ(out.connection->remote_endpoint(), address());
  EXPECT_EQ(out.connection->local_endpoint(), in().connection->remote_endpoint());
  EXPECT_FALSE(in().ready) << "an incoming connection is ready when it is handed over";
  EXPECT_EQ(listener->unproven_count(), 0U);
}

TEST_F(Connection, CarriesBytesBothWays) {
  connect();
  out.connection->send(bytes_of("hello, "));
  out.connection->send(bytes_of("b"), {bytes_of("o"), bytes_of("b")});
  in().connection->send(bytes_of("hello, alice"));
  EXPECT_TRUE(run_until([this] { return in().input == "hello, bob" && out.input == "hello, alice"; }));
  EXPECT_EQ(out.connection->queued_bytes(), 0U);
}

TEST_F(Connection, TheDiallersFirstBytesMayComeWithItsHandshake) {
  out.when_ready = [this] { out.connection->send(bytes_of("early")); };
  connect();
  EXPECT_TRUE(run_until([this] { return in().input == "early"; }));
}

TEST_F(Connection, EmptySendsDoNothing) {
  connect();
  out.connection->send({});
  out.connection->send({}, {});
  EXPECT_EQ(out.connection->queued_bytes(), 0U);
  out.connection->send(bytes_of("x"));
  EXPECT_TRUE(run_until([this] { return in().input == "x"; }));
}

// One direction of a large transfer: what is sent is a function of its offset, so that every byte can be checked.
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : sends_(seed), expects_(seed), sizes_(seed) {}

  // Sends as an owner should: until the connection has enough.
  void pump(SecureConnection& connection) {
    while (left_ > 0 && connection.takes_more()) {
      const std::size_t size = std::min<std::size_t>(left_, next_size());
      const std::size_t header = std::min<std::size_t>(size, sizes_() % 40);
      const std::size_t first = (size - header) / (1 + sizes_() % 3);
      std::vector<std::byte> bytes(size);
      for (auto& byte : bytes) byte = next(sends_);
      const std::span all(bytes);
      connection.send(all.first(header), {all.subspan(header, first), all.subspan(header + first)});
      left_ -= size;
    }
  }
  void check(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) wrong_ += byte == next(expects_) ? 0 : 1;
    received_ += bytes.size();
  }
  [[nodiscard]] bool complete() const { return received_ == total_bytes; }
  [[nodiscard]] std::size_t wrong() const { return wrong_; }

  static constexpr std::size_t total_bytes = 48 * 1024 * 1024 + 12345;

 private:
  static std::byte next(std::uint64_t& state) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return std::byte(state >> 56);
  }
  std::size_t next_size() {
    constexpr std::size_t sizes[] = {1, 17, 64, 4096, 16383, 16384, 16385, 65536, 262144, 700000};
    return sizes[sizes_() % std::size(sizes)];
  }
  std::uint64_t sends_;
  std::uint64_t expects_;
  std::minstd_rand sizes_;
  std::size_t left_ = total_bytes;
  std::size_t received_ = 0;
  std::size_t wrong_ = 0;
};

TEST_F(Connection, CarriesMuchInBothDirectionsAtOnce) {
  connect();
  Stream there(1);
  Stream back(2);
  in().when_input = [&](auto bytes) { there.check(bytes); };
  out.when_input = [&](auto bytes) { back.check(bytes); };
  out.when_drained = [&] { there.pump(*out.connection); };
  in().when_drained = [&] { back.pump(*in().connection); };
  const auto pump = [&] {
    there.pump(*out.connection);
    back.pump(*in().connection);
    return there.complete() && back.complete();
  };
  EXPECT_TRUE(run_until(pump));
  EXPECT_EQ(there.wrong(), 0U);
  EXPECT_EQ(back.wrong(), 0U);
}

TEST_F(Connection, DrainedWakesAnOwnerThatStopped) {
  connect();
  Stream there(3);
  in().when_input = [&](auto bytes) { there.check(bytes); };
  out.when_drained = [&] { there.pump(*out.connection); };
  there.pump(*out.connection);  // once; all further pumps are on_drained()'s
  EXPECT_TRUE(run_until([&] { return there.complete(); }));
  EXPECT_EQ(there.wrong(), 0U);
  EXPECT_GT(out.drained, 0U);
}

TEST_F(Connection, ManyShareTheLoop) {
  constexpr std::size_t count = 20;
  connect();
  Stream bulk(4);
  in().when_input = [&](auto bytes) { bulk.check(bytes); };
  out.when_drained = [&] { bulk.pump(*out.connection); };
  bulk.pump(*out.connection);
  std::deque<Recorder> others(count);
  for (auto& each : others) each.connection = dial(io, alice, bob.name(), {address()}, &each);
  std::size_t greeted = 1;  // the first one has the bulk
  EXPECT_TRUE(run_until([&] {
    for (; greeted < incoming.size(); ++greeted) incoming[greeted]->connection->send(bytes_of("you"));
    for (auto& each : others) {  // on a machine that is too slow for so many handshakes in their time: again
      if (std::exchange(each.closed, 0) > 0) each.connection = dial(io, alice, bob.name(), {address()}, &each);
    }
    return std::ranges::all_of(others, [](auto& each) { return each.input == "you"; });
  }));
  EXPECT_TRUE(run_until([&] { return bulk.complete(); }));
}

TEST_F(Connection, CloseAfterFlushDeliversEverything) {
  connect();
  const std::string much(8 * 1024 * 1024, 'm');
  out.connection->send(bytes_of(much));
  out.connection->close_after_flush();
  EXPECT_FALSE(out.connection->is_open());
  EXPECT_TRUE(run_until([this] { return in().closed > 0 && out.closed > 0; }));
  EXPECT_EQ(in().input.size(), much.size());
  EXPECT_EQ(in().reason, CloseReason::eof);
  EXPECT_EQ(out.reason, CloseReason::local);
}

// Input that nobody reads would make the kernel reset the connection, and what is under way would be lost.
TEST_F(Connection, CloseAfterFlushDeliversEverythingToAPeerThatGoesOnSending) {
  connect();
  const std::string much(8 * 1024 * 1024, 'm');
  const std::string piece(256 * 1024, 'p');
  bool stopped = false;
  in().when_drained = [&] {
    if (!stopped) in().connection->send(bytes_of(piece));
  };
  out.connection->send(bytes_of(much));
  out.connection->close_after_flush();
  EXPECT_TRUE(run_until([&] {
    if (in().closed == 0 && in().connection->takes_more()) in().connection->send(bytes_of(piece));
    return in().closed > 0 && out.closed > 0;
  }));
  stopped = true;
  EXPECT_EQ(in().input.size(), much.size());
  EXPECT_EQ(in().reason, CloseReason::eof);
  EXPECT_EQ(out.reason, CloseReason::local);
}

TEST_F(Connection, BothMayCloseAtOnce) {
  connect();
  out.connection->send(bytes_of("last of alice"));
  in().connection->send(bytes_of("last of bob"));
  out.connection->close_after_flush();
  in().connection->close_after_flush();
  EXPECT_TRUE(run_until([this] { return in().closed > 0 && out.closed > 0; }));
  EXPECT_EQ(in().closed, 1U);
  EXPECT_EQ(out.closed, 1U);
}

TEST_F(Connection, AbortClosesAtOnceAndTellsLater) {
  connect();
  out.connection->abort();
  EXPECT_FALSE(out.connection->is_open());
  EXPECT_EQ(out.closed, 0U) << "told from inside a call of the owner";
  out.connection->abort();
  out.connection->send(bytes_of("too late"));
  out.connection->close_after_flush();
  EXPECT_TRUE(run_until([this] { return in().closed > 0 && out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::local);
  EXPECT_TRUE(in().reason == CloseReason::eof || in().reason == CloseReason::reset);
  EXPECT_EQ(in().input, "");
  io.poll();
  EXPECT_EQ(out.closed, 1U);
}

TEST_F(Connection, MayBeClosedFromItsOwnCalls) {
  connect();
  in().when_input = [this](auto) { in().connection->abort(); };
  out.when_input = [this](auto) { out.connection->close_after_flush(); };
  in().connection->send(bytes_of("close, please"));
  EXPECT_TRUE(run_until([this] { return in().closed > 0 && out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::local);

  incoming.clear();
  out.drop();
  connect();
  in().when_input = [this](auto) { in().connection->abort(); };
  out.connection->send(bytes_of(std::string(1024 * 1024, 'x')));
  EXPECT_TRUE(run_until([this] { return in().closed > 0 && out.closed > 0; }));
  EXPECT_EQ(in().reason, CloseReason::local);
}

TEST_F(Connection, WithoutAHandlerThereAreNoCalls) {
  connect();
  out.connection->set_handler(nullptr);
  in().connection->send(bytes_of("is anybody there?"));
  out.connection->send(bytes_of("goes on by itself"));
  out.connection->close_after_flush();
  EXPECT_TRUE(run_until([this] { return in().closed > 0; }));
  EXPECT_EQ(in().input, "goes on by itself");
  EXPECT_EQ(out.input, "");
  EXPECT_EQ(out.closed, 0U);
}

TEST_F(Connection, AHandlerCanBeTakenAwayBetweenTheCloseAndItsCall) {
  connect();
  out.connection->abort();
  out.connection->set_handler(nullptr);
  EXPECT_TRUE(run_until([this] { return in().closed > 0; }));
  EXPECT_EQ(out.closed, 0U);
}

TEST_F(Connection, AnOwnerThatNeverLooksIsStopped) {
  connect();
  in().connection->set_handler(nullptr);
  const std::string piece(1024 * 1024, 'p');
  std::size_t sent = 0;
  while (out.connection->is_open() && sent < 4 * max_queued_bytes) {
    out.connection->send(bytes_of(piece));
    sent += piece.size();
  }
  EXPECT_FALSE(out.connection->is_open());
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::network_error);
}

TEST_F(Connection, GoesOnWhenItsIdentityIsGone) {
  auto carol = std::make_unique<TlsIdentity>(make_identity(authority, "carol@verkstad.net"));
  dial_out(*carol, bob.name(), {address()});
  carol.reset();
  EXPECT_TRUE(run_until([this] { return out.ready && !incoming.empty(); }));
  EXPECT_EQ(in().peer.str(), "carol@verkstad.net");
}

TEST_F(Connection, OfDroppedListenersGoOn) {
  connect();
  listener.reset();
  out.connection->send(bytes_of("still here"));
  EXPECT_TRUE(run_until([this] { return in().input == "still here"; }));
}

TEST_F(Connection, ListenersTakeBothFamiliesAndShowIPv4AsIPv4) {
  try {
    listener = std::make_unique<Listener>(
        io, Tcp::endpoint(asio::ip::address_v6::any(), 0), Listener::WhenTaken::fail,
        [this](std::string_view sni) { return find_identity(sni); },
        [this](std::shared_ptr<SecureConnection> connection) { take(std::move(connection)); });
  } catch (const boost::system::system_error& error) {
    FAIL() << error.what();
  }
  connect();
  EXPECT_TRUE(in().connection->remote_endpoint().address().is_v4());
}

TEST_F(Connection, AListenerTakesAnotherPortOnlyWhenAsked) {
  const auto nobody = [](std::string_view) -> const TlsIdentity* { return nullptr; };
  const auto nothing = [](const std::shared_ptr<SecureConnection>&) {};
  EXPECT_THROW(Listener(io, address(), Listener::WhenTaken::fail, nobody, nothing), boost::system::system_error);
  const Listener other(io, address(), Listener::WhenTaken::use_any_port, nobody, nothing);
  EXPECT_NE(other.port(), listener->port());
  EXPECT_NE(other.port(), 0);
}

TEST_F(Connection, OneThatNobodyTakesIsDropped) {
  when_incoming = [](Recorder& recorder) { recorder.connection->set_handler(nullptr); };
  dial_out(alice, bob.name(), {address()});
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
}

}  // namespace
}  // namespace sessionfs::fs
