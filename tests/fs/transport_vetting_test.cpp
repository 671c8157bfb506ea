// Whether a peer that has proven to own its key is believed: found out after the handshake, now or later.
#include "tests/fs/transport_fixture.hpp"

namespace sessionfs::fs {
namespace {

// Says nothing before it is told to.
class AskedTrust final : public Trust {
 public:
  [[nodiscard]] std::vector<X509*> authorities(std::string_view domain) const override {
    asked_for = domain;
    return known;
  }
  void vet(const EndpointName& peer, X509* certificate, bool vouched, Verdict done) override {
    vetted = peer;
    EXPECT_EQ(certified_name(certificate), peer);
    was_vouched = vouched;
    verdict = std::move(done);
  }

  std::vector<X509*> known;
  mutable std::string asked_for;
  EndpointName vetted;
  bool was_vouched = false;
  Verdict verdict;
};

class Vetting : public TransportTest {
 protected:
  TlsIdentity identity(const TestKey& by, const std::string& name, std::shared_ptr<Trust> by_trust) {
    const TestKey key = make_certificate(by, {.emails = {name}});
    return {key.certificate.get(), key.key.get(), std::move(by_trust)};
  }
  const TlsIdentity* find_identity(std::string_view sni) override {
    return careful_bob && sni == bob.sni() ? &*careful_bob : TransportTest::find_identity(sni);
  }
  void dial_careful_bob() {
    careful_bob.emplace(identity(authority, "bob@verkstad.net", trust));
    dial_out(alice, bob.name(), {address()});
    out.when_ready = [this] { out.connection->send(bytes_of("early")); };
    ASSERT_TRUE(run_until([this] { return trust->verdict && out.ready; })) << out.why;
    EXPECT_EQ(trust->vetted, alice.name());
    EXPECT_EQ(trust->asked_for, "verkstad.net");
    EXPECT_TRUE(incoming.empty());
    EXPECT_EQ(listener->unproven_count(), 1U);
  }
  std::shared_ptr<AskedTrust> trust = std::make_shared<AskedTrust>();
  std::optional<TlsIdentity> careful_bob;
};

TEST_F(Vetting, WhatComesBeforeTheVerdictIsNotLost) {
  trust->known = {authority.certificate.get()};
  dial_careful_bob();
  EXPECT_TRUE(trust->was_vouched);
  trust->verdict("");
  ASSERT_TRUE(run_until([this] { return !incoming.empty() && in().input == "early"; }));
  EXPECT_EQ(in().peer, alice.name());
  in().connection->send(bytes_of("welcome"));
  EXPECT_TRUE(run_until([this] { return out.input == "welcome"; }));
}

TEST_F(Vetting, WithoutAnAuthorityTheVerdictDecides) {
  dial_careful_bob();
  EXPECT_FALSE(trust->was_vouched);
  trust->verdict("");
  EXPECT_TRUE(run_until([this] { return !incoming.empty() && in().input == "early"; }));
}

TEST_F(Vetting, AnAuthorityThatDoesNotVouchIsTheEnd) {
  trust->known = {stranger.certificate.get()};
  careful_bob.emplace(identity(authority, "bob@verkstad.net", trust));
  dial_out(alice, bob.name(), {address()});
  ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
  EXPECT_FALSE(trust->verdict);
}

TEST_F(Vetting, WhoIsNotBelievedIsToldSo) {
  dial_careful_bob();
  trust->verdict("its domain has revoked its key");
  ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::untrusted) << out.why;
  EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 0; }));
  EXPECT_TRUE(incoming.empty());
}

TEST_F(Vetting, ADiallerBelievesLaterToo) {
  const TlsIdentity careful = identity(authority, "alice@verkstad.net", trust);
  dial_out(careful, bob.name(), {address()});
  when_incoming = [](Recorder& peer) { peer.connection->send(bytes_of("hello")); };
  ASSERT_TRUE(run_until([this] { return trust->verdict && !incoming.empty(); }));
  EXPECT_FALSE(out.ready);
  trust->verdict("");
  EXPECT_TRUE(out.ready);
  EXPECT_TRUE(run_until([this] { return out.input == "hello"; }));
}

TEST_F(Vetting, ADiallerThatDoesNotBelieveTriesTheNextAddress) {
  const TlsIdentity careful = identity(authority, "alice@verkstad.net", trust);
  dial_out(careful, bob.name(), {address(), address()});
  ASSERT_TRUE(run_until([this] { return static_cast<bool>(trust->verdict); }));
  std::exchange(trust->verdict, nullptr)("its domain knows another key");
  ASSERT_TRUE(run_until([this] { return trust->verdict || out.closed > 0; }));
  if (trust->verdict) std::exchange(trust->verdict, nullptr)("its domain knows another key");
  ASSERT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_EQ(out.reason, CloseReason::untrusted);
  EXPECT_NE(out.why.find("another key"), std::string::npos) << out.why;
}

TEST_F(Vetting, AVerdictThatDoesNotComeIsTheEnd) {
  dial_careful_bob();
  EXPECT_TRUE(run_until([this] { return listener->unproven_count() == 0; }));
  EXPECT_TRUE(incoming.empty());
  trust->verdict("");  // of a connection that is no more
  EXPECT_TRUE(run_until([this] { return out.closed > 0; }));
  EXPECT_TRUE(incoming.empty());
}

TEST_F(Vetting, OneThatIsDroppedMeanwhileIsGone) {
  dial_careful_bob();
  out.drop();
  listener.reset();
  trust->verdict("");
  EXPECT_TRUE(incoming.empty());
}

}  // namespace
}  // namespace sessionfs::fs
