/* SPDX-License-Identifier: ISC */
/*
 * answer.h - what a backend's answer means for the records of a request
 *
 * What:     the table of DESIGN 10 as one pure function.
 * Source:   opentelemetry-specification, protocol/otlp, OTLP/HTTP.  Where we
 *           differ: 500 is retried (Dash0's own clients do), and what may be
 *           configuration (401, 403, 404, 407, …) holds the queue instead of
 *           dropping records.
 */
#ifndef EMPLOG_ANSWER_H
#define EMPLOG_ANSWER_H

#include "base/bytes.h"

enum verdict {
	ANSWER_DONE,		/* accepted, perhaps in part */
	ANSWER_RETRY,		/* later, the same */
	ANSWER_HOLD,		/* looks like configuration: hold and probe */
	ANSWER_HALVE,		/* too large */
	ANSWER_BISECT		/* something in it is refused */
};

struct answer {
	enum verdict	 verdict;
	uint64_t	 rejected;	/* partial_success, records */
	char		 words[256];	/* the backend's, printable, may be "" */
};

/*
 * status 0: no answer came.  type is the Content-Type ("" when absent).
 * JSON is accepted where it is a protobuf answer's JSON form.  cut: body is
 * only the beginning: one that begins as an OTLP answer counts as one, for
 * a request that was taken must not be sent again.
 */
void	 answer_read(int status, const char *type, struct bytes body,
	    bool cut, struct answer *ret_answer);

#endif
