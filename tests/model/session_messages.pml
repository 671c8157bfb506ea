/* Of session.pml: the state machine, and what messages do to it (engine/session.cpp, session_messages.cpp). */

/* --- the state machine ------------------------------------------------------------------------------------------- */

inline open_channel() {
  L.channel = c;
  L.attempt_conn = NONE;
  L.retry = NEVER;
  L.suspend_due = false;
#ifdef BUG_CLOSE_ONCE
  L.end_due = false;
#else
  L.end_due = (K.end != OPEN && !K.end_acked);
#endif
  K.state = ACTIVE;
  i = at[OUT(c, h)];
  assert(!up[OUT(c, h)] || live[i].channel == c || live[i].attempt_conn == c); /* its other end is no other channel */
#ifdef BUG_RELATIVE
  off = K.acked;
#endif
  K.acked = off;
#ifdef BUG_NO_REWIND
  L.sent = MAX(L.sent, off);
#else
  L.sent = off; /* rewind */
#endif
  L.limit = lim
}

inline lose() { /* ECONNRESET */
  printf("host %d: the session is lost\n", h);
  assert(h == COPY || kept[PEER].failure == refused || kept[PEER].failure == aborted);
  drop_attempt();
  drop_channel();
  L.retry = NEVER;
  K.state = CLOSED;
  K.failure = lost
}

inline finish() {
  if
  :: K.end == OPEN ->
    K.end = K.written;
    L.end_due = true
  :: else
  fi
}

/* What the peer says of our direction: off (held), lim, flg. */
inline take_progress() {
#if !(defined(LATE_HOLD) || MOVES) || defined(BUG_ACK_ABOVE_SENT) /* else an earlier connection may have brought it */
  assert(off <= L.sent);
#endif
  assert(off <= K.written);
  assert(h == COPY || !(flg & 1) || (K.end != OPEN && off == K.end)); /* it has a FINISH only if we have said so */
  K.acked = MAX(K.acked, off);
  L.sent = MAX(L.sent, off); /* what it holds from an earlier connection need not be sent again */
  L.limit = MAX(L.limit, lim);
  assert(K.acked <= disk[PEER].received); /* nothing is forgotten that the peer has not stored */
  if
  :: K.end != OPEN && (flg & (K.detached -> 2 : 1)) ->
    K.end_acked = true;
    L.end_due = false
  :: else
  fi;
  check_complete()
}

/* Who has nothing left to do forgets the session, but for where it ended (Host::forget). */
#define GONE(h) (kept[h].state == CLOSED && kept[h].detached && live[h].channel == NONE)
#define STILL_HERE(h) (kept[h].state != NOT_YET && !GONE(h))
#ifdef BUG_NO_TOMBSTONE
#define TOMBSTONE unknown
#else
#define TOMBSTONE closed
#endif

/* RESUME on the new connection c. */
inline take_resume() {
  if
  :: K.state == NOT_YET -> reply = unknown
  :: GONE(h) -> reply = (K.failure == fine -> TOMBSTONE : unknown)
#ifndef BUG_NO_GENERATION
  :: STILL_HERE(h) && gen < K.peer_generation -> reply = superseded
#endif
#ifndef BUG_NO_ATTEMPT
  :: STILL_HERE(h) && gen == K.peer_generation && num <= K.peer_attempt -> reply = stale
#endif
  :: else ->
    K.peer_generation = gen;
    K.peer_attempt = num;
    if
    :: K.state == SUSPENDED ->
      TOOK(T8);
      reply = suspended
    :: K.state == CLOSED ->
      TOOK(T46);
      reply = (K.failure == fine -> closed : (K.failure == outdated -> not_here : unknown))
    :: K.state == CONNECTING ->
      TOOK(T47);
      reply = collision
    :: else ->
      if
      :: off < K.acked || off > K.written ->
        TOOK_IN(T28, T69, T34, T39);
        lose();
        reply = gap
#ifndef BUG_NO_COLLISION
      :: off >= K.acked && off <= K.written && (K.state == SENT_RESUME || K.state == MOVING) && SIDE(h) == 0 ->
        TOOK_IN(T17, T68, T17, T17);
        reply = collision
#endif
      :: else ->
        TOOK_IN(T3, T67, T6, T18);
        drop_attempt();
        drop_channel();
        open_channel();
        take_progress()
      fi
    fi
  fi
}

/* The connection has ended on which RESUME was sent: nobody knows whether it was accepted. */
inline lose_attempt() {
  drop_attempt();
  if
  :: K.state == MOVING ->
    TOOK(T61);
    drop_channel();
    L.retry = NOW
  :: else ->
    TOOK(T36);
    L.retry = LATER
  fi;
  K.state = READY_RESUME
}

inline take_resume_ok() {
  if
  :: gen < K.peer_generation -> /* a copy that has been left behind */
    lose_attempt()
  :: else ->
#ifndef BUG_OK_WITHOUT_ATTEMPT
    K.peer_attempt = (gen > K.peer_generation -> num : MAX(K.peer_attempt, num));
#endif
    K.peer_generation = gen;
    if
    :: off < K.acked || off > K.written -> lose()
    :: else ->
      TOOK_IN(T14, T53, T14, T14);
      drop_channel();
      open_channel();
      take_progress()
    fi
  fi
}

/* Who was refused while its channel carried on stays there. What RESUME has said has not been heard. */
inline refused_resume() {
  if
  :: K.state == MOVING ->
    K.state = ACTIVE;
    L.checkpoint_due = true;
    check_complete()
  :: else ->
    K.state = READY_RESUME;
    L.retry = LATER
  fi
}

inline take_denied() {
  drop_attempt();
  if
  :: num == suspended ->
    TOOK_IN(T15, T54, T15, T15);
    refused_resume()
  :: num == collision ->
    TOOK_IN(T40, T55, T40, T40);
    refused_resume()
  :: num == stale || num == not_here ->
    TOOK_IN(T41, T56, T41, T41);
    refused_resume()
#ifndef BUG_DENIED_BY_COPY
  :: gen < K.peer_generation && (num == unknown || num == gap || num == closed) -> /* it does not know */
    TOOK_IN(T41, T56, T41, T41);
    refused_resume()
#endif
  :: num == superseded ->
    TOOK_IN(T44, T59, T44, T44);
    drop_channel();
    printf("host %d: superseded\n", h);
    assert(h == COPY);
    K.state = CLOSED;
    K.failure = outdated;
    L.retry = NEVER
  :: else ->
    if
    :: num == closed && off >= K.written && lim == K.received ->
      TOOK_IN(T42, T57, T42, T42);
      K.end = K.written;
      K.end_acked = true;
      K.peer_end = lim;
      K.state = CLOSED;
      L.checkpoint_due = L.checkpoint_due || L.channel != NONE;
      L.retry = NEVER
    :: else ->
      TOOK_IN(T43, T58, T43, T43);
      lose()
    fi
  fi
}

/* CONNECT on the new connection c; again when its answer was lost. Who has had one lets go of it. */
inline take_connect() {
  off = 0;
  flg = 0;
  if
  :: K.received > 0 || K.acked > 0 || K.peer_attempt > 0 || K.peer_end != OPEN -> drop_3 = c
  :: else ->
    K.peer_generation = gen;
    if
    :: K.state == SUSPENDED -> reply = suspended
    :: K.state == CLOSED -> reply = (K.failure == fine -> closed : unknown)
    :: else ->
      drop_attempt();
      drop_channel();
      open_channel()
    fi
  fi
}

inline take_connect_ok() {
  K.peer_generation = gen;
#ifndef BUG_CONNECT_OK_WITHOUT_ATTEMPT
  K.peer_attempt = num;
#endif
  off = 0;
  TOOK(T21);
  open_channel()
}

inline take_data() {
  assert(K.peer_end == OPEN || off < K.peer_end);
#if defined(BUG_RELATIVE) || defined(BUG_NO_OFFSET)
  off = K.received; /* wherever it comes from, it is the next one */
#endif
  assert(off <= K.received); /* no hole */
  assert(off < LIMIT);       /* nothing beyond the limit */
  if
  :: off == K.received ->
    printf("host %d: takes byte %d at offset %d\n", h, num, K.received);
    assert(num == K.received); /* the bytes that arrive are 0, 1, 2, ... */
    K.received++
  :: else
  fi
}

inline take_end() {
  assert(off >= K.received && (K.peer_end == OPEN || K.peer_end == off));
  K.peer_end = off;
  L.checkpoint_due = true;
  if
  :: kind == CLOSE && !K.peer_closed ->
    K.peer_closed = true;
    finish() /* nobody reads what would come after */
  :: else
  fi;
  check_complete()
}

inline take_message() {
  if
  :: c == L.attempt_conn ->
    if
    :: kind == RESUME_OK -> take_resume_ok()
    :: kind == CONNECT_OK -> take_connect_ok()
    :: kind == DENIED ->
      if
      :: K.state == SENT_RESUME || K.state == MOVING -> take_denied()
      :: else -> /* no answer to CONNECT */
        TOOK(T24);
        drop_attempt();
        L.retry = LATER
      fi
    fi
  :: c == L.channel ->
    if
    :: !FLOWS(h) /* it is being let go */
    :: else ->
      if
      :: kind == DATA -> take_data()
      :: kind == CHECKPOINT -> take_progress()
      :: kind == FINISH || kind == CLOSE -> take_end()
      :: kind == SUSPEND ->
        TOOK_IN(T4, T65, T4, T4);
        drop_attempt();
        drop_channel();
        K.state = READY_RESUME;
        L.retry = LATER
      :: kind == ABORT ->
        TOOK_IN(T27, T66, T27, T27);
        lose()
      fi
    fi
  :: else ->
    if
    :: kind == RESUME -> take_resume()
    :: kind == CONNECT -> take_connect()
    fi
  fi
}

/* A connection has ended, or was silent for too long. */
inline take_loss() {
  drop_3 = c;
  if
  :: c == L.channel ->
    drop_channel();
    if
    :: K.state == ACTIVE ->
      TOOK(T1);
      K.state = READY_RESUME;
      L.retry = (L.attempt_conn == NONE -> NOW : NEVER) /* a connection that is being made will do */
    :: K.state == MOVING ->
      TOOK(T62);
      K.state = SENT_RESUME
    :: else
    fi
  :: c == L.attempt_conn ->
    if
    :: K.state == SENT_RESUME || K.state == MOVING -> lose_attempt()
    :: K.state == ACTIVE -> /* it was being made, for a better link */
      TOOK(T51);
      drop_attempt()
    :: else ->
      TOOK_IN(T24, T24, T13, T24);
      drop_attempt();
      L.retry = LATER
    fi;
#ifdef BUG_NO_TIMER
    L.retry = NEVER;
#endif
  :: else
  fi
}
