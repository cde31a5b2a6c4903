/* SPDX-License-Identifier: ISC */
/* intake.c - one message into the queue: cut, walk, put; see conn.h */

#include <errno.h>
#include <netinet/in.h>
#include <xxhash.h>

#include "base/must.h"
#include "base/planted.h"
#include "forward/walk.h"
#include "hop/conn.h"
#include "queue/streams.h"
#include "banned.h"

/* ---- what the message says of itself ---- */

static void
peer_bytes(const struct loop_addr *peer, uint8_t ip[16])
{
	const struct sockaddr_in6 *v6;
	const struct sockaddr_in *v4;

	memset(ip, 0, 16);
	if (peer->sa.ss_family == AF_INET) {
		v4 = (const struct sockaddr_in *)&peer->sa;
		memcpy(ip, &v4->sin_addr, sizeof(v4->sin_addr));
	} else if (peer->sa.ss_family == AF_INET6) {
		v6 = (const struct sockaddr_in6 *)&peer->sa;
		memcpy(ip, &v6->sin6_addr, sizeof(v6->sin6_addr));
	}
}

/*
 * A sender that gives no stream is recognised by what it repeats: Fluent
 * Bit's chunk id is made of the content, so address, tag and content belong
 * to the name as well.
 */
static void
foreign_stream(struct conn *c, uint8_t ret_stream[STREAM_ID_LEN])
{
	const struct intake *in = &c->in;
	const struct message *m = &in->message;
	uint8_t name[56];
	XXH128_canonical_t canon;

	peer_bytes(&c->peer, name);
	le64_put(name + 16, XXH3_64bits(m->tag.p, m->tag.n));
	le64_put(name + 24, XXH3_64bits(m->chunk.p, m->chunk.n));
	le64_put(name + 32, in->body.n);
	XXH128_canonicalFromHash(&canon,
	    XXH3_128bits(in->body.p, in->body.n));
	memcpy(name + 40, canon.digest, 16);
	XXH128_canonicalFromHash(&canon, XXH3_128bits(name, sizeof(name)));
	memcpy(ret_stream, canon.digest, STREAM_ID_LEN);
}

/* A foreign record's tag is all we know of where it comes from. */
static struct bytes
tag_identity(struct intake *in)
{
	struct mpw w = { in->identity, in->identity + sizeof(in->identity),
	    false };

	mpw_map(&w, 1);
	mpw_str(&w, BYTES("tag"));
	mpw_str(&w, in->message.tag);
	must(!w.full);
	return bytes_of(in->identity, (size_t)(w.p - in->identity));
}

static void
say_broken(struct intake *in, const char *why)
{
	in->kind = BODY_BROKEN;
	in->why = why;
}

static int
read_emplog(struct conn *c, struct wire *w)
{
	struct intake *in = &c->in;
	int r;

	*w = (struct wire){ .good = WIRE_ALL };
	if (in->message.emplog.n == 0)
		return 0;
	r = wire_read(in->message.emplog, w);
	if (r < 0)
		return r;
	if (w->bad_identity)
		ctr_add(conn_ctr(c), CTR_recv_bad_identity, 1);
	in->end = w->end;
	return 0;
}

static int
describe(struct conn *c)
{
	struct intake *in = &c->in;
	struct chunk *k = &in->chunk;
	struct wire w;
	int r;

	r = read_emplog(c, &w);
	if (r < 0)
		return r;
	k->taken_ns = w.taken_ns > 0 ? w.taken_ns : loop_wall(c->r->env->loop);
	k->encoding = w.encoding;
	k->signal = in->message.signal;
	k->identity = in->message.emplog.n > 0 ? w.identity : tag_identity(in);
	k->flags = w.backlog ? CHUNK_BACKLOG : 0;
	memcpy(k->stream, w.stream, STREAM_ID_LEN);
	k->from = w.from;
	in->good = w.good;
	if (w.broken)
		say_broken(in, "told");
	else if (k->signal > SIGNAL_TRACES)
		say_broken(in, "signal");
	else if (k->signal != SIGNAL_LOGS || k->encoding != ENC_FORWARD)
		in->kind = BODY_OPAQUE;
	if (k->signal > SIGNAL_TRACES)
		k->signal = SIGNAL_LOGS;
	return 0;
}

/*
 * Both our id and the range came; had either changed on the way, the range
 * would be marked as taken and its own bytes be passed over.
 */
static bool
id_is_of_range(const struct message *m, const struct chunk *k)
{
	uint8_t id[WIRE_ID_LEN];

	if (m->chunk.n != 1 + sizeof(id))
		return true;		/* a name of the sender's own */
	wire_id(k, id);
	return memcmp(m->chunk.p + 1, id, sizeof(id)) == 0;
}

/* When the body is in plain: where it lies in its stream. */
static int
place(struct conn *c)
{
	struct intake *in = &c->in;
	struct chunk *k = &in->chunk;

	if (stream_is_none(k->stream)) {
		k->from = 0;
		if (in->message.chunk.n > 0) {
			foreign_stream(c, k->stream);
			k->flags |= CHUNK_FOREIGN;
		}
	}
	/* the queue keeps UINT64_MAX for "none" */
	if (k->from >= UINT64_MAX - in->body.n)
		return -EBADMSG;
	k->to = k->from + in->body.n;
	in->at = k->from;
	if ((k->flags & CHUNK_FOREIGN) == 0 && !stream_is_none(k->stream) &&
	    !id_is_of_range(&in->message, k))
		return -EBADMSG;
	return 0;
}

int
intake_begin(struct conn *c, const struct message *m)
{
	struct intake *in = &c->in;
	int r;

	must(!in->active);
	in->message = *m;
	in->chunk = (struct chunk){ 0 };
	in->body = m->body;
	in->own = NULL;
	in->own_bytes = 0;
	in->kind = BODY_RECORDS;
	in->unpacked = m->mode != MESSAGE_ONE && m->packing == PACKED_PLAIN;
	in->duplicate = in->quarantined = in->end = in->no_file = false;
	in->why = NULL;
	r = describe(c);
	if (r == 0 && in->unpacked)
		r = place(c);
	if (r < 0)
		return r;
	in->answer = answers_add(c, m->chunk, m->emplog.n > 0);
	if (in->answer == NULL)
		return -ENOMEM;
	in->active = true;
	return 0;
}

/* ---- unpacking ---- */

static int
own_room(struct conn *c, size_t n)
{
	struct intake *in = &c->in;
	int r;

	receiver_memory_back(c->r, in->own, in->own_bytes);
	in->own = NULL;
	in->own_bytes = 0;
	r = receiver_memory(c->r, c, n, &in->own);
	if (r == 0)
		in->own_bytes = n;
	return r;
}

static int
pack_entry(struct conn *c)
{
	struct intake *in = &c->in;
	struct mpw w;
	int r;

	r = own_room(c, message_entry_bytes(&in->message));
	if (r < 0)
		return r;
	w = (struct mpw){ in->own, in->own + in->own_bytes, false };
	message_entry(&in->message, in->chunk.taken_ns, &w);
	must(!w.full);
	in->body = bytes_of(in->own, (size_t)(w.p - in->own));
	return 0;
}

static int
inflate_body(struct conn *c)
{
	struct intake *in = &c->in;
	size_t max = c->r->conf.message_max, n, len;
	int r;

	n = inflate_hint(in->message.packing, in->message.body);
	if (in->own != NULL)
		n = 2 * in->own_bytes;	/* the last try was too small */
	if (n > max)
		n = max;
	r = own_room(c, n);
	if (r < 0)
		return r;
	r = inflate_bytes(&c->r->inflate, in->message.packing,
	    in->message.body, in->own, n, &len);
	if (r == 0)
		in->body = bytes_of(in->own, len);
	else if (r == -ENOBUFS && n < max)
		return -EINTR;		/* once more */
	else if (r == -ENOBUFS)
		say_broken(in, "too-large");
	else if (r == -EBADMSG)
		say_broken(in, "compressed");
	else
		return r;
	return 0;
}

/* What cannot be unpacked is kept as it came. */
static int
unpack(struct conn *c)
{
	struct intake *in = &c->in;
	int r;

	do {
		r = in->message.mode == MESSAGE_ONE ? pack_entry(c) :
		    inflate_body(c);
	} while (r == -EINTR);
	if (r == 0)
		r = place(c);
	if (r == 0)
		in->unpacked = true;
	return r;
}

/* ---- into the queue ---- */

static struct bytes
part(const struct intake *in, uint64_t from, uint64_t to)
{
	return bytes_of(in->body.p + (from - in->chunk.from),
	    (size_t)(to - from));
}

/* Puts [at, at + n) as one frame; at moves on. */
static int
put_part(struct intake *in, size_t n, uint32_t records, uint8_t flags)
{
	struct chunk k = in->chunk;
	int r;

	k.body[0] = part(in, in->at, in->at + n);
	k.from = stream_is_none(k.stream) ? 0 : in->at;
	k.to = k.from + n;
	k.records = records;
	k.flags |= flags;
	r = answer_put(in->answer, &k);
	if (r < 0)
		return r;
	in->at += n;
	in->answer->records += records;
	return 0;
}

static void
count_quarantine(struct conn *c, size_t n)
{
	if (!c->in.quarantined)
		ctr_add(conn_ctr(c), CTR_recv_quarantined_chunks, 1);
	c->in.quarantined = true;
	ctr_add(conn_ctr(c), CTR_recv_quarantined_bytes, n);
}

static void
kept(struct keep_job *job, int res)
{
	struct conn *c = job->arg;
	struct intake *in = &c->in;
	struct streams *s = queue_streams(c->r->conf.queue);

	in->keeping = false;
	if (res < 0) {
		in->no_file = true;
	} else {
		/*
		 * Taken, although no frame has it.  A table that is full
		 * only means that a repetition is kept twice.
		 */
		if (!stream_is_none(in->chunk.stream))
			(void)streams_add(s, in->chunk.stream, in->at,
			    in->at + job->len,
			    (in->chunk.flags & CHUNK_FOREIGN) != 0,
			    loop_wall(c->r->env->loop));
		in->at += job->len;
		count_quarantine(c, job->len);
	}
	conn_go(c);
}

/* [at, to) is no run of records: a file of its own, or a broken frame. */
static int
quarantine(struct conn *c, uint64_t to, const char *why)
{
	struct intake *in = &c->in;
	size_t n = (size_t)(to - in->at);
	int r;

	if (c->r->conf.quarantine_dir != NULL && !in->no_file) {
		in->job.done = kept;
		in->job.arg = c;
		r = keep_put(&c->r->keep, &in->job, in->chunk.stream, in->at,
		    part(in, in->at, to), why);
		if (r == 0) {
			in->keeping = true;
			return -EINPROGRESS;
		}
		in->no_file = true;
	}
	if (n > CHUNK_BYTES_MAX)
		n = CHUNK_BYTES_MAX;
	r = put_part(in, n, 0, CHUNK_BROKEN);
	if (r == 0)
		count_quarantine(c, n);
	return r;
}

static const char *
walk_words(int error)
{
	switch (error) {
	case -EAGAIN: return "cut-off";
	case -E2BIG: return "too-deep";
	case -EMSGSIZE: return "too-large";
	default: return "no-records";
	}
}

/* Records from at on, up to a chunk's size or the end of what is new. */
static int
take_records(struct conn *c, uint64_t to)
{
	struct intake *in = &c->in;
	uint64_t good = to;
	struct walk w;
	int r;

	if (good - in->chunk.from > in->good)
		good = in->chunk.from + in->good;
	if (in->at >= good)
		return quarantine(c, to, "vanished");
	walk_until(part(in, in->at, good), RECORD_BYTES_MAX, CHUNK_BYTES_MAX,
	    &w);
	if (w.good_bytes == 0)
		return quarantine(c, to, walk_words(w.error));
	r = put_part(in, w.good_bytes, w.records, 0);
	if (r < 0)
		return r;
	ctr_add(conn_ctr(c), CTR_recv_records, w.records);
	ctr_add(conn_ctr(c), CTR_recv_group_marks, w.group_marks);
	return 0;
}

/* One thing that cannot be cut: all of it or nothing is new. */
static int
take_opaque(struct conn *c, uint64_t to)
{
	struct intake *in = &c->in;
	int r;

	if (in->at != in->chunk.from || to != in->chunk.to)
		return quarantine(c, to, "overlap");
	if (in->good < in->body.n)
		return quarantine(c, to, "vanished");
	if (in->body.n > CHUNK_BYTES_MAX + RECORD_BYTES_MAX)
		return quarantine(c, to, "too-large");
	r = put_part(in, in->body.n, 1, 0);
	if (r == 0)
		ctr_add(conn_ctr(c), CTR_recv_records, 1);
	return r;
}

/* [at, to) was taken before: counted and passed over. */
static void
pass_over(struct conn *c, uint64_t to)
{
	struct intake *in = &c->in;
	struct walk w = { 0 };

	if (in->kind == BODY_RECORDS)
		walk_entries(part(in, in->at, to), RECORD_BYTES_MAX, &w);
	else
		w.records = in->kind == BODY_OPAQUE;
	ctr_add(conn_ctr(c), CTR_recv_dup_records, w.records);
	ctr_add(conn_ctr(c), CTR_recv_dup_bytes, to - in->at);
	in->answer->records += w.records;
	in->duplicate = true;
	in->at = to;
}

/* The next part of the body that is new; false: there is none. */
static bool
next_new(struct conn *c, struct range *ret_new)
{
	struct intake *in = &c->in;
	struct range rg = { in->at, in->chunk.to };
	int r = 0;

	if (!stream_is_none(in->chunk.stream))
		r = streams_cut(queue_streams(c->r->conf.queue),
		    in->chunk.stream, in->at, in->chunk.to, &rg);
	if (r < 0) {
		pass_over(c, in->chunk.to);
		return false;
	}
	if (rg.from > in->at)
		pass_over(c, rg.from);
	*ret_new = rg;
	return true;
}

static int
take_body(struct conn *c)
{
	struct intake *in = &c->in;
	struct range rg;
	int r = 0;

	while (r == 0 && in->at < in->chunk.to && next_new(c, &rg)) {
		switch (in->kind) {
		case BODY_RECORDS:
			r = take_records(c, rg.to);
			break;
		case BODY_OPAQUE:
			r = take_opaque(c, rg.to);
			break;
		default:
			r = quarantine(c, rg.to, in->why);
			break;
		}
	}
	return r;
}

int
intake_run(struct conn *c)
{
	struct intake *in = &c->in;
	bool barrier;
	int r = 0;

	must(in->active);
	if (in->keeping)
		return -EINPROGRESS;
	if (!in->unpacked)
		r = unpack(c);
	if (r == 0)
		r = take_body(c);
	if (r < 0)
		return r;
	/*
	 * The first copy of a part may still be on its way to the disk: its
	 * second is durable when it is.  No put at all: the same.
	 */
	barrier = !PLANTED(ack_duplicate_early) && (in->duplicate ||
	    (in->answer->id_len > 0 && in->answer->pending == 1 &&
	    !PLANTED(ack_before_fsync)));
	if (barrier)
		r = answer_put(in->answer, NULL);
	if (r < 0)
		return r;
	if (in->end && !stream_is_none(in->chunk.stream))
		streams_end(queue_streams(c->r->conf.queue), in->chunk.stream,
		    loop_wall(c->r->env->loop));
	ctr_add(conn_ctr(c), CTR_recv_messages, 1);
	ctr_add(conn_ctr(c), CTR_recv_bytes, in->message.bytes);
	return 0;
}

/*
 * Given up, and its sender will not send it again.  One that is still packed
 * is counted as one record.
 */
static void
count_lost(struct conn *c)
{
	struct intake *in = &c->in;
	struct walk w = { .records = 1 };

	if (in->unpacked && in->kind != BODY_OPAQUE)
		walk_entries(part(in, in->at, in->chunk.to), RECORD_BYTES_MAX,
		    &w);
	ctr_add(conn_ctr(c), CTR_recv_lost_records, w.records);
}

void
intake_end(struct conn *c, int res)
{
	struct intake *in = &c->in;

	if (!in->active)
		return;
	must(!in->keeping);
	if (res < 0 && !in->answer->asks)
		count_lost(c);
	receiver_memory_back(c->r, in->own, in->own_bytes);
	in->own = NULL;
	in->own_bytes = 0;
	in->active = false;
	if (res < 0)
		in->answer->id_len = 0;	/* given up: no answer, no error */
	answer_taken(in->answer, 0);
	in->answer = NULL;
}
