// Sessions that go on at another host from their record, and copies that the other side has moved past.
#include <tuple>

#include "tests/engine/raw_host.hpp"
#include "tests/engine/text.hpp"

namespace sessionfs::test {
namespace {

constexpr std::uint64_t limit = RawHost::capacity_bytes;

// Bob at generation 3 has written ten bytes, of which alice (generation 7) has confirmed four, and has got six.
class Travel : public ::testing::Test {
 protected:
  Travel() {
    channel = former.accept_from_alice();
    (void)former.write("0123456789");
    former.feed_data(channel, 0, "abcdef");
    former.feed(channel, Checkpoint{{4, limit, false, false}});
    copy = former.copy();
  }
  // The copy goes on as bob's next residence.
  void load(std::uint64_t generation = 4) { here.load(copy, generation); }
  // Alice resumes there.
  ConnId resume(const Progress& progress, std::uint64_t attempt = 1, std::uint64_t source = 3) {
    const ConnId conn = here.incoming(here.alice);
    here.feed(conn, {Resume{protocol_version, here.id, 7, attempt, true, progress, source}});
    return conn;
  }
  // The marks of the session, as text.
  [[nodiscard]] static std::string marks(const SessionImage& image) {
    std::string out = std::to_string(image.loaded.acked);
    for (const auto& mark : image.loaded.marks)
      out += " " + std::to_string(mark.generation) + ":" + std::to_string(mark.written);
    return out + (image.loaded.settled ? " settled" : "");
  }
  // Bob's own RESUME comes to alice, who answers.
  ConnId answered(const Message& message) {
    const ConnId conn = here.answer_next_dial();
    here.feed(conn, message);
    return conn;
  }
  [[nodiscard]] Failure failure() const { return here.session->failure(); }

  RawHost former, here;
  ConnId channel = 0;
  SessionRecord copy;
};

// --- freezing -----------------------------------------------------------------------------------------------------

TEST_F(Travel, WhatIsFrozenLivesOnInItsRecordAlone) {
  const auto session = former.session;
  std::vector<Host::Frozen> frozen;
  former.with([&](Host& host) { frozen = host.freeze(*host.find_endpoint(former.bob), former.now); });
  ASSERT_EQ(frozen.size(), 1U);
  EXPECT_EQ(frozen[0].session, session);
  EXPECT_EQ(frozen[0].record.image.sent.acked, 4U);
  EXPECT_EQ(frozen[0].record.image.sent.written, 10U);
  EXPECT_EQ(text_of({frozen[0].record.sent, {}}), "456789");
  EXPECT_EQ(text_of({frozen[0].record.received, {}}), "abcdef");
  EXPECT_EQ(session->failure(), Failure::superseded);
  EXPECT_EQ(former.read(), "");
  EXPECT_EQ(former.write("more"), 0U);
  EXPECT_TRUE(former.closed(channel));
  EXPECT_EQ(former.last<Abort>(channel), nullptr);
  EXPECT_FALSE(former.host->next_timeout());
  // Nothing of it is stored over what was there.
  EXPECT_EQ(former.store.load({former.bob, former.id, false})->failure, Failure::none);

  const ConnId asks = former.incoming(former.alice);
  former.feed(asks, former.resume_message(1, true, 0));
  EXPECT_EQ(former.last<ResumeDenied>(asks)->reason, ResumeDenial::not_here);
  EXPECT_EQ(former.last<ResumeDenied>(asks)->generation, 0U);
  const ConnId connects = former.incoming(former.alice);
  Connect other = former.connect_message();
  other.id = SessionId{{5}};
  former.feed(connects, other);
  EXPECT_EQ(former.last<ConnectDenied>(connects)->reason, ConnectDenial::not_here);
  Endpoint& bob = *former.host->find_endpoint(former.bob);
  EXPECT_EQ(former.host->connect(bob, DialName::parse("file.alice@home.test").value(), SessionId{{6}}, 1, former.now),
            nullptr);
}

TEST_F(Travel, WhatIsThawedGoesOnFromWhatWasStored) {
  former.with([&](Host& host) { (void)host.freeze(*host.find_endpoint(former.bob), former.now); });
  Endpoint& bob = *former.host->find_endpoint(former.bob);
  Host::thaw(bob);
  const SessionKey key{former.bob, former.id, false};
  const auto image = former.store.load(key).value();
  former.session = former.host->restore(bob, image, former.store.memories(key), 1, former.now);
  former.pump();
  EXPECT_TRUE(former.session->image().loaded.marks.empty());
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, former.resume_message(1, true, 4));
  EXPECT_EQ(former.conns.at(conn).data, "456789");
  EXPECT_EQ(former.conns.at(conn).data_offset, 4U);
  EXPECT_EQ(former.read(), "abcdef");
}

TEST_F(Travel, WhatNeverStoodAndWhatWaitsInABacklogIsFrozenToo) {
  RawHost t;
  const ConnId waits = t.incoming(t.alice);
  t.feed(waits, t.connect_message());
  (void)t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), SessionId{{6}},
                        1, t.now);
  t.pump();
  std::vector<Host::Frozen> frozen;
  t.with([&](Host& host) { frozen = host.freeze(*host.find_endpoint(t.bob), t.now); });
  ASSERT_EQ(frozen.size(), 1U);
  EXPECT_FALSE(frozen[0].record.image.accepted);
  EXPECT_TRUE(t.host->sessions_at(t.bob).empty());
  EXPECT_EQ(t.host->accept(*t.host->find_endpoint(t.bob), "file"), nullptr);
  // Elsewhere it waits again.
  here.load(frozen[0].record, 4);
  EXPECT_EQ(here.host->accept(*here.host->find_endpoint(here.bob), "file"), here.session);
}

TEST_F(Travel, NothingIsGivenBackToAFrozenEndpoint) {
  former.with([&](Host& host) { (void)host.freeze(*host.find_endpoint(former.bob), former.now); });
  former.with([&](Host& host) { host.give_back(*host.find_endpoint(former.bob), former.session); });
  EXPECT_EQ(former.host->accept(*former.host->find_endpoint(former.bob), "file"), nullptr);
  EXPECT_FALSE(former.host->poll_store());
}

TEST_F(Travel, AFrozenEndpointThatComesAgainIsNoLongerFrozen) {
  former.with([&](Host& host) { (void)host.freeze(*host.find_endpoint(former.bob), former.now); });
  former.load(copy, 4);
  EXPECT_FALSE(former.host->find_endpoint(former.bob)->frozen);
  EXPECT_EQ(former.session->image().generation, 4U);
}

// --- handing over -------------------------------------------------------------------------------------------------

TEST_F(Travel, OnlyTheEndpointItselfMayAskForItsState) {
  const ConnId asks = former.incoming(former.bob);
  former.feed(asks, Handoff{protocol_version, 4});
  ASSERT_EQ(former.handed_over.size(), 1U);
  EXPECT_EQ(former.handed_over[0].conn, asks);
  EXPECT_EQ(former.handed_over[0].endpoint, former.bob);
  EXPECT_EQ(former.handed_over[0].generation, 4U);
  former.feed(asks, HandoffTaken{});  // which is the driver's to read
  EXPECT_FALSE(former.closed(asks));

  const ConnId stranger = former.incoming(former.alice);
  former.feed(stranger, Handoff{protocol_version, 4});
  EXPECT_TRUE(former.closed(stranger));
  const ConnId later = former.incoming(former.bob);
  former.feed(later, Handoff{protocol_version + 1, 4});
  EXPECT_EQ(former.last<HandoffDenied>(later)->reason, HandoffDenial::version);
  EXPECT_EQ(former.handed_over.size(), 1U);
}

// --- loading ------------------------------------------------------------------------------------------------------

TEST_F(Travel, TheStreamGoesOnFromTheRecord) {
  load();
  EXPECT_EQ(marks(here.session->image()), "4 3:10");
  (void)here.write("ab");
  const ConnId conn = answered(ResumeOk{7, 0, {6, limit, false, false}, 3});
  EXPECT_EQ(here.last<Resume>(conn)->generation, 4U);
  EXPECT_EQ(here.last<Resume>(conn)->progress.held, 6U);
  EXPECT_EQ(here.conns.at(conn).data, "6789ab");
  EXPECT_EQ(marks(here.session->image()), "4 3:10");
  EXPECT_EQ(here.read(), "abcdef");
}

TEST_F(Travel, WhoHasMovedPastTheCopyIsNotGoneOnWith) {
  load();
  (void)here.write("other bytes");
  const ConnId conn = answered(ResumeOk{7, 0, {12, limit, false, false}, 3});
  EXPECT_EQ(failure(), Failure::lost);
  EXPECT_NE(here.last<Abort>(conn), nullptr);
  EXPECT_EQ(here.conns.at(conn).data, "");
}

TEST_F(Travel, NorWhenItAsksItself) {
  load();
  (void)here.write("other bytes");
  const ConnId conn = resume({12, limit, false, false});
  EXPECT_EQ(here.last<ResumeDenied>(conn)->reason, ResumeDenial::gap);
  EXPECT_EQ(failure(), Failure::lost);
}

// Whether alice takes the answer is not known: her next RESUME may tell of more that the former residence has sent.
TEST_F(Travel, AnAnswerToAResumeIsNoAgreement) {
  for (const bool taken : {false, true}) {
    RawHost t;
    t.load(copy, 4);
    t.write("other bytes");
    const ConnId conn = t.incoming(t.alice);
    t.feed(conn, t.resume_message(1, true, 8));
    EXPECT_EQ(t.conns.at(conn).data, "89other bytes");
    EXPECT_FALSE(t.session->agreed());
    t.cut(conn);
    Resume next = t.resume_message(2, true, 12);
    if (taken) next.source = 4;
    const ConnId again = t.incoming(t.alice);
    t.feed(again, next);
    EXPECT_EQ(t.session->failure(), taken ? Failure::none : Failure::lost);
  }
}

TEST_F(Travel, ACheckpointIsOne) {
  load();
  const ConnId conn = resume({8, limit, false, false});
  here.feed(conn, Checkpoint{{8, limit, false, false}});
  EXPECT_TRUE(here.session->agreed());
  EXPECT_TRUE(here.store.load({here.bob, here.id, false})->loaded.settled);
}

// She has accepted what is here, and has got nothing yet by which she would count it as ours.
TEST_F(Travel, HerOwnAnswerIsNoneBeforeSheHasGotAnything) {
  load();
  const ConnId conn = answered(ResumeOk{7, 0, {10, limit, false, false}, 3});
  EXPECT_FALSE(here.session->agreed());
  here.feed(conn, Checkpoint{{10, limit, false, false}});
  EXPECT_FALSE(here.session->agreed());
  (void)here.write("x");
  here.feed(conn, Checkpoint{{11, limit, false, false}});
  EXPECT_TRUE(here.session->agreed());
}

TEST_F(Travel, WhatSheSaysIsOne) {
  load();
  (void)resume({8, limit, false, false}, 1, 4);
  EXPECT_TRUE(here.session->agreed());
  RawHost t;
  t.load(copy, 4);
  t.feed(t.answer_next_dial(), ResumeOk{7, 0, {8, limit, false, false}, 4});
  EXPECT_TRUE(t.session->agreed());
}

TEST_F(Travel, AnEndThatWasConfirmedAndIsNotThereIsNotSaid) {
  copy.image.end_acked = true;
  load();
  (void)resume({8, limit, false, false});
  EXPECT_EQ(here.session->state(), State::active);
}

TEST_F(Travel, WhatWasLoadedOutlivesARestart) {
  load();
  (void)here.write("other bytes");
  here.cut(resume({8, limit, false, false}));
  RawHost restarted;
  restarted.load(here.copy(), 4);
  EXPECT_EQ(marks(restarted.session->image()), "4 3:10");
}

// Of all that it comes from it knows what they had written, as long as the peer has not gone on with one.
TEST_F(Travel, ACopyOfACopyKnowsBoth) {
  load();
  (void)here.write("other bytes");
  SessionRecord second = here.copy();
  second.image.mark_loaded();  // as a driver may, before
  for (const auto& [source, held, fits] : {std::tuple{3U, 10U, true},
                                           {3U, 11U, false},
                                           {4U, 21U, true},
                                           {4U, 22U, false},
                                           {2U, 4U, true},
                                           {2U, 5U, false}}) {
    RawHost third;
    third.load(second, 5);
    EXPECT_EQ(marks(third.session->image()), "4 3:10 4:21");
    third.write("!");
    Resume asks = third.resume_message(1, true, held);
    asks.source = source;
    third.feed(third.incoming(third.alice), asks);
    EXPECT_EQ(third.session->failure(), fits ? Failure::none : Failure::lost) << source << " " << held;
  }
}

TEST_F(Travel, OnceThePeerHasGoneOnOnlyThatCounts) {
  load();
  (void)here.write("other bytes");
  const ConnId conn = resume({8, limit, false, false});
  here.feed(conn, Checkpoint{{12, limit, false, false}});
  RawHost third;
  third.load(here.copy(), 5);
  EXPECT_EQ(marks(third.session->image()), "4 4:21");
}

// Nobody here knows what a residence in between has sent, so that only what alice has confirmed is common.
TEST_F(Travel, AResidenceInBetweenMayHaveSentOtherBytes) {
  load(5);
  (void)resume({6, limit, false, false}, 1, 4);
  EXPECT_EQ(failure(), Failure::lost);
  RawHost one_more;
  one_more.load(copy, 5);
  Resume asks = one_more.resume_message(1, true, 4);
  asks.source = 4;
  const ConnId good = one_more.incoming(one_more.alice);
  one_more.feed(good, asks);
  EXPECT_EQ(one_more.conns.at(good).data, "456789");
}

// A former residence of alice has gone on with us, and the new one comes from a copy that has gone on with another.
TEST_F(Travel, AgreementIsWithOneResidenceOfThePeer) {
  load(5);
  here.feed(resume({6, limit, false, false}), Checkpoint{{8, limit, false, false}});
  ASSERT_TRUE(here.session->agreed());
  const ConnId conn = here.incoming(here.alice);
  here.feed(conn, Resume{protocol_version, here.id, 8, 1, true, {9, limit, false, false}, 4});
  EXPECT_EQ(here.last<ResumeDenied>(conn)->reason, ResumeDenial::gap);
}

// By an old address alice comes to a residence that she knows to be a former one.
TEST_F(Travel, AFormerResidenceTakesNothingOfWhatANewerOneHasSent) {
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  Resume asks = former.resume_message(1, true, 9);
  asks.source = 4;
  former.feed(conn, asks);
  EXPECT_EQ(former.last<ResumeDenied>(conn)->reason, ResumeDenial::not_here);
  EXPECT_EQ(former.session->send_buffer().acked(), 4U);
}

// What comes on the channel comes from the residence that is there, and so is what is held from then on.
TEST_F(Travel, WhatIsHeldIsOfTheResidenceThatHasSentIt) {
  EXPECT_EQ(former.session->image().source, 7U);
  former.cut(channel);
  const ConnId asked = former.answer_next_dial();
  EXPECT_EQ(former.last<Resume>(asked)->source, 7U);
  former.cut(asked);
  const ConnId conn = former.incoming(former.alice);
  Resume asks = former.resume_message(1, true, 4);
  asks.generation = 8;
  former.feed(conn, asks);
  EXPECT_EQ(former.last<ResumeOk>(conn)->source, 7U) << "it may not like what is held";
  EXPECT_EQ(former.session->image().source, 7U);
  former.feed_data(conn, 6, "more");
  EXPECT_EQ(former.store.load({former.bob, former.id, false})->source, 8U);
}

TEST_F(Travel, WhatWasSupersededMayGoOnAtANewResidence) {
  former.cut(channel);
  former.feed(former.answer_next_dial(), ResumeDenied{ResumeDenial::superseded, 0, 0, 7});
  ASSERT_EQ(former.session->failure(), Failure::superseded);
  here.load(former.copy(), 5);
  EXPECT_EQ(here.session->state(), State::ready_resume);
  EXPECT_EQ(failure(), Failure::none);
  (void)resume({4, limit, false, false});
  EXPECT_EQ(here.session->state(), State::active);
}

// --- ends that a former residence has said, or has been told -------------------------------------------------------

TEST_F(Travel, AnEndThatTheCopyHasNotSetIsPastIt) {
  for (const bool asks : {false, true}) {
    RawHost t;
    t.load(copy, 4);
    const Progress ended{10, limit, true, false};
    if (asks) {
      t.feed(t.incoming(t.alice), Resume{protocol_version, t.id, 7, 1, true, ended, 3});
    } else {
      t.feed(t.answer_next_dial(), ResumeOk{7, 0, ended, 3});
    }
    EXPECT_EQ(t.session->failure(), Failure::lost);
  }
}

TEST_F(Travel, SoIsACloseBeforeWhichBytesAreMissing) {
  for (const bool asks : {false, true}) {
    RawHost t;
    t.load(copy, 4);
    const Progress ended{8, limit, false, true};
    if (asks) {
      t.feed(t.incoming(t.alice), Resume{protocol_version, t.id, 7, 1, true, ended, 3});
    } else {
      t.feed(t.answer_next_dial(), ResumeOk{7, 0, ended, 3});
    }
    EXPECT_EQ(t.session->failure(), Failure::lost);
  }
}

TEST_F(Travel, AnEndThatTheCopyHasToo) {
  former.with([&](Host& host) { host.finish(*former.session, former.now); });
  here.load(former.copy(), 4);
  (void)resume({10, limit, true, false});
  EXPECT_EQ(here.session->state(), State::active);
  EXPECT_TRUE(here.session->image().end_acked);
}

TEST_F(Travel, ASessionThatHasEndedElsewhere) {
  struct Case {
    bool finished;
    std::uint64_t held, end;
    Failure failure;
  };
  const Case cases[] = {
      {true, 10, 6, Failure::none},   // all is here, and all was there
      {false, 10, 6, Failure::lost},  // the end is not ours
      {true, 12, 6, Failure::lost},   // more was written
      {true, 10, 9, Failure::lost},   // more was read: not a silent end
      {true, 10, 5, Failure::lost},  {true, 8, 6, Failure::lost},
  };
  for (const auto& [finished, held, end, failure] : cases) {
    RawHost t;
    t.load(copy, 4);
    if (finished) t.with([&](Host& host) { host.finish(*t.session, t.now); });
    t.feed(t.answer_next_dial(), ResumeDenied{ResumeDenial::closed, held, end, 7});
    EXPECT_EQ(t.session->state(), State::closed);
    EXPECT_EQ(t.session->failure(), failure) << finished << " " << held << " " << end;
  }
}

TEST_F(Travel, OneThatWritesOnHasNotEndedWhereAnotherHasEnded) {
  load();
  (void)here.write("xy");
  here.with([&](Host& host) { host.finish(*here.session, here.now); });
  (void)answered(ResumeDenied{ResumeDenial::closed, 12, 6, 7});
  EXPECT_EQ(failure(), Failure::lost) << "twelve bytes, but not these";
}

TEST_F(Travel, APeerThatHasForgottenItSaysSo) {
  load();
  (void)answered(ResumeDenied{ResumeDenial::unknown, 0, 0, 7});
  EXPECT_EQ(failure(), Failure::lost);
}

// --- the other side -----------------------------------------------------------------------------------------------

// From here on bob stays, and alice is loaded from a copy: her generation is 8.
Resume newer(const RawHost& t, std::uint64_t attempt, const Progress& progress) {
  return {protocol_version, t.id, 8, attempt, true, progress};
}

TEST_F(Travel, ACopyThatHoldsLessThanWasForgottenIsAGap) {
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, newer(former, 1, {3, limit, false, false}));
  EXPECT_EQ(former.last<ResumeDenied>(conn)->reason, ResumeDenial::gap);
  EXPECT_EQ(former.session->failure(), Failure::lost);
}

TEST_F(Travel, SoIsOneThatIsAsked) {
  former.cut(channel);
  const ConnId conn = former.answer_next_dial();
  former.feed(conn, ResumeOk{8, 0, {3, limit, false, false}});
  EXPECT_EQ(former.session->failure(), Failure::lost);
  EXPECT_NE(former.last<Abort>(conn), nullptr);
}

// All bytes are in the copy, and the end is not, although a residence of alice has confirmed it.
TEST_F(Travel, AnEndIsSaidAgainToACopyThatHasNotHeardIt) {
  former.with([&](Host& host) { host.finish(*former.session, former.now); });
  former.feed(channel, Checkpoint{{10, limit, true, false}});
  ASSERT_TRUE(former.session->image().end_acked);
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, newer(former, 1, {10, limit, false, false}));
  ASSERT_NE(former.last<Finish>(conn), nullptr);
  EXPECT_EQ(former.last<Finish>(conn)->offset, 10U);
  EXPECT_FALSE(former.session->image().end_acked);
}

TEST_F(Travel, SoIsAClose) {
  former.with([&](Host& host) { host.close(*former.session, former.now); });
  former.feed(channel, Checkpoint{{10, limit, true, true}});
  ASSERT_TRUE(former.session->image().end_acked);
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, newer(former, 1, {10, limit, true, false}));
  ASSERT_NE(former.last<Close>(conn), nullptr);
}

// The copy may write on behind an end that was said and never reached.
TEST_F(Travel, AnEndThatWasNotReachedIsTakenBack) {
  former.feed(channel, Finish{9});
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, newer(former, 1, {4, limit, false, false}));
  EXPECT_FALSE(former.session->image().peer_end);
  former.feed_data(conn, 6, "another end");
  former.feed(conn, Finish{17});
  EXPECT_EQ(former.read(), "abcdefanother end");
  EXPECT_TRUE(former.session->read_ended());
}

TEST_F(Travel, ACloseThatWasHeardIsToldOfAndNotTakenBack) {
  former.feed(channel, Close{9});
  EXPECT_TRUE(former.last<Checkpoint>(channel)->progress.has_close);
  EXPECT_FALSE(former.last<Checkpoint>(channel)->progress.has_finish);
  EXPECT_TRUE(former.session->write_ended());
  former.cut(channel);
  const ConnId conn = former.incoming(former.alice);
  former.feed(conn, newer(former, 1, {4, limit, false, false}));
  const auto* answer = former.last<ResumeOk>(conn);
  ASSERT_NE(answer, nullptr);
  EXPECT_TRUE(answer->progress.has_close && !answer->progress.has_finish);
  former.feed(conn, Abort{});  // by which a copy that has not closed answers
  EXPECT_EQ(former.session->failure(), Failure::lost);
}

TEST_F(Travel, AConfirmationOfACloseThatWasNotSaidIsAViolation) {
  former.feed(channel, Checkpoint{{10, limit, false, true}});
  EXPECT_TRUE(former.closed(channel));
}

TEST_F(Travel, ACloseIsConfirmedWhenAllBeforeItIsHeldToo) {
  former.with([&](Host& host) { host.close(*former.session, former.now); });
  former.feed(channel, Checkpoint{{8, limit, false, true}});
  EXPECT_FALSE(former.session->image().end_acked);
  former.feed(channel, Checkpoint{{10, limit, true, true}});
  EXPECT_TRUE(former.session->image().end_acked);
}

TEST_F(Travel, ANewResidenceThatDoesNotKnowTheSessionHasLostIt) {
  former.cut(channel);
  former.feed(former.answer_next_dial(), ResumeDenied{ResumeDenial::unknown, 0, 0, 8});
  EXPECT_EQ(former.session->failure(), Failure::lost);
}

// A copy does not know the session: it was begun after the copy was made.
TEST_F(Travel, ACopyWithoutTheSessionSaysUnknownInItsGeneration) {
  RawHost t;
  (void)t.host->add_endpoint(t.bob, 4, t.now);
  const ConnId conn = t.incoming(t.alice);
  t.feed(conn, t.resume_message(1, true));
  EXPECT_EQ(t.last<ResumeDenied>(conn)->reason, ResumeDenial::unknown);
  EXPECT_EQ(t.last<ResumeDenied>(conn)->generation, 4U);
}

// --- crossing -----------------------------------------------------------------------------------------------------

// Bob goes to a better link: what he says to hold on the new connection grows on the old one, by the former residence
// of alice. The new one has agreed to less.
TEST_F(Travel, AnAnswerOfANewResidenceIsToWhatWasAsked) {
  former.with([&](Host& host) { host.handle_path(*former.session, "eth1", former.now); });
  const ConnId attempt = former.answer_dial();
  ASSERT_EQ(former.session->state(), State::moving);
  EXPECT_EQ(former.last<Resume>(attempt)->progress.held, 6U);
  former.feed_data(channel, 6, "more");
  former.feed(attempt, ResumeOk{8, 0, {4, limit, false, false}});
  EXPECT_TRUE(former.closed(attempt));
  EXPECT_TRUE(former.closed(channel));
  EXPECT_EQ(former.session->state(), State::ready_resume);
  const ConnId next = former.answer_dial();
  EXPECT_EQ(former.last<Resume>(next)->progress.held, 10U);
  former.feed(next, ResumeOk{8, 0, {4, limit, false, false}});
  EXPECT_EQ(former.session->state(), State::active);
}

TEST_F(Travel, SoIsOneThatComesAfterItsResumeHasCrossed) {
  RawHost t;
  const ConnId old = t.connect_to_alice();
  t.with([&](Host& host) { host.handle_path(*t.session, "eth1", t.now); });
  const ConnId attempt = t.answer_dial();
  const ConnId crossed = t.incoming(t.alice);
  t.feed(crossed, Resume{protocol_version, t.id, 8, 1, false, {0, limit, false, false}});
  EXPECT_EQ(t.last<ResumeDenied>(crossed)->reason, ResumeDenial::collision);
  t.feed_data(old, 0, "more");
  t.feed(attempt, ResumeOk{8, 1, {0, limit, false, false}});
  EXPECT_EQ(t.session->state(), State::ready_resume);
  EXPECT_EQ(t.read(), "more");
}

TEST_F(Travel, CrossedResumesOfOneThatWasLoaded) {
  RawHost t;
  (void)t.connect_to_alice();
  (void)t.write("0123456789");
  RawHost loaded;
  loaded.load(t.copy(), 4);
  const ConnId attempt = loaded.answer_next_dial();
  const ConnId theirs = loaded.incoming(loaded.alice);
  loaded.feed(theirs, loaded.resume_message(1, false, 10));
  EXPECT_EQ(loaded.last<ResumeDenied>(theirs)->reason, ResumeDenial::collision);
  EXPECT_FALSE(loaded.session->agreed());
  const ConnId again = loaded.incoming(loaded.alice);
  loaded.feed(again, loaded.resume_message(2, false, 11));
  EXPECT_EQ(loaded.last<ResumeDenied>(again)->reason, ResumeDenial::gap);
  EXPECT_TRUE(loaded.closed(attempt));
  EXPECT_EQ(loaded.session->failure(), Failure::lost);
}

TEST_F(Travel, ASuspendedOneKeepsItsMark) {
  former.with([&](Host& host) { host.suspend(*former.session, former.now); });
  here.load(former.copy(), 4);
  EXPECT_EQ(here.session->state(), State::suspended);
  (void)here.write("xy");
  const ConnId conn = resume({12, limit, false, false});
  EXPECT_EQ(here.last<ResumeDenied>(conn)->reason, ResumeDenial::suspended);
  EXPECT_FALSE(here.session->agreed());
  here.with([&](Host& host) { host.resume(*here.session, here.now); });
  (void)answered(ResumeOk{7, 1, {12, limit, false, false}, 3});
  EXPECT_EQ(failure(), Failure::lost);
}

// --- at the beginning ---------------------------------------------------------------------------------------------

// Bob's copy was made when alice had not got her answer yet.
TEST_F(Travel, AConnectIsRepeatedToTheNextResidence) {
  RawHost t;
  t.feed(t.incoming(t.alice), t.connect_message());
  t.session = t.host->accept(*t.host->find_endpoint(t.bob), "file");
  (void)t.write("hello");
  here.load(t.copy(), 4);
  (void)here.write(" there");
  const ConnId conn = here.incoming(here.alice);
  here.feed(conn, here.connect_message());
  ASSERT_NE(here.last<ConnectOk>(conn), nullptr);
  EXPECT_EQ(here.last<ConnectOk>(conn)->generation, 4U);
  EXPECT_EQ(here.conns.at(conn).data, "hello there");
}

TEST_F(Travel, AFormerResidenceNeitherConnectsNorAnswersAfterANewerOne) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  const ConnId attempt = t.answer_dial();
  const ConnId newer_one = t.incoming(t.alice);
  t.feed(newer_one, Resume{protocol_version, t.id, 8, 1, false, {0, limit, false, false}});
  EXPECT_EQ(t.last<ResumeDenied>(newer_one)->reason, ResumeDenial::collision);
  t.feed(attempt, ConnectOk{7, limit, 0});
  EXPECT_TRUE(t.closed(attempt));
  EXPECT_EQ(t.session->state(), State::connecting);

  RawHost taking;
  (void)taking.accept_from_alice();
  Connect former_one = taking.connect_message();
  former_one.generation = 6;
  const ConnId conn = taking.incoming(taking.alice);
  taking.feed(conn, former_one);
  EXPECT_TRUE(taking.closed(conn));
}

TEST_F(Travel, WhatWasConnectingInTheCopyIsOver) {
  RawHost t;
  t.session =
      t.host->connect(*t.host->find_endpoint(t.bob), DialName::parse("file.alice@home.test").value(), t.id, 1, t.now);
  t.pump();
  here.load(t.copy(), 4);
  const ConnId conn = here.incoming(here.alice);
  here.feed(conn, here.resume_message(1, false));
  EXPECT_EQ(here.last<ResumeDenied>(conn)->reason, ResumeDenial::unknown);
  EXPECT_EQ(here.last<ResumeDenied>(conn)->generation, 4U);
}

// --- what a record may not do -------------------------------------------------------------------------------------

TEST_F(Travel, WhatIsHereAlreadyIsNotLoadedOverIt) {
  load();
  const auto first = here.session;
  here.load(copy, 4);
  EXPECT_EQ(here.session, nullptr) << "the same session";
  SessionRecord other = copy;
  other.image.id = SessionId{{9}};
  here.load(other, 4);
  EXPECT_EQ(here.session, nullptr) << "another of the same name";
  other.image.local = here.mallory;
  here.load(other, 4);
  EXPECT_EQ(here.session, nullptr) << "another's";
  EXPECT_EQ(here.host->sessions_at(here.bob).size(), 1U);
  EXPECT_EQ(here.host->find_endpoint(here.bob)->sessions.at(first->file_name()), first);
}

TEST_F(Travel, ASessionMakesNoService) {
  copy.image.accepted = false;
  RawHost t;
  t.host->find_endpoint(t.bob)->services.clear();
  t.load(copy, 4);
  EXPECT_TRUE(t.host->find_endpoint(t.bob)->services.empty());
  EXPECT_TRUE(t.session->detached()) << "as when its service is removed";
}

}  // namespace
}  // namespace sessionfs::test
