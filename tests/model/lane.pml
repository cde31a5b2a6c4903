/* SPDX-License-Identifier: ISC */
/*
 * lane.pml - one producer's lanes, its agent and a relay
 *
 * What:     a producer writes RECORDS records into a lane of SIZE records and
 *           moves to a new lane when the old one is retired; an agent drains
 *           it over a connection or to its disk; both may die at any step,
 *           the relay too, and the agent may retire a lane at any moment.
 * Claims:
 *   overwritten  a record's place is written again only when it is safe
 *   intact       what the relay takes is the record that was published there
 *   twice        the relay stores no record twice
 *   drained      a lane is buried only when each record in it is safe, and
 *                nothing is published in it afterwards
 *   awake (LTL)  an agent sleeps deeply only over lanes it has seen the end
 *                of, or a byte lies in the FIFO
 *   safe (LTL)   when faults end, each published record becomes safe
 *
 * Safe: durable at the relay, or in the agent's own queue (hop.pml has what
 * becomes of that).  Stores of the producer pass a buffer, as on x86: its
 * load of knock_at may overtake its store of head (writer_publish() has no
 * fence there).  Time enters twice, as a guard on what a timer may do:
 *   TICK_BUSY   in 25 ms a store buffer empties
 *   LEAVE_TIME  in 1 s a producer that looked at retired has published
 * Each step names the function it stands for.  -DBUG_x builds a fault that
 * spin must find: see part-model.sh.
 */
#ifndef RECORDS
#define RECORDS	2
#endif
#ifndef SIZE
#define SIZE	1
#endif
#ifndef FAULTS			/* deaths, cuts, a lane retired */
#define FAULTS	2
#endif
#define LANES	2
#define NEVER	255

#define AT(l, pos)	((l) * RECORDS + (pos))
#define PLACE(l, pos)	((l) * SIZE + (pos) % SIZE)
#define BIT(n)		(1 << (n))

/* ---- shared memory: outlives both ---- */
byte head[LANES], tail[LANES], knock_at[LANES];
bool retired[LANES], locked[LANES], named[LANES];
byte data[LANES * SIZE];	/* a record's number, from 1 */
bool fifo;			/* a byte lies in it */
bool watch;			/* inotify: a new name, or a lock let go */

/* ---- the producer's ---- */
chan store = [2] of { byte, byte };	/* its buffer: lane, head */
bool young = true;		/* its lane: less than a second old */
bool calling;			/* between its look at retired and publish */
bool dead;			/* it was killed */

/* ---- history ---- */
byte want[LANES * RECORDS];	/* what was published where */
byte published;			/* records, as bits */
byte durable, spilled;		/* of the relay, of the agent's queue */
bool buried[LANES];

#define SAFE(n)	(((durable | spilled) & BIT(n)) != 0)

/* ---- the agent's memory ---- */
mtype = { FREE, WAIT, LIVE, SPILL, DONE };
mtype span[LANES * RECORDS];
bool known[LANES], leaving[LANES], gone[LANES];
byte seen[LANES], sent[LANES], knock[LANES];
bool more, recent, sleeps, agent_dies, down;
bool soon;			/* a tick of TICK_BUSY is armed, ... */
byte due;			/* ... stores that it waits to be seen */
byte fence;			/* the same, since a knock_at changed last */
byte staged;			/* queue_put(): not durable yet */

/* ---- the connection and the relay ---- */
chan wire = [1] of { byte, byte, byte };	/* lane, position, record */
chan answer = [1] of { byte, byte };
byte taken, flying;		/* its table; of it not durable yet */
byte asks_l, asks_p;		/* who waits for the answer */
bool asks;

byte faults = FAULTS;
byte x, y, z;

inline cut()
{
	do
	:: wire?x,y,z
	:: empty(wire) -> break
	od;
	do
	:: answer?x,y
	:: empty(answer) -> break
	od;
	x = 0; y = 0; z = 0;
	asks = false; asks_l = 0; asks_p = 0;
	down = true
}

/* ---- the producer ---- */

inline lane_new(l)
{
	locked[l] = true;	/* make_file(): the lock before the name */
	knock_at[l] = 1;	/* head_fill() */
	named[l] = true;
	young = true;
	watch = true
}

#ifdef BUG_KNOCK_ONCE
#define AGAIN	(knocked == NEVER)
#else
#define AGAIN	(k != knocked)
#endif

active proctype producer()
{
	byte l, at, room, knocked = NEVER, n = 1, k;

	{
	atomic { lane_new(0) };
	do
	:: n <= RECORDS ->
		/* pool_take(), lane_look(); younger than a second: it stays */
		atomic {
		calling = true;
		if
		:: retired[l] && l + 1 < LANES && len(store) == 0 ->
			locked[l] = false; watch = true;	/* lane_close() */
			l++; at = 0; room = 0; knocked = NEVER;
			lane_new(l)
		:: !retired[l] || young
		fi;
		/* writer_lend(), tail_look() */
		if
		:: at - room < SIZE
		:: at - room == SIZE && tail[l] > room -> room = tail[l]
		:: at - room == SIZE && tail[l] == room -> calling = false;
			/* refused; the next one that is taken comes later */
			(tail[l] > room || (retired[l] && l + 1 < LANES));
			goto again
		fi;
#ifdef BUG_HEAD_FIRST
		store!l,at + 1; published = published | BIT(n);
		want[AT(l, at)] = n };
		atomic {
#endif
		/* the record, where it will lie */
		k = data[PLACE(l, at)];
		assert(k == 0 || SAFE(k));		/* overwritten */
		data[PLACE(l, at)] = n };
		/* writer_publish(): head with release */
		atomic {
		assert(!buried[l]);
		want[AT(l, at)] = n;
		at++;
#ifndef BUG_HEAD_FIRST
		store!l,at;
		published = published | BIT(n);
#endif
		n++ };
		/* ... no fence; then knock_at, once a value */
		k = knock_at[l];
		if
		:: atomic { at >= k && AGAIN -> knocked = k; k = 0 };
			/* write(): the pipe's lock empties the buffer */
			atomic { len(store) == 0 -> fifo = true;
			    calling = false }
		:: atomic { else -> k = 0; calling = false }
		fi;
again:		skip
	:: n > RECORDS -> break
	od
	} unless { dead };
	/* writer_close(), or the kernel: buffer empty, then the lock is gone */
	atomic { len(store) == 0 -> locked[l] = false; watch = true;
	    calling = false; l = 0; at = 0; room = 0; knocked = 0; n = 0; k = 0 }
}

/* A store becomes visible some time after it was made. */
active proctype memory()
{
	byte l, p;

	do
	:: atomic { store?l,p -> head[l] = p; l = 0; p = 0;
		if
		:: due > 0 -> due--
		:: else
		fi;
		if
		:: fence > 0 -> fence--
		:: else
		fi }
	od
}

/* ---- the agent ---- */

/* inlane_attach(), find_place(): after a death from shared memory alone. */
inline attach(l)
{
	if
	:: named[l] && !known[l] && !buried[l] ->
		known[l] = true;
		seen[l] = head[l];
		/* what its queue holds is not sent from here again */
		do
		:: tail[l] < seen[l] &&
		    (spilled & BIT(want[AT(l, tail[l])])) != 0 -> tail[l]++
		:: else -> break
		od;
		sent[l] = tail[l];
		knock[l] = 0
	:: else
	fi
}

/* inlane_settle(), advance(): tail follows the first that is not done. */
inline settle(l)
{
	do
	:: tail[l] < sent[l] && span[AT(l, tail[l])] == DONE ->
		span[AT(l, tail[l])] = FREE;
		tail[l]++
	:: else -> break
	od
}

/* inlane_look() */
inline look(l)
{
	if
	:: known[l] && !gone[l] && head[l] != seen[l] ->
		seen[l] = head[l]; more = true
	:: else
	fi
}

/* span_send() or span_spill(): from where it lies, when it goes. */
inline go(l, pos)
{
	if
	:: !down && nfull(wire) ->
		wire!l,pos,data[PLACE(l, pos)];
		span[AT(l, pos)] = LIVE;
#ifdef BUG_FREE_ON_SEND
		if
		:: tail[l] == pos -> tail[l]++; span[AT(l, pos)] = FREE
		:: else
		fi
#endif
	:: span[AT(l, pos)] = SPILL;
		staged = staged | BIT(data[PLACE(l, pos)])
	fi
}

/* inlane_move(): what waits again goes first, then what is new. */
inline move(l)
{
	if
	:: known[l] && !gone[l] ->
		x = tail[l];
		do
		:: x < sent[l] && span[AT(l, x)] != WAIT -> x++
		:: else -> break
		od;
		if
		:: x == sent[l] && sent[l] < seen[l] ->
			span[AT(l, x)] = WAIT;
			sent[l]++
		:: else
		fi;
		if
		:: x < sent[l] -> go(l, x)
		:: else
		fi;
		x = 0
	:: else
	fi
}

/* The 1 s of LEAVE_TIME are over. */
#ifdef BUG_NO_LEAVE_TIME
#define LEFT	true
#else
#define LEFT	(!calling && len(store) == 0)
#endif

/* burial_look(), burial_pump(), end_lane() */
inline bury(l)
{
	if
	:: known[l] && !gone[l] && (!locked[l] || (leaving[l] && LEFT)) ->
		if
		:: locked[l] -> young = false	/* LEAVE_TIME is over */
		:: else
		fi;
#ifndef BUG_NO_LAST_LOOK
		look(l);
#endif
		if
		:: seen[l] == tail[l] && tail[l] == sent[l] ->
			gone[l] = true;
			named[l] = false;
			buried[l] = true;
			x = 0;
			do		/* drained */
			:: x < RECORDS && want[AT(l, x)] != 0 ->
				assert(SAFE(want[AT(l, x)]));
				x++
			:: else -> break
			od;
			x = 0
		:: else
		fi
	:: else
	fi
}

/* knocks_ns: less than TICK_BUSY since a knock_at changed */
#ifdef BUG_TICK_SHARED
#define RECENT	false
#else
#define RECENT	(fence > 0)
#endif

/* set_knocks(); dozing is a short timer and needs no byte */
inline set_knock(l)
{
	if
	:: known[l] && !gone[l] && knock[l] != seen[l] + 1 ->
		knock[l] = seen[l] + 1;
		knock_at[l] = knock[l];		/* then a full fence */
#ifndef BUG_NO_SHORT_TICK
		more = true;
#endif
		fence = len(store)
	:: else
	fi
}

inline forget_all()
{
	x = 0;
	do
	:: x < LANES * RECORDS -> span[x] = FREE; x++
	:: else -> break
	od;
	x = 0;
	do
	:: x < LANES -> known[x] = false; leaving[x] = false;
		gone[x] = buried[x]; seen[x] = 0; sent[x] = 0; knock[x] = 0; x++
	:: else -> break
	od;
	x = 0; more = false; recent = false; sleeps = false; soon = false; due = 0; fence = 0; staged = 0
}

/* close_done(): every chunk that was out waits again */
inline lost()
{
	x = 0;
	do
	:: x < LANES * RECORDS ->
		if
		:: span[x] == LIVE -> span[x] = WAIT
		:: else
		fi;
		x++
	:: else -> break
	od;
	x = 0; down = false
}

/* For the LTL claim safe: a tick is no reason to leave all else for ever. */
#ifdef FAIR
#define QUIET	(!fifo && !watch && len(answer) == 0 && !down && staged == 0)
#else
#define QUIET	true
#endif

active proctype agent()
{
	byte l, pos;

start:	{
	atomic { attach(0); attach(1) };	/* drain_start() */
	do
	:: true ->
		/* run(): the pump; the loop's clock stands during a turn */
		atomic { recent = RECENT;
		look(0); look(1);
		move(0); move(1) };
		atomic {
		bury(0); bury(1);
		/* rest(): traffic in this turn means dozing */
		if
		:: more
		:: !more -> set_knock(0); set_knock(1)
		fi;
		/* arm_tick(): the earlier of two stays */
		if
		:: (more || recent) && !soon -> soon = true; due = len(store)
		:: else
		fi;
		sleeps = !soon; recent = false; more = false };
		if
		:: atomic { fifo -> fifo = false; sleeps = false }		/* the knock is read */
		/* TICK_BUSY after it was armed */
		:: atomic { soon && due == 0 && QUIET -> soon = false;
			sleeps = false }
		:: atomic { watch -> sleeps = false; watch = false; attach(0); attach(1) }
		:: atomic { answer?l,pos -> sleeps = false;		/* on_acked() */
			span[AT(l, pos)] = DONE; settle(l); l = 0; pos = 0 }
		:: atomic { down -> sleeps = false; lost() }
		:: atomic { staged != 0 -> sleeps = false;		/* on_durable() */
			spilled = spilled | staged; staged = 0; x = 0;
			do
			:: x < LANES * RECORDS ->
				if
				:: span[x] == SPILL -> span[x] = DONE
				:: else
				fi;
				x++
			:: else -> break
			od;
			x = 0; settle(0); settle(1) }
		/* TICK_DEEP */
		:: atomic { sleeps && QUIET -> sleeps = false }
		fi
	od
	} unless { agent_dies };
	atomic { agent_dies = false; forget_all(); l = 0; pos = 0;
	    goto start }
}

/* ---- the relay ---- */

inline flushed()
{
	assert((durable & flying) == 0);	/* twice */
	durable = durable | flying;
	flying = 0
}

active proctype relay()
{
	byte l, pos, n;

	do
	/* intake.c: cut against its set */
	:: atomic { flying == 0 && nfull(answer) && nempty(wire) ->
		wire?l,pos,n;
		assert(n == want[AT(l, pos)]);		/* intact */
		if
		:: (taken & BIT(n)) == 0 ->
			taken = taken | BIT(n); flying = BIT(n);
#ifdef BUG_ACK_EARLY
			answer!l,pos
#else
			asks = true; asks_l = l; asks_p = pos
#endif
		:: else -> answer!l,pos		/* its first copy is durable */
		fi;
		l = 0; pos = 0; n = 0 }
	/* group_durable(), answers_fill() */
	:: atomic { flying != 0 && nfull(answer) ->
		flushed();
		if
		:: asks -> answer!asks_l,asks_p
		:: else
		fi;
		asks = false; asks_l = 0; asks_p = 0 }
	od
}

active proctype chaos()
{
	do
	:: atomic { faults > 0 && !dead -> faults--; dead = true }
	:: atomic { faults > 0 && !agent_dies -> faults--;
		agent_dies = true; cut(); down = false }
	:: atomic { faults > 0 && !down -> faults--; cut() }
	:: atomic { faults > 0 -> faults--;		/* the relay dies */
		if
		:: flushed()		/* it was on disk, unsaid */
		:: taken = taken & ~flying; flying = 0
		fi;
		cut() }
	:: atomic { faults > 0 && known[0] && !gone[0] && !leaving[0] ->
		faults--; leaving[0] = true; retired[0] = true }
	:: break
	od
}

#define IDLE	(!calling && len(store) == 0 && !fifo && !watch)
#define UNSEEN(l)	(known[l] && !gone[l] && head[l] != seen[l])

ltl awake { [] !(sleeps && IDLE && (UNSEEN(0) || UNSEEN(1))) }
ltl safe { <> [] ((published & ~(durable | spilled)) == 0) }
