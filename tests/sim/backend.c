/* SPDX-License-Identifier: ISC */
/*
 * backend.c - an OTLP backend with moods: every row of DESIGN 10
 *
 * Reads what it accepts with a decoder of its own, and tells the oracle.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "town.h"

/* ---- protobuf, as little of it as is needed ---- */

struct field { uint32_t number; uint64_t value; struct bytes b; };

static bool
varint(struct bytes *b, uint64_t *ret)
{
	unsigned shift = 0;
	uint8_t c = 0x80;

	*ret = 0;
	while ((c & 0x80) != 0 && b->n > 0 && shift < 64) {
		c = *b->p;
		*b = bytes_of(b->p + 1, b->n - 1);
		*ret |= (uint64_t)(c & 0x7f) << shift;
		shift += 7;
	}
	return (c & 0x80) == 0;
}

static bool
next_field(struct bytes *b, struct field *f)
{
	uint64_t tag, n;

	if (b->n == 0 || !varint(b, &tag))
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->b = bytes_of(NULL, 0);
	f->value = 0;
	switch (tag & 7) {
	case 0: return varint(b, &f->value);
	case 1: n = 8; break;
	case 5: n = 4; break;
	case 2:
		if (!varint(b, &n))
			return false;
		break;
	default: return false;
	}
	if (n > b->n)
		return false;
	f->b = bytes_of(b->p, (size_t)n);
	*b = bytes_of(b->p + n, b->n - (size_t)n);
	return true;
}

/* ---- what a request holds ---- */

struct seen {
	bool		 has_p, has_n;
	uint64_t	 p, n, refused;
	struct bytes	 text, uid;
};

static void
attribute(struct bytes kv, struct seen *s)
{
	struct bytes key = { NULL, 0 }, value = { NULL, 0 };
	struct field f, v = { 0 };

	while (next_field(&kv, &f)) {
		if (f.number == 1)
			key = f.b;
		else if (f.number == 2)
			value = f.b;
	}
	(void)next_field(&value, &v);
	if (bytes_eq(key, BYTES("p"))) {
		s->has_p = true;
		s->p = v.value;
	} else if (bytes_eq(key, BYTES("n"))) {
		s->has_n = true;
		s->n = v.value;
	} else if (bytes_eq(key, BYTES("x"))) {
		s->text = v.b;
	} else if (bytes_eq(key, BYTES("refused"))) {
		s->refused = v.value;
	} else if (bytes_eq(key, BYTES("log.record.uid"))) {
		s->uid = v.b;
	}
}

static void
each_record(struct town *t, struct bytes body, void (*each)(struct town *t,
    const struct seen *s, void *arg), void *arg)
{
	struct bytes rl, sl, rec;
	struct field a, b, c, d;
	struct seen s;

	while (next_field(&body, &a))
		for (rl = a.b; next_field(&rl, &b);) {
			if (b.number != 2)
				continue;
			for (sl = b.b; next_field(&sl, &c);) {
				if (c.number != 2)
					continue;
				s = (struct seen){ 0 };
				for (rec = c.b; next_field(&rec, &d);)
					if (d.number == 6)
						attribute(d.b, &s);
				each(t, &s, arg);
			}
		}
}

static void
count_one(struct town *t, const struct seen *s, void *arg)
{
	++*(unsigned *)arg;
}

static bool
is_poison(const struct town *t, const struct seen *s)
{
	return t->poison && s->has_n && s->n % 1999 == 7;
}

static void
look_for_poison(struct town *t, const struct seen *s, void *arg)
{
	if (is_poison(t, s))
		*(bool *)arg = true;
}

static void
take_one(struct town *t, const struct seen *s, void *arg)
{
	if (s->has_p && s->has_n)
		oracle_arrive(t, (unsigned)s->p, s->n, s->text, *(bool *)arg);
	else
		oracle_own(t, s->uid, s->refused);
}

static void
take(struct town *t, const struct post *p, bool maybe_twice)
{
	each_record(t, p->body, take_one, &maybe_twice);
}

/* ---- answers ---- */

static void
say(struct post *p, int status, const char *type, const void *body, size_t n)
{
	p->status = status;
	snprintf(p->content_type, sizeof(p->content_type), "%s", type);
	p->answer_len = n < p->answer_cap ? n : p->answer_cap;
	if (p->answer_len > 0)
		memcpy(p->answer, body, p->answer_len);
}

static int
accept_it(struct town *t, struct post *p, enum event how)
{
	/* partial_success { rejected 1, message "no" } */
	static const uint8_t partial[] = { 0x0a, 6, 8, 1, 0x12, 2, 'n', 'o' };
	static const char json[] = "{\"partialSuccess\":{}}";

	t->fired[how]++;
	take(t, p, how == BACK_TOOK_SILENT);
	switch (how) {
	case BACK_JSON:
		say(p, 200, "application/json", json, sizeof(json) - 1);
		return 0;
	case BACK_PARTIAL:
		say(p, 200, "application/x-protobuf", partial,
		    sizeof(partial));
		return 0;
	case BACK_TOOK_SILENT:
		return -ETIMEDOUT;
	default:
		say(p, 200, "application/x-protobuf", "", 0);
		return 0;
	}
}

static const int status_of[EVENTS] = {
	[BACK_429] = 429, [BACK_AFTER] = 429, [BACK_408] = 408,
	[BACK_500] = 500, [BACK_503] = 503, [BACK_3XX] = 302,
	[BACK_HTML] = 200, [BACK_401] = 401, [BACK_403] = 403,
	[BACK_404] = 404, [BACK_407] = 407, [BACK_413] = 413,
	[BACK_400] = 400, [BACK_422] = 422, [BACK_POISON] = 400,
};

static int
refuse_it(struct town *t, struct post *p, enum event how)
{
	static const char html[] = "<html>sorry</html>";

	t->fired[how]++;
	if (how == BACK_SILENT)
		return -ETIMEDOUT;
	if (how == BACK_AFTER)
		p->retry_after_ms = (int64_t)sim_random(t->sim, 20000);
	say(p, status_of[how], how == BACK_HTML ? "text/html" : "text/plain",
	    html, sizeof(html) - 1);
	return 0;
}

/* For some minutes it is mostly like this. */
static void
new_mood(struct town *t)
{
	uint64_t now = sim_now(t->sim);
	enum event m = (enum event)(BACK_OK + sim_random(t->sim,
	    BACK_TOOK_SILENT - BACK_OK + 1));

	/* All refused as if each record were bad: seldom, it costs records. */
	if ((m == BACK_400 || m == BACK_422) && sim_random(t->sim, 3) > 0)
		m = BACK_503;
	if (m == BACK_POISON)
		m = BACK_OK;
	t->mood = m;
	t->mood_until_ns = now + sim_random(t->sim,
	    m == BACK_400 || m == BACK_422 ? 20 * S : 150 * S);
	if (sim_random(t->sim, 2) == 0)
		t->mood = BACK_OK;
}

int
backend_answer(void *arg, struct post *p)
{
	struct town *t = arg;
	unsigned records = 0;
	bool poison = false;
	enum event how;

	each_record(t, p->body, count_one, &records);
	if (records == 0)
		town_fail(t, "a request without records");
	each_record(t, p->body, look_for_poison, &poison);
	if (sim_now(t->sim) >= t->mood_until_ns)
		new_mood(t);
	if (sim_now(t->sim) < t->away_until_ns)
		return refuse_it(t, p, sim_random(t->sim, 2) == 0 ?
		    BACK_503 : BACK_SILENT);
	how = t->calm || sim_random(t->sim, 5) == 0 ? BACK_OK : t->mood;
	if (poison && (how <= BACK_PARTIAL || how == BACK_TOOK_SILENT))
		return refuse_it(t, p, BACK_POISON);
	if (how == BACK_413 && records <= 20)
		how = BACK_OK;
	return how <= BACK_PARTIAL || how == BACK_TOOK_SILENT ?
	    accept_it(t, p, how) : refuse_it(t, p, how);
}
