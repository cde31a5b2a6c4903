/* SPDX-License-Identifier: ISC */
/*
 * inner.h - what the parts of the export share
 *
 *   export.c    what to do now: fill, send, wait, hold, stop
 *   fill.c      what to take: records of the queue, letters asked for
 *   send.c      how it goes: encoded, to the backend or to a file
 *   outcome.c   what became of it: answers, dead letters, the account
 */
#ifndef EMPLOG_EXPORT_INNER_H
#define EMPLOG_EXPORT_INNER_H

#include "base/env.h"
#include "base/planted.h"
#include "export/batch.h"
#include "export/circuit.h"
#include "export/dead.h"
#include "export/export.h"
#include "export/file.h"
#include "export/target.h"
#include "loop/loop.h"

#define ANSWER_CAP	8192
#define FILE_RETRY_NS	UINT64_C(1000000000)
#define WARN_NS		UINT64_C(60000000000)

enum slot_state { FREE, READY, WAITING, SENDING, BURYING };

struct slot {
	struct export	*e;
	enum slot_state	 state;
	struct batch	 batch;
	bool		 letters;	/* its frames are of the dead letters */
	unsigned	 attempts;	/* of the current range */
	uint64_t	 due_ns;	/* WAITING */
	struct op	 op;
	struct post	 post;
	struct post_header header[TARGET_HEADERS_MAX];
	uint8_t		 answer[ANSWER_CAP];
	const char	*dead_why;
	int		 dead_status;
	char		 dead_words[256];
};

struct export {
	struct env	*env;
	struct queue	*queue;
	struct export_conf conf;	/* texts: in target, file, dead */
	struct target	 target;
	/* A new configuration waits until nothing is under way. */
	bool		 fresh;
	struct target	 fresh_target;
	struct export_conf fresh_conf;
	struct efile	*file;		/* NULL: there is an endpoint */
	struct dead	*dead;
	struct asked	*asked;
	const struct asked_for *want;	/* letters, NULL: nothing */
	unsigned	 letters_out;	/* in the one slot that has some */
	uint64_t	 want_n;	/* of them are dealt with */
	uint64_t	 lost_seen;	/* of dead_lost(), counted */
	bool		 letters_last;	/* the last slot filled got letters */
	struct circuit	 circuit;
	struct slot	*slot;
	unsigned	 slots;
	unsigned	 probe_next;	/* slot that probes next while held */
	unsigned	 sending;

	bool		 running;
	bool		 stopping;
	int		 hold_status;
	uint64_t	 probe_ns;	/* while held: when the next one may go */
	uint64_t	 bisect_ns;	/* when the next bisection may begin */
	uint64_t	 ok_ns;		/* loop_now of the last accepted request */
	uint64_t	 fill_ns;	/* when a request was last begun */
	/* When these may be logged again. */
	uint64_t	 warn_ns;	/* partial_success */
	uint64_t	 dead_warn_ns;	/* a letter that cannot be kept */
	uint64_t	 doom_ns;	/* a record that becomes a letter */
	struct export_state said;
	char		 words[256];

	struct op	 timer;
	uint64_t	 timer_at;
	struct export_watch *watches;
	void		(*ready)(void *arg, int res);
	void		*ready_arg;
	void		(*stopped)(void *arg);
	void		*stopped_arg;
	uint64_t	 stop_at;
};

static inline struct counters *
ctr(struct export *e)
{
	return &e->env->ctr;
}

static inline bool
to_files(const struct export *e)
{
	return e->target.url[0] == NULL;
}

/* What a slot's waiting is measured by. */
static inline uint64_t
slot_clock(const struct slot *s)
{
	struct loop *l = s->e->env->loop;

	return PLANTED(wall_clock_timer) ? loop_wall(l) : loop_now(l);
}

/* export.c: looks at every slot; the last thing a completion does. */
void	 export_pump(struct export *e);

/* fill.c */
/* Fills a free slot when there is something worth it. */
void	 slot_fill(struct slot *s, uint64_t now);
/* The beginning of what was asked for, see asked.h. */
void	 export_begin(void *arg, const struct asked_for *want);
/* At start: the letters kept are what the counters say, or they follow. */
void	 export_letters_found(struct export *e);
/* Counts what the letters' queue found to be gone. */
void	 export_letters_lost(struct export *e);
/* Drops what is to be dropped; ends what was asked for when it is done. */
void	 export_letters(struct export *e);
/* When it is to be looked at again, UINT64_MAX: something will tell. */
uint64_t export_letters_next(const struct export *e, uint64_t now,
	    bool room);	/* a slot is free */
/* A letter of this slot was delivered, or is a new one. */
void	 slot_letter_done(struct slot *s, uint64_t seq);

/* send.c */
/* NULL, or why there is no way to the backend for bytes of this kind. */
const char *slot_undeliverable(const struct slot *s);
/* Encodes the current range and sends it; or it is dealt with, or waits. */
void	 slot_send(struct slot *s);

/* outcome.c */
/* The last words of backend, curl or file system. */
void	 export_say(struct export *e, const char *words);
/* What became of the records taken, whatever it was. */
uint64_t export_settled(const struct export *e);
void	 slot_wait(struct slot *s, uint64_t ns);
/* Counts the current range as delivered, but for rejected ones. */
void	 slot_count(struct slot *s, uint64_t rejected);
/* The current range is dealt with: the next one, or commits the frames. */
void	 slot_range_done(struct slot *s);
/* The backend or the file took the current range. */
void	 slot_accepted(struct slot *s, uint64_t rejected, const char *words);
/* The current range is one record, or one frame of bytes: away with it. */
void	 slot_bury(struct slot *s, const char *why, int status,
	    const char *words);
/* Again, after the letter could not be written. */
void	 slot_bury_again(struct slot *s);
/* Of slot->op. */
void	 slot_answered(struct op *op);

#endif
