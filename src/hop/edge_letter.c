/* SPDX-License-Identifier: ISC */
/* edge_letter.c - one request on its way; see edge_in.h */

#include "hop/edge_in.h"

#include <errno.h>

#include "banned.h"

#define MS		UINT64_C(1000000)

struct letter *
edge_letter_unused(struct edge *e)
{
	unsigned i;

	for (i = 0; i < EDGE_LETTERS; i++)
		if (!e->letter[i].used)
			return &e->letter[i];
	return NULL;
}

bool
edge_any_letter(const struct edge *e)
{
	unsigned i;

	for (i = 0; i < EDGE_LETTERS; i++)
		if (e->letter[i].used)
			return true;
	return false;
}

void
edge_letter_free(struct letter *l)
{
	env_free(l->e->env, l->body);
	env_free(l->e->env, l->post.answer);
	l->body = NULL;
	l->post.answer = NULL;
	l->used = false;
}

void
edge_letter_send(struct letter *l)
{
	l->tries++;
	ctr_add(&l->e->env->ctr, CTR_hop_posts, 1);
	loop_post(l->e->env->loop, &l->op, &l->post);
}

int
edge_letter_post(struct letter *l, uint32_t timeout_ms)
{
	struct edge *e = l->e;

	l->post = (struct post){ .url = e->url, .headers = e->header,
	    .headers_n = e->headers + l->packed,
	    .body = bytes_of(l->body, l->len),
	    .timeout_ms = timeout_ms, .stall_ms = EDGE_STALL_MS,
	    .ca = e->ca, .cert = e->cert, .key = e->cert_key,
	    .connect_to = e->connect_to, .answer_cap = EDGE_ANSWER };
	l->post.answer = env_alloc(e->env, EDGE_ANSWER);
	if (l->post.answer == NULL) {
		edge_letter_free(l);
		return -ENOMEM;
	}
	l->used = true;
	l->tries = 0;
	edge_letter_send(l);
	return 0;
}

bool
edge_letter_may_pass(const struct letter *l, int64_t res)
{
	if (l->e->state != EDGE_UP || l->tries >= EDGE_TRIES)
		return false;
	if (res == 0)
		return l->post.status == 502 || l->post.status == 504;
	return res == -EPROTO || res == -ECONNRESET || res == -EPIPE;
}

void
edge_letter_again(struct letter *l)
{
	struct loop *loop = l->e->env->loop;
	uint64_t most = (EDGE_AGAIN_MS * MS) << (l->tries - 1);

	loop_timer(loop, &l->again, loop_now(loop) +
	    loop_random_below(loop, most));
}
