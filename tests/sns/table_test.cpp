#include "sns/table.hpp"

#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

const EndpointName alice = endpoint("alice@verkstad.net");
const EndpointName stranger = endpoint("alice@example.com");

PublicKey key(int number) {
  PublicKey out{};
  out[0] = static_cast<std::byte>(number);
  return out;
}

class TableTest : public ::testing::Test {
 protected:
  Status change(const Change& what) {
    const Status status = table_.check(what);
    if (status == Status::ok) table_.apply(what);
    return status;
  }
  Table table_{"verkstad.net"};
};

TEST_F(TableTest, NewEndpointIsFoundAsItWasMade) {
  EXPECT_EQ(change(NewEndpoint{alice, key(1), at(3), {v6(1, 4700), v4(1, 4701)}}), Status::ok);
  EndpointInfo info;
  EXPECT_EQ(table_.get(alice, info), Status::ok);
  EXPECT_EQ(info, (EndpointInfo{3, key(1), {v6(1, 4700), v4(1, 4701)}, {}}));
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(TableTest, WhatIsNotThereIsNotFound) {
  EndpointInfo info;
  EXPECT_EQ(table_.get(alice, info), Status::not_found);
  EXPECT_EQ(table_.get(service("file.alice@verkstad.net"), info), Status::not_found);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(1), {}}), Status::not_found);
  EXPECT_EQ(change(DeleteEndpoint{alice, at(1)}), Status::not_found);
  EXPECT_EQ(change(NewService{{"file", alice}, at(1), 0}), Status::not_found);
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(1), {}}), Status::ok);
  EXPECT_EQ(table_.get(service("file.alice@verkstad.net"), info), Status::not_found);
  EXPECT_EQ(info, EndpointInfo{});
  EXPECT_EQ(change(ChangeService{{"file", alice}, at(1), 1}), Status::not_found);
  EXPECT_EQ(change(DeleteService{{"file", alice}, at(1)}), Status::not_found);
}

TEST_F(TableTest, NamesOfOtherDomainsAreRefused) {
  EndpointInfo info;
  EXPECT_EQ(table_.get(stranger, info), Status::wrong_domain);
  EXPECT_EQ(table_.get(ServiceName{"file", stranger}, info), Status::wrong_domain);
  EXPECT_EQ(change(NewEndpoint{stranger, key(1), at(1), {}}), Status::wrong_domain);
  EXPECT_EQ(change(ChangeEndpoint{stranger, at(1), {}}), Status::wrong_domain);
  EXPECT_EQ(change(DeleteEndpoint{stranger, at(1)}), Status::wrong_domain);
  EXPECT_EQ(change(NewService{{"file", stranger}, at(1), 0}), Status::wrong_domain);
  EXPECT_EQ(change(ChangeService{{"file", stranger}, at(1), 0}), Status::wrong_domain);
  EXPECT_EQ(change(DeleteService{{"file", stranger}, at(1)}), Status::wrong_domain);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(TableTest, ATakenNameExistsForAnotherKeyOnly) {
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(2), {v4(1, 1)}}), Status::ok);
  EXPECT_EQ(change(NewEndpoint{alice, key(2), at(9), {}}), Status::exists);
  EXPECT_EQ(change(NewEndpoint{alice, key(1), at(2), {v4(2, 2)}}), Status::ok);
  EXPECT_EQ(change(NewEndpoint{alice, key(1), at(1), {}}), Status::stale_generation);
  EXPECT_EQ(table_.find(alice)->addresses, std::vector{v4(2, 2)});
}

TEST_F(TableTest, GenerationsAreComparedAndSet) {
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(5), {}}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(4), {v4(1, 1)}}), Status::stale_generation);
  EXPECT_TRUE(table_.find(alice)->addresses.empty());
  EXPECT_EQ(change(ChangeEndpoint{alice, at(5), {v4(1, 1)}}), Status::ok);
  EXPECT_EQ(table_.find(alice)->addresses, std::vector{v4(1, 1)});
  EXPECT_EQ(change(ChangeEndpoint{alice, at(6), {v4(2, 2)}}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(5), {v4(1, 1)}}), Status::stale_generation);
  EXPECT_EQ(table_.find(alice)->residence.generation, 6U);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(max_generation), {}}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(max_generation + 1), {}}), Status::bad_request);
}

TEST_F(TableTest, AddressesThatLeadNowhereAreRefused) {
  Address multicast4 = v4(1, 1);
  multicast4.ip[0] = 224;
  Address multicast6 = v6(1, 1);
  multicast6.ip[0] = 0xff;
  const Address nowhere{Family::v6, {}, 1, Protocol::tls_tcp};
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(1), {}}), Status::ok);
  for (const Address& bad : {multicast4, multicast6, nowhere, v4(1, 0)}) {
    EXPECT_EQ(change(NewEndpoint{endpoint("b@verkstad.net"), key(1), at(1), {v4(1, 1), bad}}), Status::bad_request);
    EXPECT_EQ(change(ChangeEndpoint{alice, at(2), {bad}}), Status::bad_request);
  }
  EXPECT_EQ(change(ChangeEndpoint{alice, at(2), std::vector(max_addresses + 1, v4(1, 1))}), Status::bad_request);
  EXPECT_EQ(change(ChangeEndpoint{alice, at(2), std::vector(max_addresses, v4(1, 1))}), Status::ok);
}

TEST_F(TableTest, ServicesBelongToTheirEndpoint) {
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(1), {v4(1, 4700), v6(1, 4700)}}), Status::ok);
  EXPECT_EQ(change(NewService{{"file", alice}, at(1), 0}), Status::ok);
  EXPECT_EQ(change(NewService{{"file", alice}, at(1), 0}), Status::exists);
  EXPECT_EQ(change(NewService{{"echo", alice}, at(1), 7}), Status::ok);
  EndpointInfo info;
  EXPECT_EQ(table_.get(service("file.alice@verkstad.net"), info), Status::ok);
  EXPECT_EQ(info.addresses, (std::vector{v4(1, 4700), v6(1, 4700)}));
  EXPECT_EQ(table_.get(service("echo.alice@verkstad.net"), info), Status::ok);
  EXPECT_EQ(info.addresses, (std::vector{v4(1, 7), v6(1, 7)}));
  EXPECT_EQ(change(ChangeService{{"echo", alice}, at(1), 8}), Status::ok);
  EXPECT_EQ(table_.get(service("echo.alice@verkstad.net"), info), Status::ok);
  EXPECT_EQ(info.addresses[0].port, 8);
  EXPECT_EQ(change(DeleteService{{"echo", alice}, at(1)}), Status::ok);
  EXPECT_EQ(table_.get(service("echo.alice@verkstad.net"), info), Status::not_found);
  EXPECT_EQ(change(DeleteEndpoint{alice, at(1)}), Status::ok);
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(1), {}}), Status::ok);
  EXPECT_EQ(table_.get(service("file.alice@verkstad.net"), info), Status::not_found);
}

TEST_F(TableTest, AnEndpointHasALimitOfServices) {
  ASSERT_EQ(change(NewEndpoint{alice, key(1), at(1), {}}), Status::ok);
  for (std::size_t i = 0; i < max_services_per_endpoint; ++i)
    ASSERT_EQ(change(NewService{{"s" + std::to_string(i), alice}, at(1), 0}), Status::ok);
  EXPECT_EQ(change(NewService{{"more", alice}, at(1), 0}), Status::limit);
  EXPECT_EQ(change(DeleteService{{"s7", alice}, at(1)}), Status::ok);
  EXPECT_EQ(change(NewService{{"more", alice}, at(1), 0}), Status::ok);
}

TEST(StatusTest, EachHasOneClearLine) {
  for (int number = 0; number < 256; ++number) {
    const auto status = static_cast<Status>(number);
    const bool known = number <= static_cast<int>(Status::revoked) || (number >= 128 && number <= 130);
    const std::string line(describe(status));
    EXPECT_EQ(line == "unknown status", !known) << number;
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(is_wire_status(static_cast<std::uint8_t>(number)), known && number < 128);
  }
}

}  // namespace
}  // namespace sessionfs::sns
