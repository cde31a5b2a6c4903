/* SPDX-License-Identifier: ISC */
/* letter.c - the note of a dead letter; the contract is in letter.h */

#include "export/letter.h"

#include <stdio.h>

#include "base/must.h"
#include "forward/mp.h"
#include "banned.h"

#define PREFIX		"emplog.dead_"
#define MAP_HEAD_MAX	3	/* of as many pairs as an identity can hold */
#define WORDS_MAX	255
#define ENDPOINT_MAX	200
#define DATASET_MAX	100

struct pairs {				/* behind a head written last */
	struct mpw	 w;
	uint32_t	 n;
};

static bool
is_note(struct bytes key)
{
	return key.n > strlen(PREFIX) &&
	    memcmp(key.p, PREFIX, strlen(PREFIX)) == 0;
}

/* The pairs of an identity that are none of a note. */
static void
copy_pairs(struct pairs *to, struct bytes identity)
{
	struct mp m = mp_of(identity);
	struct bytes key, value;
	uint32_t n;

	if (mp_map(&m, &n) < 0)
		return;
	for (; n > 0; n--) {
		if (mp_str(&m, &key) < 0 || mp_value(&m, &value) < 0)
			return;
		if (is_note(key))
			continue;
		mpw_str(&to->w, key);
		mpw_raw(&to->w, value);
		to->n++;
	}
}

/* As much of the value as there is room for, not cut inside a character. */
static void
add_pair(struct pairs *to, const char *name, struct bytes value, size_t most)
{
	struct bytes key = bytes_str(name);
	size_t need = key.n + 2 + 3, room;

	room = (size_t)(to->w.end - to->w.p);
	if (room < need)
		return;
	room -= need;
	most = most < room ? most : room;
	if (value.n > most)
		for (value.n = most; value.n > 0 &&
		    (value.p[value.n] & 0xc0) == 0x80; value.n--)
			;
	mpw_str(&to->w, key);
	mpw_str(&to->w, value);
	must(!to->w.full);
	to->n++;
}

/* Pairs stand at big + MAP_HEAD_MAX; their head goes right before them. */
static size_t
close_map(uint8_t *buf, const uint8_t *big, const struct pairs *pairs)
{
	struct mpw w = { buf, buf + IDENTITY_MAX, false };

	big += MAP_HEAD_MAX;
	mpw_map(&w, pairs->n);
	mpw_raw(&w, bytes_of(big, (size_t)(pairs->w.p - big)));
	return w.full ? 0 : (size_t)(w.p - buf);
}

static struct pairs
pairs_in(uint8_t *big)
{
	return (struct pairs){ .w = { big + MAP_HEAD_MAX,
	    big + MAP_HEAD_MAX + IDENTITY_MAX, false } };
}

size_t
letter_put(uint8_t buf[IDENTITY_MAX], struct bytes identity,
    const struct letter_note *note)
{
	uint8_t big[MAP_HEAD_MAX + IDENTITY_MAX];
	struct pairs to = pairs_in(big);
	char number[24];

	copy_pairs(&to, identity);
	if (to.w.full)		/* longer than any may be: nobody's */
		to = pairs_in(big);
	to.w.end = big + IDENTITY_MAX > to.w.p ? big + IDENTITY_MAX : to.w.p;
	add_pair(&to, PREFIX "form", BYTES("2"), 1);
	add_pair(&to, PREFIX "why", note->why, WORDS_MAX);
	number[0] = '\0';
	if (note->status > 0)
		snprintf(number, sizeof(number), "%d", note->status);
	add_pair(&to, PREFIX "status", bytes_str(number), sizeof(number));
	snprintf(number, sizeof(number), "%llu",
	    (unsigned long long)note->time_ns);
	add_pair(&to, PREFIX "time", bytes_str(number), sizeof(number));
	add_pair(&to, PREFIX "words", note->words, WORDS_MAX);
	add_pair(&to, PREFIX "dataset", note->dataset, DATASET_MAX);
	add_pair(&to, PREFIX "endpoint", note->endpoint, ENDPOINT_MAX);
	return close_map(buf, big, &to);
}

static uint64_t
number_of(struct bytes b, uint64_t most)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < b.n; i++) {
		if (b.p[i] < '0' || b.p[i] > '9' || n > (most - 9) / 10)
			return 0;
		n = 10 * n + (uint64_t)(b.p[i] - '0');
	}
	return n;
}

void
letter_get(struct bytes identity, struct letter_note *ret_note)
{
	struct letter_note note = { 0 };
	struct mp m = mp_of(identity);
	struct bytes key, value;
	uint32_t n;

	if (mp_map(&m, &n) < 0)
		n = 0;
	for (; n > 0; n--) {
		if (mp_str(&m, &key) < 0 || mp_str(&m, &value) < 0)
			break;
		if (bytes_eq(key, BYTES(PREFIX "why")))
			note.why = value;
		else if (bytes_eq(key, BYTES(PREFIX "words")))
			note.words = value;
		else if (bytes_eq(key, BYTES(PREFIX "endpoint")))
			note.endpoint = value;
		else if (bytes_eq(key, BYTES(PREFIX "dataset")))
			note.dataset = value;
		else if (bytes_eq(key, BYTES(PREFIX "status")))
			note.status = (int)number_of(value, 1000);
		else if (bytes_eq(key, BYTES(PREFIX "time")))
			note.time_ns = number_of(value, UINT64_MAX);
	}
	*ret_note = note;
}

size_t
letter_strip(uint8_t buf[IDENTITY_MAX], struct bytes identity)
{
	uint8_t big[MAP_HEAD_MAX + IDENTITY_MAX];
	struct pairs to = pairs_in(big);

	copy_pairs(&to, identity);
	return to.n == 0 || to.w.full ? 0 : close_map(buf, big, &to);
}
