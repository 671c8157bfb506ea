/* The session protocol of engine/ (engine/PROTOCOL.md, engine/transitions.cpp): the bytes that arrive are 0, 1, 2,
 * ..., and once nothing breaks any more everything is delivered and both sides are closed.
 *
 * Host 0 has created the session, host 1 is the other side, host 2 a copy of one of them. A host handles one event at
 * a time: it changes its state, stores it, and only then sends. Numbers like T14 are those of the transition table.
 *
 * The network. A connection is two queues. Each direction may die at any point: what is in flight and what is sent
 * later is lost, and each side may learn of it late. Who lets go of a connection leaves in flight what it has sent, so
 * a RESUME may arrive long after it was given up.
 *
 * Time. There are no clocks: whatever can happen may happen now or later. A timer that is long against the network
 * (back-off, the wait for the creator or the user, the answer to RESUME) fires when nothing else is under way (QUIET),
 * or early, which is a fault.
 *
 * Faults are breaks, crashes, suspends, early timers, aborts and moves. Their number is bounded, their mixture and
 * moments are not.
 *
 * Moves. A host that is ACTIVE begins a connection over a better link beside its channel (T49); when that stands RESUME
 * goes on it (T50). Any host may, also both at once. The heartbeat, which after a refusal says what nobody has heard
 * meanwhile, comes at once.
 *
 * Liveness is checked as safety, and that suffices: no run stops before all is delivered and both sides are closed
 * (else Spin reports an invalid end state: each process ends only when it is OVER), and none goes on for ever: the
 * number of attempts is bounded by an assertion, and the configurations with `cycles` have no cycle at all (Spin looks
 * for non-progress cycles, and nothing is marked as progress). So every run reaches OVER, without any assumption of
 * fairness between the hosts but that timers which run side by side take turns.
 *
 * Asserted: see assert(). Besides the bytes: no side fails, since no state is ever lost; no honest side does what the
 * other one would have to take for a violation; nothing is forgotten that the peer has not stored; and of two channels
 * that both sides believe in, neither has an end at each of them.
 *
 * Copies. Somebody copies what host COPIED has stored; that host goes on elsewhere as generation 2; then the copy
 * starts and knows of nothing. The protocol keeps it away once the peer has seen generation 2. Before that only the
 * name server can: a residence neither resumes nor answers until it has claimed its generation there, and nobody else
 * gets the same one (BUG_UNCLAIMED, BUG_UNCLAIMED_ANSWERS, BUG_CLAIMED_TWICE: what happens otherwise).
 *
 * Left out: PING, frames of more than one byte, and certificates: every connection is authenticated. A connection that
 * cannot be made is one that breaks at once. Of a read that was stored but perhaps not answered when the host died,
 * the model says that it was answered. CONNECT is repeated without an end, since the 10 s of T23 are left out: with
 * ABORTS this may go on for ever, when the other side has aborted what it had accepted.
 *
 * Options. BYTES_OUT, BYTES_BACK: what the applications of hosts 0 and 1 have to say. FAULTS: how many; BREAKS,
 * CRASHES, SUSPENDS, HURRIES, ABORTS, MOVES: whether there are any of these (aborts and moves: only if set). WINDOW:
 * how much the receiver takes, from an application that reads late; without it there is no limit, and the application
 * reads at once. CONNS connections at a time, QUEUE messages in each direction of one. FROM_CONNECT, FROM_RESUME: begin
 * with CONNECT, or with both sides resuming, instead of an open channel. WRITES: applications write while it goes on,
 * instead of before. EARLY_CLOSE: they finish and close when they like, instead of when all is said and read;
 * NO_CLOSE: they do not, and all is over when all is delivered. LATE_HOLD: what was received is held some time later,
 * instead of before anything else happens. STALE: a copy of host COPIED comes back, and STRAYS attempts of its peer go
 * to it. BUG_...: `run` says what each does.
 */
#ifndef BYTES_OUT
#define BYTES_OUT 2
#endif
#ifndef BYTES_BACK
#define BYTES_BACK 1
#endif
#ifndef CONNS
#define CONNS 3
#endif
#ifndef QUEUE
#define QUEUE 2
#endif
#ifndef FAULTS
#define FAULTS 0
#endif
#ifndef BREAKS
#define BREAKS true
#endif
#ifndef CRASHES
#define CRASHES true
#endif
#ifndef SUSPENDS
#define SUSPENDS true
#endif
#ifndef HURRIES
#define HURRIES true
#endif
#ifndef ABORTS
#define ABORTS false
#endif
#ifndef MOVES
#define MOVES false
#endif
#ifdef STALE
#define HOSTS 3
#ifndef COPIED
#define COPIED 1
#endif
#else
#define HOSTS 2
#endif

#include "session_state.pml"
#include "session_messages.pml"
#include "session_events.pml"

proctype host(byte h) {
  do
  :: atomic {
      if
      :: EXISTS(ARRIVES) ->
        PICK(ARRIVES);
        net[IN(c, h)]?kind, gen, num, off, lim, flg;
        event = message
      :: EXISTS(ENDS) ->
        PICK(ENDS);
        event = loss
      :: (K.state == READY_RESUME || (K.state == CONNECTING && L.attempt_conn == NONE)) && EXISTS(FREE) && RETRIES ->
        event = retries
      :: (K.state == SENT_RESUME || K.state == MOVING) && (IN_TURN || EARLY) -> event = times_out
      :: MOVES && MAKES_CONNECTION(h) -> event = reaches
      :: MOVES && MAY_FAIL && MAY_MOVE && !OVER -> event = moves
      :: K.state == SUSPENDED -> event = user_resumes
      :: MAY_CLOSE(h) -> event = user_closes
      :: SUSPENDS && MAY_FAIL && MAY_SUSPEND && !K.detached && !OVER -> event = user_suspends
      :: ABORTS && MAY_FAIL && MAY_ABORT && !OVER -> event = user_aborts
      :: CRASHES && MAY_FAIL && MAY_DIE && !OVER -> event = dies
#ifdef WINDOW
      :: K.read < L.held && !K.detached -> event = user_reads
#endif
#ifdef WRITES
      :: MAY_WRITE && K.written < BYTES(h) -> event = user_writes
#endif
#ifdef EARLY_CLOSE
      :: MAY_WRITE -> event = user_finishes
#endif
#ifdef STALE
      :: h == COPIED && copied == OPEN && !moved -> event = is_copied
      :: h == COPIED && copied != OPEN && !moved -> event = is_moved
      :: h == COPY && COPY_MAY_START && K.state == NOT_YET -> event = copy_starts
#endif
#ifdef LATE_HOLD
      :: STORES_BYTES(h) -> event = holds
#endif
#ifdef BUG_ANNOUNCE_FIRST
      :: true -> event = stores
#endif
      fi;
#ifdef STALE
      if
      :: true
      :: (event == retries || event == moves) && h == 1 - COPIED && STANDS(COPY) && strays < STRAYS -> astray = true
      fi;
#endif
      d_step {
        drop_1 = NONE;
        drop_2 = NONE;
        drop_3 = NONE;
        handle()
      }
      if
      :: !died -> settle()
      :: else
      fi;
      d_step {
        if
        :: !died ->
          answer();
          let_go(drop_1);
          let_go(drop_2);
          let_go(drop_3)
        :: else -> restart()
        fi;
        clean()
      }
    }
  :: atomic {
      if
      :: L.abort_due && SENDS(h) -> event = send_abort
      :: L.suspend_due && !L.abort_due && SENDS(h) -> event = send_suspend
      :: L.checkpoint_due && SENDS(h) && MAY_ANNOUNCE -> event = send_checkpoint
      :: L.end_due && SENDS(h) && FLOWS(h) -> event = send_end
      :: !L.end_due && SENDS(h) && FLOWS(h) && HAS_DATA(h) -> event = send_data
      fi;
      d_step {
        drop_2 = NONE;
        transmit();
        let_go(drop_2);
        clean()
      }
    }
  :: OVER -> break
  od
}

inline kill(end) {
  dead[end] = true;
  do
  :: nempty(net[end]) -> net[end]?_, _, _, _, _, _
  :: empty(net[end]) -> break
  od
}

proctype network() {
  do
  :: atomic {
      BREAKS && MAY_FAIL && EXISTS(ALIVE) && !OVER ->
      PICK(ALIVE);
      printf("break of connection %d\n", c);
      faults++;
      if
      :: ALIVE_END(2 * c) -> kill(2 * c)
      :: ALIVE_END(2 * c + 1) -> kill(2 * c + 1)
      :: ALIVE_END(2 * c) && ALIVE_END(2 * c + 1) ->
        kill(2 * c);
        kill(2 * c + 1)
      fi;
      tidy(c);
      c = 0
    }
  :: OVER -> break
  od
}

init {
  atomic {
    c = 0;
    do
    :: c < CONNS ->
      at[2 * c + 1] = 1;
      c++
    :: else -> break
    od;
    c = 0;
#ifdef FROM_CONNECT
    kept[0].state = CONNECTING;
    live[0].retry = NOW;
#elif defined(FROM_RESUME)
    kept[0].state = READY_RESUME;
    kept[1].state = READY_RESUME;
    live[0].retry = NOW;
    live[1].retry = NOW;
#else
    kept[0].state = ACTIVE;
    kept[1].state = ACTIVE;
    live[0].limit = BEGIN_LIMIT;
    live[1].limit = BEGIN_LIMIT;
    live[0].channel = 0;
    live[1].channel = 0;
    up[0] = true;
    up[1] = true;
#endif
#ifndef WRITES
    kept[0].written = BYTES_OUT;
    kept[1].written = BYTES_BACK;
#endif
    copy(disk[0], kept[0]);
    copy(disk[1], kept[1]);
    run host(0);
    run host(1);
#ifdef STALE
    run host(COPY);
#endif
    run network()
  }
  /* In the end all that was written is held and was read, and both sides are closed. */
  OVER;
  if
  :: kept[0].failure == refused ->
    assert(delivered[1] == 0 && (kept[1].state == NOT_YET || kept[1].failure == lost || kept[1].failure == aborted));
    goto end
  :: kept[0].failure == aborted || kept[1].failure == aborted -> goto end
  :: else
  fi;
  assert(disk[1].received == kept[0].written && disk[0].received == kept[1].written);
#ifndef EARLY_CLOSE
  assert(delivered[0] == BYTES_BACK && delivered[1] == BYTES_OUT);
#endif
#ifndef NO_CLOSE
  assert(kept[0].end == kept[0].written && kept[1].end == kept[1].written);
#endif
end:
  skip
}
