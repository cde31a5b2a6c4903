/* SPDX-License-Identifier: ISC */
/*
 * test_migrate.c - old configurations, and the emplogd.conf made of them
 *
 * Claims: each row of the tables below; whatever is printed is read by our
 * own reader without a fault; no secret is printed; what no table knows is
 * told; a file beyond the bounds is refused with its line.
 */

#include <check.h>
#include <dirent.h>
#include <stdio.h>

#include "migrate_files.h"

/* The linker puts these in place of malloc and calloc: the nth fails. */
void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t m);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t m);
static unsigned fail_in;		/* 0: never */

static bool
fails(void)
{
	return fail_in > 0 && --fail_in == 0;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t m)
{
	return fails() ? NULL : __real_calloc(n, m);
}

#define ROWS(table)	((int)(sizeof(table) / sizeof((table)[0])))

static struct kept kept;
static const struct old_files files = { kept_load, kept_match, &kept };
static char *out, *err;
static size_t out_n, err_n;
static char told[4096];
static unsigned fail_at;		/* which allocation of a run */

static char variable[][40] = { "DASH0_AUTH_TOKEN=auth_x", "FLUENTD_HOST=h",
    "FLUENTD_PORT=1", "MACHINE_ID=m", "WORKER_ID=w", "BIND=127.0.0.1",
    "DEPLOYMENT_ENV=test", "DASH0_ENDPOINT=http://h", "DASH0_DATASET=d" };
static char *env[sizeof(variable) / sizeof(variable[0]) + 1];

static void
keep_file(const char *path, const char *text)
{
	kept.file[kept.n++] = (struct kept_file){ path, text, strlen(text) };
}

static void
forget(void)
{
	free(out);
	free(err);
	out = err = NULL;
	kept.n = 0;
	fail_at = 0;
}

static void
tell(void *arg, bool fault, const char *line)
{
	(void)arg;
	if (fault)
		snprintf(told, sizeof(told), "%s", line);
}

/* Of the first n kept files; what was printed must be without a fault. */
static int
run(unsigned n)
{
	const char *paths[8];
	FILE *o = open_memstream(&out, &out_n);
	FILE *e = open_memstream(&err, &err_n);
	unsigned i;
	int r;

	for (i = 0; i < sizeof(variable) / sizeof(variable[0]); i++)
		env[i] = variable[i];
	for (i = 0; i < n; i++)
		paths[i] = kept.file[i].path;
	fail_in = fail_at;
	r = migrate_files(paths, n, &files, o, e);
	fail_in = 0;
	fclose(o);
	fclose(e);
	if (r == 0) {
		told[0] = '\0';
		ck_assert_msg(faults_in(out, out_n, env, tell) == 0,
		    "%s\nof\n%s", told, out);
		ck_assert_ptr_null(strstr(out, "hush"));
	}
	return r;
}

#define BIT	"[INPUT]\n Name http\n"
#define TO	"[OUTPUT]\n Name forward\n Host h\n Port 1\n"
#define OTLP	"[OUTPUT]\n Name opentelemetry\n"
#define SOURCE	"<source>\n @type forward\n</source>\n"
#define HTTP	"<match **>\n @type http\n endpoint http://h:4318\n"

/* The text has what is in want, each, and nothing of what is in not. */
static const struct row {
	const char	*claim, *text, *want[5], *not;
} rows[] = {
	{ "a set variable is filled in, also before it is set",
	    BIT "[OUTPUT]\n Name forward\n Host ${a}\n Port 1\n@SET a=x.y\n",
	    { "\nrelay = x.y:1\n" }, "${a}" },
	{ "of two set variables the last counts",
	    "@SET a=x\n@SET a = y\n" BIT
	    "[OUTPUT]\n Name forward\n Host ${a}\n", { "relay = y:24224\n" },
	    NULL },
	{ "a variable of the environment stays one, and is told",
	    BIT "[OUTPUT]\n Name forward\n Host ${FLUENTD_HOST}\n Port 1\n",
	    { "relay = ${FLUENTD_HOST}:1\n",
	    "# must be set in its environment: FLUENTD_HOST\n" }, NULL },
	{ "a second receiver is told, and the first is kept",
	    BIT TO "[OUTPUT]\n Name forward\n Host i\n Port 1\n",
	    { "relay = h:1\n", "f.conf:7: 'forward': a second receiver" },
	    NULL },
	{ "the same receiver again is no second one",
	    BIT TO TO, { "relay = h:1\n" }, "a second receiver" },
	{ "an unknown plugin is told, of each kind",
	    "[INPUT]\n Name quux\n[FILTER]\n Name frob\n[OUTPUT]\n Name tele\n",
	    { "1: 'quux': a plugin that emplogd does not know",
	    "3: 'frob': a plugin that emplogd does not know",
	    "5: 'tele': a plugin that emplogd does not know" }, NULL },
	{ "an unknown section is told",
	    BIT "[QUUX]\n a b\n", { "3: 'quux': a section that emplogd" },
	    NULL },
	{ "a section without a plugin is told",
	    BIT "[OUTPUT]\n Host h\n", { "'output': says no plugin" }, NULL },
	{ "a mistyped option is told, with the right one",
	    BIT " mem_buf_limt 1M\n[SERVICE]\n log_livel info\n",
	    { "3: 'mem_buf_limt': there is no such option; did you mean "
	    "'mem_buf_limit'?", "did you mean 'log_level'?" }, NULL },
	{ "an option that is like none is told",
	    BIT " colour blue\n", { "3: 'colour': an option that emplogd does "
	    "not know" }, NULL },
	{ "no Retry_Limit is one, and told",
	    BIT TO, { "without Retry_Limit it is 1" }, NULL },
	{ "Retry_Limit no_limits is nothing to tell",
	    BIT TO " Retry_Limit no_limits\n", { "relay = h:1\n" },
	    "Retry_Limit" },
	{ "storage.type without a path is told",
	    "[INPUT]\n Name http\n storage.type filesystem\n",
	    { "needs a storage.path" }, NULL },
	{ "a storage.path without a type is told",
	    "[SERVICE]\n storage.path /var/b\n" BIT,
	    { "storage.path alone keeps nothing" }, NULL },
	{ "no limit of memory is told",
	    BIT, { "memory without a limit" }, NULL },
	{ "a limit of the disk becomes ours, when there was a disk",
	    "[SERVICE]\n storage.path /v\n[INPUT]\n Name http\n"
	    " storage.type filesystem\n" TO " storage.total_limit_size 50M\n",
	    { "queue_max = 50M\n", "the oldest records were dropped" },
	    "did nothing: no input" },
	{ "a limit of the disk without a disk is told",
	    BIT TO " storage.total_limit_size 50M\n",
	    { "did nothing: no input has storage.type filesystem" }, NULL },
	{ "Forward's TLS is ours, its key a hint without the secret",
	    BIT TO " tls on\n tls.ca_file /c.pem\n tls.vhost n\n"
	    " Shared_Key hush\n Username hush\n Password hush\n",
	    { "\nrelay = tls://h:1\n", "\ntls_ca = /c.pem\n", "\ntls_name = n\n",
	    "# common.shared_key_file = ...\n", "# common.user = ...\n" },
	    "hush" },
	{ "half of a certificate is a hint",
	    BIT TO " tls on\n tls.key_file /k\n",
	    { "\nrelay = tls://h:1\n", "# common.tls_key = /k\n" },
	    "\ntls_key" },
	{ "TLS by HTTP is an https:// peer",
	    BIT "[OUTPUT]\n Name http\n Host h\n Port 443\n tls on\n",
	    { "\nrelay = https://h:443\n" }, "in the clear" },
	{ "a listener with TLS and both its files is opened",
	    "[INPUT]\n Name forward\n tls on\n tls.crt_file /c\n"
	    " tls.key_file /k\n", { "\nlisten = 0.0.0.0:24224\n",
	    "\ntls_listen = yes\n", "\ntls_cert = /c\n", "\ntls_key = /k\n" },
	    "insecure_listen" },
	{ "a listener with TLS and no files is not",
	    "[INPUT]\n Name forward\n tls on\n",
	    { "\nlisten = 127.0.0.1:24224\n", "# common.tls_listen = yes\n",
	    "# common.tls_cert = ...\n", "# relay.listen = 0.0.0.0:24224\n" },
	    "insecure_listen = yes" },
	{ "who asked for a key is not opened to everybody",
	    "[INPUT]\n Name forward\n Shared_Key hush\n",
	    { "\nlisten = 127.0.0.1:24224\n",
	    "# relay.listen = 0.0.0.0:24224\n" }, "insecure_listen = yes" },
	{ "who asked for nothing is, and it is told",
	    "[INPUT]\n Name forward\n", { "\nlisten = 0.0.0.0:24224\n",
	    "listened to everybody", "insecure_listen = yes\n" }, NULL },
	{ "Require_ack_response missing is told",
	    BIT TO, { "without Require_ack_response" }, NULL },
	{ "Require_ack_response on is nothing to tell",
	    BIT TO " Require_ack_response true\n", { "relay = h:1\n" },
	    "equire_ack_response" },
	{ "a secret behind the wrong sign is not printed",
	    BIT TO " Shared_Key=hush\n http_passwd:hush\n",
	    { "8: 'http_passwd...': not printed", "'shared_key...'" }, NULL },
	{ "a piece of a secret that stands as a name is not printed",
	    BIT TO " Header Authorization x\n"
	    " 0123456789abcdef0123456789abcdef0123456789hush\n",
	    { "8: '...': an option that emplogd does not know" }, "0123" },
	{ "TLS by a variable is taken for on",
	    BIT TO " tls ${FLUENTD_SECURE}\n", { "on or off by a variable",
	    "\nrelay = tls://h:1\n" }, NULL },
	{ "an OTLP output is our exporter",
	    BIT OTLP " Host h\n Port 443\n tls on\n Logs_uri /v1/logs\n"
	    " Header Authorization Bearer hush\n Header Dash0-Dataset prod\n",
	    { "role = agent, relay\n", "endpoint = https://h\n",
	    "dataset = prod\n", "exporter.token_file" }, NULL },
	{ "OTLP to a URI of JSON is told",
	    BIT OTLP " Host h\n Port 80\n Logs_uri /logs/json\n",
	    { "OTLP was sent there", "endpoint = http://h\n" }, NULL },
	{ "JSON to a URI of OTLP is told",
	    BIT "[OUTPUT]\n Name http\n Host h\n Port 80\n URI /v1/logs\n",
	    { "plain JSON was sent", "endpoint = http://h\n" }, NULL },
	{ "only the message of OTLP is told",
	    BIT OTLP " Host h\n Port 80\n", { "only the message was sent" },
	    NULL },
	{ "port 443 without TLS is told",
	    BIT OTLP " Host h\n Port 443\n", { "plain HTTP to port 443",
	    "endpoint = https://h\n" }, NULL },
	{ "gRPC's port is told",
	    BIT OTLP " Host h\n Port 4317\n", { "4317 is gRPC's port" }, NULL },
	{ "tailing a file twice is told",
	    "[INPUT]\n Name tail\n Path /l/*.log\n[INPUT]\n Name tail\n"
	    " Path /l/a.log\n", { "4: 'tail': its Path meets that of line 1" },
	    NULL },
	{ "tailing what PM2 writes twice is told",
	    "[INPUT]\n Name tail\n Path /l/*.log\n", { "-combined.log" },
	    NULL },
	{ "what is excluded is not tailed twice",
	    "[INPUT]\n Name tail\n Path /l/*.log\n"
	    " Exclude_Path *-combined.log,*fluent*,*otel*,*td-*\n",
	    { "role = agent\n" }, "twice" },
	{ "tailing oneself is told",
	    "[SERVICE]\n Log_File /l/own.log\n[INPUT]\n Name tail\n"
	    " Path /l/*.log\n", { "reads '/l/own.log', its own Log_File",
	    "where a shipper writes its own lines" }, NULL },
	{ "tailing what one writes is told",
	    "[INPUT]\n Name tail\n Path /l/*.txt\n[OUTPUT]\n Name file\n"
	    " Path /l\n File a.txt\n", { "went round in a circle" }, NULL },
	{ "one DB of two inputs is told",
	    "[INPUT]\n Name tail\n Path /a\n DB /d\n[INPUT]\n Name tail\n"
	    " Path /b\n DB /d\n", { "shares its DB with line 1" }, "twice" },
	{ "an output that no Tag reaches is told",
	    "[INPUT]\n Name http\n Tag a\n" TO " Match b.*\n",
	    { "no input's Tag matches its Match 'b.*'" }, NULL },
	{ "an output that a Tag reaches is not",
	    "[INPUT]\n Name http\n Tag b.c\n" TO " Match b.*\n",
	    { "relay = h:1\n" }, "no input's Tag" },
	{ "an aggregating Fluent Bit is a relay",
	    "[INPUT]\n Name forward\n Listen 127.0.0.1\n" TO,
	    { "role = relay\n", "next = h:1\n", "listen = 127.0.0.1:24224\n" },
	    "[agent]" },
	{ "what cannot be a value of ours is told, not printed",
	    "[INPUT]\n Name http\n Port ninety\n" TO " Port x\n",
	    { "not taken over as agent.http_listen" }, "ninety\n[" },
	{ "what stands outside of sections is told",
	    " Name x\n" BIT, { "1: 'Name': stands outside" }, NULL },
};

static const struct row fluentd_rows[] = {
	{ "of copy each store is looked at, and the first backend taken",
	    SOURCE "<match **>\n @type copy\n <store>\n  @type http\n"
	    "  endpoint http://h:4318\n </store>\n <store>\n  @type http\n"
	    "  endpoint http://i:4318\n </store>\n <store>\n  @type quux\n"
	    " </store>\n</match>\n",
	    { "endpoint = http://h:4318\n", "a second backend",
	    "'quux': a plugin that emplogd does not know" }, NULL },
	{ "a match behind a wider one is told",
	    SOURCE "<match a.** b>\n @type null\n</match>\n<match a.c>\n"
	    " @type null\n</match>\n<match a>\n @type null\n</match>\n",
	    { "7: 'match': stands behind <match a.** b> of line 4",
	    "10: 'match': stands behind" }, NULL },
	{ "a match beside another one is not",
	    SOURCE "<match a.*>\n @type null\n</match>\n<match ab.c>\n"
	    " @type null\n</match>\n", { "threw away" }, "stands behind" },
	{ "a filter behind its match is told",
	    SOURCE HTTP "</match>\n<filter a>\n @type stdout\n</filter>\n",
	    { "'filter': stands behind <match **>" }, NULL },
	{ "a label nobody leads to is told",
	    SOURCE "<label @A>\n</label>\n", { "leads to '@A': never reached" },
	    NULL },
	{ "a label that is not there is told",
	    "<source>\n @type forward\n @label @B\n</source>\n",
	    { "there is no <label @B>" }, NULL },
	{ "a label's match is looked at",
	    "<source>\n @type forward\n @label @A\n</source>\n<label @A>\n"
	    HTTP "</match>\n</label>\n", { "endpoint = http://h:4318\n" },
	    "never reached" },
	{ "null is told",
	    SOURCE "<match x>\n @type null\n</match>\n",
	    { "threw away what it matched" }, NULL },
	{ "flush_mode immediate and a memory buffer are told",
	    SOURCE HTTP "<buffer>\n @type memory\n flush_mode immediate\n"
	    "</buffer>\n</match>\n", { "was sent alone", "a restart lost",
	    "dropped after 72h" }, NULL },
	{ "no buffer is memory, and told",
	    SOURCE HTTP "</match>\n", { "without <buffer> it is memory" },
	    NULL },
	{ "an answer that was final is told",
	    SOURCE HTTP "</match>\n", { "429 or 502 was taken for final" },
	    NULL },
	{ "a limit of a file buffer is ours",
	    SOURCE HTTP "<buffer>\n @type file\n path /b\n"
	    " total_limit_size 256m\n</buffer>\n</match>\n",
	    { "queue_max = 256m\n" }, "a restart lost" },
	{ "forward is the next hop, a second one is told",
	    SOURCE "<match **>\n @type forward\n <server>\n  host h\n"
	    "  port 1\n </server>\n <server>\n  host i\n </server>\n"
	    "</match>\n", { "next = h:1\n", "a second receiver" },
	    "[exporter]" },
	{ "TLS of a source is ours, its key a hint without the secret",
	    "<source>\n @type forward\n <transport tls>\n  cert_path /c\n"
	    "  private_key_path /k\n  private_key_passphrase hush\n"
	    " </transport>\n <security>\n  shared_key hush\n  <user>\n"
	    "   username hush\n   password hush\n  </user>\n </security>\n"
	    "</source>\n", { "\ntls_cert = /c\n", "\ntls_listen = yes\n",
	    "\nlisten = 127.0.0.1:24224\n", "# common.shared_key_file = ...\n",
	    "# common.user = ...\n" }, "insecure_listen = yes" },
	{ "forward with TLS goes on with TLS",
	    SOURCE "<match **>\n @type forward\n transport tls\n"
	    " tls_cert_path /c\n <server>\n  host h\n </server>\n</match>\n",
	    { "\nnext = tls://h:24224\n", "\ntls_ca = /c\n" }, NULL },
	{ "Ruby that asks for the environment is a variable",
	    "<source>\n @type http\n bind 127.0.0.1\n"
	    " port \"#{ENV['A'] || '8889'}\"\n</source>\n",
	    { "http_listen = 127.0.0.1:${A:-8889}\n" }, NULL },
	{ "other Ruby is told, not printed",
	    "<source>\n @type http\n port \"#{1 + 1}\"\n</source>\n",
	    { "not taken over as relay.http_listen" }, "1 + 1" },
	{ "Ruby without double quotes is told",
	    "<source>\n @type http\n port #{ENV['A']}\n</source>\n",
	    { "3: 'port': Ruby is evaluated in double quotes alone" }, NULL },
	{ "comments and quotes are not of the value",
	    "<source>\n @type 'http'\n port 8889 # x\n bind \"::1\"\n"
	    "</source>\n", { "http_listen = [::1]:8889\n" }, "insecure" },
	{ "an object goes on to its end",
	    SOURCE HTTP " headers {\n  \"Authorization\": \"hush\",\n"
	    "  \"Dash0-Dataset\": \"d\"\n }\n</match>\n",
	    { "dataset = d\n", "the token is not printed" }, NULL },
	{ "a secret in a URL is not printed",
	    SOURCE "<match **>\n @type http\n endpoint http://u:hush@h/\n"
	    "</match>\n", { "may hold a secret" }, NULL },
	{ "an endpoint by tag is told",
	    SOURCE "<match **>\n @type http\n endpoint http://h/${tag}\n"
	    "</match>\n", { "depends on the tag" }, NULL },
	{ "a mistyped option and section are told",
	    SOURCE HTTP " <bufer>\n </bufer>\n open_timout 3\n</match>\n"
	    "<mach>\n</mach>\n", { "'bufer': a section that emplogd",
	    "did you mean 'open_timeout'?", "'mach': a section that emplogd" },
	    NULL },
	{ "one port twice is left out, and told",
	    "<source>\n @type forward\n port 8888\n</source>\n<source>\n"
	    " @type http\n port 8888\n</source>\n", { "had the same port" },
	    NULL },
	{ "also where a variable has it as its default",
	    "<source>\n @type forward\n port 8888\n</source>\n<source>\n"
	    " @type http\n port ${P:-8888}\n</source>\n",
	    { "had the same port" }, NULL },
	{ "without_source is told",
	    "<system>\n without_source\n</system>\n", { "nothing ever came" },
	    NULL },
};

static void
check_row(const struct row *r)
{
	unsigned i;

	keep_file("f.conf", r->text);
	ck_assert_msg(run(1) == 0, "%s: %s", r->claim, err);
	for (i = 0; i < 5 && r->want[i] != NULL; i++)
		ck_assert_msg(strstr(out, r->want[i]) != NULL,
		    "%s: '%s' is not in\n%s", r->claim, r->want[i], out);
	ck_assert_msg(r->not == NULL || strstr(out, r->not) == NULL,
	    "%s: '%s' is in\n%s", r->claim, r->not, out);
	ck_assert_uint_eq(err_n, 0);
}

START_TEST(each_row_of_fluent_bit_holds)
{
	check_row(&rows[_i]);
}
END_TEST

START_TEST(each_row_of_fluentd_holds)
{
	check_row(&fluentd_rows[_i]);
}
END_TEST

/* ---- several files ---- */

START_TEST(the_nodes_of_an_upstream_file_are_relays_in_order)
{
	keep_file("etc/f.conf", BIT
	    "[OUTPUT]\n Name forward\n Upstream up.conf\n");
	keep_file("etc/up.conf", "[UPSTREAM]\n name u\n[NODE]\n name a\n"
	    " host h\n port 1\n shared_key hush\n[NODE]\n name b\n"
	    " host fd::1\n");
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_nonnull(strstr(out, "relay = h:1, [fd::1]:24224\n"));
	ck_assert_ptr_nonnull(strstr(out, "took turns"));
}
END_TEST

START_TEST(a_node_with_tls_is_one_with_tls_in_the_list)
{
	keep_file("f.conf", BIT
	    "[OUTPUT]\n Name forward\n Upstream up.conf\n");
	keep_file("up.conf", "[UPSTREAM]\n name u\n[NODE]\n host h\n port 1\n"
	    "[NODE]\n host i\n port 2\n tls on\n tls.ca_file /c\n");
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_nonnull(strstr(out, "\nrelay = h:1, tls://i:2\n"));
	ck_assert_ptr_nonnull(strstr(out, "\ntls_ca = /c\n"));
}
END_TEST

START_TEST(a_pattern_includes_all_that_it_matches)
{
	keep_file("etc/f.conf", "@INCLUDE d/*.conf\n" BIT);
	keep_file("etc/d/a.conf", "[OUTPUT]\n Name forward\n Host one\n");
	keep_file("etc/d/b.conf", "[OUTPUT]\n Name forward\n Host two\n");
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_nonnull(strstr(out, "relay = one:24224\n"));
	ck_assert_ptr_nonnull(strstr(out, "etc/d/b.conf:1: 'forward': a "
	    "second receiver"));
}
END_TEST

START_TEST(an_include_inside_of_a_section_belongs_to_it)
{
	keep_file("f.conf", SOURCE "<match **>\n @type http\n @include g\n"
	    "</match>\n");
	keep_file("g", "endpoint http://h:4318\n");
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_nonnull(strstr(out, "endpoint = http://h:4318\n"));
}
END_TEST

START_TEST(json_lines_into_a_json_parser_is_told)
{
	keep_file("b", BIT "[OUTPUT]\n Name http\n Host h\n Port 8888\n"
	    " Format json_lines\n URI /worker-logs\n");
	keep_file("f", "<source>\n @type http\n port 8888\n</source>\n"
	    "<match worker.**>\n @type stdout\n</match>\n");
	ck_assert_int_eq(run(2), 0);
	ck_assert_ptr_nonnull(strstr(out, "it could not be parsed"));
	ck_assert_ptr_nonnull(strstr(out, "'uri': the URI is the tag there, "
	    "and no <match> takes it"));
}
END_TEST

START_TEST(a_uri_that_a_match_takes_is_nothing_to_tell)
{
	keep_file("b", BIT "[OUTPUT]\n Name http\n Host h\n Port 8888\n"
	    " Format json\n URI /worker/logs\n");
	keep_file("f", "<source>\n @type http\n port 8888\n</source>\n"
	    "<match worker.**>\n @type stdout\n</match>\n");
	ck_assert_int_eq(run(2), 0);
	ck_assert_ptr_null(strstr(out, "'uri'"));
	ck_assert_ptr_null(strstr(out, "'format'"));
}
END_TEST

START_TEST(yaml_says_the_same_as_classic)
{
	static const char yaml[] = "env:\n  to: h\npipeline:\n  inputs:\n"
	    "    - name: http\n      port: 9881\n      processors:\n"
	    "        logs:\n          - name: sql\n"
	    "  filters:\n  - name: record_modifier\n    record:\n"
	    "      - region eu\n      - 'worker_id x'\n"
	    "  outputs:\n    - name: forward  # the relay\n"
	    "      host: ${to}\n      port: \"1\"\n      retry_limt: 3\n";

	keep_file("f.yaml", yaml);
	ck_assert_int_eq(run(1), 0);
	ck_assert_ptr_nonnull(strstr(out, "http_listen = 127.0.0.1:9881\n"));
	ck_assert_ptr_nonnull(strstr(out, "relay = h:1\n"));
	ck_assert_ptr_nonnull(strstr(out, "region = eu\n"));
	ck_assert_ptr_nonnull(strstr(out, "'processors': nothing of it"));
	ck_assert_ptr_nonnull(strstr(out, "the last one wins"));
	ck_assert_ptr_nonnull(strstr(out, "19: 'retry_limt': there is no such "
	    "option; did you mean 'retry_limit'?"));
}
END_TEST

/* ---- refused ---- */

static const struct refused {
	const char	*claim, *text, *words;
} refused[] = {
	{ "a name without an end", "[INPUT\n", "f.conf:1: the section's" },
	{ "no section", "", "no section in it" },
	{ "a quote without an end", "<a>\n b \"c\n", ":2: a quote" },
	{ "an object without an end", "<a>\n b {\n\n", "a value has no end" },
	{ "an include of itself", "@INCLUDE f.conf\n", "deeper than 4" },
	{ "an include that is not there", "@INCLUDE x\n", "x:0: No such" },
	{ "YAML with an anchor", "pipeline:\n  inputs:\n    - &a x\n",
	    ":3: YAML beyond" },
	{ "YAML with a mapping in braces", "service: {a: b}\n", "the classic" },
	{ "YAML with a tab", "service:\n\ta: b\n", ":2: a tab" },
	{ "YAML with an item at another depth than its list",
	    "pipeline:\n  inputs:\n    - name: http\n   - name: http\n",
	    ":4: an item of no list" },
	{ "YAML at an odd depth", "service:\n    a: b\n  c: d\n", ":3: stands" },
};

START_TEST(what_is_no_such_file_is_refused_with_its_line)
{
	const struct refused *r = &refused[_i];

	keep_file("f.conf", r->text);
	ck_assert_msg(run(1) < 0, "%s: %s", r->claim, out);
	ck_assert_msg(strstr(err, r->words) != NULL, "%s: %s", r->claim, err);
	ck_assert_uint_eq(out_n, 0);
}
END_TEST

/* A text of n times what; the caller's. */
static char *
times(unsigned n, const char *what, const char *head)
{
	char *s = malloc(n * strlen(what) + strlen(head) + 1), *p = s;

	ck_assert_ptr_nonnull(s);
	p = stpcpy(p, head);
	while (n-- > 0)
		p = stpcpy(p, what);
	return s;
}

static int
run_times(unsigned n, const char *what, const char *head)
{
	char *s = times(n, what, head);
	int r;

	keep_file("f.conf", s);
	r = run(1);
	free(s);
	return r;
}

START_TEST(each_bound_is_exact)
{
	static const struct {
		const char *head, *what;
		unsigned most;
		const char *words;
	} bound[] = {
		{ "[SERVICE]\n", "a b\n", 8191, "more than 8192" },
		{ "", "<a>\n", 16, "nest deeper than 16" },
		{ "@SET b=c\n[SERVICE]\n", "@SET a=b\n", 63, "than 64 @SET" },
		{ "[SERVICE]\na ", "x", 4093, "a line has at most 4096" },
		{ "@SET a=0123456789\n[SERVICE]\nb ", "${a}", 409,
		    "with its variables" },
	};
	size_t i;

	for (i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
		ck_assert_msg(run_times(bound[i].most, bound[i].what,
		    bound[i].head) == 0, "%s: %s", bound[i].words, err);
		forget();
		ck_assert_int_lt(run_times(bound[i].most + 1, bound[i].what,
		    bound[i].head), 0);
		ck_assert_msg(strstr(err, bound[i].words) != NULL, "%s: %s",
		    bound[i].words, err);
		forget();
	}
}
END_TEST

START_TEST(an_allocation_that_fails_is_told_as_such_whichever_it_is)
{
	unsigned n;
	int r = -ENOMEM;

	for (n = 1; r != 0; n++) {
		keep_file("f.conf", "@SET a=b\n@INCLUDE g.yaml\n" BIT
		    "[OUTPUT]\n Name forward\n Upstream up\n"
		    "[FILTER]\n Name modify\n Set region ${a}\n");
		keep_file("g.yaml", "pipeline:\n  inputs:\n    - name: http\n"
		    "      tag: [a, b]\n");
		keep_file("up", "[UPSTREAM]\n[NODE]\n host h\n");
		fail_at = n;
		r = run(1);
		ck_assert_msg(r == 0 || r == -ENOMEM, "%u: %d: %s", n, r, err);
		ck_assert(r == 0 || out_n == 0);
		forget();
		ck_assert_uint_lt(n, 1000);
	}
	ck_assert_uint_gt(n, 50);
}
END_TEST

/* ---- the corpus ---- */

static size_t
load(const char *path, char *buf, size_t cap)
{
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, cap - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n;
}

START_TEST(each_file_of_the_corpus_is_a_conf_without_fault_or_refused)
{
	const char *top = getenv("srcdir");
	static char dir[512], path[1024], text[65536];
	struct dirent *e;
	unsigned n = 0, good = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/fuzz_migrate",
	    top != NULL ? top : ".");
	d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		load(path, text, sizeof(text));
		keep_file("f.conf", text);
		keep_file("again.conf", "");
		good += run(1) == 0;
		n++;
		forget();
	}
	closedir(d);
	ck_assert_uint_ge(n, 50);
	ck_assert_uint_ge(good, 50);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("migrate");
	TCase *t = tcase_create("migrate");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, NULL, forget);
	tcase_add_loop_test(t, each_row_of_fluent_bit_holds, 0, ROWS(rows));
	tcase_add_loop_test(t, each_row_of_fluentd_holds, 0,
	    ROWS(fluentd_rows));
	tcase_add_test(t,
	    the_nodes_of_an_upstream_file_are_relays_in_order);
	tcase_add_test(t, a_node_with_tls_is_one_with_tls_in_the_list);
	tcase_add_test(t, a_pattern_includes_all_that_it_matches);
	tcase_add_test(t, an_include_inside_of_a_section_belongs_to_it);
	tcase_add_test(t, json_lines_into_a_json_parser_is_told);
	tcase_add_test(t, a_uri_that_a_match_takes_is_nothing_to_tell);
	tcase_add_test(t, yaml_says_the_same_as_classic);
	tcase_add_loop_test(t, what_is_no_such_file_is_refused_with_its_line,
	    0, ROWS(refused));
	tcase_add_test(t, each_bound_is_exact);
	tcase_add_test(t,
	    an_allocation_that_fails_is_told_as_such_whichever_it_is);
	tcase_add_test(t,
	    each_file_of_the_corpus_is_a_conf_without_fault_or_refused);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
