/* Of session.pml: what a host stores and what it does not, connections, storage. */

mtype = { CONNECT, CONNECT_OK, RESUME, RESUME_OK, DENIED, DATA, CHECKPOINT, FINISH, CLOSE, SUSPEND, ABORT };
mtype = { NOT_YET, CONNECTING, ACTIVE, MOVING, READY_RESUME, SENT_RESUME, SUSPENDED, CLOSED };
mtype = { NEVER, NOW, LATER };                                                       /* the retry timer */
mtype = { suspended, collision, superseded, closed, not_here, unknown, gap, stale }; /* reasons of DENIED */
mtype = { fine, lost, outdated, refused, aborted };                                  /* how a session has failed */
mtype = { message, loss, retries, times_out, moves, reaches, dies };                 /* what happens to a host */
mtype = { send_abort, send_suspend, send_checkpoint, send_end, send_data };          /* what it sends */
mtype = { user_suspends, user_resumes, user_aborts, user_reads, user_writes, user_finishes, user_closes };
mtype = { is_copied, is_moved, copy_starts, stores, holds };

#define NONE CONNS /* no connection */
#define OPEN 15    /* a direction that has no end yet */
#define MAX_OFFSET 14
#define MAX_ATTEMPT 15

typedef Kept { /* what is stored (engine/image.hpp) */
  mtype state = NOT_YET;
  mtype failure = fine;
  unsigned written : 4;
  unsigned acked : 4;
  unsigned received : 4; /* to store this is to hold it */
  unsigned read : 4;
  unsigned end : 4 = OPEN;
  unsigned peer_end : 4 = OPEN;
  unsigned generation : 2 = 1;
  unsigned peer_generation : 2 = 1;
  unsigned attempt : 4;
  unsigned peer_attempt : 4;
  bool end_acked;
  bool peer_closed;
  bool detached;
}

typedef Live { /* what a crash forgets */
  unsigned sent : 4;
  unsigned limit : 4;
  unsigned held : 4;
  unsigned channel : 3 = NONE;
  unsigned attempt_conn : 3 = NONE;
  mtype retry = NEVER;
  bool checkpoint_due; /* there is more than what was announced */
  bool end_due;
  bool suspend_due;
  bool abort_due;
}

Kept kept[HOSTS];
Kept disk[HOSTS];
Live live[HOSTS];
byte delivered[HOSTS]; /* bytes that the applications have got */

/* End 0 of connection c is at the creator's side, end 1 at the other one; at[] says at which host. The queue of an end
 * leads to it. */
#define ENDPOINTS (2 * CONNS)
bool up[ENDPOINTS];   /* this end has not been let go */
bool dead[ENDPOINTS]; /* nothing reaches this end any more */
byte at[ENDPOINTS];
chan net[ENDPOINTS] = [QUEUE] of { mtype, byte, byte, byte, byte, byte };

byte faults; /* breaks, crashes, suspends and early timers until now */
#define MAY_FAIL (faults < FAULTS)
bool patient[HOSTS]; /* its timer has fired, and another one is still running */

/* Used within one atomic step, and 0 again after it. */
mtype event, kind, reply;        /* what happens; a message, and the reason to deny it */
byte c, gen, num, off, lim, flg; /* the connection it is about, and what the message says */
byte drop_1, drop_2, drop_3;     /* connections to be let go */
byte i;
bool died, astray;

inline clean() {
  event = 0;
  kind = 0;
  reply = 0;
  c = 0;
  gen = 0;
  num = 0;
  off = 0;
  lim = 0;
  flg = 0;
  drop_1 = 0;
  drop_2 = 0;
  drop_3 = 0;
  i = 0;
  died = false;
  astray = false
}

#ifdef STALE
byte copied = OPEN; /* how much host COPIED had written when it was copied */
bool moved;         /* it has been loaded as generation 2 */
byte strays;        /* attempts of its peer that have gone to the copy */
#endif

/* Says once that the verifier has come here, by a transition of the table in engine/transitions.cpp. */
#define TOOK(t) c_code { static char told; if (!told) { told = 1; printf("took " #t "\n"); } }
#define TOOK_IN(a, m, r, s) \
  if :: K.state == ACTIVE -> TOOK(a) :: K.state == MOVING -> TOOK(m) :: K.state == READY_RESUME -> TOOK(r) \
     :: else -> TOOK(s) fi

#define COPY 2
#define K kept[h]
#define L live[h]
#ifdef STALE
#define SIDE(h) ((h) == COPY -> COPIED : (h)) /* 0: the creator's, 1: the other one */
#else
#define SIDE(h) (h)
#endif
#define PEER (1 - SIDE(h))
#define IN(c, h) (2 * (c) + SIDE(h))
#define OUT(c, h) (2 * (c) + 1 - SIDE(h))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define BYTES(h) (SIDE(h) == 0 -> BYTES_OUT : BYTES_BACK)
#ifdef STALE
#define BYTE_AT(o) (h == COPY && o >= copied -> o + 8 : o) /* a copy's application goes its own way */
#else
#define BYTE_AT(o) o
#endif
#ifdef WINDOW
#define LIMIT (K.read + WINDOW)
#define BEGIN_LIMIT WINDOW
#else
#define LIMIT MAX_OFFSET
#define BEGIN_LIMIT MAX_OFFSET
#endif
#define ALL_HELD (K.peer_end != OPEN && L.held == K.peer_end)
#define FLAGS (ALL_HELD -> (K.peer_closed -> 3 : 1) : 0) /* 1: has FINISH, 2: has CLOSE */

/* --- connections ------------------------------------------------------------------------------------------------- */

#define FREE(c) (!up[2 * (c)] && !up[2 * (c) + 1])
#define FLOWS(h) (kept[h].state == ACTIVE || kept[h].state == MOVING)
#define STANDS(h) (kept[h].state != NOT_YET && kept[h].state != CONNECTING)
#define MINE(c) (up[IN(c, h)] && at[IN(c, h)] == h)
#define ARRIVES(c) (MINE(c) && len(net[IN(c, h)]) > 0)
#define BROKEN(c) (dead[2 * (c)] || dead[2 * (c) + 1])
#define ENDS(c) (MINE(c) && (BROKEN(c) || (!up[OUT(c, h)] && len(net[IN(c, h)]) == 0)))
#define OWNED(c, h) (live[h].channel == c || live[h].attempt_conn == c)
#define HALF_DEAD(c, e) \
  (up[2 * (c) + e] && len(net[2 * (c) + e]) == 0 && (!up[2 * (c) + 1 - e] || dead[2 * (c) + e]))
#define ALIVE_END(e) (up[e] && !dead[e])
#define ALIVE(c) (ALIVE_END(2 * (c)) || ALIVE_END(2 * (c) + 1)) /* it can break */
#define IDLE(c) \
  (FREE(c) || (up[2 * (c)] && up[2 * (c) + 1] && !BROKEN(c) && len(net[2 * (c)]) + len(net[2 * (c) + 1]) == 0))
#if CONNS == 2
#define EXISTS(P) (P(0) || P(1))
#define ALL(P) (P(0) && P(1))
#define PICK(P) if :: P(0) -> c = 0 :: P(1) -> c = 1 fi /* one for which P holds */
#else
#define EXISTS(P) (P(0) || P(1) || P(2))
#define ALL(P) (P(0) && P(1) && P(2))
#define PICK(P) if :: P(0) -> c = 0 :: P(1) -> c = 1 :: P(2) -> c = 2 fi
#endif

/* An end that no message has reached yet belongs to nobody: when none can come any more, it is as good as let go. */
inline tidy(conn) {
  if
  :: HALF_DEAD(conn, 0) && !OWNED(conn, at[2 * conn]) -> up[2 * conn] = false
  :: else
  fi;
  if
  :: HALF_DEAD(conn, 1) && !OWNED(conn, at[2 * conn + 1]) -> up[2 * conn + 1] = false
  :: else
  fi;
  if
  :: FREE(conn) ->
    dead[2 * conn] = false;
    dead[2 * conn + 1] = false;
    at[2 * conn] = 0;
    at[2 * conn + 1] = 1
  :: else
  fi
}

inline let_go(conn) {
  if
  :: conn != NONE && up[IN(conn, h)] ->
    up[IN(conn, h)] = false;
    do
    :: nempty(net[IN(conn, h)]) -> net[IN(conn, h)]?_, _, _, _, _, _
    :: empty(net[IN(conn, h)]) -> break
    od;
    tidy(conn)
  :: else
  fi
}

#define PUT(conn, ...) if :: up[OUT(conn, h)] && !dead[OUT(conn, h)] -> net[OUT(conn, h)]!__VA_ARGS__ :: else fi

inline drop_attempt() {
  drop_1 = (L.attempt_conn != NONE -> L.attempt_conn : drop_1);
  L.attempt_conn = NONE
}

inline drop_channel() {
  drop_2 = (L.channel != NONE -> L.channel : drop_2);
  L.channel = NONE;
  L.suspend_due = false;
  L.abort_due = false;
  L.end_due = false
}

inline dial() {
  c = 0;
  do
  :: !FREE(c) -> c++
  :: else -> break
  od;
  up[IN(c, h)] = true;
  up[OUT(c, h)] = true;
  at[IN(c, h)] = h;
  L.attempt_conn = c;
  L.retry = NEVER
}

/* --- storage ----------------------------------------------------------------------------------------------------- */

inline copy(to, from) {
  to.state = from.state;
  to.failure = from.failure;
  to.written = from.written;
  to.acked = from.acked;
  to.received = from.received;
  to.read = from.read;
  to.end = from.end;
  to.peer_end = from.peer_end;
  to.generation = from.generation;
  to.peer_generation = from.peer_generation;
  to.attempt = from.attempt;
  to.peer_attempt = from.peer_attempt;
  to.end_acked = from.end_acked;
  to.peer_closed = from.peer_closed;
  to.detached = from.detached
}

/* The process dies, and starts again from what it had stored (Session::restore). */
inline restart() {
  i = 0;
  do
  :: i < CONNS ->
    drop_1 = (MINE(i) -> i : NONE);
    let_go(drop_1);
    i++
  :: else -> break
  od;
  copy(kept[h], disk[h]);
  L.channel = NONE;
  L.attempt_conn = NONE;
  L.sent = K.acked;
  L.limit = K.acked;
  L.held = K.received;
  L.checkpoint_due = false;
  L.end_due = false;
  L.suspend_due = false;
  L.abort_due = false;
  L.retry = NEVER;
  if
  :: K.state == SUSPENDED || K.state == CLOSED || K.state == NOT_YET
  :: K.state == CONNECTING -> /* whoever waited for it is gone */
    K.state = CLOSED;
    K.failure = refused;
    K.detached = true
  :: else ->
    K.state = READY_RESUME;
    L.retry = NOW
  fi;
#ifdef BUG_ATTEMPT_NOT_STORED
  K.peer_attempt = 0;
#endif
  delivered[h] = delivered[h] + (event == user_reads && K.read > delivered[h] -> 1 : 0); /* it may have been answered */
  assert(K.detached || K.read == delivered[h]); /* the next byte an application reads is the next one */
#ifndef WINDOW
  K.read = L.held;
  disk[h].read = L.held;
  delivered[h] = L.held
#endif
}

/* Both directions have ended and all is held. A last CHECKPOINT says so; then the channel is let go. Not in MOVING:
 * that CHECKPOINT would say more than the RESUME that is on its way. */
#ifdef BUG_COMPLETE_WHILE_MOVING
#define MAY_COMPLETE FLOWS(h)
#else
#define MAY_COMPLETE (K.state == ACTIVE)
#endif
inline check_complete() {
  if
  :: MAY_COMPLETE && K.end_acked && ALL_HELD ->
    TOOK(T29);
    drop_attempt();
    printf("host %d: complete\n", h);
    K.state = CLOSED;
    L.checkpoint_due = true
  :: else
  fi
}

inline hold() {
  if
  :: L.held != K.received ->
    L.held = K.received;
    L.checkpoint_due = true
  :: else
  fi;
#ifdef WINDOW
  if
  :: K.detached -> K.read = L.held
  :: else
  fi;
#else
  K.read = L.held;
#endif
  check_complete()
}

/* What an event has changed is stored, unless the host dies before that. Nothing was sent until then. */
inline store() {
  if
  :: CRASHES && MAY_FAIL ->
    faults++;
    died = true
  :: !died ->
    d_step { copy(disk[h], kept[h]) }
  fi
}

inline settle() {
#ifdef BUG_ANNOUNCE_FIRST
  hold();
#elif defined(LATE_HOLD)
  if
  :: event == holds -> d_step { hold() }
  :: else
  fi;
  store();
#else
  store();
  if
  :: !died ->
    d_step { hold() }
    store()
  :: else
  fi;
#endif
}
