// What is answered is kept; what is not kept is not so. Revocations, and certificates by CHANGE_EP.
#include <openssl/x509v3.h>

#include "tests/sns/full_disk.hpp"
#include "tests/sns/responder_fixture.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

class ResponderCommitTest : public ResponderFixture {
 protected:
  // What another server would serve.
  Table stored() const {
    Table table("verkstad.net");
    Storage::attach(folder_.path()).load(table);
    return table;
  }
  Request service(Operation operation, std::uint16_t port = 0) {
    Request out = request(operation, "file.alice@verkstad.net");
    out.port = port;
    return out;
  }
  Request join(const KeyPair& key, const Secret& secret) {
    Request out = request(Operation::join, "");
    out.secret = secret;
    out.signing_request = make_signing_request(key, {});
    return out;
  }
};

TEST_F(ResponderCommitTest, OneCommitKeepsManyChanges) {
  std::vector<Responder::Answer> answers;
  answers.push_back(ask_only(new_ep("alice@verkstad.net", alice_key_), member_.member_key));
  answers.push_back(ask_only(service(Operation::new_service), alice_key_));
  answers.push_back(ask_only(change_alice(at(2), {}), alice_key_));
  EXPECT_EQ(stored().size(), 0U);
  EXPECT_TRUE(responder_.commit());
  for (const auto& answer : answers) {
    EXPECT_TRUE(answer.uncommitted);
    EXPECT_EQ(read(answer).status, Status::ok);
  }
  EXPECT_EQ(stored().find(alice_)->residence, at(2));
  EXPECT_EQ(stored().find(alice_)->services.size(), 1U);
  EXPECT_TRUE(responder_.commit()) << "of nothing";
}

TEST_F(ResponderCommitTest, WhatIsRefusedOrOnlyReadsNeedsNoCommit) {
  EXPECT_FALSE(ask_only(request(Operation::get_ep, "alice@verkstad.net")).uncommitted);
  EXPECT_FALSE(ask_only(change_alice(at(2), {}), alice_key_).uncommitted);
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_FALSE(ask_only(change_alice(at(1), {v4(1, 4700)}), alice_key_).uncommitted) << "a renewal";
  EXPECT_FALSE(ask_only(change_alice(at(1, 2), {}), alice_key_).uncommitted);
  EXPECT_TRUE(responder_.commit());
}

TEST_F(ResponderCommitTest, WhatAsksForASignaturesCheckIsCostlyAlsoWhenItIsRefused) {
  EXPECT_FALSE(ask_only(request(Operation::get_ep, "alice@verkstad.net")).costly);
  EXPECT_FALSE(ask_only(request(Operation::watch, "alice@verkstad.net")).costly);
  EXPECT_TRUE(ask_only(join(KeyPair::generate(), Secret{})).costly) << "of an unknown token";
  EXPECT_TRUE(ask_only(new_ep("alice@verkstad.net", alice_key_), member_.member_key).costly);
  EXPECT_TRUE(ask_only(change_alice(at(2), {}), KeyPair::generate()).costly) << "by another key";
  EXPECT_TRUE(responder_.commit());
}

TEST_F(ResponderCommitTest, WhatRestsOnAnUncommittedChangeWaitsWithIt) {
  ASSERT_EQ(make_alice(), Status::ok);
  const Secret secret{std::byte{5}};
  ASSERT_TRUE(responder_.storage().add_token(secret, now_ + hours(1), now_));
  ASSERT_TRUE(ask_only(change_alice(at(2), {v4(2, 2)}), alice_key_).uncommitted);
  EXPECT_TRUE(ask_only(change_alice(at(2), {v4(2, 2)}), alice_key_).uncommitted) << "a renewal of what is not kept yet";
  EXPECT_TRUE(ask_only(join(KeyPair::generate(), secret)).uncommitted) << "kept with the rest";
  {
    const FullDisk full;
    EXPECT_FALSE(responder_.commit());
  }
  EXPECT_EQ(responder_.storage().members().size(), 1U);
  EXPECT_EQ(ask(join(KeyPair::generate(), secret)).status, Status::ok) << "the token has not been used";
}

TEST_F(ResponderCommitTest, AFailedCommitTakesAllBack) {
  const KeyPair bob_key = KeyPair::generate();
  ASSERT_EQ(make_alice(), Status::ok);
  ASSERT_EQ(ask(service(Operation::new_service, 7), alice_key_).status, Status::ok);
  std::string trouble;
  responder_.on_trouble = [&](const std::string& what) { trouble = what; };
  std::vector<Responder::Answer> answers;
  answers.push_back(ask_only(new_ep("bob@verkstad.net", bob_key), member_.member_key));
  answers.push_back(ask_only(service(Operation::change_service, 8), alice_key_));
  answers.push_back(ask_only(change_alice(at(2, 2), {v4(2, 2)}), alice_key_));
  Request end = request(Operation::del_ep, "alice@verkstad.net");
  end.residence = at(2, 2);
  answers.push_back(ask_only(end, alice_key_));
  EXPECT_EQ(responder_.table().find(alice_), nullptr);
  {
    const FullDisk full;
    EXPECT_FALSE(responder_.commit());
  }
  EXPECT_FALSE(trouble.empty());
  for (auto& answer : answers) {
    const auto before = read(answer);
    EXPECT_EQ(before.status, Status::ok);
    Responder::to_failed(answer);
    const auto after = read(answer);
    EXPECT_EQ(after.status, Status::internal);
    EXPECT_EQ(after.id, before.id);
    EXPECT_EQ(after.operation, before.operation);
    EXPECT_TRUE(after.certificate.empty());
  }
  EXPECT_EQ(responder_.table().size(), 1U);
  const auto* alice = responder_.table().find(alice_);
  ASSERT_NE(alice, nullptr);
  EXPECT_EQ(alice->residence, at(1));
  EXPECT_EQ(alice->addresses, std::vector{v4(1, 4700)});
  ASSERT_EQ(alice->services.size(), 1U);
  EXPECT_EQ(alice->services[0].port, 7);
  EXPECT_EQ(stored().size(), 1U);
  EXPECT_EQ(stored().find(alice_)->residence, at(1));
  // With room again all goes on.
  EXPECT_EQ(ask(change_alice(at(2, 2), {v4(2, 2)}), alice_key_).status, Status::ok);
  EXPECT_EQ(ask(new_ep("bob@verkstad.net", bob_key), member_.member_key).status, Status::ok);
  EXPECT_EQ(stored().size(), 2U);
}

TEST_F(ResponderCommitTest, WhoHasSeenWhatIsTakenBackIsToldSo) {
  ASSERT_EQ(make_alice(), Status::ok);
  ASSERT_TRUE(ask_only(change_alice(at(2), {v4(2, 2)}), alice_key_).uncommitted);
  Responder::Channel watcher(responder_, binding(1));
  Request what;
  what.id = 1;
  what.operation = Operation::watch;
  what.name = "alice@verkstad.net";
  const auto seen = read(responder_.respond(watcher, encode(what), now_)).info.generation;
  {
    const FullDisk full;
    EXPECT_FALSE(responder_.commit());
  }
  const auto told = news(watcher);
  EXPECT_EQ(told.empty() ? seen : told.back().info.generation, 1U);
}

TEST_F(ResponderCommitTest, TroubleLeavesTheDatabaseToOthers) {
  ASSERT_EQ(make_alice(), Status::ok);
  Storage tool = Storage::attach(folder_.path());
  tool.store(DeleteEndpoint{alice_, at(1)}, 0, now_);  // behind its back
  EXPECT_EQ(ask(change_alice(at(2), {}), alice_key_).status, Status::internal);
  EXPECT_TRUE(tool.add_token(Secret{}, now_ + hours(1), now_)) << "no transaction is left open";
  EXPECT_EQ(responder_.table().find(alice_)->residence, at(1));
}

// --- revocation ---------------------------------------------------------------------------------------------------

TEST_F(ResponderCommitTest, ARevocationByAnotherProcessIsNoticed) {
  ASSERT_EQ(make_alice(), Status::ok);
  ASSERT_EQ(ask(service(Operation::new_service), alice_key_).status, Status::ok);
  Storage::attach(folder_.path()).store(RevokeEndpoint{alice_}, 0, now_);
  responder_.tick(seconds(1), now_);
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@verkstad.net")).status, Status::revoked);
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@verkstad.net")).status, Status::revoked);
  auto change = change_alice(at(2), {});
  change.signing_request = make_signing_request(alice_key_, alice_);
  const auto refused = ask(change, alice_key_);
  EXPECT_EQ(refused.status, Status::revoked);
  EXPECT_TRUE(refused.certificate.empty());
  EXPECT_EQ(ask(service(Operation::new_service), alice_key_).status, Status::revoked);
  EXPECT_EQ(ask(service(Operation::change_service), alice_key_).status, Status::revoked);
  EXPECT_EQ(ask(service(Operation::del_service), alice_key_).status, Status::revoked);
  EXPECT_EQ(ask(request(Operation::del_ep, "alice@verkstad.net"), alice_key_).status, Status::revoked);
  EXPECT_EQ(make_alice(), Status::revoked);

  const KeyPair other = KeyPair::generate();
  EXPECT_EQ(ask(change_alice(at(2), {}), other).status, Status::bad_signature);
  EXPECT_EQ(ask(new_ep("alice@verkstad.net", other), member_.member_key).status, Status::ok)
      << "the name is free for another key";
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@verkstad.net")).info.public_key, other.public_key());
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@verkstad.net")).status, Status::not_found);
  EXPECT_EQ(ask(change_alice(at(2), {}), alice_key_).status, Status::bad_signature);
  responder_.tick(seconds(2), now_);
  EXPECT_EQ(ask(change_alice(at(2), {}), other).status, Status::ok) << "the old revocation is past";
  EXPECT_EQ(stored().find(alice_)->key, other.public_key());
}

// Between the revocation and the tick that would have noticed it.
TEST_F(ResponderCommitTest, ARevokedKeyCannotUndoItsRevocation) {
  ASSERT_EQ(make_alice(), Status::ok);
  ASSERT_EQ(ask(service(Operation::new_service), alice_key_).status, Status::ok);
  Storage::attach(folder_.path()).store(RevokeEndpoint{alice_}, 0, now_);
  EXPECT_EQ(make_alice(), Status::revoked);
  responder_.tick(seconds(1), now_);
  EXPECT_TRUE(responder_.table().find(alice_)->revoked);
  EXPECT_TRUE(stored().find(alice_)->revoked);
  EXPECT_TRUE(stored().find(alice_)->services.empty());
}

TEST_F(ResponderCommitTest, NoChangeByARevokedKeyIsMadeBeforeTheTick) {
  const auto claim = change_alice(at(2), {v4(2, 2)});
  for (const auto& what : {claim, request(Operation::del_ep, "alice@verkstad.net"), service(Operation::new_service)}) {
    TemporaryFolder elsewhere;
    Storage storage = Storage::open(elsewhere.path(), "verkstad.net", now_);
    storage.store(NewEndpoint{alice_, alice_key_.public_key(), at(1), {}}, 1, now_);
    Responder serving(std::move(storage));
    Responder::Channel channel(serving, binding(7));
    Storage tool = Storage::attach(elsewhere.path());
    tool.store(RevokeEndpoint{alice_}, 0, now_);
    const auto answer = serving.respond(channel, signed_body(what, alice_key_, binding(7)), now_);
    EXPECT_EQ(read(answer).status, Status::revoked) << static_cast<int>(what.operation);
    EXPECT_TRUE(tool.add_token(Secret{}, now_ + hours(1), now_)) << "no transaction is left open";
    EXPECT_TRUE(tool.find_endpoint(alice_)->revoked);
  }
}

TEST_F(ResponderCommitTest, ARevocationHoldsAfterARestart) {
  {
    TemporaryFolder elsewhere;
    const auto open = [&] { return Storage::open(elsewhere.path(), "verkstad.net", now_); };
    {
      Storage storage = open();
      storage.store(NewEndpoint{alice_, alice_key_.public_key(), at(1), {}}, 1, now_);
      storage.store(RevokeEndpoint{alice_}, 0, now_);
    }
    const Responder again(open());
    EXPECT_EQ(again.table().check(ChangeEndpoint{alice_, at(2), {}}), Status::revoked);
  }
}

TEST_F(ResponderCommitTest, ARevokedMemberMakesNothing) {
  ASSERT_EQ(make_alice(), Status::ok);
  ASSERT_TRUE(Storage::attach(folder_.path()).revoke_member(member_.member_id, now_));
  EXPECT_EQ(ask(new_ep("bob@verkstad.net", alice_key_), member_.member_key).status, Status::revoked) << "at once";
  EXPECT_EQ(ask(new_ep("bob@verkstad.net", alice_key_), alice_key_).status, Status::revoked);
  EXPECT_EQ(responder_.table().size(), 1U);
  EXPECT_EQ(ask(change_alice(at(2), {}), alice_key_).status, Status::ok) << "its endpoints have keys of their own";
}

// --- certificates -------------------------------------------------------------------------------------------------

TEST_F(ResponderCommitTest, AKeyGetsANewCertificateEvenAfterYears) {
  ASSERT_EQ(make_alice(), Status::ok);
  for (const auto later : {days(0), days(30), days(5 * 365)}) {
    now_ = test_time + later;
    auto change = change_alice(at(2 + static_cast<std::uint64_t>(later.count())), {v4(2, 2)});
    change.signing_request = make_signing_request(alice_key_, alice_);
    const auto reply = ask(change, alice_key_);
    ASSERT_EQ(reply.status, Status::ok);
    EXPECT_EQ(reply.lease, default_lease);
    const auto certificate = Certificate::from_der(reply.certificate);
    EXPECT_EQ(certified_name(certificate.get()), alice_);
    EXPECT_EQ(certificate.public_key(), alice_key_.public_key());
    EXPECT_TRUE(verify_chain(certificate.get(), responder_.authority().certificate().get(), X509_PURPOSE_SSL_SERVER,
                             now_ + endpoint_lifetime - hours(1)));
  }
}

TEST_F(ResponderCommitTest, WithoutARequestForOneThereIsNoCertificate) {
  ASSERT_EQ(make_alice(), Status::ok);
  const auto reply = ask(change_alice(at(2), {}), alice_key_);
  EXPECT_EQ(reply.status, Status::ok);
  EXPECT_TRUE(reply.certificate.empty());
}

TEST_F(ResponderCommitTest, ACertificateIsForTheOwnersKeyAndName) {
  ASSERT_EQ(make_alice(), Status::ok);
  const KeyPair other = KeyPair::generate();
  for (const auto& csr :
       {make_signing_request(other, alice_), make_signing_request(alice_key_, {}),
        make_signing_request(alice_key_, endpoint("bob@verkstad.net")), std::vector<std::byte>(40, std::byte{0x30})}) {
    auto change = change_alice(at(2), {v4(2, 2)});
    change.signing_request = csr;
    EXPECT_EQ(ask(change, alice_key_).status, Status::bad_request);
  }
  EXPECT_EQ(responder_.table().find(alice_)->residence, at(1)) << "and nothing is changed";
  auto stale = change_alice(at(1, 2), {});
  stale.signing_request = make_signing_request(alice_key_, alice_);
  const auto reply = ask(stale, alice_key_);
  EXPECT_EQ(reply.status, Status::stale_generation);
  EXPECT_TRUE(reply.certificate.empty()) << "who resides elsewhere gets none";
}

// --- residences over connections ----------------------------------------------------------------------------------

TEST_F(ResponderCommitTest, AnOlderConnectionIsStale) {
  ASSERT_EQ(make_alice(), Status::ok);
  Responder::Channel newer(responder_, binding(8));
  Request change = change_alice(at(1), {v4(8, 8)});
  change.id = 1;
  EXPECT_EQ(read(responder_.respond(newer, signed_body(change, alice_key_, binding(8)), now_)).status, Status::ok);
  EXPECT_EQ(ask(change_alice(at(1), {v4(7, 7)}), alice_key_).status, Status::stale_generation) << "sent before";
  EXPECT_EQ(responder_.table().find(alice_)->addresses, std::vector{v4(8, 8)});
}

}  // namespace
}  // namespace sessionfs::sns
