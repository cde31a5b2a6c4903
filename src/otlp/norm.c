/* SPDX-License-Identifier: ISC */
/* norm.c - each field of a record to its place; the contract is in norm.h */

#include "otlp/sift.h"

#include <errno.h>

#include "base/must.h"
#include "forward/mp.h"

#include "banned.h"

struct bytes
norm_scratch(struct norm *n, const void *p, size_t len)
{
	uint8_t *at = n->scratch + n->scratch_n;

	if (len > sizeof(n->scratch) - n->scratch_n)
		return (struct bytes){ NULL, 0 };
	memcpy(at, p, len);
	n->scratch_n += (unsigned)len;
	return bytes_of(at, len);
}

struct bytes
norm_digits(struct norm *n, uint64_t u, bool minus)
{
	char text[21], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u > 0);
	if (minus)
		*--p = '-';
	return norm_scratch(n, p, (size_t)(text + sizeof(text) - p));
}

static int
take_value(struct mp *m, struct bytes *ret)
{
	size_t n = mp_small(m->p, m->end);

	if (n == 0)
		return mp_value(m, ret);
	*ret = bytes_of(m->p, n);
	m->p += n;
	return 0;
}

/* 1: no string, passed over: no name for an attribute. */
static int
take_key(struct mp *m, struct bytes *ret)
{
	size_t n;

	if (m->p < m->end && (*m->p & 0xe0) == 0xa0) {
		n = *m->p & 0x1f;
		if (n >= (size_t)(m->end - m->p))
			return -EBADMSG;
		*ret = bytes_of(m->p + 1, n);
		m->p += 1 + n;
		return 0;
	}
	if (mp_str(m, ret) == 0)
		return 0;
	return mp_skip(m) < 0 ? -EBADMSG : 1;
}

static void
unknown(struct sift *s, struct bytes key, struct bytes value, uint32_t hash)
{
	struct norm *n = s->n;
	struct norm_value *old;
	unsigned i;

	for (i = 0; i < n->attr_n; i++) {
		if (s->hash[i] != hash || !bytes_eq(n->attr[i].key, key))
			continue;
		old = &n->attr[i].value;
		if (bytes_eq(old->b, value))
			n->same++;
		else
			n->lost++;
		old->b = value;
		return;
	}
	if (n->attr_n == NORM_ATTRS_MAX) {
		n->lost++;
		return;
	}
	s->hash[n->attr_n] = hash;
	n->attr[n->attr_n].key = key;
	n->attr[n->attr_n].value.kind = NV_MSGPACK;
	n->attr[n->attr_n].value.b = value;
	n->attr_n++;
}

void
sift_unknown(struct sift *s, struct bytes key, struct bytes value)
{
	unknown(s, key, value, field_hash(key));
}

/*
 * A field under two of its names: nothing is said twice, and of two
 * different values the nearer spelling has the field, the other stays under
 * its own name.
 */
static void
again(struct sift *s, struct known *k, const struct known *new, uint32_t hash)
{
	if (bytes_eq(k->value, new->value)) {
		s->n->same++;
		if (new->alias < k->alias)
			*k = *new;
	} else if (bytes_eq(k->key, new->key)) {
		s->n->lost++;
		*k = *new;
	} else if (new->alias < k->alias) {
		sift_unknown(s, k->key, k->value);
		*k = *new;
	} else {
		unknown(s, new->key, new->value, hash);
	}
}

/*
 * A string given where an object belongs arrives as {"0": "H", "1": "i"}.
 * Its characters are put together again while they come in order.
 */
static bool
joined(struct sift *s, struct bytes key, struct bytes value)
{
	struct norm *n = s->n;
	unsigned at = 0;
	struct bytes c;
	size_t i;

	if (key.n == 0 || key.n > 4 || (key.n > 1 && key.p[0] == '0'))
		return false;
	for (i = 0; i < key.n; i++) {
		if (key.p[i] < '0' || key.p[i] > '9')
			return false;
		at = at * 10 + (key.p[i] - '0');
	}
	if (at != s->chars || !sift_text(value, &c) || c.n == 0 || c.n > 4 ||
	    c.n > NORM_JOINED_MAX - n->joined_bytes)
		return false;
	if (c.n > 1 && c.p[0] < 0xc0)
		return false;		/* not one character */
	memcpy(n->joined_text + n->joined_bytes, c.p, c.n);
	n->joined_bytes += (unsigned)c.n;
	s->chars++;
	return true;
}

static void
sort_field(struct sift *s, struct bytes key, struct bytes value)
{
	bool otel = s->from->conf->names == NAMES_OTEL;
	uint32_t hash = field_hash(key);
	struct known new = { key, value, 0 };
	enum field_id id;

	id = field_find(key, hash, &new.alias);
	if (id == F_NONE && joined(s, key, value))
		return;
	if (id != F_NONE && field_info[id].place == P_ATTR) {
		if (new.alias == FIELD_ALIAS_OTEL && !otel)
			id = F_NONE;	/* stays what it is */
		else if (otel)		/* there its name comes first */
			new.alias = (uint8_t)(new.alias + 1);
	}
	if (id == F_NONE) {
		unknown(s, key, value, hash);
	} else if (sift_has(s, id)) {
		again(s, &s->known[id], &new, hash);
	} else {
		s->known[id] = new;
		sift_set(s, id);
	}
}

/* What is no field of the record but belongs to it. */
static void
add_ours(struct sift *s)
{
	static const uint8_t *const empty = (const uint8_t *)"";
	struct norm *n = s->n;
	struct known *uid = &s->known[F_log_record_uid];

	if (s->chars > 0) {
		sift_unknown(s, BYTES("emplog.joined"), bytes_of(empty, 0));
		n->added++;
		n->joined = s->chars;
	}
	if (s->from->entry->metadata.n > 1) {
		sift_unknown(s, BYTES("fluent.metadata"),
		    s->from->entry->metadata);
		n->added++;
	}
	if (s->from->uid.n == 0)
		return;
	if (sift_has(s, F_log_record_uid))
		sift_unknown(s, BYTES("log.record.uid.original"), uid->value);
	sift_set(s, F_log_record_uid);
	n->added++;
}

static void
put_attr(struct sift *s, struct norm_attr *a, enum field_id id, unsigned rank)
{
	const struct field_info *f = &field_info[id];

	a->key = s->from->conf->names == NAMES_OTEL && f->otel.n > 0 ?
	    f->otel : f->name;
	a->rank = (uint16_t)rank;
	a->value.kind = NV_STR;
	if (id == F_log_record_uid && s->from->uid.n > 0) {
		a->value.b = s->from->uid;
	} else if (!sift_text(s->known[id].value, &a->value.b)) {
		a->value.kind = NV_MSGPACK;
		a->value.b = s->known[id].value;
	}
}

static enum field_schema
schema_of(const struct sift *s)
{
	const unsigned bit = 1u << F_service_type;

	if (s->n->own & bit)
		return field_schema_of(s->n->own_value[F_service_type]);
	if (s->from->lane->set & bit)
		return field_schema_of(s->from->lane->value[F_service_type]);
	return S_REST;
}

/*
 * The known ones go in front of the unknown: those every record has, those
 * of its schema, the others, each in the table's order.  Bits come in that
 * order, so that only the others have to wait.
 */
static void
rank_known(struct sift *s, struct norm_attr *a)
{
	enum field_schema schema = schema_of(s);
	enum field_id rest[F_COUNT], id;
	unsigned w, i, rest_n = 0;
	uint64_t bits;

	for (w = 0; w < 2; w++) {
		for (bits = s->set[w]; bits != 0; bits &= bits - 1) {
			id = (enum field_id)(64 * w +
			    (unsigned)__builtin_ctzll(bits));
			if (id <= F_original_time)
				put_attr(s, a++, id, id);
			else if (field_info[id].schema == schema)
				put_attr(s, a++, id, F_COUNT + id);
			else
				rest[rest_n++] = id;
		}
	}
	for (i = 0; i < rest_n; i++)
		put_attr(s, a++, rest[i], 2 * F_COUNT + rest[i]);
}

static void
rank(struct sift *s)
{
	struct norm *n = s->n;
	struct norm_value *v;
	unsigned known_n, over, i;

	for (i = 0; i < n->attr_n; i++) {
		v = &n->attr[i].value;
		n->attr[i].rank = UINT16_MAX;
		v->kind = NV_STR;
		if (v->b.n == 0)
			v->b = bytes_of(n->joined_text, n->joined_bytes);
		else if (!sift_text(v->b, &v->b))
			v->kind = NV_MSGPACK;
	}
	known_n = (unsigned)__builtin_popcountll(s->set[0]) +
	    (unsigned)__builtin_popcountll(s->set[1]);
	if (n->attr_n > NORM_ATTRS_MAX - known_n) {
		over = n->attr_n - (NORM_ATTRS_MAX - known_n);
		n->lost += over;
		n->attr_n -= over;
	}
	memmove(n->attr + known_n, n->attr, n->attr_n * sizeof(n->attr[0]));
	rank_known(s, n->attr);
	n->attr_n += known_n;
}

static int
scan(struct sift *s)
{
	struct mp m = mp_of(s->from->entry->record);
	struct bytes key, value;
	uint32_t pairs;
	int r;

	if (mp_map(&m, &pairs) < 0)
		return -EBADMSG;
	s->n->fields = pairs;
	for (; pairs > 0; pairs--) {
		r = take_key(&m, &key);
		if (r < 0 || take_value(&m, &value) < 0)
			return -EBADMSG;
		if (r == 0)
			sort_field(s, key, value);
		else
			s->n->lost++;
	}
	s->n->record_end = m.p;
	return 0;
}

int
norm_fields(struct norm *n, const struct norm_from *from)
{
	struct sift s;
	int r;

	s.n = n;
	s.from = from;
	s.set[0] = s.set[1] = 0;
	s.chars = 0;
	n->attr_n = n->lost = n->scratch_n = 0;
	n->added = n->moved = n->same = n->joined = 0;
	n->joined_bytes = 0;
	n->own = 0;
	n->observed_ns = from->observed_ns;
	r = scan(&s);
	if (r < 0)
		return r;
	sift_places(&s);
	add_ours(&s);
	rank(&s);
	must(n->fields + n->added ==
	    n->moved + n->attr_n + n->same + n->joined + n->lost);
	return 0;
}

void
norm_add(struct norm *n, enum field_id id, struct bytes text)
{
	unsigned i;

	if (n->attr_n == NORM_ATTRS_MAX) {
		n->attr_n--;
		n->lost++;
	}
	for (i = n->attr_n; i > 0 && n->attr[i - 1].rank > (unsigned)id; i--)
		n->attr[i] = n->attr[i - 1];
	n->attr[i] = (struct norm_attr){
		.key = field_info[id].name,
		.value = { .kind = NV_STR, .b = text },
		.rank = (uint16_t)id
	};
	n->attr_n++;
	n->added++;
}

int
norm_record(struct norm *n, const struct norm_conf *conf,
    const struct entry *entry, struct bytes identity, struct bytes uid,
    uint64_t observed_ns)
{
	struct norm_lane lane;
	struct norm_from from = { conf, &lane, entry, uid, observed_ns };
	int r;

	norm_lane_init(&lane, identity);
	r = norm_fields(n, &from);
	if (r == 0)
		norm_identity(n, &from);
	return r;
}
