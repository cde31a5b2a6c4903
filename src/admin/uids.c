/* SPDX-License-Identifier: ISC */
/* uids.c - which records a local export has; see uids.h */

#include "admin/uids.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "banned.h"

#define UID_KEY	"\"key\":\"log.record.uid\",\"value\":{\"stringValue\":\""

static uint64_t
hash_of(const uint8_t *id, uint64_t pos)
{
	uint64_t h = XXH3_64bits_withSeed(id, STREAM_ID_LEN, pos);

	return h == 0 ? 1 : h;
}

static uint64_t *
place_of(const struct uids *u, uint64_t h)
{
	size_t i = h & (u->slots - 1);

	while (u->slot[i] != 0 && u->slot[i] != h)
		i = (i + 1) & (u->slots - 1);
	return &u->slot[i];
}

static int
grow(struct uids *u)
{
	struct uids more = { .slots = u->slots == 0 ? 4096 : 2 * u->slots };
	size_t i;

	more.slot = calloc(more.slots, sizeof(*more.slot));
	if (more.slot == NULL)
		return -ENOMEM;
	for (i = 0; i < u->slots; i++)
		if (u->slot[i] != 0)
			*place_of(&more, u->slot[i]) = u->slot[i];
	free(u->slot);
	u->slot = more.slot;
	u->slots = more.slots;
	return 0;
}

static int
add(struct uids *u, uint64_t h)
{
	uint64_t *p;
	int r = 0;

	if (u->n == UIDS_MAX)
		return -EFBIG;
	if (2 * (u->n + 1) > u->slots)
		r = grow(u);
	if (r < 0)
		return r;
	p = place_of(u, h);
	u->n += *p == 0;
	*p = h;
	return 0;
}

bool
uids_has(const struct uids *u, const uint8_t id[STREAM_ID_LEN], uint64_t pos)
{
	return u->n > 0 && *place_of(u, hash_of(id, pos)) != 0;
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
uid_stream(const char *text, uint8_t ret_id[STREAM_ID_LEN])
{
	int i, hi, lo;

	for (i = 0; i < STREAM_ID_LEN; i++) {
		hi = digit_of(text[2 * i]);
		lo = hi < 0 ? -1 : digit_of(text[2 * i + 1]);
		if (lo < 0)
			return false;
		ret_id[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

bool
uid_parse(const char *text, char end, uint8_t ret_id[STREAM_ID_LEN],
    uint64_t *ret_pos)
{
	uint64_t pos = 0;
	int i;

	if (!uid_stream(text, ret_id))
		return false;
	text += 2 * STREAM_ID_LEN;
	if (*text++ != ':' || *text == end)
		return false;
	for (i = 0; i < 20 && *text >= '0' && *text <= '9'; i++)
		pos = pos * 10 + (uint64_t)(*text++ - '0');
	*ret_pos = pos;
	return *text == end;
}

void
uid_hex(const uint8_t id[STREAM_ID_LEN], char ret_hex[2 * STREAM_ID_LEN + 1])
{
	static const char digit[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < STREAM_ID_LEN; i++) {
		ret_hex[2 * i] = digit[id[i] >> 4];
		ret_hex[2 * i + 1] = digit[id[i] & 15];
	}
	ret_hex[2 * STREAM_ID_LEN] = '\0';
}

/* In a value every quote is escaped: the key stands nowhere else. */
static int
take_line(struct uids *u, const char *line, size_t n)
{
	const char *end = line + n;
	uint8_t id[STREAM_ID_LEN];
	uint64_t pos;
	int r = 0;

	while (r == 0 && (line = memmem(line, (size_t)(end - line), UID_KEY,
	    sizeof(UID_KEY) - 1)) != NULL) {
		line += sizeof(UID_KEY) - 1;
		if (uid_parse(line, '"', id, &pos))
			r = add(u, hash_of(id, pos));
	}
	return r;
}

static int
take_file(struct uids *u, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	if (f == NULL)
		return errno == ENOENT ? 0 : -errno;	/* renamed just now */
	while (r == 0 && (n = getline(&line, &cap, f)) > 0)
		if (line[n - 1] == '\n')
			r = take_line(u, line, (size_t)n);
	free(line);
	fclose(f);
	return r;
}

/* The number of logs-00000007.jsonl; 0: the current file or none of them. */
static uint64_t
number_of(const char *name)
{
	return strncmp(name, "logs-", 5) == 0 ? strtoull(name + 5, NULL, 10) :
	    0;
}

static bool
is_export(const char *name)
{
	size_t n = strlen(name);

	return n > 10 && strncmp(name, "logs", 4) == 0 &&
	    strcmp(name + n - 6, ".jsonl") == 0;
}

/*
 * The current file first and last: one that is renamed meanwhile is read under
 * one of its names.
 */
int
uids_read(struct uids *u, const char *dir)
{
	uint64_t least = UINT64_MAX, number;
	char path[512], now[512];
	struct dirent *e;
	DIR *d;
	int r;

	*u = (struct uids){ 0 };
	snprintf(now, sizeof(now), "%s/logs.jsonl", dir);
	d = opendir(dir);
	if (d == NULL)
		return -errno;
	r = take_file(u, now);
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (!is_export(e->d_name))
			continue;
		number = number_of(e->d_name);
		if (number > 0 && number < least)
			least = number;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		r = take_file(u, path);
	}
	closedir(d);
	if (r == 0)
		r = take_file(u, now);
	u->cut = least != UINT64_MAX && least > 1;
	return r;
}

void
uids_fini(struct uids *u)
{
	free(u->slot);
	*u = (struct uids){ 0 };
}
