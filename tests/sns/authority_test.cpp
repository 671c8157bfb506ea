#include "sns/authority.hpp"

#include <openssl/x509v3.h>

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

class AuthorityTest : public ::testing::Test {
 protected:
  bool believed(const Certificate& leaf, int purpose, UnixTime when = test_time) const {
    return verify_chain(leaf.get(), authority_.certificate().get(), purpose, when);
  }
  Authority authority_ = Authority::create("verkstad.net", test_time);
  KeyPair key_ = KeyPair::generate();
  EndpointName alice_ = endpoint("alice@verkstad.net");
};

TEST_F(AuthorityTest, SignsEndpointsForBothSidesOfTls) {
  const auto leaf = authority_.issue_endpoint(alice_, key_.public_key(), test_time);
  EXPECT_EQ(certified_name(leaf.get()), alice_);
  EXPECT_EQ(leaf.public_key(), key_.public_key());
  EXPECT_TRUE(believed(leaf, X509_PURPOSE_SSL_CLIENT));
  EXPECT_TRUE(believed(leaf, X509_PURPOSE_SSL_SERVER));
}

TEST_F(AuthorityTest, CertificatesHoldForTheirLifetime) {
  const auto leaf = authority_.issue_endpoint(alice_, key_.public_key(), test_time);
  EXPECT_EQ(leaf.not_after(), test_time + endpoint_lifetime);
  EXPECT_TRUE(believed(leaf, X509_PURPOSE_SSL_CLIENT, test_time - certificate_slack));
  EXPECT_FALSE(believed(leaf, X509_PURPOSE_SSL_CLIENT, test_time - certificate_slack - std::chrono::seconds(1)));
  EXPECT_TRUE(believed(leaf, X509_PURPOSE_SSL_CLIENT, test_time + endpoint_lifetime - std::chrono::seconds(1)));
  EXPECT_FALSE(believed(leaf, X509_PURPOSE_SSL_CLIENT, test_time + endpoint_lifetime + std::chrono::seconds(1)));
}

TEST_F(AuthorityTest, MembersAndServersHaveUris) {
  const auto member = authority_.issue_member(7, key_.public_key(), test_time);
  EXPECT_EQ(certified_uris(member.get()), std::vector<std::string>{"sessionfs:member:7@verkstad.net"});
  EXPECT_FALSE(certified_name(member.get()));
  EXPECT_TRUE(believed(member, X509_PURPOSE_SSL_CLIENT));
  EXPECT_FALSE(believed(member, X509_PURPOSE_SSL_SERVER));
  const auto server = authority_.issue_server(key_.public_key(), test_time);
  EXPECT_EQ(certified_uris(server.get()), std::vector<std::string>{"sessionfs:sns:verkstad.net"});
  EXPECT_FALSE(certified_name(server.get()));
  EXPECT_TRUE(believed(server, X509_PURPOSE_SSL_SERVER));
  EXPECT_FALSE(believed(server, X509_PURPOSE_SSL_CLIENT));
}

TEST_F(AuthorityTest, OnlyTheServersCertificateMakesAServer) {
  X509* ca = authority_.certificate().get();
  const auto server = authority_.issue_server(key_.public_key(), test_time);
  EXPECT_TRUE(is_server_of(server.get(), ca, "verkstad.net", test_time));
  EXPECT_FALSE(is_server_of(server.get(), ca, "example.com", test_time));
  EXPECT_FALSE(is_server_of(server.get(), ca, "verkstad.net", test_time + server_lifetime + std::chrono::hours(1)));
  const auto leaf = authority_.issue_endpoint(alice_, key_.public_key(), test_time);
  EXPECT_FALSE(is_server_of(leaf.get(), ca, "verkstad.net", test_time));
  EXPECT_FALSE(is_server_of(ca, ca, "verkstad.net", test_time));
  EXPECT_FALSE(is_server_of(nullptr, ca, "verkstad.net", test_time));
  const auto other = Authority::create("verkstad.net", test_time);
  EXPECT_FALSE(is_server_of(server.get(), other.certificate().get(), "verkstad.net", test_time));
}

TEST_F(AuthorityTest, NamesOfOtherDomainsAreRefusedAndProveNothing) {
  EXPECT_THROW(authority_.issue_endpoint(endpoint("alice@example.com"), key_.public_key(), test_time),
               std::runtime_error);
  EXPECT_THROW(authority_.issue_endpoint(endpoint("a@x.verkstad.net"), key_.public_key(), test_time),
               std::runtime_error);
  // Not even with the key at hand: the same key and certificate, taken for another domain's.
  const auto misused = Authority::load("example.com", authority_.key_pem(), authority_.certificate().pem());
  const auto leaf = misused.issue_endpoint(endpoint("alice@example.com"), key_.public_key(), test_time);
  EXPECT_FALSE(believed(leaf, X509_PURPOSE_SSL_CLIENT));
}

TEST_F(AuthorityTest, AnEndpointCannotSignOthers) {
  const auto middle = authority_.issue_endpoint(alice_, key_.public_key(), test_time);
  const auto forged = Authority::load("verkstad.net", key_.pem(), middle.pem())
                          .issue_endpoint(endpoint("bob@verkstad.net"), KeyPair::generate().public_key(), test_time);
  EXPECT_FALSE(believed(forged, X509_PURPOSE_SSL_CLIENT));
  EXPECT_FALSE(verify_chain(forged.get(), middle.get(), X509_PURPOSE_SSL_CLIENT, test_time));
}

TEST_F(AuthorityTest, ComesBackFromPem) {
  const auto again = Authority::load("verkstad.net", authority_.key_pem(), authority_.certificate().pem());
  EXPECT_EQ(again.certificate().fingerprint(), authority_.certificate().fingerprint());
  EXPECT_TRUE(believed(again.issue_endpoint(alice_, key_.public_key(), test_time), X509_PURPOSE_SSL_CLIENT));
  EXPECT_THROW(Authority::load("verkstad.net", key_.pem(), authority_.certificate().pem()), std::runtime_error);
  EXPECT_THROW(Authority::load("verkstad.net", "", authority_.certificate().pem()), std::runtime_error);
  EXPECT_THROW(Authority::load("verkstad.net", authority_.key_pem(), ""), std::runtime_error);
}

TEST_F(AuthorityTest, AnotherAuthorityIsNotBelieved) {
  const auto other = Authority::create("verkstad.net", test_time);
  EXPECT_FALSE(believed(other.issue_endpoint(alice_, key_.public_key(), test_time), X509_PURPOSE_SSL_CLIENT));
}

TEST(AuthorityDomainTest, LongAndShortDomainsWork) {
  for (const std::string& domain : {std::string("local"), std::string(60, 'a') + "." + std::string(60, 'b') + ".net"}) {
    const auto authority = Authority::create(domain, test_time);
    const auto leaf = authority.issue_endpoint(endpoint("host@" + domain), KeyPair::generate().public_key(), test_time);
    EXPECT_TRUE(verify_chain(leaf.get(), authority.certificate().get(), X509_PURPOSE_SSL_SERVER, test_time)) << domain;
  }
  EXPECT_THROW(Authority::create("no domain", test_time), std::runtime_error);
}

}  // namespace
}  // namespace sessionfs::sns
