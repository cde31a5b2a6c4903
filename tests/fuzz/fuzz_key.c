/* SPDX-License-Identifier: ISC */
/*
 * fuzz_key.c - any bytes to the handshake by a shared key (libFuzzer: clang)
 *
 * Claims: each of the four messages is found in whole or byte by byte alike,
 * no byte behind its end is used; what was read is within its bounds; nobody
 * is let in, for the fuzzer does not know the key; what we write for a HELO
 * that we have read, we read again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "hop/key.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char salt[] = "0123456789abcdef0123456789abcdef";
static const struct hop_key keys[2] = {
	{ "a key that is not in any input", "", "", "here" },
	{ "another key of the same kind", "user", "pass word", "here" },
};

enum { HELO, PING, PONG };

struct heard {
	struct key_helo	 helo;
	struct key_ping	 ping;
	size_t		 used;
	char		 words[KEY_WHY];
};

static int
hear(int what, const struct hop_key *k, struct bytes in, struct heard *ret)
{
	struct key_helo mine = { .nonce = "nonce of 16 byte", .nonce_len =
	    KEY_NONCE, .auth_len = k->user[0] != '\0' ? KEY_NONCE : 0 };
	const char *why = NULL;
	uint8_t *copy = malloc(in.n + 1);
	struct bytes b = bytes_of(copy, in.n);
	int r;

	must(copy != NULL);
	if (in.n > 0)
		memcpy(copy, in.p, in.n);
	*ret = (struct heard){ .used = 0 };
	switch (what) {
	case HELO:
		r = key_read_helo(b, &ret->helo, &ret->used);
		break;
	case PING:
		r = key_read_ping(k, &mine, b, &ret->ping, &ret->used, &why);
		must(r != 0);
		must(r != -EACCES || why != NULL);
		break;
	default:
		r = key_read_pong(k, &mine, salt, b, &ret->used, ret->words);
		must(r != 0);
		must(memchr(ret->words, '\0', KEY_WHY) != NULL);
		break;
	}
	free(copy);
	return r;
}

/* The same bytes as they come, one by one. */
static void
slowly(int what, const struct hop_key *k, struct bytes in, int whole,
    const struct heard *at_once)
{
	struct heard h;
	size_t have;
	int r = -EAGAIN;

	for (have = 0; have <= in.n && r == -EAGAIN; have++)
		r = hear(what, k, bytes_of(in.p, have), &h);
	must(r == whole);
	must(h.used == at_once->used);
}

static void
answer(const struct hop_key *k, const struct key_helo *h)
{
	uint8_t out[KEY_OUT_MAX];
	struct key_ping ping;
	const char *why;
	size_t n = key_write_ping(k, h, salt, out), used;

	must(h->nonce_len <= KEY_NONCE_MAX);
	must(h->auth_len <= KEY_NONCE_MAX);
	must(n > 0 && n <= KEY_OUT_MAX);
	/* A user is named to a server that asks for one alone. */
	if (k->user[0] != '\0' && h->auth_len == 0)
		return;
	must(key_read_ping(k, h, bytes_of(out, n), &ping, &used, &why) == 0);
	must(used == n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct hop_key *k;
	struct heard h;
	int what, r;

	if (n < 1 || n > KEY_IN_MAX)
		return 0;
	k = &keys[p[0] & 1];
	what = (p[0] >> 1) % 3;
	(void)key_is_helo(bytes_of(p + 1, n - 1));
	r = hear(what, k, bytes_of(p + 1, n - 1), &h);
	must(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -EACCES);
	must(h.used <= n - 1);
	if (n <= 300)
		slowly(what, k, bytes_of(p + 1, n - 1), r, &h);
	if (what == HELO && r == 0)
		answer(k, &h.helo);
	return 0;
}
