/* SPDX-License-Identifier: ISC */
/* engine_rig.c - the export in virtual time; the contract is in engine_rig.h */

#include "engine_rig.h"

#define PUTS_MAX	256

struct sim *sim;
struct sim_host *host;
struct sim_proc *proc;
struct env env;
struct queue *queue;
struct export *export;
struct export_conf conf;
static struct queue_put put[PUTS_MAX];
uint64_t queue_age_ns;
unsigned durable_n;
struct bytes identity;
uint8_t flags, encoding;
static unsigned left;
static uint64_t words[CTR_COUNT];	/* counters over a crash */
static bool crashed;
static unsigned puts_n, events;
static bool rang;
int stopped_n;
static int opened_res;
struct seen post[POSTS_MAX];
unsigned post_n;
unsigned lines_n;
const char *sought;

int (*say)(unsigned nth, struct bytes body, struct post *p);

static int
answered(void *arg, struct post *p)
{
	int status = say(post_n, p->body, p);

	ck_assert_uint_lt(post_n, POSTS_MAX);
	post[post_n++] = (struct seen){ sim_now(sim), status };
	if (status == 0)
		return -ECONNREFUSED;
	p->status = status;
	return 0;
}

static void
log_line(void *arg, enum log_level level, const char *line)
{
	if (getenv("ENGINE_LOUD") != NULL)
		fprintf(stderr, "%.3f %s\n", (double)sim_now(sim) / 1e9, line);
	lines_n += sought != NULL && strstr(line, sought) != NULL;
}

bool
has(struct bytes body, const char *text)
{
	return memmem(body.p, body.n, text, strlen(text)) != NULL;
}

static void
notify(void *arg)
{
	if (export != NULL)
		export_notify(export);
}

void
opened(void *arg, int res)
{
	opened_res = res;
}

void
stopped(void *arg)
{
	stopped_n++;
}

static void
alarm_done(struct op *op)
{
	rang = true;
}

static bool
enough(void *arg)
{
	return rang || ++events > EVENTS_MAX;
}

void
pass(uint64_t ns)
{
	struct op alarm;

	events = 0;
	rang = false;
	op_init(&alarm, alarm_done, NULL);
	loop_timer(sim_loop(proc), &alarm, sim_now(sim) + ns);
	sim_run(sim, sim_now(sim) + ns + S, enough, NULL);
	ck_assert_msg(rang, "it turns in place");
}

static bool
no_more(void *arg)
{
	return left-- == 0;
}

void
happen(unsigned n)
{
	left = n;
	sim_run(sim, sim_now(sim) + 60 * S, no_more, NULL);
}

static void
boot(void)
{
	struct queue_conf qc = { .dir = "/queue", .bytes_max = 128u << 20,
	    .age_max_ns = queue_age_ns, .notify = notify };

	proc = sim_proc_new(host, "export");
	env_init(&env, sim_loop(proc), "test");
	if (crashed)
		memcpy(env.ctr.word, words, sizeof(words));
	env.log_sink = log_line;
	env.alloc = sim_alloc;
	env.release = sim_release;
	env.mem_arg = proc;
	ck_assert_int_eq(queue_new(&queue, &env, &qc), 0);
	opened_res = 1;
	queue_open(queue, opened, NULL);
	pass(S);
	ck_assert_int_eq(opened_res, 0);
	ck_assert_int_eq(export_new(&export, &env, queue, &conf), 0);
	opened_res = 1;
	export_start(export, opened, NULL);
	pass(S);
	ck_assert_int_eq(opened_res, 0);
}

void
start(int (*backend)(unsigned, struct bytes, struct post *))
{
	static const struct sim_faults none = { .net_delay_ns = MS };

	say = backend;
	ck_assert_int_eq(sim_new(&sim, 1, &none), 0);
	host = sim_host_new(sim, "host");
	sim_backend(sim, answered, NULL);
	boot();
}

void
crash_and_start(bool power)
{
	/* they are in a file that is mapped */
	memcpy(words, env.ctr.word, sizeof(words));
	export = NULL;
	if (power)
		sim_power_loss(host);
	else
		sim_crash(proc);
	env_fini(&env);
	crashed = true;
	boot();
	crashed = false;
}

void
stop(void)
{
	stopped_n = 0;
	export_stop(export, sim_now(sim) + S, stopped, NULL);
	pass(10 * S);
	ck_assert_int_eq(stopped_n, 1);
	ck_assert(export_conserves(export));
	export_free(&export);
	queue_close(queue, stopped, NULL);
	pass(10 * S);
	ck_assert_int_eq(stopped_n, 2);
	queue_free(&queue);
	env_fini(&env);
	sim_free(&sim);
}

static void
on_durable(struct queue_put *p, int res)
{
	ck_assert_int_eq(res, 0);
	durable_n++;
}

void
put_body(const struct mpw *w, const uint8_t *body, uint32_t records)
{
	struct chunk c = { .records = records, .identity = identity, .flags = flags, .encoding = encoding,
	    .taken_ns = loop_wall(env.loop),
	    .body[0] = bytes_of(body, (size_t)(w->p - body)) };
	struct queue_put *p = &put[puts_n++ % PUTS_MAX];

	ck_assert(!w->full);
	p->done = on_durable;
	ck_assert_int_eq(queue_put(queue, &c, p), 0);
}

void
give(const char *message, uint32_t n)
{
	static uint8_t body[1u << 17];
	struct mpw w = { body, body + sizeof(body), false };
	uint32_t i;

	for (i = 0; i < n; i++) {
		mpw_array(&w, 2);
		mpw_event_time(&w, loop_wall(env.loop));
		mpw_map(&w, 1);
		mpw_str(&w, BYTES("message"));
		mpw_str(&w, bytes_str(message));
	}
	put_body(&w, body, n);
}

uint64_t
count(enum ctr c)
{
	return ctr_get(&env.ctr, c);
}

void
reset(void)
{
	post_n = puts_n = durable_n = lines_n = 0;
	sought = NULL;
	identity = (struct bytes){ 0 };
	flags = encoding = 0;
	queue_age_ns = 0;
	export = NULL;
	conf = (struct export_conf){
		.endpoint = "http://backend", .token = "", .dataset = "",
		.headers = "", .requests_max = 4, .batch_bytes = 1u << 20,
		.timeout_ms = 30000, .file_dir = "/files",
		.file_max = 1u << 20, .files_keep = 3, .dead_dir = "/dead",
		.otlp.norm.service_namespace = "emp",
	};
}
