// Who looks on is told each transition once, in order, and with where the streams are.
#include "engine/host.hpp"
#include "tests/engine/raw_host.hpp"

namespace sessionfs::test {
namespace {

class Told : public ::testing::Test {
 protected:
  Told() { t.host->tell_transitions(); }

  // The numbers of those that have come since the last call.
  std::vector<int> numbers() {
    std::vector<int> numbers;
    for (const auto& action : std::exchange(t.told, {})) {
      EXPECT_EQ(action.session, t.session);
      numbers.push_back(action.transitioned.transition.number);
    }
    return numbers;
  }
  using Numbers = std::vector<int>;

  RawHost t;
};

TEST_F(Told, ALifeInOrder) {
  ConnId conn = t.connect_to_alice();
  EXPECT_EQ(numbers(), (Numbers{19, 21}));
  t.write("hello");
  t.feed_data(conn, 0, "hi");
  t.feed(conn, Checkpoint{{5, 100, false, false}});
  EXPECT_EQ(numbers(), Numbers{}) << "bytes are no transition";
  t.cut(conn);
  conn = t.answer_next_dial();
  t.feed(conn, ResumeDenied{ResumeDenial::not_here, 0, 0, 7});
  conn = t.answer_next_dial();
  t.feed(conn, ResumeOk{7, 0, {5, 100, false, false}});
  EXPECT_EQ(numbers(), (Numbers{1, 31, 12, 41, 31, 12, 14}));
  t.with([&](Host& host) { host.suspend(*t.session, t.now); });
  t.with([&](Host& host) { host.resume(*t.session, t.now); });
  t.with([&](Host& host) { host.abort(*t.session, t.now); });
  EXPECT_EQ(numbers(), (Numbers{2, 9, 33}));
}

TEST_F(Told, EachBeginsWhereTheOneBeforeHasLed) {
  ConnId conn = t.connect_to_alice();
  for (int i = 0; i < 3; ++i) {
    t.cut(conn);
    t.refuse_dial();
    conn = t.answer_next_dial();
    t.feed(conn, ResumeOk{7, 0, {0, 100, false, false}});
  }
  State before = State::connecting;
  for (const auto& action : t.told) {
    const Transition& transition = action.transitioned.transition;
    EXPECT_EQ(transition.state, before);
    EXPECT_EQ(find_transition(transition.state, transition.event)->number, transition.number);
    before = transition.next;
  }
  EXPECT_EQ(before, t.session->state());
  EXPECT_EQ(t.told.back().transitioned.transition.number, t.session->last_transition());
}

TEST_F(Told, WithWhereTheStreamsAreAfterIt) {
  ConnId conn = t.accept_from_alice();
  EXPECT_EQ(numbers(), Numbers{3}) << "a CONNECT brings a channel, as a RESUME does";
  t.write("hello");
  t.feed_data(conn, 0, "abcdefg");
  EXPECT_EQ(t.read(), "abcdefg");
  t.feed_data(conn, 7, "more");
  t.feed(conn, Checkpoint{{3, 100, false, false}});
  conn = t.incoming(t.alice);
  t.feed(conn, t.resume_message(1, true, 4));
  ASSERT_EQ(t.told.size(), 1U);
  const auto& [transition, written, acked, held, read] = t.told.front().transitioned;
  EXPECT_EQ(transition.number, 3);
  EXPECT_EQ(written, 5U);
  EXPECT_EQ(acked, 4U) << "of the RESUME that has led to it";
  EXPECT_EQ(held, 11U);
  EXPECT_EQ(read, 7U);
}

// Its end has waited for the answer on the better link: one call, two transitions.
TEST_F(Told, OneThatLeadsToAnotherComesFirst) {
  const ConnId channel = t.connect_to_alice();
  t.with([&](Host& host) { host.handle_path(*t.session, "eth1", t.now); });
  const ConnId next = t.answer_dial();
  t.with([&](Host& host) { host.finish(*t.session, t.now); });
  t.feed(channel, Finish{0});
  t.feed(channel, Checkpoint{{0, 100, true, false}});
  EXPECT_EQ(numbers(), (Numbers{19, 21, 49, 50}));
  t.feed(next, ResumeDenied{ResumeDenial::not_here, 0, 0, 7});
  EXPECT_EQ(numbers(), (Numbers{56, 29}));
}

TEST_F(Told, BeforeWhatFollowsFromIt) {
  const ConnId conn = t.connect_to_alice();
  t.host->handle_closed(conn, t.now);
  const auto store = t.host->poll_action();
  const auto first = t.host->poll_action();
  EXPECT_EQ(store->kind, Action::Kind::store);
  EXPECT_EQ(first->kind, Action::Kind::tell);
  t.pump();
}

TEST(ToldToNobody, WhereNobodyHasAskedForIt) {
  RawHost t;
  const ConnId conn = t.connect_to_alice();
  t.cut(conn);
  EXPECT_TRUE(t.told.empty());
}

}  // namespace
}  // namespace sessionfs::test
