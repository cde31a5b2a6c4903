/* SPDX-License-Identifier: ISC */
/* hop_rig.c - a receiver with a real queue on a real loop; see hop_rig.h */

#include "hop_rig.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "forward/mp.h"
#include "forward/walk.h"
#include "loop/bridge.h"
#include "loop/serve.h"
#include "tests/io.h"

#ifdef RIG_REAL_SERVE
#define PORT_SERVE(r)	(r)->serve
#else
#define PORT_SERVE(r)	((struct serve *)(void *)(r))
/* Where a port hands HTTP to: here it is only looked at. */
int
serve_take(struct serve *s, int fd, const struct loop_addr *peer)
{
	struct rig *r = (struct rig *)(void *)s;

	r->http_fd = fd;
	return 0;
}

int
serve_give(struct serve *s, int fd, const struct loop_addr *peer)
{
	return serve_take(s, fd, peer);
}
#endif

static void
opened(void *arg, int res)
{
	struct rig *r = arg;

	ck_assert_int_eq(res, 0);
	r->opened = true;
}

static void
closed(void *arg)
{
	struct rig *r = arg;

	r->closed = true;
}

static void
notify(void *arg)
{
	struct rig *r = arg;

	if (r->receiver != NULL)
		receiver_resume(r->receiver);
}

void
rig_init(struct rig *r)
{
	char why[LOOP_WHY];

	*r = (struct rig){ .http_fd = -1 };
	ck_assert_int_eq(loop_new(&r->loop, io_asked(), why), 0);
	env_init(&r->env, r->loop, "relay");
	env_init(&r->out, r->loop, "agent");
	snprintf(r->dir, sizeof(r->dir), "/tmp/test_hop.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->bad, sizeof(r->bad), "%s/bad", r->dir);
	snprintf(r->addr, sizeof(r->addr), "127.0.0.1:0");
	r->random = rig_seed();
	r->qconf = (struct queue_conf){ .dir = r->dir,
	    .bytes_max = 256 << 20, .notify = notify, .notify_arg = r };
}

static bool
is_opened(struct rig *r, void *arg)
{
	return r->opened;
}

static bool
is_closed(struct rig *r, void *arg)
{
	return r->closed;
}

void
rig_start(struct rig *r)
{
	struct port_conf pconf = r->pconf;
	char *text;

	r->opened = false;
	ck_assert_int_eq(queue_new(&r->queue, &r->env, &r->qconf), 0);
	queue_open(r->queue, opened, r);
	rig_until(r, is_opened, NULL);
	r->rconf.queue = r->queue;
	ck_assert_int_eq(receiver_new(&r->receiver, &r->env, &r->rconf), 0);
	text = strdup(r->addr);
	pconf.listen = text;
	pconf.receiver = r->receiver;
	if (pconf.tls != NULL)
		ck_assert_int_eq(bridges_new(&r->bridges, &r->env, 0), 0);
	pconf.bridges = r->bridges;
	if (!r->forward_only)
		pconf.serve = PORT_SERVE(r);
	ck_assert_int_eq(port_open(&r->port, &r->env, &pconf), 0);
	loop_addr_text(port_bound(r->port), r->addr);
	free(text);
}

void
rig_stop(struct rig *r)
{
	if (r->port == NULL)
		return;
	r->closed = false;
	port_close(r->port, closed, r);
	rig_until(r, is_closed, NULL);
	port_free(&r->port);
	if (r->bridges != NULL) {
		r->closed = false;
		bridges_close(r->bridges, closed, r);
		rig_until(r, is_closed, NULL);
		bridges_free(&r->bridges);
	}
	r->closed = false;
	receiver_close(r->receiver, closed, r);
	rig_until(r, is_closed, NULL);
	receiver_free(&r->receiver);
	r->closed = false;
	queue_close(r->queue, closed, r);
	rig_until(r, is_closed, NULL);
	queue_free(&r->queue);
}

void
rig_restart(struct rig *r)
{
	rig_stop(r);
	rig_start(r);
}

static int
remove_one(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	return remove(path);
}

void
rig_fini(struct rig *r)
{
	if (r->http_fd >= 0)
		close(r->http_fd);
	rig_stop(r);
	ck_assert_uint_eq(loop_pending(r->loop), 0);
	env_fini(&r->env);
	env_fini(&r->out);
	loop_free(&r->loop);
	nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
rig_until(struct rig *r, bool (*cond)(struct rig *r, void *arg), void *arg)
{
	while (!cond(r, arg))
		loop_turn(r->loop, true);
}

uint64_t
rig_ctr(struct rig *r, enum ctr id)
{
	return ctr_get(&r->env.ctr, id);
}

void
rig_until_ctr(struct rig *r, enum ctr id, uint64_t n)
{
	while (rig_ctr(r, id) < n)
		loop_turn(r->loop, true);
}

/* ---- raw clients ---- */

int
rig_client(struct rig *r)
{
	char host[64], port[16];
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd;

	ck_assert_int_eq(loop_hostport(r->addr, host, sizeof(host), port,
	    sizeof(port)), 0);
	sa.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

void
rig_send(struct rig *r, int fd, struct bytes b)
{
	ssize_t n;

	while (b.n > 0) {
		n = send(fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			loop_turn(r->loop, true);
			continue;
		}
		b = bytes_of(b.p + n, b.n - (size_t)n);
	}
}

/* One byte, or -1 at the end. */
static int
next_byte(struct rig *r, int fd)
{
	uint8_t b;
	ssize_t n;

	while ((n = recv(fd, &b, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
		loop_turn(r->loop, true);
	return n == 1 ? b : -1;
}

void
rig_expect(struct rig *r, int fd, struct bytes want)
{
	size_t i;

	for (i = 0; i < want.n; i++)
		ck_assert_int_eq(next_byte(r, fd), want.p[i]);
}

void
rig_expect_end(struct rig *r, int fd)
{
	ck_assert_int_eq(next_byte(r, fd), -1);
}

void
rig_expect_nothing(int fd)
{
	uint8_t b;

	ck_assert_int_eq((int)recv(fd, &b, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

/* ---- the queue ---- */

static uint8_t taken[QUEUE_TAKE_MAX];

struct chunk
rig_take(struct rig *r)
{
	struct chunk c;
	uint64_t seq;
	int res;

	while ((res = queue_take(r->queue, taken, sizeof(taken), &c, &seq)) ==
	    -EAGAIN)
		loop_turn(r->loop, true);
	ck_assert_int_eq(res, 0);
	queue_commit(r->queue, seq);
	return c;
}

void
rig_expect_empty(struct rig *r)
{
	struct chunk c;
	uint64_t seq;

	ck_assert_uint_eq(queue_held_frames(r->queue), 0);
	ck_assert_int_eq(queue_take(r->queue, taken, sizeof(taken), &c, &seq),
	    -EAGAIN);
}

/* ---- known records ---- */

uint64_t
rig_seed(void)
{
	const char *s = getenv("RIG_SEED");
	struct timespec ts;

	if (s != NULL)
		return strtoull(s, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) +
	    (uint64_t)getpid();
}

uint64_t
rig_random(struct rig *r, uint64_t below)
{
	/* xorshift64* */
	r->random += r->random == 0;
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return (r->random * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

static void
put_record(struct mpw *w, uint64_t i, size_t pad)
{
	static uint8_t text[65536];

	memset(text, 'a' + (int)(i % 26), pad);
	mpw_array(w, 2);
	mpw_event_time(w, UINT64_C(1700000000000000000) + i);
	mpw_map(w, 2);
	mpw_str(w, BYTES("n"));
	mpw_uint(w, i);
	mpw_str(w, BYTES("pad"));
	mpw_str(w, bytes_of(text, pad));
}

void
lane_init(struct lane *l, struct rig *r, size_t records, size_t pad_max)
{
	size_t cap = records * (pad_max + 64), i;
	struct mpw w;

	ck_assert_uint_le(pad_max, 65536);
	for (i = 0; i < STREAM_ID_LEN; i++)
		l->stream[i] = (uint8_t)(1 + rig_random(r, 255));
	l->mem = malloc(cap);
	l->end = malloc(records * sizeof(l->end[0]));
	l->records = records;
	w = (struct mpw){ l->mem, l->mem + cap, false };
	for (i = 0; i < records; i++) {
		put_record(&w, i, rig_random(r, pad_max));
		l->end[i] = (size_t)(w.p - l->mem);
	}
	ck_assert(!w.full);
	l->len = (size_t)(w.p - l->mem);
}

void
lane_fini(struct lane *l)
{
	free(l->mem);
	free(l->end);
}

struct chunk
lane_chunk(const struct lane *l, size_t first, size_t n)
{
	struct chunk c = { 0 };
	size_t half;

	memcpy(c.stream, l->stream, STREAM_ID_LEN);
	c.from = first == 0 ? 0 : l->end[first - 1];
	c.to = l->end[first + n - 1];
	/* in two pieces, as where a lane wraps */
	half = (c.to - c.from) / 3;
	c.body[0] = bytes_of(l->mem + c.from, half);
	c.body[1] = bytes_of(l->mem + c.from + half,
	    (size_t)(c.to - c.from) - half);
	c.taken_ns = 1700000000;
	c.identity = BYTES("\x81\xa9" "worker_id\xa2" "w1");
	return c;
}

static uint64_t
number_of(struct bytes record)
{
	struct mp v;
	uint64_t n;

	ck_assert_int_eq(mp_find(mp_of(record), "n", &v), 0);
	ck_assert_int_eq(mp_uint(&v, &n), 0);
	return n;
}

void
rig_expect_lane(struct rig *r, const struct lane *l)
{
	uint64_t next = 0, at = 0;
	struct entry e;
	struct chunk c;
	struct mp m;

	while (next < l->records) {
		c = rig_take(r);
		ck_assert_mem_eq(c.stream, l->stream, STREAM_ID_LEN);
		ck_assert_uint_eq(c.from, at);
		ck_assert_uint_eq(c.to - c.from, c.body[0].n);
		ck_assert_mem_eq(c.body[0].p, l->mem + at, c.body[0].n);
		ck_assert(bytes_eq(c.identity,
		    BYTES("\x81\xa9" "worker_id\xa2" "w1")));
		m = mp_of(c.body[0]);
		while (walk_entry(&m, &e) == 0)
			ck_assert_uint_eq(number_of(e.record), next++);
		at = c.to;
	}
	ck_assert_uint_eq(at, l->len);
	rig_expect_empty(r);
}
