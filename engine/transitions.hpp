// The state machine of a session as data (thesis 3.8, figure 14; numbers 1 to 18 are the thesis's, later ones ours).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sessionfs {

/// Where a session is.
enum class State : std::uint8_t {
  connecting,
  active,
  moving,  // data flows, and our RESUME is on its way on a connection that is to be the next channel
  ready_resume,
  sent_resume,
  suspended,
  closed
};

/// What can happen to it.
enum class Event : std::uint8_t {
  dialled,      // the connection asked for stands, and the peer has proven its name
  dial_failed,  // it could not be made
  connect_ok,
  connect_denied,
  timeout,         // no answer in time
  attempt_lost,    // the connection broke on which an answer was waited for
  channel_lost,    // the data channel broke, or has been silent for too long
  better_path,     // there is a better link than that of the channel
  retry_due,       // the retry timer
  network_change,  // addresses or links have changed, or the peer's residence was announced
  user_suspend,
  user_resume,
  user_abort,
  peer_suspend,         // SUSPEND
  peer_abort,           // ABORT
  peer_resume,          // RESUME from the creator of the session, or from its peer while we do not resume ourselves
  peer_resume_crossed,  // RESUME from the side that did not create the session, while ours is under way
  peer_resume_gap,      // RESUME for an offset that is gone
  resume_ok,
  denied_suspended,
  denied_collision,
  denied_not_here,  // also: an attempt that a newer one has replaced
  denied_closed,    // and all that we sent was held
  denied_lost,      // gap, unknown, or closed with bytes missing
  denied_superseded,
  complete,  // both directions have ended and all is held
};

/// What to do on the way.
enum class Step : std::uint8_t {
  none,
  dial,         // ask for a connection
  stay,         // drop the attempt: what stands goes on
  let_channel,  // let go of the channel: the answer to our RESUME will bring another one
  redial,       // at once, unless the channel was short or a dial is under way
  drop_both,    // nobody knows which channel the peer has: let go of both, dial at once
  send_connect,
  start_stream,  // CONNECT_OK: data may flow
  refuse,        // the session never came to be
  send_resume,
  accept_resume,  // RESUME_OK, rewind, and take the connection as the data channel
  rewind,         // the peer accepted: rewind and take our connection as the data channel
  retry_now,
  back_off,          // drop the attempt, try again later, each time a little later
  wait_for_user,     // the other side's user has suspended: try again seldom
  wait_for_creator,  // the creator's RESUME will come
  pause,             // drop the attempt and all timers
  send_suspend,
  deny_suspended,
  deny_collision,
  deny_closed,
  deny_gap,
  end,        // everything was delivered
  lose,       // ECONNRESET
  supersede,  // ESTALE
  send_abort,
};

struct Transition {
  std::uint8_t number;
  State state;
  Event event;
  State next;
  Step step;
};

/// All of them, ordered by state and event.
std::span<const Transition> transitions();

/// The row for `event` in `state`, or null: the event means nothing there.
const Transition* find_transition(State state, Event event);

std::string_view name_of(State state);
std::string_view name_of(Event event);
std::string_view name_of(Step step);

}  // namespace sessionfs
