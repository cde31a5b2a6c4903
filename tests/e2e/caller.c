/* SPDX-License-Identifier: ISC */
/*
 * caller.c - a producer that does what it is told, one line at a time
 *
 * Reads lines from standard input and answers each with one line,
 * "RESULT WALL_NS" (the time right after the call):
 *
 *   log LEVEL EVENT JOB TEXT   one record; LEVEL 0..5
 *   started JOB                a job in progress
 *   failed JOB TEXT            its end
 *   fill PERCENT               records of 1 KiB until the lane is so full;
 *                              RESULT is how many were taken
 *   close                      emplog_close(), then exit
 *   gone                       _exit() without closing
 *
 * Identity comes from the environment; the field n counts the records.
 */

#include <shm/emplog.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct caller {
	struct emplog	*log;
	uint64_t	 n;
};

static int
log_one(struct caller *c, char *args)
{
	char *level = strtok(args, " "), *event = strtok(NULL, " ");
	char *job = strtok(NULL, " "), *text = strtok(NULL, "");

	if (text == NULL)
		return -1;
	return emplog_log(c->log, (enum emplog_level)atoi(level), text,
	    (const struct emplog_field[]){ EMPLOG_STR("event_type", event),
	    EMPLOG_STR("job_id", job), EMPLOG_UINT("n", c->n++) }, 3);
}

static int
end_job(struct caller *c, char *args)
{
	struct emplog_job job = EMPLOG_JOB(strtok(args, " "));
	struct emplog_field n = EMPLOG_UINT("n", c->n++);

	job.error = strtok(NULL, "");
	return emplog_job_failed(c->log, &job, &n, 1);
}

static int
start_job(struct caller *c, char *args)
{
	struct emplog_job job = EMPLOG_JOB(args);
	struct emplog_field n = EMPLOG_UINT("n", c->n++);

	return emplog_job_started(c->log, &job, &n, 1);
}

/* So many records of 1 KiB as percent of a lane of 256 KiB hold. */
static int
fill(struct caller *c, char *args)
{
	static char text[1000];
	int left = 256 * atoi(args) / 100, taken = 0;

	memset(text, '.', sizeof(text));
	for (; left > 0; left--)
		taken += emplog_log(c->log, EMPLOG_WARN, "fill",
		    (const struct emplog_field[]){
		    EMPLOG_STRN("text", text, sizeof(text)),
		    EMPLOG_STR("event_type", "fill"),
		    EMPLOG_UINT("n", c->n++) }, 3) == 0;
	return taken;
}

static int
obey(struct caller *c, char *line)
{
	char *args = strchr(line, ' ');

	if (args != NULL)
		*args++ = '\0';
	if (strcmp(line, "log") == 0)
		return log_one(c, args);
	if (strcmp(line, "started") == 0)
		return start_job(c, args);
	if (strcmp(line, "failed") == 0)
		return end_job(c, args);
	if (strcmp(line, "fill") == 0)
		return fill(c, args);
	if (strcmp(line, "gone") == 0)
		_exit(0);
	return -1;
}

int
main(void)
{
	struct emplog_options o = { .lane_bytes = 256 << 10 };
	struct caller c = { 0 };
	struct timespec ts;
	char line[4096];
	int r;

	r = emplog_open(&c.log, &o);
	if (r < 0) {
		fprintf(stderr, "emplog_open: %s\n", strerror(-r));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "close") == 0)
			break;
		r = obey(&c, line);
		clock_gettime(CLOCK_REALTIME, &ts);
		printf("%d %" PRIu64 "\n", r, (uint64_t)ts.tv_sec * 1000000000u +
		    (uint64_t)ts.tv_nsec);
		fflush(stdout);
	}
	emplog_close(&c.log);
	return 0;
}
