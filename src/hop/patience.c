/* SPDX-License-Identifier: ISC */
/* patience.c - when an answer is due; the contract is in patience.h */

#include "hop/patience.h"

#include "banned.h"

#define MS		UINT64_C(1000000)
#define SLOW_MAX	3

void
patience_init(struct patience *p, uint32_t usual_ms)
{
	*p = (struct patience){ .usual_ns = usual_ms * MS };
}

void
patience_begin(struct patience *p, uint64_t now_ns)
{
	p->went_ns = p->answered_ns = now_ns;
	p->owed_ns = 0;
}

void
patience_went(struct patience *p, uint64_t now_ns)
{
	p->went_ns = now_ns;
}

void
patience_taken_back(struct patience *p, uint64_t sent_ns)
{
	if (p->owed_ns == 0 || sent_ns < p->owed_ns)
		p->owed_ns = sent_ns;
}

uint64_t
patience_since(const struct patience *p, uint64_t sent_ns)
{
	if (sent_ns == 0)
		sent_ns = p->went_ns;
	if (p->owed_ns != 0 && p->owed_ns < sent_ns)
		sent_ns = p->owed_ns;
	return sent_ns < p->answered_ns ? p->answered_ns : sent_ns;
}

void
patience_answered(struct patience *p, uint64_t sent_ns, uint64_t now_ns)
{
	uint64_t quick = (p->usual_ns << p->slow) / 4;

	if (p->slow > 0 && now_ns - patience_since(p, sent_ns) < quick)
		p->slow--;
	p->answered_ns = now_ns;
	p->owed_ns = 0;
}

void
patience_silent(struct patience *p)
{
	if (p->slow < SLOW_MAX)
		p->slow++;
}

uint64_t
patience_due(const struct patience *p, uint64_t sent_ns)
{
	return patience_since(p, sent_ns) + (p->usual_ns << p->slow);
}
