// Who may change an endpoint, and for how long it counts as being there.
#include <algorithm>
#include <map>

#include "sns/table.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {
namespace {

using std::chrono::seconds;

const EndpointName carol = endpoint("carol@verkstad.net");
const ServiceName file{"file", carol};

PublicKey numbered_key(int number) {
  PublicKey out{};
  out[0] = static_cast<std::byte>(number);
  return out;
}

class TableResidenceTest : public ::testing::Test {
 protected:
  Status change(const Change& what) {
    const Status status = table_.check(what);
    if (status == Status::ok) table_.apply(what);
    return status;
  }
  // At the default lease's server after so many seconds.
  std::vector<EndpointName> advance(seconds clock) { return table_.advance(clock, test_time + clock); }

  Table table_{"verkstad.net"};
};

TEST_F(TableResidenceTest, AnEqualGenerationWithAnotherMarkIsStale) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(5, 1), {v4(1, 1)}}), Status::ok);
  ASSERT_EQ(change(NewService{file, at(5, 1), 0}), Status::ok);
  for (const Residence& other : {at(5, 2), at(4, 1), at(0, 1)}) {
    EXPECT_EQ(change(NewEndpoint{carol, numbered_key(1), other, {}}), Status::stale_generation);
    EXPECT_EQ(change(ChangeEndpoint{carol, other, {}}), Status::stale_generation);
    EXPECT_EQ(change(DeleteEndpoint{carol, other}), Status::stale_generation);
    EXPECT_EQ(change(NewService{{"echo", carol}, other, 0}), Status::stale_generation);
    EXPECT_EQ(change(ChangeService{file, other, 7}), Status::stale_generation);
    EXPECT_EQ(change(DeleteService{file, other}), Status::stale_generation);
  }
  EXPECT_EQ(table_.find(carol)->residence, at(5, 1));
  EXPECT_EQ(table_.find(carol)->addresses, std::vector{v4(1, 1)});
  ASSERT_EQ(table_.find(carol)->services.size(), 1U);
  EXPECT_EQ(table_.find(carol)->services[0].port, 0);
}

TEST_F(TableResidenceTest, AHigherGenerationTakesOverWhateverItsMark) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1, 1), {v4(1, 1)}}), Status::ok);
  ASSERT_EQ(change(NewService{file, at(1, 1), 0}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(2, 2), {v4(2, 2)}}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(2, 1), {v4(1, 1)}}), Status::stale_generation) << "who comes second";
  EXPECT_EQ(change(ChangeEndpoint{carol, at(1, 1), {v4(1, 1)}}), Status::stale_generation);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(9, 1), {v4(9, 9)}}), Status::ok) << "also by more than one";
  EXPECT_EQ(table_.find(carol)->residence, at(9, 1));
  EXPECT_EQ(table_.find(carol)->services.size(), 1U) << "services go with the endpoint";
}

TEST_F(TableResidenceTest, OnlyAClaimTakesOver) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1, 1), {}}), Status::ok);
  EXPECT_EQ(change(DeleteEndpoint{carol, at(2, 2)}), Status::stale_generation);
  EXPECT_EQ(change(NewService{file, at(2, 2), 0}), Status::stale_generation);
  EXPECT_EQ(table_.find(carol)->residence, at(1, 1));
  EXPECT_EQ(change(NewEndpoint{carol, numbered_key(1), at(2, 2), {}}), Status::ok);
  EXPECT_EQ(table_.find(carol)->residence, at(2, 2));
}

TEST_F(TableResidenceTest, WhatComesByAnOlderConnectionIsStale) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {}}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(1), {v4(7, 7)}, 7}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(1), {v4(6, 6)}, 6}), Status::stale_generation);
  EXPECT_EQ(table_.find(carol)->addresses, std::vector{v4(7, 7)});
  EXPECT_EQ(change(ChangeEndpoint{carol, at(1), {v4(8, 8)}, 7}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(1), {v4(9, 9)}, 9}), Status::ok);
  EXPECT_EQ(change(ChangeEndpoint{carol, at(2, 2), {v4(2, 2)}, 3}), Status::ok)
      << "another residence has its own order";
  EXPECT_EQ(change(ChangeEndpoint{carol, at(2, 2), {v4(3, 3)}, 4}), Status::ok);
}

TEST_F(TableResidenceTest, ARenewalSaysNothingNew) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {v4(1, 1)}}), Status::ok);
  EXPECT_TRUE(table_.is_renewal(ChangeEndpoint{carol, at(1), {v4(1, 1)}}));
  EXPECT_FALSE(table_.is_renewal(ChangeEndpoint{carol, at(2), {v4(1, 1)}}));
  EXPECT_FALSE(table_.is_renewal(ChangeEndpoint{carol, at(1), {v4(2, 2)}}));
  EXPECT_FALSE(table_.is_renewal(ChangeEndpoint{carol, at(1), {}}));
  EXPECT_FALSE(table_.is_renewal(NewEndpoint{carol, numbered_key(1), at(1), {v4(1, 1)}}));
  table_.set_away(carol, test_time);
  EXPECT_FALSE(table_.is_renewal(ChangeEndpoint{carol, at(1), {v4(1, 1)}})) << "that it is back is new";
}

// --- leases -------------------------------------------------------------------------------------------------------

TEST_F(TableResidenceTest, AnEndpointIsAwayWhenItsLeaseHasRunOut) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {v4(1, 1)}}), Status::ok);
  EXPECT_TRUE(advance(default_lease).empty());
  const auto limit = default_lease + default_lease / 4 + seconds(1);
  std::vector<EndpointName> gone;
  seconds clock = default_lease;
  while (gone.empty() && clock < limit) gone = advance(++clock);
  EXPECT_EQ(gone, std::vector{carol}) << "within a quarter of the lease";
  EndpointInfo info;
  ASSERT_EQ(table_.get(carol, info), Status::ok);
  EXPECT_EQ(info.away_since, test_time) << "when it was last heard of";
  EXPECT_EQ(info.addresses, std::vector{v4(1, 1)}) << "its last ones are still told";
  for (int i = 0; i < 300; ++i) EXPECT_TRUE(advance(++clock).empty()) << "once is enough";

  EXPECT_EQ(change(ChangeEndpoint{carol, at(1), {v4(1, 1)}}), Status::ok);
  ASSERT_EQ(table_.get(carol, info), Status::ok);
  EXPECT_EQ(info.away_since, std::nullopt) << "it is back";
  EXPECT_TRUE(advance(clock + default_lease).empty());
  EXPECT_EQ(advance(clock + 2 * default_lease), std::vector{carol}) << "and goes again";
}

TEST_F(TableResidenceTest, WhoRenewsStaysAndWhoDoesNotGoes) {
  constexpr int count = 1000;
  const auto name = [](int i) { return endpoint("e" + std::to_string(i) + "@verkstad.net"); };
  for (int i = 0; i < count; ++i) ASSERT_EQ(change(NewEndpoint{name(i), numbered_key(1), at(1), {}}), Status::ok);
  std::map<EndpointName, int> gone;
  const auto limit = default_lease + default_lease / 4 + seconds(1);
  for (seconds clock{1}; clock <= limit; ++clock) {
    for (const auto& each : advance(clock)) {
      EXPECT_GT(clock, default_lease);
      ++gone[each];
    }
    if (clock.count() % 30 != 0) continue;
    for (int i = 0; i < count; i += 2)
      ASSERT_EQ(change(ChangeEndpoint{name(i), at(1), {}, static_cast<std::uint64_t>(clock.count())}), Status::ok);
  }
  EXPECT_EQ(gone.size(), count / 2U) << "all of them";
  for (int i = 0; i < count; ++i) EXPECT_EQ(gone.contains(name(i)), i % 2 == 1);
  for (const auto& [each, times] : gone) EXPECT_EQ(times, 1) << each.str();
}

TEST_F(TableResidenceTest, OfManyLeasesThatRunOutTogetherEachCallTakesAShare) {
  constexpr std::size_t count = 10 * max_away_per_call;
  constexpr std::size_t one_bucket = 50;  // more than ever share a place in a table of hashes
  const auto name = [](std::size_t i) { return endpoint("e" + std::to_string(i) + "@verkstad.net"); };
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(change(NewEndpoint{name(i), numbered_key(1), at(1), {}}), Status::ok);
  std::map<EndpointName, int> gone;
  const auto take = [&](seconds clock) {
    const auto some = advance(clock);
    EXPECT_LT(some.size(), max_away_per_call + one_bucket);
    for (const auto& each : some) ++gone[each];
    return !some.empty();
  };
  while (take(10 * default_lease)) {
  }
  EXPECT_EQ(gone.size(), count) << "all of them, while the clock stands";
  for (const auto& [each, times] : gone) EXPECT_EQ(times, 1) << each.str();
}

TEST_F(TableResidenceTest, TheLeaseIsWhatWasAskedFor) {
  Table brief("verkstad.net", seconds(2));
  EXPECT_EQ(brief.lease(), seconds(2));
  brief.apply(NewEndpoint{carol, numbered_key(1), at(1), {}});
  EXPECT_TRUE(brief.advance(seconds(2), test_time).empty());
  EXPECT_EQ(brief.advance(seconds(3), test_time), std::vector{carol});
}

TEST_F(TableResidenceTest, WhatWasStoredAsAwayIsNotToldAgain) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {}}), Status::ok);
  table_.set_away(carol, test_time - seconds(1000));
  EXPECT_TRUE(advance(10 * default_lease).empty());
  EXPECT_EQ(table_.find(carol)->away_since, test_time - seconds(1000));
}

// --- revocation ---------------------------------------------------------------------------------------------------

TEST_F(TableResidenceTest, ARevokedKeyCountsNoMore) {
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {v4(1, 1)}}), Status::ok);
  ASSERT_EQ(change(NewService{file, at(1), 0}), Status::ok);
  EXPECT_EQ(change(RevokeEndpoint{endpoint("bob@verkstad.net")}), Status::not_found);
  EXPECT_EQ(change(RevokeEndpoint{endpoint("carol@example.com")}), Status::wrong_domain);
  EXPECT_EQ(change(RevokeEndpoint{carol}), Status::ok);
  EXPECT_EQ(change(RevokeEndpoint{carol}), Status::ok) << "twice is once";
  EndpointInfo info;
  EXPECT_EQ(table_.get(carol, info), Status::revoked);
  EXPECT_EQ(table_.get(file, info), Status::revoked);
  EXPECT_EQ(info, EndpointInfo{});
  for (const Residence& residence : {at(1), at(2, 2)}) {
    EXPECT_EQ(change(NewEndpoint{carol, numbered_key(1), residence, {}}), Status::revoked);
    EXPECT_EQ(change(ChangeEndpoint{carol, residence, {}}), Status::revoked);
    EXPECT_EQ(change(DeleteEndpoint{carol, residence}), Status::revoked);
    EXPECT_EQ(change(NewService{file, residence, 0}), Status::revoked);
    EXPECT_EQ(change(ChangeService{file, residence, 0}), Status::revoked);
    EXPECT_EQ(change(DeleteService{file, residence}), Status::revoked);
  }
  EXPECT_TRUE(advance(10 * default_lease).empty()) << "nor is it away";
  EXPECT_EQ(change(NewEndpoint{carol, numbered_key(2), at(1, 3), {v4(3, 3)}}), Status::ok)
      << "the name is free for another key";
  ASSERT_EQ(table_.get(carol, info), Status::ok);
  EXPECT_EQ(info, (EndpointInfo{1, numbered_key(2), {v4(3, 3)}, {}}));
  EXPECT_EQ(table_.get(file, info), Status::not_found);
  EXPECT_EQ(change(NewEndpoint{carol, numbered_key(1), at(9), {}}), Status::exists);
}

// --- taking back --------------------------------------------------------------------------------------------------

TEST_F(TableResidenceTest, WhatIsPutBackIsAsItWas) {
  EXPECT_EQ(table_.copy(carol), std::nullopt);
  ASSERT_EQ(change(NewEndpoint{carol, numbered_key(1), at(1), {v4(1, 1)}}), Status::ok);
  ASSERT_EQ(change(NewService{file, at(1), 7}), Status::ok);
  const auto before = table_.copy(carol);
  ASSERT_TRUE(before);
  for (const Change& what :
       {Change(ChangeEndpoint{carol, at(2, 2), {v4(2, 2)}, 5}), Change(ChangeService{file, at(1), 8}),
        Change(DeleteService{file, at(1)}), Change(DeleteEndpoint{carol, at(1)}), Change(RevokeEndpoint{carol})}) {
    ASSERT_EQ(change(what), Status::ok);
    table_.put_back(carol, before);
    const auto* now = table_.find(carol);
    ASSERT_NE(now, nullptr);
    EXPECT_EQ(now->key, before->key);
    EXPECT_EQ(now->residence, before->residence);
    EXPECT_EQ(now->addresses, before->addresses);
    EXPECT_EQ(now->order, before->order);
    EXPECT_FALSE(now->revoked);
    ASSERT_EQ(now->services.size(), 1U);
    EXPECT_EQ(now->services[0].port, 7);
  }
  table_.put_back(carol, std::nullopt);
  EXPECT_EQ(table_.find(carol), nullptr);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(TableResidenceTest, EachChangeKnowsItsEndpoint) {
  for (const Change& what :
       {Change(NewEndpoint{carol, numbered_key(1), at(1), {}}), Change(ChangeEndpoint{carol, at(1), {}}),
        Change(DeleteEndpoint{carol, at(1)}), Change(NewService{file, at(1), 0}), Change(ChangeService{file, at(1), 0}),
        Change(DeleteService{file, at(1)}), Change(RevokeEndpoint{carol})})
    EXPECT_EQ(subject(what), carol) << what.index();
}

}  // namespace
}  // namespace sessionfs::sns
