/* SPDX-License-Identifier: ISC */
/*
 * test_admin.c - what an administrator asks, and the answers
 *
 * Claims: status tells running from stopped from died and says what is held
 * and dropped; ring and tail show living and dead lanes and change no byte
 * of them; no record makes tail print a control character.
 */

#include "admin/admin.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin/human.h"
#include "admin/show.h"
#include "config/keys.h"
#include "counters/counters.h"
#include "forward/mp.h"
#include "lane_kit.h"
#include "shm/sys.h"

#define SECOND	UINT64_C(1000000000)

static char dir[64], ring[96], state[96];
static struct conf *conf;
static struct admin a;
static char *out, *err;
static size_t out_len, err_len;
static struct kit lane;

static void
setup(void)
{
	char ring_set[128], state_set[128];
	const char *sets[] = { ring_set, state_set };
	struct conf_source src = { .sets = sets, .sets_n = 2,
	    .file = "/dev/null" };

	snprintf(dir, sizeof(dir), "/tmp/test_admin.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(ring, sizeof(ring), "%s/ring", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	ck_assert_int_eq(mkdir(ring, 0700), 0);
	ck_assert_int_eq(mkdir(state, 0700), 0);
	snprintf(ring_set, sizeof(ring_set), "common.ring_dir=%s", ring);
	snprintf(state_set, sizeof(state_set), "common.state_dir=%s", state);
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	a = (struct admin){ .conf = conf };
	lane = (struct kit){ .fd = -1 };
}

static struct counters c;		/* of a role that counts, or zeros */

/* As a process that dies: what it last said stays in its file. */
static void
role_ends(void)
{
	counters_fini(&c);
}

static void
teardown(void)
{
	char cmd[128];

	role_ends();
	kit_die(&lane);
	conf_free(&conf);
	free(out);
	free(err);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

#define RUN(...)	run((const char *const[]){ __VA_ARGS__, NULL })

static int
run(const char *const *words)
{
	const struct admin_verb *v = admin_find(words[0]);
	char *argv[8] = { NULL };
	int argc, r;

	free(out);
	free(err);
	a.out = open_memstream(&out, &out_len);
	a.err = open_memstream(&err, &err_len);
	ck_assert_ptr_nonnull(v);
	for (argc = 0; words[argc] != NULL; argc++)
		argv[argc] = strdup(words[argc]);
	r = v->run(argc, argv, &a);
	while (argc > 0)
		free(argv[--argc]);
	fclose(a.out);
	fclose(a.err);
	return r;
}

static void
has(const char *want)
{
	ck_assert_msg(strstr(out, want) != NULL, "no '%s' in:\n%s%s", want,
	    out, err);
}

static void
has_not(const char *text)
{
	ck_assert_msg(strstr(out, text) == NULL, "'%s' in:\n%s", text, out);
}

static unsigned
lines(void)
{
	unsigned n = 0;
	const char *s;

	for (s = out; *s != '\0'; s++)
		n += *s == '\n';
	return n;
}

/* ---- status ---- */

static void
role_begins(const char *role)
{
	char path[160];

	role_ends();
	snprintf(path, sizeof(path), "%s/%s", state, role);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/counters", state, role);
	counters_init(&c);
	ck_assert_int_eq(counters_map(&c, path, role), 0);
	strcpy(c.head->io, "uring");
	strcpy(c.head->state, "run");
	c.head->seen_ns = human_now();
}

START_TEST(nothing_ever_ran_is_trouble)
{
	ck_assert_int_eq(RUN("status"), 1);
	ck_assert_str_eq(out, "");
	ck_assert_ptr_nonnull(strstr(err, "no role has run with "
	    "common.state_dir '"));
}
END_TEST

START_TEST(a_running_agent_is_healthy)
{
	role_begins("agent");
	ctr_set(&c, CTR_hop_up, 1);
	ctr_set(&c, CTR_lane_taken_bytes, 3 << 20);
	ctr_set(&c, CTR_lane_held_bytes, 1536);
	c.head->started_ns = human_now() - 7380 * SECOND;
	ck_assert_int_eq(RUN("status"), 0);
	has("agent     running, pid ");
	has(", io uring, up 2 h 3 min\n");
	has("  taken      3.0 MiB from lanes");
	has("  held       1.5 KiB in 0 lanes");
	has("  relay      connected;");
	has("  dropped    nothing\n");
	has("kept: 0 records on disk, 1.5 KiB in lanes\n");
	has_not("TROUBLE");
}
END_TEST

START_TEST(an_agent_without_relay_is_trouble)
{
	role_begins("agent");
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    no relay is connected\n");
}
END_TEST

START_TEST(stopped_hung_and_died_are_told_apart)
{
	role_begins("relay");
	c.head->seen_ns = human_now() - 60 * SECOND;
	ck_assert_int_eq(RUN("status"), 1);
	has("relay     hung, last seen 1 min ago\n");
	has("is there but has not counted for 1 min\n");
	strcpy(c.head->state, "done");
	ctr_set(&c, CTR_queue_held_records, 1234);
	ck_assert_int_eq(RUN("status"), 1);
	has("relay     stopped, last seen 1 min ago\n");
	has("  TROUBLE    stopped 1 min ago\n");
	has("kept: 1234 records on disk, 0 B in lanes\n");
	strcpy(c.head->state, "drain");
	role_ends();
	ck_assert_int_eq(RUN("status"), 1);
	has("relay     died, last seen 1 min ago");
	has("  TROUBLE    died: last seen 1 min ago\n");
}
END_TEST

/* A role ticks every 5 s: one late by a little has not hung. */
START_TEST(a_late_tick_is_no_trouble)
{
	role_begins("relay");
	c.head->seen_ns = human_now() - 9 * SECOND;
	ck_assert_int_eq(RUN("status"), 0);
	has("relay     running, pid ");
}
END_TEST

/* Its pid may be somebody else's by now: the lock tells. */
START_TEST(who_just_died_is_not_running)
{
	role_begins("relay");
	role_ends();
	ck_assert_int_eq(RUN("status"), 1);
	has("relay     died, last seen ");
}
END_TEST

START_TEST(a_pid_of_another_container_does_not_matter)
{
	role_begins("relay");
	c.head->pid = INT32_MAX;
	ck_assert_int_eq(RUN("status"), 0);
	has("relay     running, pid ");
}
END_TEST

START_TEST(a_configured_role_that_never_ran_is_trouble)
{
	role_begins("relay");
	conf->roles = ROLE_RELAY;
	ck_assert_int_eq(RUN("status"), 0);
	conf->roles = ROLE_RELAY | ROLE_EXPORTER;
	ck_assert_int_eq(RUN("status"), 0);	/* one role then */
	conf->roles = ROLE_RELAY | ROLE_AGENT;
	ck_assert_int_eq(RUN("status"), 1);
	has("agent     unknown\n  TROUBLE    '");
	has("/agent/counters' cannot be read: No such file or directory\n");
}
END_TEST

START_TEST(drops_are_told_by_reason)
{
	role_begins("relay");
	ctr_set(&c, CTR_queue_dropped_age_records, 4);
	ctr_set(&c, CTR_ingest_duplicates, 2);
	ck_assert_int_eq(RUN("status"), 0);
	has("  dropped    2 records (duplicate over HTTP), 4 records "
	    "(too old)\n");
}
END_TEST

START_TEST(an_exporter_tells_the_last_answer)
{
	role_begins("exporter");
	ctr_set(&c, CTR_export_requests, 3);
	ctr_set(&c, CTR_export_last_status, 200);
	ctr_set(&c, CTR_export_last_ok_ns, human_now() - 90 * SECOND);
	ck_assert_int_eq(RUN("status"), 0);
	has("  backend    last: HTTP 200; accepted 1 min ago\n");
	ctr_set(&c, CTR_export_last_status, 401);
	ctr_set(&c, CTR_export_held_auth, 1);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    the backend refuses token or address: HTTP 401\n");
	ctr_set(&c, CTR_export_held_auth, 0);
	ctr_set(&c, CTR_export_last_status, 0);
	ck_assert_int_eq(RUN("status"), 0);
	has("  backend    last: no answer; accepted ");
	ctr_set(&c, CTR_export_circuit_open, 1);
	ck_assert_int_eq(RUN("status"), 1);
}
END_TEST

START_TEST(a_disk_that_takes_nothing_is_trouble)
{
	role_begins("relay");
	ctr_set(&c, CTR_queue_disk_error, ENOSPC);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    the queue's disk takes nothing: No space left on "
	    "device; make room there, or free inodes: df -h, df -i\n");
}
END_TEST

START_TEST(an_export_that_can_write_nothing_is_trouble)
{
	role_begins("relay");
	ctr_set(&c, CTR_export_file_error, EROFS);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    the local export's disk takes nothing: Read-only "
	    "file system; mount it writable\n");
	ctr_set(&c, CTR_export_file_error, 0);
	ctr_set(&c, CTR_export_dead_error, ENOSPC);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    dead letters cannot be kept: No space left on "
	    "device; make room: emplogd dlq replay or drop, or see df -h\n");
}
END_TEST

START_TEST(a_relay_that_exports_tells_both)
{
	role_begins("relay");
	ctr_set(&c, CTR_recv_records, 12);
	ctr_set(&c, CTR_export_taken_records, 11);
	ctr_set(&c, CTR_export_done_records, 9);
	ctr_set(&c, CTR_export_held_records, 2);
	ctr_set(&c, CTR_export_file_bytes, 2048);
	ck_assert_int_eq(RUN("status"), 0);
	has("  taken      12 records over Forward");
	has("  exported   9 of 11 records, 2 on the way;");
	has("  backend    2.0 KiB written locally\n");
}
END_TEST

START_TEST(a_backlog_is_told_while_fresh_records_go_beside_it)
{
	role_begins("relay");
	ctr_set(&c, CTR_queue_held_records, 800);
	ck_assert_int_eq(RUN("status"), 0);
	has_not("backlog");
	ctr_set(&c, CTR_queue_backlog_records, 790);
	ck_assert_int_eq(RUN("status"), 0);
	has("  held       800 records");
	has("  backlog    790 of them; what is fresh goes beside it\n");
}
END_TEST

START_TEST(a_long_wait_is_trouble)
{
	role_begins("relay");
	ctr_set(&c, CTR_queue_oldest_ns, human_now() - 599 * SECOND);
	ck_assert_int_eq(RUN("status"), 0);
	has("  oldest     waiting for 9 min\n");
	ctr_set(&c, CTR_queue_oldest_ns, human_now() - 602 * SECOND);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    the oldest record has waited 10 min\n");
}
END_TEST

START_TEST(a_certificate_that_ends_soon_is_trouble)
{
	uint64_t now = human_now() / SECOND;

	role_begins("relay");
	ctr_set(&c, CTR_tls_handshakes, 7);
	ctr_set(&c, CTR_tls_cert_expires, now + 20 * 86400 + 60);
	ck_assert_int_eq(RUN("status"), 0);
	has("  tls        7 handshakes, 0 failed, certificate ends in 20 d 0 h\n");
	ctr_set(&c, CTR_tls_cert_expires, now + 13 * 86400 + 60);
	ck_assert_int_eq(RUN("status"), 1);
	has("  TROUBLE    the TLS certificate ends in 13 d 0 h; put a new one in "
	    "its place\n");
	ctr_set(&c, CTR_tls_cert_expires, now - 60);
	ck_assert_int_eq(RUN("status"), 1);
	has("certificate has ended\n");
}
END_TEST

START_TEST(status_speaks_json)
{
	json_t *j, *role;

	role_begins("relay");
	ctr_set(&c, CTR_queue_held_records, 5);
	ck_assert_int_eq(RUN("status", "--json"), 0);
	j = json_loads(out, 0, NULL);
	ck_assert_ptr_nonnull(j);
	ck_assert(json_is_true(json_object_get(j, "healthy")));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(j,
	    "kept"), "records")), 5);
	role = json_array_get(json_object_get(j, "roles"), 0);
	ck_assert_str_eq(show_text(role, "life"), "running");
	ck_assert_uint_eq(json_object_size(json_object_get(role, "counters")),
	    CTR_COUNT);
	json_decref(j);
	ck_assert_int_eq(RUN("status", "--jso"), EXIT_CONFIG);
	ck_assert_str_eq(err, "emplogd status: '--jso' is not understood\n"
	    "usage: emplogd status [--json]\n");
}
END_TEST

/* ---- lanes ---- */

static size_t
identity(uint8_t *buf, size_t cap)
{
	struct mpw w = { .p = buf, .end = buf + cap };

	mpw_map(&w, 3);
	mpw_str(&w, BYTES("machine_id"));
	mpw_str(&w, BYTES("m\x1b[1m"));
	mpw_str(&w, BYTES("worker_id"));
	mpw_str(&w, BYTES("w0"));
	mpw_str(&w, BYTES("service_type"));
	mpw_str(&w, BYTES("comfyui"));
	ck_assert(!w.full);
	return (size_t)(w.p - buf);
}

static void
lane_begins(struct kit *k, const char *where, uint8_t name)
{
	uint8_t id[256];

	kit_make(k, where, name, LANE_DATA_MIN, id,
	    (uint32_t)identity(id, sizeof(id)));
	k->head->created_ns = human_now() - 3 * SECOND;
}

static void
put(struct kit *k, uint64_t ns, const char *level, const char *message,
    const char *job, const char *event)
{
	uint8_t buf[1024];
	struct mpw w = { .p = buf, .end = buf + sizeof(buf) };

	mpw_array(&w, 2);
	mpw_event_time(&w, ns);
	mpw_map(&w, 5);
	mpw_str(&w, BYTES("level"));
	mpw_str(&w, bytes_str(level));
	mpw_str(&w, BYTES("message"));
	mpw_str(&w, bytes_str(message));
	mpw_str(&w, BYTES("job_id"));
	mpw_str(&w, bytes_str(job));
	mpw_str(&w, BYTES("event_type"));
	mpw_str(&w, bytes_str(event));
	mpw_str(&w, BYTES("queue_ms"));
	mpw_uint(&w, 17);
	ck_assert(!w.full);
	kit_put(k, buf, (size_t)(w.p - buf));
}

START_TEST(ring_shows_living_closed_and_dead)
{
	struct kit other;
	char to[200];

	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "m", "j", "e");
	atomic_store(&lane.prod->refused[2], 5);
	lane_begins(&other, ring, 2);
	kit_die(&other);
	ck_assert_int_eq(RUN("ring"), 0);
	has(": 2 lanes, 256.0 KiB of at most ");
	has(" alive  ");
	has(" dead   ");
	has("         1        5  3 s ");
	has("m?[1m  w0  comfyui\n");
	snprintf(to, sizeof(to), "%.*s.dead",
	    (int)(strlen(other.path) - 5), other.path);
	ck_assert_int_eq(rename(other.path, to), 0);
	ck_assert_int_eq(RUN("ring"), 0);
	has(" dead   ");
}
END_TEST

static unsigned renames;		/* of lanes that are just listed */
static bool then_removed;

/* The agent is done with it between its listing and its opening. */
static int
open_late(void *arg, const char *path, int flags, uint32_t mode)
{
	size_t n = strlen(path);
	char to[200];

	if (strcmp(path + n - 5, ".lane") == 0) {
		snprintf(to, sizeof(to), "%.*s.dead", (int)(n - 5), path);
		ck_assert_int_eq(rename(path, to), 0);
		if (then_removed)
			ck_assert_int_eq(unlink(to), 0);
		renames++;
	}
	return shm_sys_os.open(arg, path, flags, mode);
}

START_TEST(a_lane_that_is_renamed_while_looked_for_is_found_one_removed_is_none)
{
	struct shm_sys sys = shm_sys_os;

	sys.open = open_late;
	a.sys = &sys;
	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "m", "j", "e");
	kit_die(&lane);
	renames = 0;
	then_removed = false;
	ck_assert_int_eq(RUN("ring"), 0);
	has(" dead   ");
	has(": 1 lanes, ");
	has_not("cannot be read");
	lane_begins(&lane, ring, 2);
	kit_die(&lane);
	then_removed = true;
	ck_assert_int_eq(RUN("ring"), 0);
	has(": 1 lanes, ");
	has_not("cannot be read");
	ck_assert_uint_eq(renames, 2);
}
END_TEST

START_TEST(ring_names_jobs_in_progress)
{
	lane_begins(&lane, ring, 1);
	memcpy(lane.jobs[3].id, "job-7", 5);
	lane.jobs[3].len = 5;
	lane.jobs[3].started_mono_ns = 1;
	atomic_store(&lane.jobs[3].state, LANE_JOB_SET);
	ck_assert_int_eq(RUN("ring"), 0);
	has("          in progress: job-7\n");
}
END_TEST

START_TEST(ring_tells_what_is_no_lane)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%032d.lane", ring, 7);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("nothing like a lane", f);
	fclose(f);
	ck_assert_int_eq(RUN("ring"), 0);
	has("00000000  cannot be read: ");
	ck_assert_int_eq(rmdir(ring), -1);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(ring), 0);
	ck_assert_int_eq(RUN("ring"), 1);
	ck_assert_ptr_nonnull(strstr(err, "cannot be read: No such file"));
}
END_TEST

START_TEST(tail_shows_a_record_on_one_line)
{
	lane_begins(&lane, ring, 1);
	put(&lane, 1700000000 * SECOND + 123456789, "info", "Job received",
	    "job-1", "job_received");
	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
	ck_assert_int_eq(RUN("tail"), 0);
	ck_assert_str_eq(out, "22:13:20.123 info  w0 job_received job-1 "
	    "Job received queue_ms=17\n");
}
END_TEST

START_TEST(tail_speaks_json_with_the_lanes_identity)
{
	json_t *j;

	lane_begins(&lane, ring, 1);
	put(&lane, 1700000000 * SECOND + 5, "warn", "m\n", "j", "e");
	ck_assert_int_eq(RUN("tail", "--json"), 0);
	ck_assert_uint_eq(lines(), 1);
	j = json_loads(out, 0, NULL);
	ck_assert_ptr_nonnull(j);
	ck_assert_str_eq(show_text(j, "time"),
	    "2023-11-14T22:13:20.000000005Z");
	ck_assert_str_eq(show_text(j, "worker_id"), "w0");
	ck_assert_str_eq(show_text(j, "message"), "m\n");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "queue_ms")),
	    17);
	json_decref(j);
}
END_TEST

START_TEST(tail_puts_lanes_in_order_of_time)
{
	struct kit other, disk;
	char on_disk[128];

	snprintf(on_disk, sizeof(on_disk), "%s/ring", state);
	ck_assert_int_eq(mkdir(on_disk, 0700), 0);
	lane_begins(&lane, ring, 1);
	lane_begins(&other, ring, 2);
	lane_begins(&disk, on_disk, 3);
	put(&lane, 1 * SECOND, "info", "first", "j", "e");
	put(&lane, 4 * SECOND, "info", "fourth", "j", "e");
	put(&other, 2 * SECOND, "info", "second", "j", "e");
	put(&disk, 3 * SECOND, "info", "third", "j", "e");
	kit_die(&other);
	ck_assert_int_eq(RUN("tail"), 0);
	ck_assert_uint_eq(lines(), 4);
	ck_assert(strstr(out, "first") < strstr(out, "second"));
	ck_assert(strstr(out, "second") < strstr(out, "third"));
	ck_assert(strstr(out, "third") < strstr(out, "fourth"));
	ck_assert_int_eq(RUN("tail", "-n", "2"), 0);
	ck_assert_uint_eq(lines(), 2);
	has("third");
	has("fourth");
	ck_assert_int_eq(RUN("tail", "-n0"), 0);
	ck_assert_str_eq(out, "");
	kit_die(&disk);
}
END_TEST

START_TEST(tail_chooses)
{
	lane_begins(&lane, ring, 1);
	put(&lane, 1 * SECOND, "debug", "one", "j1", "job_started");
	put(&lane, 2 * SECOND, "warn", "two", "j1", "job_progress");
	put(&lane, 3 * SECOND, "error", "three", "j2", "job_failed");
	ck_assert_int_eq(RUN("tail", "--job=j1"), 0);
	ck_assert_uint_eq(lines(), 2);
	has_not("three");
	ck_assert_int_eq(RUN("tail", "--level=warn"), 0);
	ck_assert_uint_eq(lines(), 2);
	has_not("one");
	ck_assert_int_eq(RUN("tail", "--event", "job_failed"), 0);
	ck_assert_uint_eq(lines(), 1);
	ck_assert_int_eq(RUN("tail", "--worker=w0", "--job=j1",
	    "--level=warn"), 0);
	ck_assert_uint_eq(lines(), 1);
	ck_assert_int_eq(RUN("tail", "--worker=w1"), 0);
	ck_assert_str_eq(out, "");
}
END_TEST

/* As today's clients send it over HTTP: camel case, coloured levels. */
START_TEST(tail_knows_the_other_spellings)
{
	static const struct { const char *key, *value; } pair[] = {
		{ "jobId", "j7" }, { "workerId", "w7" },
		{ "eventType", "e7" }, { "severity", "\x1b[31mERROR\x1b[39m" },
	};
	uint8_t buf[256];
	struct mpw w = { .p = buf, .end = buf + sizeof(buf) };
	size_t i;

	mpw_array(&w, 2);
	mpw_event_time(&w, SECOND);
	mpw_map(&w, 5);
	for (i = 0; i < 4; i++) {
		mpw_str(&w, bytes_str(pair[i].key));
		mpw_str(&w, bytes_str(pair[i].value));
	}
	mpw_str(&w, BYTES("message"));
	mpw_str(&w, BYTES("camel"));
	lane_begins(&lane, ring, 1);
	kit_put(&lane, buf, (size_t)(w.p - buf));
	put(&lane, 2 * SECOND, "\x1b[32minfo\x1b[39m", "quiet", "j1", "e");
	ck_assert_int_eq(RUN("tail", "--job=j7", "--event=e7",
	    "--level=error"), 0);
	ck_assert_uint_eq(lines(), 1);
	has("camel");
	ck_assert_int_eq(RUN("tail", "--level=warning"), 0);
	ck_assert_uint_eq(lines(), 1);
	/* What a record says wins over its lane, spelt otherwise or not. */
	ck_assert_int_eq(RUN("tail", "--worker=w7"), 0);
	ck_assert_uint_eq(lines(), 1);
}
END_TEST

START_TEST(tail_refuses_bad_arguments)
{
	ck_assert_int_eq(RUN("tail", "-n", "x"), EXIT_CONFIG);
	ck_assert_ptr_nonnull(strstr(err, "'x' is not a number from 0 to "
	    "100000\n"));
	ck_assert_int_eq(RUN("tail", "-n", "100001"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("tail", "-n", "-1"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("tail", "--level=loud"), EXIT_CONFIG);
	ck_assert_ptr_nonnull(strstr(err, "'loud' is not trace, debug, "));
	ck_assert_int_eq(RUN("tail", "--nonsense"), EXIT_CONFIG);
	ck_assert_ptr_nonnull(strstr(err, "'--nonsense' is not understood"));
	ck_assert_int_eq(RUN("tail", "extra"), EXIT_CONFIG);
}
END_TEST

START_TEST(no_control_character_gets_through)
{
	const char *s;

	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "in\x1b]0;x\x07", "a\x1b[31mred\r\n\x7f\xc2\x9b",
	    "j\t", "e\x01");
	ck_assert_int_eq(RUN("tail"), 0);
	ck_assert_uint_eq(lines(), 1);
	for (s = out; *s != '\0'; s++)
		ck_assert((unsigned char)*s >= 0x20 || *s == '\n');
	ck_assert_ptr_null(strstr(out, "\xc2\x9b"));
	has("a?[31mred?\\n");
	ck_assert_int_eq(RUN("tail", "--json"), 0);
	ck_assert_uint_eq(lines(), 1);
	for (s = out; *s != '\0'; s++)
		ck_assert((unsigned char)*s >= 0x20 || *s == '\n');
	ck_assert_ptr_null(strchr(out, 0x7f));
	ck_assert_ptr_null(strstr(out, "\xc2\x9b"));
	has("red\\r\\n\\u007f\\u009b\"");
}
END_TEST

START_TEST(every_type_is_shown)
{
	uint8_t buf[256];
	struct mpw w = { .p = buf, .end = buf + sizeof(buf) };
	json_t *j;
	char *s;

	mpw_map(&w, 9);
	mpw_str(&w, BYTES("nil"));
	mpw_nil(&w);
	mpw_str(&w, BYTES("yes"));
	mpw_bool(&w, true);
	mpw_str(&w, BYTES("neg"));
	mpw_int(&w, -5);
	mpw_str(&w, BYTES("big"));
	mpw_uint(&w, UINT64_MAX);
	mpw_str(&w, BYTES("nan"));
	mpw_double(&w, __builtin_nan(""));
	mpw_str(&w, BYTES("bin"));
	mpw_bin(&w, BYTES("abc"));
	mpw_str(&w, BYTES("list"));
	mpw_array(&w, 2);
	mpw_uint(&w, 1);
	mpw_str(&w, BYTES("x"));
	mpw_uint(&w, 3);
	mpw_str(&w, BYTES("\xff" "y"));
	mpw_str(&w, BYTES("map"));
	mpw_map(&w, 0);
	ck_assert(!w.full);
	j = show_json(bytes_of(buf, (size_t)(w.p - buf)));
	ck_assert_ptr_nonnull(j);
	s = json_dumps(j, JSON_COMPACT);
	ck_assert_str_eq(s, "{\"nil\":null,\"yes\":true,\"neg\":-5,"
	    "\"big\":1.8446744073709552e19,\"nan\":null,"
	    "\"bin\":\"<binary, 3 bytes>\",\"list\":[1,\"x\"],"
	    "\"3\":\"?y\",\"map\":{}}");
	free(s);
	json_decref(j);
	ck_assert_ptr_null(show_json(bytes_of("\x81", 1)));
	ck_assert_ptr_null(show_json(bytes_of("\xc1", 1)));
}
END_TEST

START_TEST(observers_change_no_byte)
{
	static uint8_t before[LANE_DATA_AT + LANE_DATA_MIN];
	struct stat st, st2;

	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "m", "j", "e");
	memcpy(before, lane.head, sizeof(before));
	ck_assert_int_eq(stat(lane.path, &st), 0);
	ck_assert_int_eq(RUN("tail"), 0);
	ck_assert_int_eq(RUN("ring"), 0);
	ck_assert_mem_eq(before, lane.head, sizeof(before));
	ck_assert_int_eq(stat(lane.path, &st2), 0);
	ck_assert(st.st_mtim.tv_sec == st2.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == st2.st_mtim.tv_nsec);
}
END_TEST

static unsigned looks;
static struct kit late;

static bool
steps(void *arg)
{
	struct kit *other = arg;
	char to[200];

	switch (++looks) {
	case 1:
		put(&lane, 2 * SECOND, "info", "second", "j", "e");
		return true;
	case 2:
		fflush(a.out);
		has("second");		/* one look later */
		lane_begins(other, ring, 9);
		put(other, 3 * SECOND, "info", "third", "j", "e");
		return true;
	case 3:
		fflush(a.out);
		has("third");		/* a lane that was not there */
		put(other, 4 * SECOND, "info", "fourth", "j", "e");
		kit_die(other);
		snprintf(to, sizeof(to), "%.*s.dead",
		    (int)(strlen(other->path) - 5), other->path);
		ck_assert_int_eq(rename(other->path, to), 0);
		return true;
	case 4:
		put(&lane, 5 * SECOND, "info", "fifth", "j", "e");
		ck_assert_int_eq(unlink(lane.path), 0);
		return true;
	default:
		return false;
	}
}

START_TEST(tail_follows_lanes_as_they_come_and_go)
{
	const char *s;
	unsigned n = 0;

	lane_begins(&lane, ring, 1);
	put(&lane, 1 * SECOND, "info", "first", "j", "e");
	looks = 0;
	a.go_on = steps;
	a.arg = &late;
	ck_assert_int_eq(RUN("tail", "-f"), 0);
	ck_assert_uint_eq(looks, 5);
	ck_assert_uint_eq(lines(), 5);
	has("fourth");
	has("fifth");
	for (s = out; (s = strstr(s, "third")) != NULL; s++)
		n++;
	ck_assert_uint_eq(n, 1);	/* not again as .dead */
}
END_TEST

START_TEST(tail_waits_for_a_ring_that_is_not_there_yet)
{
	ck_assert_int_eq(rmdir(ring), 0);
	ck_assert_int_eq(RUN("tail"), 1);
	looks = 4;
	a.go_on = steps;
	ck_assert_int_eq(RUN("tail", "-f"), 0);
}
END_TEST

START_TEST(an_overtaken_tail_says_so)
{
	unsigned i;

	lane_begins(&lane, ring, 1);
	for (i = 0; i < 3000; i++)
		put(&lane, (i + 1) * SECOND, "info", "a message", "j", "e");
	ck_assert_uint_gt(lane.at, LANE_DATA_MIN);
	ck_assert_int_eq(RUN("tail", "-n", "100000"), 0);
	ck_assert_uint_gt(lines(), 100);
	ck_assert_uint_lt(lines(), 3000);
	ck_assert_int_eq(RUN("tail", "-n", "1"), 0);
	ck_assert_uint_eq(lines(), 1);
	has("00:50:00.000");
}
END_TEST

START_TEST(lanes_that_cannot_be_read_are_told)
{
	char path[200];
	FILE *f;

	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "good", "j", "e");
	snprintf(path, sizeof(path), "%s/%032d.lane", ring, 7);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("nothing like a lane", f);
	fclose(f);
	ck_assert_int_eq(RUN("tail"), 0);
	has("good");
	ck_assert_str_eq(err, "emplogd tail: 1 lanes cannot be read; emplogd "
	    "ring says why\n");
}
END_TEST

START_TEST(what_is_no_record_is_counted_and_passed)
{
	static const char junk[] = "\xc1\xc1\xc1";

	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "good", "j", "e");
	kit_put(&lane, junk, 3);
	ck_assert_int_eq(RUN("tail"), 0);
	has("good");
	ck_assert_str_eq(err, "emplogd tail: 1 pieces of lanes hold no "
	    "records any more\n");
}
END_TEST

/* ---- help ---- */

START_TEST(help_knows_every_key_counter_and_variable)
{
	unsigned i;

	a.conf = NULL;
	ck_assert_int_eq(RUN("help"), 0);
	has("emplogd tail [-f]");
	ck_assert_int_eq(RUN("help", "keys"), 0);
	for (i = 0; i < KEY_COUNT; i++)
		has(key_info[i].name);
	ck_assert_int_eq(RUN("help", "counters"), 0);
	for (i = 0; i < CTR_COUNT; i++)
		has(ctr_info[i].name);
	ck_assert_int_eq(RUN("help", "variables"), 0);
	has("DASH0_LOGS_ENDPOINT\n    to exporter.endpoint\n");
}
END_TEST

START_TEST(help_names_one_thing)
{
	ck_assert_int_eq(RUN("help", "agent.relay"), 0);
	has("agent.relay\n    relays, tried in order\n    a list of host:port, "
	    "tls://host:port, https://host; default 127.0.0.1:24224\n    also EMPLOGD_AGENT_RELAY\n");
	has_not("agent.queue_max\n");
	ck_assert_int_eq(RUN("help", "EMPLOGD_AGENT_QUEUE_MAX"), 0);
	has("agent.queue_max\n");
	has("a size from 4M to 1T; default 100M\n");
	ck_assert_int_eq(RUN("help", "relay"), 0);
	has("relay.message_max\n");
	ck_assert_int_eq(RUN("help", "queue_full"), 0);
	has("queue_full (queue, counter)\n");
	ck_assert_int_eq(RUN("help", "PORT"), 0);
	ck_assert_int_eq(RUN("help", "agent.rely"), EXIT_CONFIG);
	ck_assert_str_eq(out, "");
	ck_assert_ptr_nonnull(strstr(err, "'agent.rely' is not known; did you "
	    "mean 'agent.relay'?\n"));
}
END_TEST

static struct conf_source before;	/* options that stood before the verb */

/* With stdout and stderr in files of the test's own process. */
static int
whole(const char *const *words, char *ret_text, size_t cap)
{
	char *argv[8] = { NULL }, *own[8] = { NULL }, path[128];
	int argc, i, r;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/said", dir);
	for (argc = 0; words[argc] != NULL; argc++)
		argv[argc] = own[argc] = strdup(words[argc]);
	ck_assert_ptr_nonnull(freopen(path, "w", stdout));
	ck_assert_ptr_nonnull(freopen(path, "a", stderr));
	r = admin_main(argc, argv, &before);
	fflush(stdout);
	fflush(stderr);
	for (i = 0; own[i] != NULL; i++)
		free(own[i]);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(ret_text, 1, cap - 1, f);
	ret_text[n] = '\0';
	fclose(f);
	return r;
}

#define WHOLE(buf, ...) whole((const char *const[]){ __VA_ARGS__, NULL }, \
	buf, sizeof(buf))

START_TEST(a_verb_finds_its_configuration_itself)
{
	char text[4096], config[160], set[160];
	FILE *f;

	snprintf(config, sizeof(config), "--config=%s/conf", dir);
	f = fopen(strchr(config, '/'), "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "[common]\nring_dir = %s\nrely = x\n", ring);
	fclose(f);
	lane_begins(&lane, ring, 1);
	put(&lane, SECOND, "info", "found", "j", "e");
	ck_assert_int_eq(WHOLE(text, "tail", config, "-n", "1"), 0);
	ck_assert_ptr_nonnull(strstr(text, " found "));
	ck_assert_ptr_nonnull(strstr(text, "note: 1 fault in the "
	    "configuration as seen from here, first: "));
	ck_assert_ptr_nonnull(strstr(text, "conf:3: key 'common.rely' is not "
	    "known"));
	snprintf(set, sizeof(set), "common.ring_dir=%s/absent", dir);
	ck_assert_int_eq(WHOLE(text, "ring", "--set", set, "--config",
	    strchr(config, '/')), 1);
	ck_assert_ptr_nonnull(strstr(text, "/absent' cannot be read"));
	/* Before the verb they are as good; behind it they are stronger. */
	before = (struct conf_source){ .file = strchr(config, '/') };
	ck_assert_int_eq(WHOLE(text, "tail"), 0);
	ck_assert_ptr_nonnull(strstr(text, " found "));
	ck_assert_int_eq(WHOLE(text, "ring", "--set", set), 1);
}
END_TEST

START_TEST(an_unknown_verb_is_told)
{
	char text[4096];

	ck_assert_int_eq(WHOLE(text, "stats"), EXIT_CONFIG);
	ck_assert_str_eq(text, "emplogd: error: 'stats' is no verb; see "
	    "'emplogd help'\n");
	ck_assert_int_eq(WHOLE(text, "version"), 0);
	ck_assert_int_eq(strncmp(text, "emplogd 0", 9), 0);
}
END_TEST

START_TEST(sizes_and_ages_read_well)
{
	ck_assert_str_eq(human_bytes(1023).text, "1023 B");
	ck_assert_str_eq(human_bytes(1024).text, "1.0 KiB");
	ck_assert_str_eq(human_bytes(UINT64_MAX).text, "16.0 EiB");
	ck_assert_str_eq(human_age(59 * SECOND).text, "59 s");
	ck_assert_str_eq(human_age(60 * SECOND).text, "1 min");
	ck_assert_str_eq(human_age(3600 * SECOND).text, "1 h 0 min");
	ck_assert_str_eq(human_age(86400 * SECOND).text, "1 d 0 h");
	ck_assert_uint_eq(human_since(5, 6), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		nothing_ever_ran_is_trouble, a_running_agent_is_healthy,
		an_agent_without_relay_is_trouble,
		stopped_hung_and_died_are_told_apart,
		a_late_tick_is_no_trouble, who_just_died_is_not_running,
		a_pid_of_another_container_does_not_matter,
		a_configured_role_that_never_ran_is_trouble,
		drops_are_told_by_reason, an_exporter_tells_the_last_answer,
		a_disk_that_takes_nothing_is_trouble,
		an_export_that_can_write_nothing_is_trouble,
		a_relay_that_exports_tells_both,
		a_backlog_is_told_while_fresh_records_go_beside_it,
		a_long_wait_is_trouble, a_certificate_that_ends_soon_is_trouble,
		status_speaks_json,
		ring_shows_living_closed_and_dead, ring_names_jobs_in_progress,
		a_lane_that_is_renamed_while_looked_for_is_found_one_removed_is_none,
		ring_tells_what_is_no_lane, tail_shows_a_record_on_one_line,
		tail_speaks_json_with_the_lanes_identity,
		tail_puts_lanes_in_order_of_time, tail_chooses,
		tail_knows_the_other_spellings,
		tail_refuses_bad_arguments, no_control_character_gets_through,
		every_type_is_shown, observers_change_no_byte,
		tail_follows_lanes_as_they_come_and_go,
		tail_waits_for_a_ring_that_is_not_there_yet,
		an_overtaken_tail_says_so,
		lanes_that_cannot_be_read_are_told,
		what_is_no_record_is_counted_and_passed,
		help_knows_every_key_counter_and_variable,
		help_names_one_thing, a_verb_finds_its_configuration_itself,
		an_unknown_verb_is_told, sizes_and_ages_read_well,
	};
	TCase *tc = tcase_create("admin");
	Suite *s = suite_create("admin");
	SRunner *sr;
	size_t i;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
