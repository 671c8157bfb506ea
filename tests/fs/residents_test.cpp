#include "fs/residents.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "tests/fs/names_fixture.hpp"

namespace sessionfs::fs::testing {
namespace {

using sns::at;
using sns::Status;

class ResidentsTest : public NamesTest {
 protected:
  Resident& here() { return *node_->residents.find(here_); }
  void add_service(const std::string& service) {
    ASSERT_EQ(result([&](auto done) { node_->residents.add_service(here(), service, done); }), 0);
  }
  void wait_for(const std::string& service, Status status) {
    run([&] { return others().get_service({service, here_}) == status; });
  }
};

TEST_F(ResidentsTest, ANameWhoseRecordCouldNotBeStoredCanBeMadeLater) {
  start_member();
  const auto in_the_way = state_.path() / endpoints_name / here_.str() / record_name;
  std::filesystem::create_directories(in_the_way / "full");
  EXPECT_EQ(create(here_), EISDIR);
  EXPECT_EQ(node_->residents.find(here_), nullptr);
  EXPECT_EQ(create(here_), EISDIR);
  std::filesystem::remove_all(in_the_way);
  EXPECT_EQ(create(here_), 0);
  EXPECT_EQ(create(here_), EEXIST);
  EXPECT_EQ(remove(here_), 0);
  EXPECT_EQ(others().get_ep(here_), Status::not_found);
}

TEST_F(ResidentsTest, EachLoadBringsANewCertificate) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  EXPECT_FALSE(here().wants_certificate);
  for (int round = 0; round < 2; ++round) {
    const auto former = here().certificate.fingerprint();
    start_member();
    EXPECT_EQ(here().certificate.fingerprint(), former);
    run([&] { return here().registration == "registered"; });
    EXPECT_NE(here().certificate.fingerprint(), former);
    EXPECT_FALSE(here().wants_certificate);
  }
}

TEST_F(ResidentsTest, WhatIsRevokedCanBeRemoved) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  auto storage = sns::Storage::attach(server_folder_.path());
  storage.store(sns::RevokeEndpoint{here_}, 0, sns::real_time());
  run([&] { return others().get_ep(here_) == Status::revoked; });
  EXPECT_EQ(remove(here_), 0);
  EXPECT_EQ(node_->residents.find(here_), nullptr);
  EXPECT_EQ(others().get_ep(here_), Status::revoked);
}

TEST_F(ResidentsTest, WhatResidesElsewhereIsRemovedHereAlone) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  ASSERT_EQ(others().change_ep(here_, here().key, at(2, 7), {sns::v4(9, host_port)}), Status::ok);
  EXPECT_EQ(remove(here_), EPERM);  // nobody has said yet why the name server refuses
  run([&] { return here().given_up; });
  EXPECT_EQ(remove(here_), 0);
  EXPECT_EQ(node_->residents.find(here_), nullptr);
  sns::Asker& asked = others();
  EXPECT_EQ(asked.get_ep(here_), Status::ok);
  EXPECT_EQ(asked.info.generation, 2U);
}

TEST_F(ResidentsTest, ThatAServiceIsGoneIsToldWhenTheNameServerIsBack) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  add_service("stays");
  add_service("goes");
  server_.reset();
  node_->residents.remove_service(here(), "goes");
  io_.restart();
  io_.run_for(std::chrono::milliseconds(100));
  start_server();
  wait_for("goes", Status::not_found);
  wait_for("stays", Status::ok);
  run([&] { return here().unsettled_services.empty(); });
}

TEST_F(ResidentsTest, AServiceThatCameBackMeanwhileStays) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  add_service("file");
  node_->residents.remove_service(here(), "file");
  add_service("file");
  run([&] { return here().unsettled_services.empty(); });
  EXPECT_EQ(others().get_service({"file", here_}), Status::ok);
}

TEST_F(ResidentsTest, ANameServerThatHasForgottenAllIsToldAll) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  add_service("file");
  ASSERT_EQ(others().del_ep(here_, here().key, {1, here().mark}), Status::ok);
  node_->residents.announce();
  wait_for("file", Status::ok);
  run([&] { return here().unsettled_services.empty(); });
}

TEST_F(ResidentsTest, AnEndpointMovesWithItsAddressesAlone) {
  start_member();
  ASSERT_EQ(create(here_), 0);
  EXPECT_FALSE(node_->residents.have_moved());
  EXPECT_FALSE(node_->names.handle_network_change(node_->residents.have_moved()));
  here().place.emplace().push_back(sns::v4(250, host_port));
  EXPECT_TRUE(node_->residents.have_moved());
  node_->residents.announce();
  EXPECT_FALSE(node_->residents.have_moved());
}

}  // namespace
}  // namespace sessionfs::fs::testing
