#include "engine/transitions.hpp"

#include <algorithm>
#include <array>

namespace sessionfs {
namespace {

using enum State;
using E = Event;
using S = Step;

// clang-format off
constexpr std::array table{
    // CONNECTING: a session that does not stand yet (thesis 3.7.2)
    Transition{19, connecting,   E::dialled,             connecting,   S::send_connect},
    Transition{20, connecting,   E::dial_failed,         closed,       S::refuse},
    Transition{21, connecting,   E::connect_ok,          active,       S::start_stream},
    Transition{22, connecting,   E::connect_denied,      closed,       S::refuse},
    Transition{23, connecting,   E::timeout,             closed,       S::refuse},
    Transition{24, connecting,   E::attempt_lost,        connecting,   S::back_off},
    Transition{48, connecting,   E::retry_due,           connecting,   S::dial},
    Transition{25, connecting,   E::user_abort,          closed,       S::send_abort},
    Transition{47, connecting,   E::peer_resume,         connecting,   S::deny_collision},

    // ACTIVE: data flows (thesis 3.8.1)
    Transition{ 1, active,       E::channel_lost,        ready_resume, S::redial},
    Transition{ 2, active,       E::user_suspend,        suspended,    S::send_suspend},
    Transition{26, active,       E::user_abort,          closed,       S::send_abort},
    Transition{ 4, active,       E::peer_suspend,        ready_resume, S::wait_for_user},
    Transition{27, active,       E::peer_abort,          closed,       S::lose},
    Transition{ 3, active,       E::peer_resume,         active,       S::accept_resume},
    Transition{28, active,       E::peer_resume_gap,     closed,       S::deny_gap},
    Transition{29, active,       E::complete,            closed,       S::end},
    // and goes on to, while a connection over a better link is made
    Transition{49, active,       E::better_path,         active,       S::dial},
    Transition{50, active,       E::dialled,             moving,       S::send_resume},
    Transition{51, active,       E::dial_failed,         active,       S::stay},
    Transition{52, active,       E::timeout,             active,       S::stay},
    Transition{72, active,       E::attempt_lost,        active,       S::stay},

    // MOVING: on its way to a better link (thesis 3.1.6)
    Transition{53, moving,       E::resume_ok,           active,       S::rewind},
    Transition{54, moving,       E::denied_suspended,    active,       S::stay},
    Transition{55, moving,       E::denied_collision,    active,       S::stay},
    Transition{56, moving,       E::denied_not_here,     active,       S::stay},
    Transition{57, moving,       E::denied_closed,       closed,       S::end},
    Transition{58, moving,       E::denied_lost,         closed,       S::lose},
    Transition{59, moving,       E::denied_superseded,   closed,       S::supersede},
    Transition{70, moving,       E::dial_failed,         active,       S::stay},
    Transition{60, moving,       E::timeout,             ready_resume, S::drop_both},
    Transition{61, moving,       E::attempt_lost,        ready_resume, S::drop_both},
    Transition{62, moving,       E::channel_lost,        sent_resume,  S::let_channel},
    Transition{63, moving,       E::user_suspend,        suspended,    S::send_suspend},
    Transition{64, moving,       E::user_abort,          closed,       S::send_abort},
    Transition{65, moving,       E::peer_suspend,        ready_resume, S::wait_for_user},
    Transition{66, moving,       E::peer_abort,          closed,       S::lose},
    Transition{67, moving,       E::peer_resume,         active,       S::accept_resume},
    Transition{68, moving,       E::peer_resume_crossed, moving,       S::deny_collision},
    Transition{69, moving,       E::peer_resume_gap,     closed,       S::deny_gap},

    // READY_RESUME: wants to go on (thesis 3.8.2)
    Transition{12, ready_resume, E::dialled,             sent_resume,  S::send_resume},
    Transition{13, ready_resume, E::dial_failed,         ready_resume, S::back_off},
    Transition{30, ready_resume, E::timeout,             ready_resume, S::back_off},
    Transition{73, ready_resume, E::attempt_lost,        ready_resume, S::back_off},
    Transition{31, ready_resume, E::retry_due,           ready_resume, S::dial},
    Transition{ 7, ready_resume, E::network_change,      ready_resume, S::retry_now},
    Transition{ 5, ready_resume, E::user_suspend,        suspended,    S::pause},
    Transition{32, ready_resume, E::user_resume,         ready_resume, S::retry_now},
    Transition{33, ready_resume, E::user_abort,          closed,       S::send_abort},
    Transition{ 6, ready_resume, E::peer_resume,         active,       S::accept_resume},
    Transition{34, ready_resume, E::peer_resume_gap,     closed,       S::deny_gap},

    // SENT_RESUME: waits for the answer (thesis 3.8.6)
    Transition{71, sent_resume,  E::dial_failed,         ready_resume, S::back_off},
    Transition{35, sent_resume,  E::timeout,             ready_resume, S::back_off},
    Transition{36, sent_resume,  E::attempt_lost,        ready_resume, S::back_off},
    Transition{16, sent_resume,  E::network_change,      ready_resume, S::retry_now},
    Transition{37, sent_resume,  E::user_suspend,        suspended,    S::pause},
    Transition{38, sent_resume,  E::user_abort,          closed,       S::send_abort},
    Transition{18, sent_resume,  E::peer_resume,         active,       S::accept_resume},
    Transition{17, sent_resume,  E::peer_resume_crossed, sent_resume,  S::deny_collision},
    Transition{39, sent_resume,  E::peer_resume_gap,     closed,       S::deny_gap},
    Transition{14, sent_resume,  E::resume_ok,           active,       S::rewind},
    Transition{15, sent_resume,  E::denied_suspended,    ready_resume, S::wait_for_user},
    Transition{40, sent_resume,  E::denied_collision,    ready_resume, S::wait_for_creator},
    Transition{41, sent_resume,  E::denied_not_here,     ready_resume, S::back_off},
    Transition{42, sent_resume,  E::denied_closed,       closed,       S::end},
    Transition{43, sent_resume,  E::denied_lost,         closed,       S::lose},
    Transition{44, sent_resume,  E::denied_superseded,   closed,       S::supersede},

    // SUSPENDED: only this side's user leaves it (thesis 3.8.3)
    Transition{ 9, suspended,    E::user_resume,         ready_resume, S::retry_now},
    Transition{45, suspended,    E::user_abort,          closed,       S::send_abort},
    Transition{ 8, suspended,    E::peer_resume,         suspended,    S::deny_suspended},

    // CLOSED (thesis 3.9.1): the answer can be given again for as long as the session is remembered
    Transition{46, closed,       E::peer_resume,         closed,       S::deny_closed},
};
// clang-format on

}  // namespace

std::span<const Transition> transitions() { return table; }

const Transition* find_transition(State state, Event event) {
  const auto* row =
      std::ranges::find_if(table, [&](const Transition& t) { return t.state == state && t.event == event; });
  return row == table.end() ? nullptr : row;
}

std::string_view name_of(State state) {
  static constexpr std::array<std::string_view, 7> names{"CONNECTING",  "ACTIVE",    "MOVING", "READY_RESUME",
                                                         "SENT_RESUME", "SUSPENDED", "CLOSED"};
  return names[static_cast<std::size_t>(state)];
}

std::string_view name_of(Event event) {
  static constexpr std::array<std::string_view, 26> names{
      "dialled",          "dial_failed",         "connect_ok",      "connect_denied", "timeout",
      "attempt_lost",     "channel_lost",        "better_path",     "retry_due",      "network_change",
      "user_suspend",     "user_resume",         "user_abort",      "peer_suspend",   "peer_abort",
      "peer_resume",      "peer_resume_crossed", "peer_resume_gap", "resume_ok",      "denied_suspended",
      "denied_collision", "denied_not_here",     "denied_closed",   "denied_lost",    "denied_superseded",
      "complete"};
  return names[static_cast<std::size_t>(event)];
}

std::string_view name_of(Step step) {
  static constexpr std::array<std::string_view, 26> names{
      "none",           "dial",           "stay",          "let_channel",      "redial",        "drop_both",
      "send_connect",   "start_stream",   "refuse",        "send_resume",      "accept_resume", "rewind",
      "retry_now",      "back_off",       "wait_for_user", "wait_for_creator", "pause",         "send_suspend",
      "deny_suspended", "deny_collision", "deny_closed",   "deny_gap",         "end",           "lose",
      "supersede",      "send_abort"};
  return names[static_cast<std::size_t>(step)];
}

}  // namespace sessionfs
