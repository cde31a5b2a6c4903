/* SPDX-License-Identifier: ISC */
/*
 * hop.pml - the hop's ranges: one stream, one relay, any number of deaths
 *
 * What:     one stream of BYTES positions (a position stands for a record).
 *           The sender may send any range of what it still has, in any order
 *           and cut anew each time: live and backlog flows, chunks taken back
 *           and spilled, another agent after a death are all among that.
 * Claims:
 *   twice       a position is stored once by the relay, whatever repeats
 *   promise     what is acknowledged is stored
 *   kept        what the sender let go of is stored
 *   known       a range the relay counts as taken is stored or staged
 *   arrives     when faults end, the sender has let go of everything (LTL)
 * Not here:  quarantine, foreign senders, bounds of the table.
 *
 *   sender --fwd--> intake --> fill --> fly --> cur    (disk)
 *          <--ack-- answers <-----------'       ckpt   (disk)
 *
 * A set of positions is a bit mask.  Each step names the function it stands
 * for.  -DBUG_x builds a fault that spin must find: see part-model.sh.
 */
#ifndef BYTES
#define BYTES	3
#endif
#ifndef FAULTS			/* cuts, deaths, failed groups, second sendings */
#define FAULTS	2
#endif

#define ALL	((1 << BYTES) - 1)
#define MASK(f, t)	(((1 << (t)) - 1) & ~((1 << (f)) - 1))
#define END	255			/* "end" instead of a range */

chan fwd = [2] of { byte, byte };	/* from, to: wire.c */
chan ack = [1] of { byte, byte };	/* the id says the range: wire_id() */

/* the sender's, on its disk or in shared memory: outlives it */
byte gone;		/* lane_agent.tail passed it, or its commit is durable */
/* the sender's memory */
byte out;		/* hop_chunks and spans that are SPAN_OUT */
byte acked;		/* queue_commit(): said, not durable yet */
bool ended;		/* sender_end_stream() */

/* the relay's disk */
byte ckpt;		/* ranges in the newest durable checkpoint */
byte cur;		/* frames of the newest segment, durable */
byte ghost;		/* frames of a group that failed: some may be there */
byte stored;		/* history: whatever a frame of its own had */
/* the relay's memory */
byte taken;		/* streams.c: the set of this stream */
byte fill;		/* q->fill: staged */
byte fly;		/* q->w.fly: being written */
byte next;		/* the checkpoint written in front of fly */
bool rotating;		/* fly goes to a new segment */
bool failed;		/* give_up_segment(): the next one must */
bool finished;		/* streams_end(): F_ENDED */
bool forgotten;		/* streams_age() */
chan answers = [2] of { byte, byte, byte };	/* range, puts waited for */

byte faults = FAULTS;
byte f, t, w, sub;
byte waits;		/* what the first of answers waits for */

inline look_first()
{
	if
	:: nempty(answers) -> answers?<f,t,waits>
	:: empty(answers) -> waits = 0
	fi;
	f = 0; t = 0; w = 0
}

/* sender_lose() and conn's end: what was under way is gone. */
inline cut()
{
	do
	:: fwd?f,t
	:: empty(fwd) -> break
	od;
	do
	:: ack?f,t
	:: empty(ack) -> break
	od;
	do
	:: answers?f,t,w
	:: empty(answers) -> break
	od;
	look_first();
	out = 0			/* close_done(): each span waits again */
}

/* intake.c take_body(): cut against the set, put what is new. */
inline intake()
{
	w = MASK(f, t) & ~taken;
#ifdef BUG_HIGH_WATER
	if			/* as if all below the highest were taken */
	:: (taken >> f) != 0 && (taken >> t) != 0 -> w = 0
	:: else
	fi;
#endif
#ifdef BUG_NO_CUT
	if
	:: w != 0 -> w = MASK(f, t)
	:: else
	fi;
#endif
	sub = MASK(f, t) & taken;
	fill = fill | w;	/* queue_put(): streams_add() */
	taken = taken | w;
	/* intake_run(): a duplicate waits for all that is under way */
#ifndef BUG_DUP_NO_BARRIER
	if
	:: sub != 0 -> w = fly | fill
	:: else
	fi;
#endif
	answers!f,t,w;
	sub = 0;
	look_first()
}

/* make_checkpoint(): without what is staged. */
inline launch()
{
	fly = fill;
	fill = 0;
	if
	:: failed -> rotating = true
	:: rotating = true
	:: !failed -> rotating = false
	fi;
	if
	:: rotating -> next = taken & ~(fly | fill)
	:: else -> next = 0
	fi;
#ifdef BUG_CKPT_STAGED
	if
	:: rotating -> next = taken
	:: else
	fi;
#endif
#ifdef BUG_FORGET_DELETED
	next = 0;		/* the ranges went with their segment */
#endif
}

/* Frames that are held from now on. */
inline store(m)
{
	assert((stored & (m)) == 0);		/* twice */
	stored = stored | (m)
}

/* group_durable() */
inline durable()
{
	store(fly);
	if
	:: rotating -> ckpt = next; cur = fly; ghost = 0
	:: else -> cur = cur | fly
	fi;
	failed = false;
	rotating = false; next = 0;
	fly = 0
}

/* group_failed(): its ranges are taken back, its senders closed. */
inline fail()
{
	if
	:: rotating		/* without its checkpoint: void */
	:: else -> ghost = ghost | fly
	fi;
	taken = taken & ~fly;
	failed = true;
	rotating = false; next = 0;
	fly = 0;
#ifndef BUG_FAILED_IS_DONE
	cut()
#endif
}

/* recover.c, replay.c: the newest checkpoint and what follows it. */
inline recover()
{
	if			/* any part of what was being written is there */
	:: sub = 0
	:: sub = fly
	:: sub = fly & 1
	:: sub = fly & 6
	fi;
	if
	:: rotating -> 		/* its checkpoint is torn: void */
		if
		:: sub = 0
		:: ckpt = next; cur = 0; ghost = 0
		fi
	:: else
	fi;
	store(sub);
	cur = cur | sub;
	if			/* a failed group's frames, no newer checkpoint */
	:: ghost != 0 -> store(ghost); cur = cur | ghost; ghost = 0
	:: ghost = 0
	fi;
	taken = ckpt | cur;
	fill = 0; fly = 0; rotating = false; next = 0; failed = false;
	finished = false; sub = 0;
	cut()
}

/* A range that is there and not under way; or once more, the other way. */
#define MAY(a, b)	(!ended && nfull(fwd) && \
	(MASK(a, b) & (gone | acked)) == 0 && \
	((MASK(a, b) & out) == 0 || faults > 0))

inline send(a, b)
{
	if	/* sender_take_back(), inlane_double() */
	:: (MASK(a, b) & out) != 0 -> faults--
	:: else
	fi;
	out = out | MASK(a, b);
	fwd!a,b
}

active proctype sender()
{
	byte a, b;

	do
	/* span_send(), backlog_move() */
	:: atomic { MAY(0, 1) -> send(0, 1) }
	:: atomic { MAY(1, 2) -> send(1, 2) }
	:: atomic { MAY(0, 2) -> send(0, 2) }
#if BYTES > 2
	:: atomic { MAY(2, 3) -> send(2, 3) }
	:: atomic { MAY(1, 3) -> send(1, 3) }
	:: atomic { MAY(0, 3) -> send(0, 3) }
#endif
	/* sender_up.c answer(): on_acked() */
	:: atomic { ack?a,b ->
		assert((MASK(a, b) & ~stored) == 0);	/* promise */
		acked = acked | MASK(a, b);
		out = out & ~MASK(a, b);
		a = 0; b = 0 }
	/* reader_set_tail(), or the commit frame is durable */
	:: atomic { acked != 0 -> gone = gone | acked; acked = 0 }
	/* end_lane(), may_end(): nothing of it is held any more */
#ifdef BUG_END_EARLY
	:: atomic { !ended && (gone | acked) == ALL && nfull(fwd) ->
#else
	:: atomic { !ended && gone == ALL && nfull(fwd) ->
#endif
		ended = true; fwd!END,END }
	od
}

#ifdef BUG_ACK_EARLY
#define READY	true
#else
#define READY	((waits & (fly | fill)) == 0)
#endif

active proctype relay()
{
	do
	:: atomic { fwd?[f,t] && nfull(answers) -> fwd?f,t ->
		if
		:: f == END -> finished = true; f = 0; t = 0	/* streams_end() */
		:: else -> intake()
		fi }
	:: atomic { fill != 0 && fly == 0 -> launch() }		/* writer_go() */
	:: atomic { fly != 0 -> durable() }
	/* answers_fill(): in order, each when its puts are durable */
	:: atomic { nempty(answers) && nfull(ack) && READY ->
		answers?f,t,w; ack!f,t; look_first() }
	/* streams_age(): an hour later, nothing of it is under way */
	:: atomic { finished && empty(fwd) && empty(answers) && fly == 0 &&
	    fill == 0 && !forgotten -> forgotten = true; taken = 0;
		ckpt = 0; cur = 0 }
	od
}

/* Chaos: as often as the budget says, then never again. */
active proctype chaos()
{
	do
	:: atomic { faults > 0 -> faults--; cut() }
	:: atomic { faults > 0 && fly != 0 -> faults--; fail() }
	:: atomic { faults > 0 -> faults--; recover() }		/* relay */
	:: atomic { faults > 0 -> faults--;			/* agent */
		acked = 0; ended = false; cut() }
	:: break
	od
}

/* kept and known, at every state */
ltl kept { [] (((gone & ~stored) == 0) &&
	((taken & ~(stored | fill | fly)) == 0)) }
ltl arrives { <> (gone == ALL) }
