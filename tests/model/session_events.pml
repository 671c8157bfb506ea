/* Of session.pml: what can happen at a host, what it does then, and what it sends (engine/session.cpp,
 * session_stream.cpp). */

/* --- when -------------------------------------------------------------------------------------------------------- */

#define SENDS(h) (live[h].channel != NONE && len(net[OUT(live[h].channel, h)]) < QUEUE)
#ifdef BUG_NO_LIMIT
#define HAS_DATA(h) (live[h].sent < kept[h].written)
#else
#define HAS_DATA(h) (live[h].sent < MIN(kept[h].written, live[h].limit))
#endif
#define HAS_OUTPUT(h)                                                              \
  (live[h].channel != NONE && ((live[h].checkpoint_due && kept[h].state != MOVING) || live[h].suspend_due || \
                               live[h].abort_due || (FLOWS(h) && (live[h].end_due || HAS_DATA(h)))))
#define MAKES_CONNECTION(h) (live[h].attempt_conn != NONE && (kept[h].state == ACTIVE || kept[h].state == READY_RESUME))
#ifdef NO_CLOSE
#define MAY_CLOSE(h) false
#elif defined(EARLY_CLOSE)
#define MAY_CLOSE(h) (STANDS(h) && h != COPY && !kept[h].detached)
#else
#define SAID_ALL(h) (delivered[h] == BYTES(1 - h) && kept[h].written == BYTES(h))
#define MAY_CLOSE(h) (STANDS(h) && h != COPY && !kept[h].detached && (SAID_ALL(h) || kept[h].failure == lost))
#endif
#define USER_WAITS(h) (kept[h].state == SUSPENDED || (delivered[h] < live[h].held && !kept[h].detached))
#ifdef LATE_HOLD
#define STORES_BYTES(h) (live[h].held < kept[h].received)
#else
#define STORES_BYTES(h) false
#endif
#define QUIET_AT(h) \
  (live[h].retry != NOW && !HAS_OUTPUT(h) && !MAY_CLOSE(h) && !USER_WAITS(h) && !STORES_BYTES(h) && \
   !MAKES_CONNECTION(h))
#ifdef STALE
#define QUIET (ALL(IDLE) && QUIET_AT(0) && QUIET_AT(1) && QUIET_AT(COPY))
#else
#define QUIET (ALL(IDLE) && QUIET_AT(0) && QUIET_AT(1))
#endif
#define CREATOR_GONE (kept[0].failure == refused || kept[0].failure == aborted)
#define NEVER_STOOD(h) (CREATOR_GONE && kept[h].state == NOT_YET && ALL(IDLE))
#ifdef NO_CLOSE
#define DELIVERED(h) (kept[h].acked == BYTES(h) && delivered[h] == BYTES(1 - h))
#define DONE(h) (DELIVERED(h) || kept[h].failure == lost || kept[h].failure == refused || NEVER_STOOD(h))
#else
#define DONE(h) (GONE(h) || NEVER_STOOD(h))
#endif
#define OVER (DONE(0) && DONE(1))
#define EARLY (HURRIES && MAY_FAIL && !OVER)

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
  :: L.retry != NOW && !IN_TURN -> faults++
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

inline go_astray() {
#ifdef STALE
  if
  :: astray ->
    printf("host %d: reaches the copy\n", h);
    strays++;
    at[OUT(c, h)] = COPY
  :: else
  fi
#else
  skip
#endif
}

inline handle() {
  if
  :: event == message -> take_message()
  :: event == loss -> take_loss()
  :: event == retries ->
    count_hurry();
    dial();
    go_astray();
    if
    :: K.state == READY_RESUME ->
      TOOK(T31);
      TOOK(T12);
      K.state = SENT_RESUME;
      K.attempt++;
      assert(K.attempt < MAX_ATTEMPT) /* nobody tries for ever */
    :: else
    fi
  :: event == moves ->
    TOOK(T49);
    printf("host %d: begins a connection over a better link\n", h);
    faults++;
    dial();
    go_astray()
  :: event == reaches ->
    TOOK_IN(T50, T50, T12, T12);
    c = L.attempt_conn;
    K.state = (K.state == ACTIVE -> MOVING : SENT_RESUME);
    K.attempt++;
    assert(K.attempt < MAX_ATTEMPT)
  :: event == times_out ->
    TOOK_IN(T16, T60, T16, T16);
    count_hurry();
    drop_attempt();
    if
#ifdef BUG_MOVE_STAYS_AFTER_TIMEOUT
    :: K.state == MOVING -> refused_resume()
#else
    :: K.state == MOVING ->
      drop_channel(); /* the peer may have accepted, or may do so later */
      K.state = READY_RESUME;
      L.retry = NOW
#endif
    :: else ->
      K.state = READY_RESUME;
      L.retry = NOW
    fi
  :: event == user_suspends ->
    TOOK_IN(T2, T63, T5, T37);
    printf("host %d: its user suspends\n", h);
    faults++;
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
  :: event == user_aborts ->
    if
    :: K.state == CONNECTING -> TOOK(T25)
    :: K.state == SUSPENDED -> TOOK(T45)
    :: else -> TOOK_IN(T26, T64, T33, T38)
    fi;
    printf("host %d: its user aborts\n", h);
    faults++;
    drop_attempt();
    L.retry = NEVER;
    L.abort_due = (L.channel != NONE);
    K.state = CLOSED;
    K.failure = aborted;
    K.detached = true
  :: event == user_reads ->
    K.read++;
    L.checkpoint_due = true
  :: event == user_writes -> K.written++
  :: event == user_finishes -> finish()
  :: event == user_closes -> user_close()
  :: event == dies ->
    faults++;
    died = true;
    printf("host %d: dies\n", h)
#ifdef STALE
  :: event == is_copied ->
    printf("host %d: is copied, having written %d and received %d\n", h, disk[h].written, disk[h].received);
    copied = disk[h].written;
    copy(disk[COPY], disk[h]);
    delivered[COPY] = disk[h].read
  :: event == is_moved ->
    printf("host %d: goes on as generation 2\n", h);
    moved = true;
    disk[h].generation = 2;
    died = true
  :: event == copy_starts ->
#ifdef BUG_CLAIMED_TWICE
    disk[h].generation = 2;
#endif
    printf("host %d: starts as generation %d\n", h, disk[h].generation);
    died = true
#endif
#ifdef LATE_HOLD
  :: event == holds
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
  :: (event == retries || event == reaches) && (K.state == SENT_RESUME || K.state == MOVING) ->
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
  :: event == send_abort ->
    PUT(L.channel, ABORT, 0, 0, 0, 0, 0);
    drop_channel()
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

#ifdef BUG_UNCLAIMED_ANSWERS
#define MAY_RETRY (h != COPY)
#else
#define MAY_RETRY true
#endif
#define RETRIES MAY_RETRY && (L.retry == NOW || (L.retry == LATER && (IN_TURN || EARLY)))
#define MAY_DIE (h != COPY || K.state != NOT_YET)
#define MAY_SUSPEND (FLOWS(h) || K.state == READY_RESUME || K.state == SENT_RESUME)
#ifdef BUG_CHECKPOINT_WHILE_MOVING
#define MAY_ANNOUNCE (!L.abort_due && (FLOWS(h) || K.state == CLOSED))
#else
#define MAY_ANNOUNCE (!L.abort_due && (K.state == ACTIVE || K.state == CLOSED))
#endif
#define MAY_MOVE (K.state == ACTIVE && L.attempt_conn == NONE && EXISTS(FREE))
#define MAY_ABORT (K.state != NOT_YET && K.state != CLOSED)
#define MAY_WRITE (STANDS(h) && K.end == OPEN && K.state != CLOSED)
#if defined(BUG_UNCLAIMED) || defined(BUG_UNCLAIMED_ANSWERS) || defined(BUG_CLAIMED_TWICE)
#define COPY_MAY_START moved
#else
#define COPY_MAY_START (disk[1 - COPIED].peer_generation == 2) /* the peer knows */
#endif
