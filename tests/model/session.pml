/* The session protocol of engine/ (engine/PROTOCOL.md, engine/transitions.cpp): the bytes that arrive are 0, 1, 2,
 * ..., and once nothing breaks any more everything is delivered and both sides are closed.
 *
 * Host 0 has created the session, host 1 is the other side, host 2 a copy of host 1. A host handles one event at a
 * time: it changes its state, stores it, and only then sends. Numbers like T14 are those of the transition table.
 *
 * The network. A connection is two queues. Each direction may die at any point: what is in flight and what is sent
 * later is lost, and each side may learn of it late. Who lets go of a connection leaves in flight what it has sent, so
 * a RESUME may arrive long after it was given up.
 *
 * Time. There are no clocks: whatever can happen may happen now or later. A timer that is long against the network
 * (back-off, the wait for the creator or the user, the answer to RESUME) fires when nothing else is under way (QUIET),
 * or early, which is counted (HURRIES). Breaks, crashes, suspends and early timers are bounded. So liveness is this:
 * no run stops before both sides are closed (an invalid end state), and none goes on for ever (the number of attempts
 * is bounded by an assertion, and `run` looks for cycles in small bounds).
 *
 * Asserted: see assert(). Besides the bytes: no side fails, since no state is ever lost; no honest side does what the
 * other one would have to take for a violation; nothing is forgotten that the peer has not stored; and of two channels
 * that both sides believe in, neither has an end at each of them.
 *
 * Copies. Somebody copies what host 1 has stored; host 1 goes on elsewhere as generation 2; then the copy starts and
 * knows of nothing. The protocol keeps it away once host 0 has seen generation 2. Before that only the name server
 * can: a residence resumes nothing until it has claimed its generation there (BUG_UNCLAIMED: what happens otherwise).
 *
 * Left out: abort, PING, frames of more than one byte, and certificates: every connection is authenticated. A
 * connection that cannot be made is one that breaks at once. Of a read that was stored but perhaps not answered when
 * the host died, the model says that it was answered.
 *
 * Options: BYTES_OUT, BYTES_BACK: what the applications of hosts 0 and 1 have to say; WINDOW, CONNS, QUEUE; BREAKS,
 * CRASHES, SUSPENDS, HURRIES. FROM_CONNECT, FROM_RESUME: begin with CONNECT, or with both sides resuming, instead of
 * an open channel. WRITES: applications write while it goes on, instead of before. EARLY_CLOSE: they finish and close
 * when they like; NO_CLOSE: they do not close, and all is over when all is delivered. STALE: a copy comes back, and
 * STRAYS attempts of host 0 go to it. BUG_...: `run` says what each does.
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
#ifndef BREAKS
#define BREAKS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef SUSPENDS
#define SUSPENDS 0
#endif
#ifndef HURRIES
#define HURRIES 0
#endif
#ifdef STALE
#define HOSTS 3
#else
#define HOSTS 2
#endif

#include "session_state.pml"
#include "session_messages.pml"

/* --- what can happen at a host ----------------------------------------------------------------------------------- */

#define SENDS(h) (live[h].channel != NONE && len(net[OUT(live[h].channel, h)]) < QUEUE)
#ifdef BUG_NO_LIMIT
#define HAS_DATA(h) (live[h].sent < kept[h].written)
#else
#define HAS_DATA(h) (live[h].sent < MIN(kept[h].written, live[h].limit))
#endif
#define HAS_OUTPUT(h)                                                              \
  (live[h].channel != NONE && (live[h].checkpoint_due || live[h].suspend_due || \
                               (kept[h].state == ACTIVE && (live[h].end_due || HAS_DATA(h)))))
#ifdef NO_CLOSE
#define MAY_CLOSE(h) false
#elif defined(EARLY_CLOSE)
#define MAY_CLOSE(h) (STANDS(h) && h != COPY && !kept[h].detached)
#else
#define MAY_CLOSE(h) \
  (STANDS(h) && h != COPY && !kept[h].detached && delivered[h] == BYTES(1 - h) && kept[h].written == BYTES(h))
#endif
#define USER_WAITS(h) (kept[h].state == SUSPENDED || (delivered[h] < live[h].held && !kept[h].detached))
#define QUIET_AT(h) (live[h].retry != NOW && !HAS_OUTPUT(h) && !MAY_CLOSE(h) && !USER_WAITS(h))
#ifdef STALE
#define QUIET (ALL(IDLE) && QUIET_AT(0) && QUIET_AT(1) && QUIET_AT(COPY))
#else
#define QUIET (ALL(IDLE) && QUIET_AT(0) && QUIET_AT(1))
#endif
#ifdef NO_CLOSE
#define DONE(h) (kept[h].acked == BYTES(h) && delivered[h] == BYTES(1 - h))
#else
#define DONE(h) (kept[h].state == CLOSED && kept[h].detached && live[h].channel == NONE)
#endif
#define OVER (DONE(0) && DONE(1))
#define EARLY (hurries < HURRIES && !OVER)

/* --- what it does ------------------------------------------------------------------------------------------------ */

/* Of timers that run side by side none fires again and again before another one has. */
#ifdef STALE
#define OTHERS_WAIT \
  ((h != 0 && live[0].retry == LATER) || (h != 1 && live[1].retry == LATER) || (h != COPY && live[COPY].retry == LATER))
#else
#define OTHERS_WAIT (live[1 - h].retry == LATER)
#endif

#define IN_TURN (QUIET && !(patient[h] && OTHERS_WAIT))

inline count_hurry() {
  if
  :: L.retry != NOW && !IN_TURN -> hurries++
  :: else
  fi;
  patient[0] = false;
  patient[1] = false;
#ifdef STALE
  patient[COPY] = false;
#endif
  patient[h] = OTHERS_WAIT
}

inline user_close() {
  printf("host %d: its application closes\n", h);
  K.detached = true;
  if
  :: K.state != CLOSED ->
    finish();
    K.end_acked = false; /* the peer may know of the FINISH, it does not know of the CLOSE */
    L.end_due = true;
    L.checkpoint_due = true;
    if
    :: K.state == SUSPENDED ->
      TOOK(T9);
      drop_channel();
      K.state = READY_RESUME;
      L.retry = NOW
    :: else
    fi
  :: else
  fi
}

inline handle() {
  if
  :: event == message -> take_message()
  :: event == loss -> take_loss()
  :: event == retries ->
    count_hurry();
    dial();
#ifdef STALE
    if
    :: astray ->
      printf("host %d: reaches the copy\n", h);
      strays++;
      far[c] = COPY
    :: else
    fi;
#endif
    if
    :: K.state == READY_RESUME ->
      TOOK(T31);
      TOOK(T12);
      K.state = SENT_RESUME;
      K.attempt++;
      assert(K.attempt < MAX_ATTEMPT) /* nobody tries for ever */
    :: else
    fi
  :: event == times_out ->
    TOOK(T16);
    count_hurry();
    drop_attempt();
    K.state = READY_RESUME;
    L.retry = NOW
  :: event == user_suspends ->
    TOOK_IN(T2, T5, T37);
    printf("host %d: its user suspends\n", h);
    suspends++;
    K.state = SUSPENDED;
    L.suspend_due = (L.channel != NONE);
    L.retry = NEVER;
    drop_attempt()
  :: event == user_resumes ->
    TOOK(T9);
    printf("host %d: its user resumes\n", h);
    drop_channel();
    K.state = READY_RESUME;
    L.retry = NOW
  :: event == user_reads ->
    K.read++;
    L.checkpoint_due = true
  :: event == user_writes -> K.written++
  :: event == user_finishes -> finish()
  :: event == user_closes -> user_close()
  :: event == dies ->
    crashes++;
    died = true;
    printf("host %d: dies\n", h)
#ifdef STALE
  :: event == is_copied ->
    printf("host %d: is copied, having written %d and received %d\n", h, disk[1].written, disk[1].received);
    copied = disk[1].written;
    copy(disk[COPY], disk[1]);
    delivered[COPY] = disk[1].read
  :: event == is_moved ->
    printf("host %d: goes on as generation 2\n", h);
    moved = true;
    disk[1].generation = 2;
    died = true
  :: event == copy_starts ->
    printf("host %d: starts as generation 1\n", h);
    died = true
#endif
#ifdef BUG_ANNOUNCE_FIRST
  :: event == stores -> copy(disk[h], kept[h])
#endif
  fi
}

/* What is said at once, when the new state is stored. */
inline answer() {
  if
  :: event == message && reply != 0 ->
    printf("host %d: RESUME_DENIED, ", h);
    printm(reply);
    printf("\n");
    num = (K.end == OPEN -> K.written : K.end);
    PUT(c, DENIED, K.generation, reply, L.held, num, 0);
    drop_3 = c
  :: event == message && reply == 0 && c == L.channel && kind == RESUME ->
    printf("host %d: RESUME_OK\n", h);
    PUT(c, RESUME_OK, K.generation, K.attempt, L.held, LIMIT, FLAGS);
    L.checkpoint_due = false;
    if
    :: K.state == CLOSED -> /* nothing is left to say */
      drop_3 = c;
      L.channel = NONE
    :: else
    fi
  :: event == message && reply == 0 && c == L.channel && kind == CONNECT ->
    PUT(c, CONNECT_OK, K.generation, K.attempt, 0, LIMIT, 0)
  :: event == retries && K.state == SENT_RESUME ->
    printf("host %d: RESUME %d, holds %d\n", h, K.attempt, L.held);
    PUT(c, RESUME, K.generation, K.attempt, L.held, LIMIT, FLAGS);
    L.checkpoint_due = false
  :: event == retries && K.state == CONNECTING ->
    TOOK(T48);
    TOOK(T19);
    PUT(c, CONNECT, K.generation, 0, 0, LIMIT, 0)
  :: else
  fi;
#ifdef WINDOW
  delivered[h] = delivered[h] + (event == user_reads -> 1 : 0)
#else
  delivered[h] = K.read
#endif
}

inline transmit() {
  if
  :: event == send_suspend -> /* the last on this channel */
    PUT(L.channel, SUSPEND, 0, 0, 0, 0, 0);
    drop_channel()
  :: event == send_checkpoint ->
    PUT(L.channel, CHECKPOINT, 0, 0, L.held, LIMIT, FLAGS);
    L.checkpoint_due = false;
    if
    :: K.state == CLOSED -> drop_channel() /* the last, too */
    :: else
    fi
  :: event == send_end ->
    kind = (K.detached -> CLOSE : FINISH);
    PUT(L.channel, kind, 0, 0, K.end, 0, 0);
    L.end_due = false
  :: event == send_data ->
    PUT(L.channel, DATA, 0, BYTE_AT(L.sent), L.sent, 0, 0);
    L.sent++;
#ifdef BUG_FREE_WHEN_SENT
    K.acked = L.sent
#endif
  fi
}

#define RETRIES (L.retry == NOW || (L.retry == LATER && (IN_TURN || EARLY)))
#define MAY_SUSPEND (K.state == ACTIVE || K.state == READY_RESUME || K.state == SENT_RESUME)
#define MAY_WRITE (STANDS(h) && K.end == OPEN && K.state != CLOSED)

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
      :: K.state == SENT_RESUME && (IN_TURN || EARLY) -> event = times_out
      :: K.state == SUSPENDED -> event = user_resumes
      :: MAY_CLOSE(h) -> event = user_closes
      :: suspends < SUSPENDS && MAY_SUSPEND && !K.detached && !OVER -> event = user_suspends
      :: crashes < CRASHES && !OVER -> event = dies
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
      :: h == 1 && copied == OPEN && !moved -> event = is_copied
      :: h == 1 && copied != OPEN && !moved -> event = is_moved
#ifdef BUG_UNCLAIMED
      :: h == COPY && moved && K.state == NOT_YET -> event = copy_starts
#else
      :: h == COPY && disk[0].peer_generation == 2 && K.state == NOT_YET -> event = copy_starts /* the peer knows */
#endif
#endif
#ifdef BUG_ANNOUNCE_FIRST
      :: true -> event = stores
#endif
      fi;
#ifdef STALE
      if
      :: true
      :: event == retries && h == 0 && STANDS(COPY) && strays < STRAYS -> astray = true
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
      :: L.suspend_due && SENDS(h) -> event = send_suspend
      :: L.checkpoint_due && SENDS(h) && (K.state == ACTIVE || K.state == CLOSED) -> event = send_checkpoint
      :: L.end_due && SENDS(h) && K.state == ACTIVE -> event = send_end
      :: !L.end_due && SENDS(h) && K.state == ACTIVE && HAS_DATA(h) -> event = send_data
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
      breaks < BREAKS && EXISTS(ALIVE) && !OVER ->
      PICK(ALIVE);
      printf("break of connection %d\n", c);
      breaks++;
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
    far[0] = 1;
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
  assert(disk[1].received == kept[0].written && disk[0].received == kept[1].written);
#ifndef EARLY_CLOSE
  assert(delivered[0] == BYTES_BACK && delivered[1] == BYTES_OUT);
#endif
#ifndef NO_CLOSE
  assert(kept[0].end == kept[0].written && kept[1].end == kept[1].written)
#endif
}
