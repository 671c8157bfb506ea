// The table as data: every row, and every pair that is not a row.
#include "engine/transitions.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace sessionfs::test {
namespace {

constexpr std::size_t state_count = 7;
constexpr std::size_t event_count = 26;

TEST(Transitions, NumbersAreUniqueAndPairsToo) {
  std::set<int> numbers;
  std::set<std::pair<State, Event>> pairs;
  for (const auto& row : transitions()) {
    EXPECT_TRUE(numbers.insert(row.number).second) << "T" << int{row.number} << " twice";
    EXPECT_TRUE(pairs.insert({row.state, row.event}).second)
        << name_of(row.state) << " and " << name_of(row.event) << " twice";
  }
  EXPECT_FALSE(numbers.contains(0)) << "0 means: before the first";
}

TEST(Transitions, KeepTheNumbersOfTheThesis) {
  std::set<int> numbers;
  for (const auto& row : transitions()) numbers.insert(row.number);
  // T10 and T11, the success and the failure of sending RESUME_OK, are none here: a failure is a loss of the channel.
  for (const int number : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18})
    EXPECT_TRUE(numbers.contains(number));
  for (const int number : {10, 11}) EXPECT_FALSE(numbers.contains(number));
}

TEST(Transitions, OfTheThesisLeadWhereTheThesisSays) {
  struct Row {
    int number;
    State state;
    Event event;
    State next;
  };
  using enum State;
  const Row rows[] = {{1, active, Event::channel_lost, ready_resume},
                      {2, active, Event::user_suspend, suspended},
                      {3, active, Event::peer_resume, active},
                      {4, active, Event::peer_suspend, ready_resume},
                      {5, ready_resume, Event::user_suspend, suspended},
                      {6, ready_resume, Event::peer_resume, active},
                      {7, ready_resume, Event::network_change, ready_resume},
                      {8, suspended, Event::peer_resume, suspended},
                      {9, suspended, Event::user_resume, ready_resume},
                      {12, ready_resume, Event::dialled, sent_resume},
                      {13, ready_resume, Event::dial_failed, ready_resume},
                      {14, sent_resume, Event::resume_ok, active},
                      {15, sent_resume, Event::denied_suspended, ready_resume},
                      {16, sent_resume, Event::network_change, ready_resume},
                      {17, sent_resume, Event::peer_resume_crossed, sent_resume},
                      {18, sent_resume, Event::peer_resume, active}};
  for (const auto& row : rows) {
    const auto* found = find_transition(row.state, row.event);
    ASSERT_NE(found, nullptr) << "T" << row.number;
    EXPECT_EQ(int{found->number}, row.number);
    EXPECT_EQ(found->next, row.next) << "T" << row.number;
  }
}

TEST(Transitions, EveryPairIsFoundOrIsNone) {
  std::map<std::pair<State, Event>, const Transition*> rows;
  for (const auto& row : transitions()) rows[{row.state, row.event}] = &row;
  for (std::size_t s = 0; s < state_count; ++s)
    for (std::size_t e = 0; e < event_count; ++e) {
      const auto pair = std::pair(static_cast<State>(s), static_cast<Event>(e));
      const auto found = rows.find(pair);
      EXPECT_EQ(find_transition(pair.first, pair.second), found == rows.end() ? nullptr : found->second);
    }
}

TEST(Transitions, NothingLeavesClosed) {
  for (const auto& row : transitions())
    EXPECT_TRUE(row.state != State::closed || row.next == State::closed) << "T" << int{row.number};
}

TEST(Transitions, EveryStateAnswersAResumeAndEveryWaitHasAWayOut) {
  for (std::size_t s = 0; s < state_count; ++s)
    EXPECT_NE(find_transition(static_cast<State>(s), Event::peer_resume), nullptr) << name_of(static_cast<State>(s));
  EXPECT_NE(find_transition(State::ready_resume, Event::retry_due), nullptr);
  for (const State state : {State::connecting, State::active, State::moving, State::ready_resume, State::sent_resume})
    EXPECT_NE(find_transition(state, Event::timeout), nullptr) << name_of(state);
  for (const State state :
       {State::connecting, State::active, State::moving, State::ready_resume, State::sent_resume, State::suspended})
    EXPECT_NE(find_transition(state, Event::user_abort), nullptr) << name_of(state);
}

TEST(Transitions, EveryNameIsThereAndSaysOneThing) {
  std::set<std::string> names;
  for (std::size_t s = 0; s < state_count; ++s) names.insert(std::string(name_of(static_cast<State>(s))));
  EXPECT_EQ(names.size(), state_count);
  names.clear();
  for (std::size_t e = 0; e < event_count; ++e) names.insert(std::string(name_of(static_cast<Event>(e))));
  EXPECT_EQ(names.size(), event_count);
  EXPECT_EQ(name_of(Event::complete), "complete") << "the last of the enumeration";
  EXPECT_EQ(name_of(Step::send_abort), "send_abort");
  EXPECT_EQ(name_of(State::closed), "CLOSED");
}

}  // namespace
}  // namespace sessionfs::test
