/* SPDX-License-Identifier: ISC */
/* edge_words.c - what an answer means, also in words; see edge_in.h */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "hop/edge_in.h"
#include "hop/wire.h"

#include "banned.h"

#define MS		UINT64_C(1000000)
#define WAIT_MAX_MS	300000
#define QUOTE_MAX	100	/* of an answer's text */

/* The beginning of what it said, as far as a log may show it. */
static void
quote(const struct post *post, char text[QUOTE_MAX + 4])
{
	size_t i, n = post->answer_len < QUOTE_MAX ? post->answer_len :
	    QUOTE_MAX;
	bool plain = strncasecmp(post->content_type, "text/plain", 10) == 0;
	char c;

	text[0] = '\0';
	while (n > 0 && post->answer[n - 1] <= ' ')
		n--;
	if (!plain || n == 0)
		return;
	text[0] = ':';
	text[1] = ' ';
	for (i = 0; i < n; i++) {
		c = (char)post->answer[i];
		text[2 + i] = c >= ' ' && c < 0x7f ? c : ' ';
	}
	text[2 + n] = '\0';
}

static int
no_answer(struct edge *e, const struct post *post, int res)
{
	(void)snprintf(e->why, sizeof(e->why), "%s%s", res == -EACCES ?
	    "certificate refused: " : "", post->error);
	return res;
}

static const struct { int from, to, error; const char *words; } meaning[] = {
	{ 300, 399, EPROTO, "a redirect, which is not followed: name the "
	    "place itself" },
	{ 401, 401, EACCES, "our shared key is not the one it wants" },
	{ 403, 403, EACCES, "we are not let in; is the shared key right?" },
	{ 404, 405, EPROTO, "no relay there; is the path right?" },
	{ 407, 407, EACCES, "a proxy wants to know who we are" },
	{ 413, 413, EMSGSIZE, "what we send is larger than it takes" },
	{ 429, 429, EBUSY, "later" },
	{ 502, 502, EHOSTUNREACH, "the edge does not reach the relay" },
	{ 503, 503, EBUSY, "later" },
	{ 504, 504, ETIMEDOUT, "the relay does not answer the edge" },
	{ 0, 999, EPROTO, "no answer of a relay" },
};

static int
refused(struct edge *e, const struct post *post)
{
	char text[QUOTE_MAX + 4];
	size_t i = 0;

	while (post->status < meaning[i].from || post->status > meaning[i].to)
		i++;
	quote(post, text);
	(void)snprintf(e->why, sizeof(e->why), "answered %d: %s%s%s",
	    post->status, meaning[i].words, post->status == 413 &&
	    e->state != EDGE_ENDS && edge_shrink(e) ? "; smaller and packed from now on" : "", text);
	return -meaning[i].error;
}

/* Each answer is an acknowledgement, to the last byte. */
static int
count_acks(const struct post *post, unsigned *ret_acks)
{
	struct mp m = { post->answer, post->answer + post->answer_len };
	uint64_t records;
	struct bytes id;
	unsigned n = 0;

	while (m.p < m.end) {
		if (wire_read_ack(&m, &id, &records) < 0)
			return -EPROTO;
		n++;
	}
	*ret_acks = n;
	return 0;
}

/* Some edges add a charset, whatever it is. */
static bool
is_msgpack(const char *type)
{
	static const char name[] = "application/msgpack";
	size_t n = sizeof(name) - 1;

	return strncasecmp(type, name, n) == 0 &&
	    (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

int
edge_judge(struct edge *e, struct letter *l, int res, unsigned *ret_acks)
{
	const struct post *post = &l->post;

	*ret_acks = 0;
	if (res == 0 && post->retry_after_ms >= 0)
		e->wait_until_ns = loop_now(e->env->loop) + MS *
		    (uint64_t)(post->retry_after_ms < WAIT_MAX_MS ?
		    post->retry_after_ms : WAIT_MAX_MS);
	if (res < 0)
		return no_answer(e, post, res);
	if (post->status < 200 || post->status > 599)
		return no_answer(e, post, -EPROTO);
	if (post->status != 200)
		return refused(e, post);
	if (!is_msgpack(post->content_type) ||
	    count_acks(post, ret_acks) < 0) {
		(void)snprintf(e->why, sizeof(e->why), "the answer is no "
		    "acknowledgement but %.40s: is that a relay?",
		    post->content_type[0] == '\0' ? "of no type" :
		    post->content_type);
		return -EPROTO;
	}
	if (*ret_acks >= l->what.asked)
		return 0;
	(void)snprintf(e->why, sizeof(e->why), "%u of %u messages were "
	    "acknowledged", *ret_acks, l->what.asked);
	return -EIO;
}
