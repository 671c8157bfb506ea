/* The checkpoint agreement of the thesis (2006), in which Spin must find a corrupted stream.
 *
 * Two hosts send N bytes to each other over connections that break. The model follows the text as it stands; where the
 * text leaves a choice, the one that is kinder to the agreement is taken, and said here:
 *
 *   3.4.1  checkpoints have the identifiers 0, 1 and 2. A host keeps two, the acknowledged and the pending one. A
 *          peer's CHECKPOINT with the identifier of the pending one counts as the answer to one's own; both take the
 *          larger of the two positions. One with the next identifier is a request: pending becomes acknowledged, and
 *          what lies before it is freed. One with the identifier of the acknowledged one ends the session.
 *   4.6.2  positions are relative to the pending checkpoint (and never below it). A CHECKPOINT is sent once half of the
 *          send buffer is used.
 *   4.2.2, 4.8.4  received bytes are counted from the last checkpoint, and from 0 after each rollback. As long as
 *          fewer were counted than the buffer holds, what comes in is dropped. (When a checkpoint frees bytes, the
 *          count goes down by as many. The text does not say so, but the rule is empty without it.)
 *   4.6.3, 4.8.2  RESUME names the acknowledged checkpoint; who has it as its pending one moves forward to it.
 *          RESUME_OK names the answering side's acknowledged one, and the same holds there. Who has neither ends the
 *          session. (Here this exchange is never disturbed, and either side may begin it.)
 *
 * A break may happen at any point; a part of what is in flight still arrives, the rest is lost.
 *
 * The shortest way to a corrupted stream that Spin finds is not the one in 3.4.1, "Problems": who has answered a
 * request may ask for the next checkpoint at once, without knowing that its answer has come through. With
 * CROSSING_ONLY it may not, and Spin finds the way of the text: two requests cross, and each is taken as the answer to
 * the other. With ONE_SIDED, where only host 0 asks, there is neither, and no corruption.
 *
 * Options: N bytes in each direction, CAPACITY of a send buffer, BREAKS; CROSSING_ONLY, ONE_SIDED.
 */
#ifndef N
#define N 3
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef BREAKS
#define BREAKS 1
#endif
#define IN_FLIGHT 4

mtype = { DATA, CHECKPOINT };

typedef Buffer {  /* pointers into a stream, counted from its first byte; no message carries them (4.6.1) */
  byte start;     /* the acknowledged checkpoint */
  byte pending;   /* the pending checkpoint */
  byte processed; /* send: given to the network */
  byte end;
}

typedef Host {
  Buffer send;
  Buffer receive;
  byte acked_cp;
  byte pending_cp;
  bool sent_cp;     /* a CHECKPOINT of ours waits for its answer */
  byte recvd_bytes; /* since the acknowledged checkpoint, from 0 after a rollback */
#ifdef CROSSING_ONLY
  bool answered; /* the last checkpoint was the peer's */
#endif
}

Host host[2];
chan to[2] = [IN_FLIGHT] of { mtype, byte, byte, byte }; /* CHECKPOINT: identifier, send and receive position */
byte breaks;
bool ended; /* a host has seen a violation and has ended the session: a failure, but not a silent one */

#define ME host[me]
#ifdef ONE_SIDED
#define MAY_ASK (me == 0)
#elif defined(CROSSING_ONLY)
#define MAY_ASK (!ME.answered)
#else
#define MAY_ASK true
#endif
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define SENT(m) (host[m].send.pending - host[m].send.start)
#define RECEIVED(m) (host[m].receive.pending - host[m].receive.start)

/* session_buffers_new_cp (4.6.1): positions are relative to the pending checkpoint, which becomes the acknowledged */
inline new_checkpoint(id, sent, received) {
  ME.recvd_bytes = ME.recvd_bytes - RECEIVED(me);
  ME.send.start = ME.send.pending;
  ME.receive.start = ME.receive.pending;
  ME.send.pending = ME.send.start + sent;
  ME.receive.pending = ME.receive.start + received;
  ME.acked_cp = ME.pending_cp;
  ME.pending_cp = id;
}

/* "move forward in the stream so that this will be our acknowledged" (4.8.2), then session_rollback (4.8.4) */
inline roll_back(m, id) {
  if
  :: id == host[m].pending_cp ->
    host[m].acked_cp = id;
    host[m].pending_cp = (id + 1) % 3;
    host[m].send.start = host[m].send.pending;
    host[m].receive.start = host[m].receive.pending
  :: else
  fi;
  host[m].send.pending = host[m].send.start;
  host[m].receive.pending = host[m].receive.start;
  host[m].send.processed = host[m].send.start;
  host[m].recvd_bytes = 0;
  host[m].sent_cp = false
}

inline take_data() {
  if
  :: ME.recvd_bytes == ME.receive.end - ME.receive.start ->
    printf("host %d: takes byte %d of its peer at position %d\n", me, a, ME.receive.end);
    assert(a == ME.receive.end); /* bytes arrive as 0, 1, 2, ... */
    ME.receive.end++
  :: else -> printf("host %d: drops byte %d\n", me, a)
  fi;
  ME.recvd_bytes++
}

inline take_checkpoint() {
  if
  :: a == ME.pending_cp -> /* an answer, or the peer's request that crossed ours: the larger positions count */
    printf("host %d: CHECKPOINT %d (%d, %d) is taken as the answer\n", me, a, b, c);
    ME.send.pending = ME.send.start + MAX(SENT(me), c);
    ME.receive.pending = ME.receive.start + MAX(RECEIVED(me), b);
    ME.sent_cp = false
  :: a == (ME.pending_cp + 1) % 3 && !ME.sent_cp -> /* a request: establish it, and answer */
    printf("host %d: CHECKPOINT %d (%d, %d) is a request, and is answered\n", me, a, b, c);
    c = MAX(ME.send.processed - ME.send.pending, c);
    b = MAX(ME.receive.end - ME.receive.pending, b);
    new_checkpoint(a, c, b);
#ifdef CROSSING_ONLY
    ME.answered = true;
#endif
    to[1 - me]!CHECKPOINT(a, SENT(me), RECEIVED(me))
  :: else ->
    printf("host %d: CHECKPOINT %d is a violation\n", me, a);
    ended = true
  fi
}

active [2] proctype session() {
  byte me = _pid, a, b, c;
  mtype kind;
  ME.pending_cp = 1; /* both at position 0 (figure 11) */
end:
  do
  :: ended -> break
  :: atomic { !ended && ME.send.end < N && ME.send.end - ME.send.start < CAPACITY -> ME.send.end++ } /* session_send */
  :: atomic {
      !ended && ME.send.processed < ME.send.end && nfull(to[1 - me]) ->
      printf("host %d: sends byte %d\n", me, ME.send.processed);
      to[1 - me]!DATA(ME.send.processed, 0, 0);
      ME.send.processed++
    }
  :: atomic {
      MAY_ASK && !ended && !ME.sent_cp && nfull(to[1 - me]) && 2 * (ME.send.end - ME.send.start) >= CAPACITY ->
      a = (ME.pending_cp + 1) % 3;
      b = MAX(ME.send.processed - ME.send.pending, 0);
      c = MAX(ME.receive.end - ME.receive.pending, 0);
      new_checkpoint(a, b, c);
      ME.sent_cp = true;
      printf("host %d: asks for CHECKPOINT %d (%d, %d)\n", me, ME.pending_cp, SENT(me), RECEIVED(me));
      to[1 - me]!CHECKPOINT(a, b, c);
      a = 0;
      b = 0;
      c = 0
    }
  :: atomic {
      !ended && nfull(to[1 - me]) && nempty(to[me]) ->
      to[me]?kind, a, b, c;
      if
      :: kind == DATA -> take_data()
      :: kind == CHECKPOINT -> take_checkpoint()
      fi;
      kind = 0;
      a = 0;
      b = 0;
      c = 0
    }
  od
}

/* What is in flight is lost from some point on. Then one of the two resumes. */
inline lose(m) {
  do
  :: nempty(to[m]) -> to[m]?_, _, _, _
  :: empty(to[m]) -> break
  od
}

inline resume(from, at) {
  printf("break; host %d: RESUME %d\n", from, host[from].acked_cp);
  roll_back(at, host[from].acked_cp);
  printf("host %d: RESUME_OK %d\n", at, host[at].acked_cp);
  if
  :: host[at].acked_cp == host[from].acked_cp || host[at].acked_cp == host[from].pending_cp ->
    roll_back(from, host[at].acked_cp);
    printf("host %d goes on at send %d, receive %d; host %d at send %d, receive %d\n", from, host[from].send.start,
           host[from].receive.start, at, host[at].send.start, host[at].receive.start)
  :: else -> printf("host %d does not have it\n", from); ended = true
  fi
}

active proctype network() {
end:
  do
  :: atomic {
      !ended && breaks < BREAKS ->
      breaks++;
      lose(0);
      lose(1);
      if
      :: resume(0, 1)
      :: resume(1, 0)
      fi
    }
  :: ended -> break
  od
}
