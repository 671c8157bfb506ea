#include "sns/responder.hpp"

#include <openssl/x509v3.h>
#include <sqlite3.h>

#include "tests/sns/responder_fixture.hpp"

namespace sessionfs::sns {
namespace {

using ResponderTest = ResponderFixture;

TEST_F(ResponderTest, NewEpGivesACertificate) {
  const auto reply = ask(new_ep("alice@verkstad.net", alice_key_), member_.member_key);
  ASSERT_EQ(reply.status, Status::ok);
  const auto certificate = Certificate::from_der(reply.certificate);
  EXPECT_EQ(certified_name(certificate.get()), alice_);
  EXPECT_EQ(certificate.public_key(), alice_key_.public_key());
  EXPECT_TRUE(
      verify_chain(certificate.get(), responder_.authority().certificate().get(), X509_PURPOSE_SSL_SERVER, test_time));
  const auto found = ask(request(Operation::get_ep, "Alice@Verkstad.net"));
  EXPECT_EQ(found.status, Status::ok);
  EXPECT_EQ(found.info, (EndpointInfo{1, alice_key_.public_key(), {v4(1, 4700)}, {}}));
}

TEST_F(ResponderTest, TheEightRequestsInOneLife) {
  ASSERT_EQ(make_alice(), Status::ok);
  const Request change = change_alice(at(2), {v6(1, 1), v4(2, 2)});
  EXPECT_EQ(ask(change, alice_key_).status, Status::ok);
  Request service = request(Operation::new_service, "file.alice@verkstad.net");
  service.residence = at(2);
  EXPECT_EQ(ask(service, alice_key_).status, Status::ok);
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@verkstad.net")).info.addresses, change.addresses);
  service = request(Operation::change_service, "file.alice@verkstad.net");
  service.residence = at(2);
  service.port = 9;
  EXPECT_EQ(ask(service, alice_key_).status, Status::ok);
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@verkstad.net")).info.addresses,
            (std::vector{v6(1, 9), v4(2, 9)}));
  service = request(Operation::del_service, "file.alice@verkstad.net");
  service.residence = at(2);
  EXPECT_EQ(ask(service, alice_key_).status, Status::ok);
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@verkstad.net")).status, Status::not_found);
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@verkstad.net")).info.generation, 2U);
  Request end = request(Operation::del_ep, "alice@verkstad.net");
  end.residence = at(2);
  EXPECT_EQ(ask(end, alice_key_).status, Status::ok);
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@verkstad.net")).status, Status::not_found);
}

TEST_F(ResponderTest, OnlyMembersCreateEndpoints) {
  auto stranger = new_ep("alice@verkstad.net", alice_key_);
  stranger.member = 4711;
  EXPECT_EQ(ask(stranger, member_.member_key).status, Status::not_member);
  EXPECT_EQ(ask(new_ep("alice@verkstad.net", alice_key_), KeyPair::generate()).status, Status::bad_signature);
  EXPECT_EQ(ask(new_ep("alice@verkstad.net", alice_key_), alice_key_).status, Status::bad_signature);
  EXPECT_EQ(responder_.table().size(), 0U);
}

TEST_F(ResponderTest, ARevokedMemberIsNoMember) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder_.path() / "sns.sqlite").c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, "UPDATE members SET revoked = 1", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(make_alice(), Status::revoked);
}

TEST_F(ResponderTest, TheSigningRequestMustBeForTheName) {
  auto misused = new_ep("alice@verkstad.net", alice_key_);
  misused.signing_request = make_signing_request(alice_key_, endpoint("bob@verkstad.net"));
  EXPECT_EQ(ask(misused, member_.member_key).status, Status::bad_request);
  misused = new_ep("alice@verkstad.net", alice_key_);
  misused.signing_request = make_signing_request(alice_key_, {});
  EXPECT_EQ(ask(misused, member_.member_key).status, Status::bad_request);
  misused = new_ep("alice@verkstad.net", alice_key_);
  misused.signing_request.back() ^= std::byte{1};
  EXPECT_EQ(ask(misused, member_.member_key).status, Status::bad_request);
  EXPECT_EQ(responder_.table().size(), 0U);
}

TEST_F(ResponderTest, OnlyItsOwnKeyChangesAnEndpoint) {
  ASSERT_EQ(make_alice(), Status::ok);
  const KeyPair bob_key = KeyPair::generate();
  ASSERT_EQ(ask(new_ep("bob@verkstad.net", bob_key), member_.member_key).status, Status::ok);
  ASSERT_EQ(ask(request(Operation::new_service, "file.alice@verkstad.net"), alice_key_).status, Status::ok);
  for (const KeyPair& thief : {bob_key, member_.member_key, KeyPair::generate()}) {
    for (const auto operation : {Operation::change_ep, Operation::del_ep, Operation::new_service,
                                 Operation::change_service, Operation::del_service}) {
      auto misused = request(operation, is_about_service(operation) ? "file.alice@verkstad.net" : "alice@verkstad.net");
      misused.residence.generation = 9;
      EXPECT_EQ(ask(misused, thief).status, Status::bad_signature) << static_cast<int>(operation);
    }
  }
  EXPECT_EQ(responder_.table().find(alice_)->residence.generation, 1U);
  EXPECT_EQ(responder_.table().find(alice_)->services.size(), 1U);
}

TEST_F(ResponderTest, ASignatureHoldsForOneRequestOnOneConnection) {
  ASSERT_EQ(make_alice(), Status::ok);
  const auto body = signed_body(request(Operation::new_service, "file.alice@verkstad.net"), alice_key_, binding(7));
  ASSERT_EQ(ask_bytes(body).status, Status::ok);
  ASSERT_EQ(ask(request(Operation::del_service, "file.alice@verkstad.net"), alice_key_).status, Status::ok);
  // The same bytes once more on the same connection, and on another one.
  EXPECT_EQ(ask_bytes(body, true).status, Status::bad_request);
  Responder::Channel other(responder_, binding(8));
  EXPECT_EQ(decode_reply(responder_.respond(other, body, test_time).reply)->status, Status::bad_signature);
  EXPECT_TRUE(responder_.table().find(alice_)->services.empty());
}

TEST_F(ResponderTest, IdsMustGrow) {
  auto get = request(Operation::get_ep, "alice@verkstad.net");
  get.id = 0;
  EXPECT_EQ(ask_bytes(encode(get), true).status, Status::bad_request);
  get.id = 100;
  EXPECT_EQ(ask_bytes(encode(get)).status, Status::not_found);
  EXPECT_EQ(ask_bytes(encode(get), true).status, Status::bad_request);
  get.id = 99;
  EXPECT_EQ(ask_bytes(encode(get), true).status, Status::bad_request);
}

TEST_F(ResponderTest, StaleGenerationsAreRefused) {
  ASSERT_EQ(make_alice(), Status::ok);
  const auto change = [&](std::uint64_t generation, Address where) {
    return ask(change_alice(at(generation), {where}), alice_key_).status;
  };
  EXPECT_EQ(change(3, v4(3, 3)), Status::ok);
  EXPECT_EQ(change(2, v4(2, 2)), Status::stale_generation);
  EXPECT_EQ(change(3, v4(4, 4)), Status::ok);
  EXPECT_EQ(responder_.table().find(alice_)->addresses, std::vector{v4(4, 4)});
}

TEST_F(ResponderTest, NamesAreChecked) {
  const KeyPair& member = member_.member_key;
  EXPECT_EQ(ask(new_ep("no name", alice_key_), member).status, Status::bad_name);
  EXPECT_EQ(ask(new_ep("alice@example.com", alice_key_), member).status, Status::wrong_domain);
  for (const auto operation : {Operation::change_ep, Operation::del_ep}) {
    EXPECT_EQ(ask(request(operation, ""), alice_key_).status, Status::bad_name);
    EXPECT_EQ(ask(request(operation, "alice@example.com"), alice_key_).status, Status::wrong_domain);
    EXPECT_EQ(ask(request(operation, "nobody@verkstad.net"), alice_key_).status, Status::not_found);
  }
  for (const auto operation : {Operation::new_service, Operation::change_service, Operation::del_service}) {
    EXPECT_EQ(ask(request(operation, "alice@verkstad.net"), alice_key_).status, Status::bad_name);
    EXPECT_EQ(ask(request(operation, "file.alice@example.com"), alice_key_).status, Status::wrong_domain);
    EXPECT_EQ(ask(request(operation, "file.nobody@verkstad.net"), alice_key_).status, Status::not_found);
  }
  EXPECT_EQ(ask(request(Operation::get_ep, "@")).status, Status::bad_name);
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@example.com")).status, Status::wrong_domain);
  EXPECT_EQ(ask(request(Operation::get_service, "alice@verkstad.net")).status, Status::bad_name);
  EXPECT_EQ(ask(request(Operation::get_service, "file.alice@example.com")).status, Status::wrong_domain);
  EXPECT_EQ(ask(request(Operation::get_ep, std::string(max_name_field_bytes, 'x'))).status, Status::bad_name);
}

TEST_F(ResponderTest, TakenNamesExist) {
  ASSERT_EQ(make_alice(), Status::ok);
  EXPECT_EQ(ask(new_ep("alice@verkstad.net", KeyPair::generate()), member_.member_key).status, Status::exists);
  EXPECT_EQ(make_alice(), Status::ok) << "the same key again, as after a lost answer";
  ASSERT_EQ(ask(request(Operation::new_service, "file.alice@verkstad.net"), alice_key_).status, Status::ok);
  EXPECT_EQ(ask(request(Operation::new_service, "file.alice@verkstad.net"), alice_key_).status, Status::exists);
  EXPECT_EQ(ask(request(Operation::change_service, "echo.alice@verkstad.net"), alice_key_).status, Status::not_found);
  EXPECT_EQ(ask(request(Operation::del_service, "echo.alice@verkstad.net"), alice_key_).status, Status::not_found);
}

TEST_F(ResponderTest, JoinMakesAMemberOnce) {
  const Secret secret{std::byte{5}};
  ASSERT_TRUE(responder_.storage().add_token(secret, test_time + std::chrono::hours(1), test_time));
  const KeyPair key = KeyPair::generate();
  Request join = request(Operation::join, "");
  join.secret = secret;
  join.signing_request = make_signing_request(key, {});
  const auto reply = ask(join);
  ASSERT_EQ(reply.status, Status::ok);
  const auto certificate = Certificate::from_der(reply.certificate);
  EXPECT_EQ(certified_uris(certificate.get()), std::vector{member_uri(reply.member, "verkstad.net")});
  EXPECT_EQ(certificate.public_key(), key.public_key());
  auto created = new_ep("bob@verkstad.net", alice_key_);
  created.member = reply.member;
  EXPECT_EQ(ask(created, key).status, Status::ok);

  join = request(Operation::join, "");
  join.secret = secret;
  join.signing_request = make_signing_request(KeyPair::generate(), {});
  EXPECT_EQ(ask(join).status, Status::token_used);
  join.id = ++last_id_;
  join.secret[3] = std::byte{1};
  EXPECT_EQ(ask(join).status, Status::token_unknown);
  ASSERT_TRUE(responder_.storage().add_token(join.secret, test_time, test_time));
  join.id = ++last_id_;
  EXPECT_EQ(ask(join).status, Status::token_expired);
  // A member asks for no endpoint's name by the way.
  join.id = ++last_id_;
  join.signing_request = make_signing_request(key, alice_);
  EXPECT_EQ(ask(join).status, Status::bad_request);
}

TEST_F(ResponderTest, WhatIsNoRequestEndsTheConnection) {
  EXPECT_EQ(ask_bytes({}, true).status, Status::bad_request);
  const std::string http = "GET / HTTP/1.1\r\nHost: verkstad.net\r\n\r\n";
  EXPECT_EQ(ask_bytes(std::as_bytes(std::span(http)), true).status, Status::unsupported_version);
  auto body = encode(request(Operation::get_ep, "alice@verkstad.net"));
  body[0] = std::byte{9};
  const auto reply = ask_bytes(body, true);
  EXPECT_EQ(reply.status, Status::unsupported_version);
  EXPECT_EQ(reply.id, last_id_);
  EXPECT_EQ(make_alice(), Status::ok);
}

TEST_F(ResponderTest, TroubleOfTheDatabaseIsAnsweredAndChangesNothing) {
  std::string trouble;
  responder_.on_trouble = [&](const std::string& what) { trouble = what; };
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder_.path() / "sns.sqlite").c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, "ALTER TABLE endpoints RENAME TO hidden", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_EQ(make_alice(), Status::internal);
  EXPECT_FALSE(trouble.empty());
  EXPECT_EQ(ask(request(Operation::get_ep, "alice@verkstad.net")).status, Status::not_found);
  EXPECT_EQ(sqlite3_exec(database, "ALTER TABLE hidden RENAME TO endpoints", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(make_alice(), Status::ok);
}

}  // namespace
}  // namespace sessionfs::sns
