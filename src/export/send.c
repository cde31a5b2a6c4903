/* SPDX-License-Identifier: ISC */
/* send.c - a request on its way: encoded, to the backend or a file; inner.h */

#include "export/inner.h"

#include <errno.h>

#include "base/remedy.h"
#include "banned.h"

static const char *
pick_dataset(const void *target, struct bytes environment)
{
	return target_dataset(target, environment);
}

/* All of a request goes to one dataset. */
static void
choose_dataset(struct slot *s)
{
	struct export *e = s->e;

	memcpy(s->header, e->target.header, sizeof(s->header));
	if (e->target.slug_n > 0)
		s->header[e->target.dataset_at].value = batch_one_dataset(
		    &s->batch, &e->conf.otlp.norm, pick_dataset, &e->target);
}

static void
post_now(struct slot *s)
{
	const struct batch_frame *alone = batch_alone(&s->batch);
	struct export *e = s->e;

	s->post = (struct post){
		.url = e->target.url[alone == NULL ? SIGNAL_LOGS :
		    alone->chunk.signal],
		.headers = s->header, .headers_n = e->target.header_n,
		.body = s->batch.body, .timeout_ms = e->conf.timeout_ms,
		.retry_after_ms = -1,
		.answer = s->answer, .answer_cap = sizeof(s->answer),
	};
	ctr_add(ctr(e), CTR_export_requests, 1);
	ctr_add(ctr(e), CTR_export_retries, s->attempts > 0);
	ctr_add(ctr(e), CTR_export_bytes, s->batch.body.n);
	ctr_add(ctr(e), CTR_export_raw_bytes, s->batch.raw_body);
	s->state = SENDING;
	e->sending++;
	loop_post(e->env->loop, &s->op, &s->post);
}

static void
line_durable(void *arg, int res)
{
	struct slot *s = arg;
	struct export *e = s->e;

	e->sending--;
	ctr_set(ctr(e), CTR_export_file_error, (uint64_t)-res);
	if (res == 0) {
		if (e->words[0] != '\0')
			env_log(e->env, LOG_INFO, "'%s' is written again",
			    e->conf.file_dir);
		export_say(e, "");
		slot_accepted(s, 0, "");
	} else {
		if (e->words[0] == '\0')
			env_log(e->env, LOG_ERROR, "cannot write under '%s': "
			    "%s; records are kept in the queue; %s",
			    e->conf.file_dir, strerror(-res),
			    disk_remedy(res));
		export_say(e, strerror(-res));
		slot_wait(s, FILE_RETRY_NS);
	}
	export_pump(e);
}

static void
write_now(struct slot *s)
{
	struct export *e = s->e;

	s->state = SENDING;
	e->sending++;
	if (efile_write(e->file, s->batch.body, line_durable, s) < 0) {
		e->sending--;
		slot_wait(s, FILE_RETRY_NS / 100);
	}
}

const char *
slot_undeliverable(const struct slot *s)
{
	const struct batch_frame *f = batch_alone(&s->batch);
	const struct chunk *c;

	if (f == NULL)
		return NULL;
	c = &f->chunk;
	if ((c->flags & CHUNK_BROKEN) != 0)
		return "not records";
	if (c->encoding == ENC_FORWARD && c->signal != SIGNAL_LOGS)
		return "metrics or traces not in OTLP";
	if (c->encoding == ENC_OTLP && to_files(s->e))
		return "OTLP protobuf, and the local export is JSON";
	return NULL;
}

/* The probe it might have been is another's. */
static void
not_sent(struct export *e)
{
	uint64_t now = loop_now(e->env->loop);

	circuit_unused(&e->circuit, now);
	if (e->hold_status != 0)
		e->probe_ns = now;
}

void
slot_send(struct slot *s)
{
	struct export *e = s->e;
	struct otlp_conf conf = e->conf.otlp;
	int r;

	conf.format = to_files(e) ? OTLP_JSON : OTLP_PROTOBUF;
	choose_dataset(s);
	r = batch_encode(&s->batch, &conf, e->conf.batch_bytes,
	    e->conf.gzip && !to_files(e), loop_wall(e->env->loop));
	switch (r) {
	case 0:
		if (to_files(e))
			write_now(s);
		else
			post_now(s);
		break;
	case -ENODATA:
		not_sent(e);
		slot_count(s, 0);
		slot_range_done(s);
		break;
	case -EMSGSIZE:
		not_sent(e);
		slot_bury(s, "too large to encode", 0, "");
		break;
	default:
		not_sent(e);
		slot_wait(s, FILE_RETRY_NS);
	}
}
