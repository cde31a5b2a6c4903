/* SPDX-License-Identifier: ISC */
/*
 * queue_export.c - emplogd queue export: what is not delivered, into a file
 *
 * otlp     one ExportLogsServiceRequest in JSON a line, as the local export
 * forward  the messages a relay takes (hop/wire.h), one behind the other: a
 *          relay's port can be given the file as it is, and knows what it has
 *          already
 *
 * The file is made under its name and is whole when the verb ends with 0.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "admin/queue.h"
#include "hop/wire.h"
#include "loop/loop.h"
#include "otlp/otlp.h"
#include "banned.h"

#define REQUEST_BYTES	(32u << 20)	/* one line at most */

struct export_file {
	struct qdir	 d;		/* first: the look's arg */
	FILE		*f;
	bool		 forward;
	struct otlp_batch *batch;
	uint64_t	 frames, records;	/* written */
	uint64_t	 left;		/* frames that cannot be, in this format */
	uint64_t	 damaged;
	int		 error;		/* the first one */
};

static void
put(struct export_file *x, const void *p, size_t n)
{
	if (x->error == 0 && fwrite(p, 1, n, x->f) != n)
		x->error = -errno;
}

static struct chunk
chunk_of(const struct frame *f)
{
	struct chunk c = { .from = f->from, .to = f->to,
	    .taken_ns = f->taken_ns, .records = f->records,
	    .signal = f->signal, .encoding = f->encoding,
	    .flags = (uint8_t)f->flags, .identity = f->identity,
	    .body = { f->body, bytes_of(NULL, 0) } };

	memcpy(c.stream, f->stream, STREAM_ID_LEN);
	return c;
}

static void
put_message(struct export_file *x, const struct chunk *c)
{
	uint8_t head[WIRE_HEAD_MAX], tail[WIRE_TAIL_MAX], id[WIRE_ID_LEN];
	size_t n;

	wire_id(c, id);
	n = wire_head(head, "export", c->body[0].n);
	put(x, head, n);
	put(x, c->body[0].p, c->body[0].n);
	n = wire_tail(tail, c, id, WIRE_ALL);
	put(x, tail, n);
}

/* As many records of a chunk as a line holds; -errno. */
static int
add_some(struct export_file *x, const struct chunk *c, uint32_t first,
    uint32_t *count)
{
	int r;

	otlp_batch_reset(x->batch);
	for (;;) {
		r = otlp_batch_add(x->batch, c, first, *count,
		    loop_wall(x->d.loop));
		if ((r != -ENOSPC && r != -EMSGSIZE) || *count == 1)
			return r;
		*count = (*count + 1) / 2;
	}
}

static void
put_lines(struct export_file *x, const struct chunk *c)
{
	uint32_t first = 0, count, n = c->records == 0 ? 1 : c->records;
	struct bytes line;
	uint64_t done;

	while (first < n && x->error == 0) {
		count = n - first;
		if (add_some(x, c, first, &count) == 0) {
			done = otlp_batch_counts(x->batch)->records;
			line = otlp_batch_finish(x->batch);
			x->left += done < count;
			if (done > 0) {
				put(x, line.p, line.n);
				put(x, "\n", 1);
			}
		} else {
			x->left++;
		}
		first += count;
	}
}

static void
on_frame(void *arg, const struct frame *f, bool held)
{
	struct export_file *x = arg;
	struct chunk c = chunk_of(f);

	if (!held || x->error != 0)
		return;
	if (!x->forward && ((f->flags & CHUNK_BROKEN) != 0 ||
	    f->encoding != ENC_FORWARD || f->signal != SIGNAL_LOGS)) {
		x->left++;
		return;
	}
	if (x->forward)
		put_message(x, &c);
	else
		put_lines(x, &c);
	x->frames++;
	x->records += f->records;
}

static void
on_damage(void *arg, const struct look_damage *dm)
{
	struct export_file *x = arg;

	x->damaged++;
}

static void
on_segment(void *arg, const struct look_segment *s)
{
	struct export_file *x = arg;

	x->d.segments++;
}

static int
begin(struct export_file *x, const char *file)
{
	struct otlp_conf conf = {
		.norm = { .names = NAMES_EMP, .service_namespace = "emp" },
		.limits = OTLP_NONE, .format = OTLP_JSON,
	};
	int fd;

	if (!x->forward && otlp_batch_new(&x->batch, &x->d.env, &conf,
	    REQUEST_BYTES) < 0)
		return -ENOMEM;
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	x->f = fdopen(fd, "w");
	if (x->f == NULL)
		close(fd);
	return x->f == NULL ? -ENOMEM : 0;
}

static void
finish(struct export_file *x)
{
	if (x->error == 0 && (fflush(x->f) != 0 || fsync(fileno(x->f)) < 0))
		x->error = -errno;
	if (fclose(x->f) != 0 && x->error == 0)
		x->error = -errno;
}

static int
tell(struct export_file *x, const char *file)
{
	struct qdir *d = &x->d;

	if (x->error != 0) {
		qdir_say(d, "'%s' cannot be written: %s", file,
		    strerror(-x->error));
		return QUEUE_BLIND;
	}
	fprintf(d->a->out, "%" PRIu64 " records in %" PRIu64 " chunks written to "
	    "%s\n", x->records, x->frames, file);
	if (x->left > 0)
		qdir_say(d, "%" PRIu64 " chunks or records were left out, for "
		    "they are no logs records%s", x->left, x->forward ? "" :
		    "; --format=forward takes them");
	if (x->damaged > 0 && !d->busy)
		qdir_say(d, "%" PRIu64 " places are damaged; emplogd queue check "
		    "says which", x->damaged);
	if (d->busy)
		qdir_say(d, "another process%s has this queue open and may "
		    "deliver these records too", d->who);
	return x->left > 0 || (x->damaged > 0 && !d->busy) || d->sum.unread ?
	    QUEUE_DAMAGE : QUEUE_CLEAN;
}

int
queue_export_verb(struct qdir *d, bool forward, const char *file)
{
	struct export_file x = { .d = *d, .forward = forward };
	struct look look = { .frame = on_frame, .damage = on_damage,
	    .segment = on_segment, .arg = &x };
	int r;

	r = begin(&x, file);
	if (r < 0) {
		qdir_say(d, "'%s' cannot be made: %s", file, strerror(-r));
		r = QUEUE_BLIND;
	} else {
		r = qdir_look(&x.d, &look);
		finish(&x);
		if (r == 0)
			r = tell(&x, file);
		if (r == QUEUE_BLIND)
			(void)unlink(file);
	}
	otlp_batch_free(&x.batch);
	return r;
}
