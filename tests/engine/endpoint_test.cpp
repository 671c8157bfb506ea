#include "engine/endpoint.hpp"

#include <gtest/gtest.h>

namespace sessionfs::test {
namespace {

TEST(SessionNames, CountUpForEachPeerAndService) {
  Endpoint endpoint;
  const auto alice = EndpointName::parse("alice@home.test").value();
  const auto carol = EndpointName::parse("carol@home.test").value();
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~1");
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~2");
  EXPECT_EQ(endpoint.new_session_name("print", alice), "print~alice@home.test~1");
  EXPECT_EQ(endpoint.new_session_name("file", carol), "file~carol@home.test~1");
}

TEST(SessionNames, SkipTheOnesThatAreThere) {
  Endpoint endpoint;
  const auto alice = EndpointName::parse("alice@home.test").value();
  endpoint.sessions["file~alice@home.test~1"] = nullptr;
  endpoint.sessions["file~alice@home.test~3"] = nullptr;
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~2");
  EXPECT_EQ(endpoint.new_session_name("file", alice), "file~alice@home.test~4");
}

TEST(SessionNames, AreNotGivenAgainWhenTheirSessionIsGone) {
  Endpoint endpoint;
  const auto alice = EndpointName::parse("alice@home.test").value();
  const std::string name = endpoint.new_session_name("file", alice);
  endpoint.sessions[name] = nullptr;
  endpoint.sessions.erase(name);
  EXPECT_NE(endpoint.new_session_name("file", alice), name);
}

}  // namespace
}  // namespace sessionfs::test
