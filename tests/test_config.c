/* SPDX-License-Identifier: ISC */
/*
 * test_config.c - what the operator said, and what is answered
 *
 * Claims: every fault is one exact line with its place; sources beat each
 * other in the order of config.h; values are exact at their limits; no file,
 * whatever is in it, does more than be refused.
 */

#include "config/config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/expand.h"
#include "config/foreign.h"
#include "config/keys.h"
#include "config/reader.h"
#include "config/tell.h"
#include "config/types.h"
#include "config/url.h"

/* The linker puts these in place of malloc and its kin: the nth fails. */
void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t m);
void	*__real_realloc(void *p, size_t n);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t m);
void	*__wrap_realloc(void *p, size_t n);
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

void *
__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

static char dir[64], path[96];
static struct conf *conf;
static char *told;			/* all lines, each with F or R before */
static size_t told_len;
static FILE *told_file;

static void
on_tell(void *arg, bool fault, const char *line)
{
	ck_assert_ptr_null(strchr(line, '\n'));
	fprintf(told_file, "%c %s\n", fault ? 'F' : 'R', line);
}

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c", dir);
	told_file = open_memstream(&told, &told_len);
}

static void
teardown(void)
{
	char cmd[128];

	conf_free(&conf);
	fclose(told_file);
	free(told);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void
put_bytes(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	fclose(f);
	ck_assert_int_eq(chmod(name, 0600), 0);
}

static void
put_file(const char *text)
{
	put_bytes(path, text, strlen(text));
}

#define NONE	((const char *const[]){ NULL })

static int
read_as(unsigned roles, const char *const *env, const char *const *sets)
{
	struct conf_source src = { .file = path, .sets = sets,
	    .roles = roles, .tell = on_tell };
	char *copy[32] = { NULL };
	unsigned i;
	int r;

	for (i = 0; env[i] != NULL; i++)
		copy[i] = strdup(env[i]);
	for (src.sets_n = 0; sets[src.sets_n] != NULL; src.sets_n++)
		;
	src.env = copy;
	conf_free(&conf);
	rewind(told_file);
	r = conf_read(&conf, &src);
	fputc('\0', told_file);
	fflush(told_file);
	for (i = 0; copy[i] != NULL; i++)
		free(copy[i]);
	ck_assert_int_eq(r == 0, conf != NULL);
	return r;
}

/* Reads text as the file and wants these lines; "@" stands for its path. */
static void
told_is(const char *want)
{
	char buf[8192];
	size_t n = 0;

	for (; *want != '\0'; want++)
		if (*want == '@')
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s",
			    path);
		else
			buf[n++] = *want;
	buf[n] = '\0';
	ck_assert_str_eq(told, buf);
}

static void
refused(const char *text, const char *want)
{
	put_file(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is(want);
}

static void
taken(const char *text)
{
	put_file(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	told_is("");
}

#define TEXT(key)	conf_text(conf, KEY_##key)
#define NUM(key)	conf_num(conf, KEY_##key)
#define ENV(...)	((const char *const[]){ __VA_ARGS__, NULL })

START_TEST(defaults_are_those_of_the_table)
{
	unsigned k;

	taken("");
	for (k = 0; k < KEY_COUNT; k++) {
		if (k == KEY_common_ring_dir || k == KEY_common_state_dir)
			continue;
		ck_assert_str_eq(conf_text(conf, k), key_info[k].def);
		ck_assert_int_eq(conf->value[k].from, FROM_DEFAULT);
	}
	ck_assert_uint_eq(NUM(agent_queue_max), 100u << 20);
	ck_assert_uint_eq(NUM(agent_queue_age), 7u * 86400000u);
	ck_assert_uint_eq(NUM(common_grace_ms), 1200);
	ck_assert_uint_eq(NUM(common_io), 0);
	ck_assert_uint_eq(NUM(common_log_level), 2);
	ck_assert_uint_eq(NUM(relay_listen), 24224);
	ck_assert_uint_eq(NUM(common_insecure_listen), 0);
	ck_assert_uint_eq(conf->roles, 0);
}
END_TEST

START_TEST(every_value_knows_where_it_came_from)
{
	taken("# first\n\n[agent]\nrelay = a:1, b:2 ,\n");
	ck_assert_str_eq(TEXT(agent_relay), "a:1,b:2");
	ck_assert_uint_eq(NUM(agent_relay), 2);
	ck_assert_int_eq(conf->value[KEY_agent_relay].from, FROM_FILE);
	ck_assert_int_eq(conf->value[KEY_agent_relay].line, 4);
	ck_assert_str_eq(conf->value[KEY_agent_relay].where, path);
}
END_TEST

START_TEST(unknown_key_names_the_nearest)
{
	refused("[agent]\nrely = x:1\n",
	    "F @:2: key 'agent.rely' is not known; did you mean "
	    "'agent.relay'?\n");
	refused("[relay]\nendpoint = x\n",
	    "F @:2: key 'relay.endpoint' is not known; did you mean "
	    "'exporter.endpoint'?\n");
	refused("[relay]\nmesage_max = 1M\n",
	    "F @:2: key 'relay.mesage_max' is not known; did you mean "
	    "'relay.message_max'?\n");
	refused("[relay]\nzzzzzzz = 1\n",
	    "F @:2: key 'relay.zzzzzzz' is not known; see 'emplogd help "
	    "keys'\n");
}
END_TEST

START_TEST(unknown_section_is_told_once)
{
	refused("[agnt]\nrelay = x\nfoo = y\n[agent]\n",
	    "F @:1: section 'agnt' is not known; did you mean 'agent'?\n");
	refused("[output]\n", "F @:1: section 'output' is not known; there "
	    "are common, agent, relay and exporter\n");
	refused("[agent\nrelay=x:1\n",
	    "F @:1: '[agent' is not a section: it must end with ']'\n");
}
END_TEST

START_TEST(faults_of_form_name_their_line)
{
	refused("role = agent\n", "F @:1: key 'role' stands before any "
	    "section such as [common]\n");
	refused("[common]\n\nrole\n", "F @:3: 'role' is not 'key = value'\n");
	refused("[common]\nro le = agent\n",
	    "F @:2: 'ro...' is not the name of a key\n");
	refused("[common]\n = agent\n",
	    "F @:2: '' is not the name of a key\n");
	refused("[common]\nio = epoll ; because\n",
	    "F @:2: ' ;' within a value: a comment stands on a line of its "
	    "own, and a value that holds it in double quotes\n");
	refused("[common]\nio = epoll\t# because\n",
	    "F @:2: ' #' within a value: a comment stands on a line of its "
	    "own, and a value that holds it in double quotes\n");
	refused("[common]\nio = \"epoll\n",
	    "F @:2: a value that begins with '\"' must end with one\n");
}
END_TEST

START_TEST(a_repeated_key_names_the_first)
{
	refused("[agent]\nrelay = a:1\n[relay]\n[agent]\nrelay = b:1\n",
	    "F @:5: key 'agent.relay' was given in line 2 already\n");
}
END_TEST

START_TEST(all_faults_are_told)
{
	refused("[agent]\nrely = 1\nqueue_max = 4k\n[relay]\nqueue_age = 1w\n"
	    "[exporter]\nnames = both\nrequests_max = 0\n",
	    "F @:2: key 'agent.rely' is not known; did you mean "
	    "'agent.relay'?\n"
	    "F @:3: key 'agent.queue_max': '4k' is not a size from 4M to 1T\n"
	    "F @:5: key 'relay.queue_age': '1w' is not a time from 1m to 90d\n"
	    "F @:7: key 'exporter.names': 'both' is not emp or otel\n"
	    "F @:8: key 'exporter.requests_max': '0' is not a number from 1 "
	    "to 64\n");
}
END_TEST

START_TEST(each_type_says_what_it_wants)
{
	refused("[common]\nio = fast\n",
	    "F @:2: key 'common.io': 'fast' is not auto, uring or epoll\n");
	refused("[common]\ninsecure_listen = maybe\n",
	    "F @:2: key 'common.insecure_listen': 'maybe' is not yes or "
	    "no\n");
	refused("[relay]\nlisten = 24224\n",
	    "F @:2: key 'relay.listen': '24224' is not host:port, or empty\n");
	refused("[agent]\nrelay = a:1, b\n",
	    "F @:2: key 'agent.relay': 'a:1, b' is not a list of "
	    "host:port, tls://host:port, https://host\n");
	refused("[agent]\nrelay = tls://a\n",
	    "F @:2: key 'agent.relay': 'tls://a' is not a list of "
	    "host:port, tls://host:port, https://host\n");
	refused("[common]\nrole = agent, relais\n",
	    "F @:2: key 'common.role': 'agent, relais' is not a list of "
	    "agent, relay, exporter\n");
	refused("[exporter]\nendpoint = dash0.com\n",
	    "F @:2: key 'exporter.endpoint': 'dash0.com' is not a URL that "
	    "begins with https:// or http://, without user or query\n");
	refused("[common]\nstate_dir = state\n",
	    "F @:2: key 'common.state_dir': 'state' is not a path that begins "
	    "with / and has at most 200 bytes\n");
	refused("[relay]\nnext = exporter\n",
	    "F @:2: key 'relay.next': 'exporter' is not export or a list of "
	    "host:port, tls://host:port, https://host\n");
	refused("[relay]\nnext = a:1, export\n",
	    "F @:2: key 'relay.next': 'a:1, export' is not export or a list "
	    "of host:port, tls://host:port, https://host\n");
	refused("[exporter]\ndataset = a b\n",
	    "F @:2: key 'exporter.dataset': 'a b' is not a name of letters, "
	    "digits, - and _, or by:deployment.environment.name and a list "
	    "of such names\n");
	refused("[exporter]\ndataset = by:deployment.environment.name\n",
	    "F @:2: key 'exporter.dataset': "
	    "'by:deployment.environment.name' is not a name of letters, "
	    "digits, - and _, or by:deployment.environment.name and a list "
	    "of such names\n");
	refused("[exporter]\nheaders = a\n",
	    "F @:2: key 'exporter.headers': the value is not a list of "
	    "name=value\n");
	refused("[agent]\nmachine_id = a\x01z\n",
	    "F @:2: key 'agent.machine_id': the value holds a control "
	    "character or is not UTF-8\n");
	refused("[agent]\nregion = caf\xe9\n",
	    "F @:2: key 'agent.region': the value holds a control "
	    "character or is not UTF-8\n");
	refused("[agent]\nregion = a\xc2\x9bz\nrol\xc2\x9b""e = x\n",
	    "F @:2: key 'agent.region': the value holds a control "
	    "character or is not UTF-8\n"
	    "F @:3: 'rol\?\?e' is not the name of a key\n");
	taken("[agent]\nregion = caf\xc3\xa9\n");
}
END_TEST

START_TEST(sources_beat_each_other_in_order)
{
	const char *const env[] = { "EMPLOGD_AGENT_MACHINE_ID=env",
	    "MACHINE_ID=foreign", NULL };
	const char *const *foreign = env + 1;
	const char *const sets[] = { "agent.machine_id=flag", NULL };

	put_file("[agent]\nmachine_id = file\n");
	ck_assert_int_eq(read_as(0, env, sets), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "flag");
	ck_assert_int_eq(conf->value[KEY_agent_machine_id].from, FROM_FLAG);
	ck_assert_int_eq(read_as(0, env, NONE), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "env");
	ck_assert_str_eq(conf->value[KEY_agent_machine_id].where,
	    "EMPLOGD_AGENT_MACHINE_ID");
	ck_assert_int_eq(read_as(0, foreign, NONE), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "file");
	put_file("");
	ck_assert_int_eq(read_as(0, foreign, NONE), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "foreign");
	ck_assert_int_eq(conf->value[KEY_agent_machine_id].from,
	    FROM_FOREIGN);
	told_is("");
}
END_TEST

START_TEST(a_beaten_value_is_checked_all_the_same)
{
	put_file("[common]\nio = fast\n");
	ck_assert_int_eq(read_as(0, ENV("EMPLOGD_COMMON_IO=epoll"), NONE),
	    -EINVAL);
	told_is("F @:2: key 'common.io': 'fast' is not auto, uring or "
	    "epoll\n");
}
END_TEST

START_TEST(flags_are_checked_and_the_last_wins)
{
	put_file("");
	ck_assert_int_eq(read_as(0, NONE, ENV("common.io=uring",
	    "common.io=epoll")), 0);
	ck_assert_uint_eq(NUM(common_io), 2);
	ck_assert_int_eq(read_as(0, NONE, ENV("common.oi=uring", "nonsense",
	    "=x", "exporter.token=auth_secret", "agent.relay=x")), -EINVAL);
	told_is("F --set: key 'common.oi' is not known; did you mean "
	    "'common.io'?\n"
	    "F --set: 'nonsense' is not section.key=value\n"
	    "F --set: '' is not section.key=value\n"
	    "F --set: key 'exporter.token' is a secret, and ps shows it: use "
	    "EMPLOGD_EXPORTER_TOKEN, exporter.token_file or the file\n"
	    "F --set: key 'agent.relay': 'x' is not a list of host:port, "
	    "tls://host:port, https://host\n");
}
END_TEST

/* Where a line is misspelt, what stands on it may be the token. */
START_TEST(no_fault_shows_what_may_be_a_secret)
{
	static const char *const file[] = {
		"[exporter]\ntoken hunter2\n",
		"[exporter]\ntoken: hunter2\n",
		"[exporter]\nAuthorization: Bearer hunter2==\n",
		"[exporter]\ntoken = \"hunter2\n",
		"[exporter]\ntoken = hunter2 # mine\n",
		"[exporter]\nheaders = x-key hunter2\n",
		"[exporter]\nendpoint = https://me:hunter2@host\n",
		"[exporter]\nendpoint = https://host/?key=hunter2\n",
	};
	static const char *const set[] = {
		"exporter.token hunter2", "exporter.token:hunter2",
		"exporter.token=hunter2",
		"exporter.headers=x=1, Authorization=Bearer hunter2",
		"exporter.headers=x-api-key=hunter2",
		"exporter.endpoint=https://me:hunter2@host",
	};
	size_t i;

	for (i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
		put_file(file[i]);
		ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
		ck_assert_msg(strstr(told, "hunter2") == NULL, "%s", told);
	}
	put_file("");
	for (i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		ck_assert_int_eq(read_as(0, NONE, ENV(set[i])), -EINVAL);
		ck_assert_msg(strstr(told, "hunter2") == NULL, "%s", told);
	}
	ck_assert_int_eq(read_as(0, NONE, ENV("exporter.headers=x-a=1")), 0);
}
END_TEST

START_TEST(an_endpoint_has_a_host_and_a_port_that_exists)
{
	static const char *const bad[] = { "https://", "https:///x",
	    "https://:1", "https://h:", "https://h:x", "https://h:0",
	    "https://h:65536", "https://[]:1", "https://[::1", "https://::1",
	    "https://[::1]x", "ftp://h" };
	static const char *const good[] = { "https://h", "http://h:65535",
	    "http://h:1/otlp", "http://[::1]", "http://[::1]:4318/x",
	    "https://h.example/a:b" };
	char set[128];
	size_t i;

	put_file("");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(set, sizeof(set), "exporter.endpoint=%s", bad[i]);
		ck_assert_msg(read_as(0, NONE, ENV(set)) == -EINVAL, "%s", set);
	}
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(set, sizeof(set), "exporter.endpoint=%s", good[i]);
		ck_assert_msg(read_as(0, NONE, ENV(set)) == 0, "%s", set);
	}
}
END_TEST

START_TEST(unknown_own_variables_are_remarks)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("EMPLOGD_AGENT_RELAI=x",
	    "EMPLOGD_QUITE_OTHER_THING=1", "EMPLOG_DISABLED=1"), NONE), 0);
	told_is("R EMPLOGD_AGENT_RELAI: the variable names no key and is "
	    "ignored; did you mean 'EMPLOGD_AGENT_RELAY'?\n"
	    "R EMPLOGD_QUITE_OTHER_THING: the variable names no key and is "
	    "ignored\n");
	ck_assert_int_eq(read_as(0, ENV("EMPLOGD_COMMON_IO=fast"), NONE),
	    -EINVAL);
	told_is("F EMPLOGD_COMMON_IO: key 'common.io': 'fast' is not auto, "
	    "uring or epoll\n");
}
END_TEST

START_TEST(every_key_has_a_variable)
{
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++) {
		ck_assert_int_eq(key_find_env(key_env(k).name), k);
		ck_assert_int_eq(key_find_name(key_info[k].name), k);
		ck_assert_uint_le(strlen(key_info[k].name), KEY_NAME_MAX - 1);
		ck_assert(key_is_section(key_info[k].section));
		ck_assert(key_info[k].brief[0] != '\0');
		ck_assert(key_info[k].text[0] != '\0');
	}
	ck_assert_str_eq(key_env(KEY_common_insecure_listen).name,
	    "EMPLOGD_COMMON_INSECURE_LISTEN");
}
END_TEST

static void
expands(const char *text, const char *want)
{
	char a[] = "A=alpha", e[] = "E=", d[] = "D=a$b";
	char *const env[] = { a, e, d, NULL };
	struct expand_fault f;
	char buf[64];

	ck_assert_int_eq(expand(text, env, buf, sizeof(buf), &f), 0);
	ck_assert_str_eq(buf, want);
}

static int
expand_fails(const char *text, const char *name)
{
	char a[] = "A=alpha";
	char *const env[] = { a, NULL };
	struct expand_fault f;
	char buf[64];
	int r = expand(text, env, buf, sizeof(buf), &f);

	ck_assert_str_eq(f.name, name);
	return r;
}

START_TEST(variables_expand)
{
	expands("", "");
	expands("x${A}y", "xalphay");
	expands("${A}${A}", "alphaalpha");
	expands("${E}", "");
	expands("${E:-d}", "d");
	expands("${U:-d e}", "d e");
	expands("${U:-}", "");
	expands("${A:-d}", "alpha");
	expands("${D}", "a$b");		/* not again */
	expands("$$", "$");
	expands("$${A}", "${A}");
	expands("$A $", "$A $");
	expands("${U:-a$$b}", "a$$b");
}
END_TEST

START_TEST(bad_expansions_are_told)
{
	ck_assert_int_eq(expand_fails("${U}", "U"), -ENOENT);
	ck_assert_int_eq(expand_fails("${A", ""), -EINVAL);
	ck_assert_int_eq(expand_fails("${}", ""), -EINVAL);
	ck_assert_int_eq(expand_fails("${1A}", ""), -EINVAL);
	ck_assert_int_eq(expand_fails("${A-x}", "A"), -EINVAL);
	ck_assert_int_eq(expand_fails("${U:-${A}}", "U"), -EINVAL);
	refused("[agent]\nmachine_id = ${NOPE}\n",
	    "F @:2: key 'agent.machine_id': variable 'NOPE' is not set; "
	    "${NOPE:-default} gives it a default\n");
	refused("[agent]\nmachine_id = ${NOPE\n",
	    "F @:2: key 'agent.machine_id': '${' begins neither ${VAR} nor "
	    "${VAR:-default}; a '$' itself is '$$'\n");
}
END_TEST

START_TEST(an_expansion_is_bounded_by_its_buffer)
{
	struct expand_fault f;
	char buf[4];

	ck_assert_int_eq(expand("abc", NULL, buf, sizeof(buf), &f), 0);
	ck_assert_str_eq(buf, "abc");
	ck_assert_int_eq(expand("abcd", NULL, buf, sizeof(buf), &f), -E2BIG);
	ck_assert_int_eq(expand("${X:-abcd}", NULL, buf, sizeof(buf), &f),
	    -E2BIG);
}
END_TEST

START_TEST(an_expanded_newline_never_reaches_a_header)
{
	put_file("[exporter]\ndataset = ${D}\n");
	ck_assert_int_eq(read_as(0, ENV("D=a\r\nX: y"), NONE), -EINVAL);
	told_is("F @:2: key 'exporter.dataset': the value holds a control "
	    "character or is not UTF-8\n");
}
END_TEST

START_TEST(environment_and_flags_are_not_expanded)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("EMPLOGD_AGENT_MACHINE_ID=${A}"),
	    ENV("agent.region=$$")), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "${A}");
	ck_assert_str_eq(TEXT(agent_region), "$$");
}
END_TEST

static uint64_t
size_of(const char *s, int want)
{
	uint64_t n = 7;

	ck_assert_int_eq(conf_size(s, &n), want);
	return n;
}

START_TEST(sizes_are_exact)
{
	ck_assert_uint_eq(size_of("0", 0), 0);
	ck_assert_uint_eq(size_of("1023", 0), 1023);
	ck_assert_uint_eq(size_of("1k", 0), 1024);
	ck_assert_uint_eq(size_of("10M", 0), 10u << 20);
	ck_assert_uint_eq(size_of("1G", 0), 1u << 30);
	ck_assert_uint_eq(size_of("1T", 0), UINT64_C(1) << 40);
	ck_assert_uint_eq(size_of("1P", 0), UINT64_C(1) << 50);
	ck_assert_uint_eq(size_of("18446744073709551615", 0), UINT64_MAX);
	ck_assert_uint_eq(size_of("18446744073709551616", -ERANGE), 7);
	ck_assert_uint_eq(size_of("16383P", 0), UINT64_C(16383) << 50);
	ck_assert_uint_eq(size_of("16384P", -ERANGE), 7);
	ck_assert_uint_eq(size_of("", -EINVAL), 7);
	ck_assert_uint_eq(size_of("M", -EINVAL), 7);
	ck_assert_uint_eq(size_of("-1", -EINVAL), 7);
	ck_assert_uint_eq(size_of("1.5G", -EINVAL), 7);
	ck_assert_uint_eq(size_of("1 M", -EINVAL), 7);
	ck_assert_uint_eq(size_of("1MB", -EINVAL), 7);
	ck_assert_uint_eq(size_of("0x10", -EINVAL), 7);
}
END_TEST

static uint64_t
ms_of(const char *s, int want)
{
	uint64_t n = 7;

	ck_assert_int_eq(conf_ms(s, &n), want);
	return n;
}

START_TEST(times_are_exact)
{
	ck_assert_uint_eq(ms_of("1500", 0), 1500);
	ck_assert_uint_eq(ms_of("1500ms", 0), 1500);
	ck_assert_uint_eq(ms_of("2s", 0), 2000);
	ck_assert_uint_eq(ms_of("10m", 0), 600000);
	ck_assert_uint_eq(ms_of("6h", 0), 21600000);
	ck_assert_uint_eq(ms_of("7d", 0), 604800000);
	ck_assert_uint_eq(ms_of("213503982334d", 0),
	    UINT64_C(213503982334) * 86400000);
	ck_assert_uint_eq(ms_of("213503982335d", -ERANGE), 7);
	ck_assert_uint_eq(ms_of("1w", -EINVAL), 7);
	ck_assert_uint_eq(ms_of("s", -EINVAL), 7);
	ck_assert_uint_eq(ms_of("", -EINVAL), 7);
	ck_assert_uint_eq(ms_of("1 s", -EINVAL), 7);
}
END_TEST

START_TEST(limits_hold_at_both_ends)
{
	taken("[agent]\nqueue_max = 4M\n");
	taken("[agent]\nqueue_max = 1T\n");
	refused("[agent]\nqueue_max = 4194303\n", "F @:2: key "
	    "'agent.queue_max': '4194303' is not a size from 4M to 1T\n");
	refused("[agent]\nqueue_max = 1099511627777\n", "F @:2: key "
	    "'agent.queue_max': '1099511627777' is not a size from 4M to "
	    "1T\n");
	taken("[common]\ngrace_ms = 100ms\n");
	refused("[common]\ngrace_ms = 99\n", "F @:2: key 'common.grace_ms': "
	    "'99' is not a time from 100ms to 10m\n");
	taken("[common]\nexit_kept = 255\n");
	refused("[common]\nexit_kept = 256\n", "F @:2: key "
	    "'common.exit_kept': '256' is not a number from 0 to 255\n");
}
END_TEST

START_TEST(addresses_parse)
{
	struct hostport hp;

	ck_assert_int_eq(hostport_parse("[::1]:80", 8, &hp), 0);
	ck_assert_str_eq(hp.host, "::1");
	ck_assert_uint_eq(hp.port, 80);
	ck_assert(hostport_is_loopback(&hp));
	ck_assert_int_eq(hostport_parse("127.8.8.8:65535", 15, &hp), 0);
	ck_assert(hostport_is_loopback(&hp));
	ck_assert_int_eq(hostport_parse("127.evil.com:1", 14, &hp), 0);
	ck_assert(!hostport_is_loopback(&hp));
	ck_assert_int_eq(hostport_parse("0.0.0.0:0", 9, &hp), 0);
	ck_assert(!hostport_is_loopback(&hp));
	ck_assert_int_eq(hostport_parse("h:65536", 7, &hp), -EINVAL);
	ck_assert_int_eq(hostport_parse("::1:80", 6, &hp), -EINVAL);
	ck_assert_int_eq(hostport_parse("h:", 2, &hp), -EINVAL);
	ck_assert_int_eq(hostport_parse(":80", 3, &hp), -EINVAL);
	ck_assert_int_eq(hostport_parse("http://h:80", 11, &hp), -EINVAL);
	ck_assert_int_eq(hostport_parse("h:4294967376", 12, &hp), -EINVAL);
}
END_TEST

START_TEST(crlf_bom_and_no_newline_at_the_end)
{
	taken("\xef\xbb\xbf[common]\r\nio = epoll\r\n[agent]\r\nregion = eu");
	ck_assert_uint_eq(NUM(common_io), 2);
	ck_assert_str_eq(TEXT(agent_region), "eu");
	ck_assert_int_eq(conf->value[KEY_agent_region].line, 4);
	taken("\n  [ common ]\n   io=uring\n\t; io = x\n\t# [y]\n   log_level"
	    "\t=\tdebug   \n");
	ck_assert_uint_eq(NUM(common_io), 1);
	ck_assert_uint_eq(NUM(common_log_level), 3);
}
END_TEST

START_TEST(quotes_keep_blanks_and_comment_signs)
{
	taken("[agent]\nregion = \" a ; b # c \"\nmachine_id = a;b#c\n"
	    "deployment = \"\"\n");
	ck_assert_str_eq(TEXT(agent_region), " a ; b # c ");
	ck_assert_str_eq(TEXT(agent_machine_id), "a;b#c");
	ck_assert_str_eq(TEXT(agent_deployment), "");
	ck_assert_int_eq(conf->value[KEY_agent_deployment].from, FROM_FILE);
}
END_TEST

START_TEST(a_colon_or_equal_sign_in_a_value_stays)
{
	taken("[exporter]\nheaders = x-a=b=c, x-d=:\n");
	ck_assert_str_eq(TEXT(exporter_headers), "x-a=b=c,x-d=:");
}
END_TEST

START_TEST(a_long_value_is_whole)
{
	static char text[CONF_LINE_MAX + 64];
	size_t head, n;

	head = (size_t)snprintf(text, sizeof(text), "[agent]\nregion=");
	n = CONF_LINE_MAX - strlen("region=");
	memset(text + head, 'x', n);
	memcpy(text + head + n, "\nmachine_id=m\n", 15);
	taken(text);
	ck_assert_uint_eq(strlen(TEXT(agent_region)), n);
	ck_assert_str_eq(TEXT(agent_machine_id), "m");
	ck_assert_int_eq(conf->value[KEY_agent_machine_id].line, 3);

	memset(text + head, 'x', n + 1);
	memcpy(text + head + n + 1, "\nrely=m\n", 9);
	refused(text, "F @:2: the line is longer than 65536 bytes\n"
	    "F @:3: key 'agent.rely' is not known; did you mean "
	    "'agent.relay'?\n");
}
END_TEST

START_TEST(nul_bytes_are_refused_by_line)
{
	static const char text[] = "[agent]\nregion=a\0b\nrelay=h:1\n\0\n";

	put_bytes(path, text, sizeof(text) - 1);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @:2: the line holds a NUL byte: this is not a text file\n"
	    "F @:4: the line holds a NUL byte: this is not a text file\n");
	put_bytes(path, "\xff\xfe[\0a\0", 6);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @:1: the file is UTF-16: save it as UTF-8\n");
}
END_TEST

START_TEST(a_line_of_a_megabyte_costs_one_fault)
{
	size_t n = (1u << 20) + 8;
	char *text = malloc(n);

	ck_assert_ptr_nonnull(text);
	memset(text, 'a', n);
	memcpy(text, "[agent]\n", 8);
	put_bytes(path, text, n);
	free(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @:2: the line is longer than 65536 bytes\n");
}
END_TEST

START_TEST(a_file_is_at_most_sixteen_megabytes)
{
	size_t n = CONF_FILE_MAX, i;
	char *text = malloc(n + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, '#', n + 1);
	for (i = 1000; i < n; i += 1000)
		text[i] = '\n';
	put_bytes(path, text, n);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	put_bytes(path, text, n + 1);
	free(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @: the file is larger than 16777216 bytes\n");
}
END_TEST

START_TEST(ten_thousand_unknown_keys_are_counted)
{
	FILE *f = fopen(path, "w");
	unsigned i, lines = 0;
	const char *s;

	ck_assert_ptr_nonnull(f);
	fputs("[agent]\n", f);
	for (i = 0; i < 10000; i++)
		fprintf(f, "unknown_%u = 1\n", i);
	fclose(f);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	for (s = told; *s != '\0'; s++)
		lines += *s == '\n';
	ck_assert_uint_eq(lines, FAULTS_TOLD_MAX + 1);
	ck_assert_ptr_nonnull(strstr(told, "\nF and 9000 faults more\n"));
}
END_TEST

START_TEST(any_bytes_are_answered_without_a_crash)
{
	static const char alphabet[] = "[]=\n\r\"${}:- \t;#aebcrolgnt\xff\x01,";
	unsigned seed = 1, round;
	char text[600];
	size_t i, n;

	for (round = 0; round < 300; round++) {
		n = (size_t)rand_r(&seed) % sizeof(text);
		for (i = 0; i < n; i++)
			text[i] = alphabet[(size_t)rand_r(&seed) %
			    sizeof(alphabet)];
		put_bytes(path, text, n);
		(void)read_as(7, NONE, NONE);
	}
}
END_TEST

START_TEST(an_absent_file_is_a_fault_only_when_it_was_named)
{
	struct conf_source src = { .tell = on_tell };

	snprintf(path, sizeof(path), "%s/absent", dir);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @: cannot be read: No such file or directory\n");
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	snprintf(path, sizeof(path), "%s", dir);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @: cannot be read: Is a directory\n");
}
END_TEST

START_TEST(roles_come_from_the_flag_or_the_key)
{
	taken("[common]\nrole = relay, exporter\n");
	ck_assert_uint_eq(conf->roles, ROLE_RELAY | ROLE_EXPORTER);
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), 0);
	ck_assert_uint_eq(conf->roles, ROLE_AGENT);
}
END_TEST

START_TEST(listening_off_loopback_wants_a_word)
{
	static const char fault[] = "F @:2: key 'relay.listen': "
	    "'0.0.0.0:24224' can be reached from other hosts, without TLS or "
	    "key: listen on 127.0.0.1, set common.tls_listen = yes or "
	    "common.shared_key_file, or set common.insecure_listen = yes "
	    "(EMPLOGD_COMMON_INSECURE_LISTEN=yes)\n";

	put_file("[relay]\nlisten = 0.0.0.0:24224\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), -EINVAL);
	told_is(fault);
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), 0);
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE,
	    ENV("common.insecure_listen=yes")), 0);
	told_is("");
}
END_TEST

START_TEST(tls_or_a_key_guard_a_port)
{
	put_file("[common]\ntls_listen = yes\ntls_cert = /c\ntls_key = /k\n"
	    "[relay]\nlisten = 0.0.0.0:24224\nhttp_listen = [::]:8080\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), 0);
	told_is("");
	put_file("[relay]\nlisten = 0.0.0.0:24224\n");
	ck_assert_int_eq(read_as(ROLE_RELAY,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"), NONE), -EINVAL);
	told_is("F @:2: key 'relay.listen': '0.0.0.0:24224' would ask for the "
	    "shared key without TLS: set common.tls_listen = yes, or "
	    "common.shared_key_plain = yes "
	    "(EMPLOGD_COMMON_SHARED_KEY_PLAIN=yes)\n");
	ck_assert_int_eq(read_as(ROLE_RELAY,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"),
	    ENV("common.shared_key_plain=yes")), 0);
	told_is("");
	/* Whoever comes without TLS would be asked for it in the open. */
	put_file("[common]\ntls_listen = both\ntls_cert = /c\ntls_key = /k\n"
	    "[relay]\nlisten = 0.0.0.0:24224\n");
	ck_assert_int_eq(read_as(ROLE_RELAY,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"), NONE), -EINVAL);
	ck_assert_int_eq(read_as(ROLE_RELAY,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"),
	    ENV("common.shared_key_plain=yes")), 0);
	/* An agent's HTTP is for its own host: neither guards it. */
	put_file("[agent]\nhttp_listen = 0.0.0.0:9880\n");
	ck_assert_int_eq(read_as(ROLE_AGENT,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"),
	    ENV("common.shared_key_plain=yes")), -EINVAL);
}
END_TEST

START_TEST(tls_names_the_file_it_lacks)
{
	put_file("[common]\ntls_listen = yes\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'common.tls_listen': 'yes' needs common.tls_cert, "
	    "which is not set; 'emplogd ca' makes the files\n");
	put_file("[common]\ntls_key = /k\n");
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'common.tls_key': '/k' needs common.tls_cert, "
	    "which is not set; 'emplogd ca' makes the files\n");
	put_file("[common]\ntls_clients = yes\ntls_listen = both\n"
	    "tls_cert = /c\ntls_key = /k\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'common.tls_clients': 'yes' needs common.tls_ca, "
	    "which is not set; 'emplogd ca' makes the files\n");
}
END_TEST

START_TEST(peers_in_clear_are_remarked_and_get_no_key)
{
	put_file("[agent]\nrelay = tls://a.example:1, b.example:2\n");
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), 0);
	told_is("R @:2: key 'agent.relay': records go to 'b.example:2' in "
	    "clear: tls:// before it encrypts\n");
	ck_assert_int_eq(read_as(ROLE_AGENT,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"), NONE), -EINVAL);
	told_is("F @:2: key 'agent.relay': 'b.example:2' would be shown the "
	    "shared key without TLS: write tls://, or set "
	    "common.shared_key_plain = yes "
	    "(EMPLOGD_COMMON_SHARED_KEY_PLAIN=yes)\n");
	put_file("[agent]\nrelay = https://edge.example, tls://[fd00::1]:2, "
	    "tcp://127.0.0.1:3, https://e:8443/x\n");
	ck_assert_int_eq(read_as(ROLE_AGENT,
	    ENV("EMPLOGD_COMMON_SHARED_KEY=geheim"), NONE), 0);
	told_is("");
}
END_TEST

START_TEST(two_listens_on_one_address_are_told)
{
	put_file("[relay]\nlisten=127.0.0.1:1\nhttp_listen=127.0.0.1:1\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), -EINVAL);
	told_is("F @:3: key 'relay.http_listen': '127.0.0.1:1' is "
	    "'relay.listen' (@:2) already: leave one of them empty\n");
	put_file("[relay]\nlisten=127.0.0.1:1\nhttp_listen=\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), 0);
	ck_assert_str_eq(TEXT(relay_http_listen), "");
}
END_TEST

START_TEST(dash0_without_token_is_a_fault)
{
	put_file("[exporter]\nendpoint = https://ingress.eu.dash0.com\n");
	ck_assert_int_eq(read_as(ROLE_EXPORTER, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'exporter.endpoint': "
	    "'https://ingress.eu.dash0.com' wants a token: set "
	    "exporter.token_file, EMPLOGD_EXPORTER_TOKEN or "
	    "DASH0_AUTH_TOKEN\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, NONE, NONE), -EINVAL);
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), 0);
	ck_assert_int_eq(read_as(ROLE_EXPORTER, ENV("DASH0_API_KEY=auth_x"),
	    NONE), 0);
	told_is("");
	put_file("[exporter]\nendpoint = https://notdash0.com\n");
	ck_assert_int_eq(read_as(ROLE_EXPORTER, NONE, NONE), 0);
}
END_TEST

START_TEST(the_path_of_a_signal_is_left_off_and_said)
{
	put_file("");
	ck_assert_int_eq(read_as(ROLE_EXPORTER, ENV("DASH0_AUTH_TOKEN=auth_x",
	    "DASH0_LOGS_ENDPOINT=https://in.dash0.com/logs/json"), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_endpoint), "https://in.dash0.com");
	told_is("R DASH0_LOGS_ENDPOINT: key 'exporter.endpoint': '/logs/json' "
	    "is left off: the base is 'https://in.dash0.com', and /v1/logs is "
	    "appended\n");
	ck_assert_int_eq(read_as(0, ENV("OTEL_EXPORTER_OTLP_ENDPOINT="
	    "http://localhost:4318/"), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_endpoint), "http://localhost:4318");
	told_is("");
}
END_TEST

START_TEST(a_base_is_told_from_its_paths)
{
	ck_assert_uint_eq(url_base_len("https://h/v1/logs"), 9);
	ck_assert_uint_eq(url_base_len("https://h/p/v1/logs/"), 11);
	ck_assert_uint_eq(url_base_len("https://h/logs/json"), 9);
	ck_assert_uint_eq(url_base_len("https://h/v1/logs2"), 18);
	ck_assert_uint_eq(url_base_len(""), 0);
	ck_assert_uint_eq(url_base_len("/v1/logs"), 8);
}
END_TEST

START_TEST(fluentd_variables_name_the_relay)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_HOST=r.example",
	    "FLUENTD_PORT=8888", "FLUENTD_SECURE=false"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "r.example:8888");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_HOST=fd00::1"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "[fd00::1]:24224");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_PORT=8888"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "127.0.0.1:24224");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_HOST=h", "FLUENTD_PORT=x"),
	    NONE), -EINVAL);
	told_is("F FLUENTD_HOST: key 'agent.relay': 'h:x' is not a list of "
	    "host:port, tls://host:port, https://host\n");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_HOST=h",
	    "FLUENTD_SECURE=true", "FLUENTD_SHARED_KEY=k"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "tls://h:24224");
	ck_assert_str_eq(TEXT(common_shared_key), "k");
	told_is("");
	put_file("[agent]\nrelay = own:1\n");
	ck_assert_int_eq(read_as(0, ENV("FLUENTD_HOST=h",
	    "FLUENTD_SECURE=true"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "own:1");
}
END_TEST

START_TEST(railway_and_platform_variables_are_taken)
{
	put_file("");
	ck_assert_int_eq(read_as(ROLE_AGENT | ROLE_RELAY, ENV("PORT=8080",
	    "RAILWAY_VOLUME_MOUNT_PATH=/data", "RAILWAY_REGION=us-west1",
	    "RAILWAY_ENVIRONMENT=production", "RAILWAY_SERVICE_NAME=logs",
	    "EMPLOGD_COMMON_INSECURE_LISTEN=1"), NONE), 0);
	ck_assert_str_eq(TEXT(relay_http_listen), "[::]:8080");
	ck_assert_str_eq(TEXT(common_state_dir), "/data");
	ck_assert_str_eq(TEXT(agent_region), "us-west1");
	ck_assert_str_eq(TEXT(agent_deployment), "production");
	ck_assert_str_eq(TEXT(agent_machine_id), "railway-logs");
	ck_assert_int_eq(read_as(0, ENV("MACHINE_ID=m1",
	    "RAILWAY_SERVICE_NAME=logs", "DEPLOYMENT_ENV=staging",
	    "RAILWAY_ENVIRONMENT=production"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "m1");
	ck_assert_str_eq(TEXT(agent_deployment), "staging");
	ck_assert_int_eq(read_as(0, ENV("MACHINE_ID=unknown"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_machine_id), "");
}
END_TEST

START_TEST(otel_variables_are_taken)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("OTEL_EXPORTER_OTLP_HEADERS="
	    "Authorization=Bearer%20auth_t, Dash0-Dataset=dev,x-more=1%0D2",
	    "OTEL_RESOURCE_ATTRIBUTES=a=b,deployment.environment.name=prod,"
	    "cloud.region=eu", "OTEL_EXPORTER_OTLP_TIMEOUT=2500",
	    "OTEL_EXPORTER_OTLP_COMPRESSION=none"), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "auth_t");
	ck_assert_str_eq(TEXT(exporter_dataset), "dev");
	ck_assert_str_eq(TEXT(exporter_headers), "x-more=1 2");
	ck_assert_str_eq(TEXT(agent_deployment), "prod");
	ck_assert_str_eq(TEXT(agent_region), "eu");
	ck_assert_uint_eq(NUM(exporter_timeout), 2500);
	ck_assert_uint_eq(NUM(exporter_compression), 1);
	told_is("");
}
END_TEST

/* PM2 hands every worker's variables to the agent beside them. */
START_TEST(variables_of_other_roles_are_no_faults)
{
	const char *const *env = ENV("OTEL_EXPORTER_OTLP_ENDPOINT=h:4317",
	    "OTEL_EXPORTER_OTLP_TIMEOUT=0", "DASH0_DATASET=no slug",
	    "PORT=none", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc");
	const char *const *relay = ENV("FLUENTD_HOST=r", "FLUENTD_PORT=x",
	    "FLUENTD_SECURE=true");

	put_file("");
	ck_assert_int_eq(read_as(ROLE_AGENT, env, NONE), 0);
	told_is("");
	ck_assert_str_eq(TEXT(exporter_endpoint), "");
	ck_assert_int_eq(read_as(ROLE_RELAY, env, NONE), -EINVAL);
	ck_assert_int_eq(read_as(ROLE_RELAY | ROLE_EXPORTER, relay, NONE), 0);
	told_is("");
	ck_assert_int_eq(read_as(ROLE_AGENT, relay, NONE), -EINVAL);
	put_file("[common]\nrole = exporter\n");
	ck_assert_int_eq(read_as(0, relay, NONE), 0);
}
END_TEST

START_TEST(a_word_for_secure_is_understood_or_told)
{
	put_file("");
	ck_assert_int_eq(read_as(ROLE_AGENT, ENV("FLUENTD_HOST=r",
	    "FLUENTD_SECURE=tls"), NONE), -EINVAL);
	told_is("F FLUENTD_SECURE: 'tls' is not yes or no\n");
	ck_assert_int_eq(read_as(ROLE_AGENT, ENV("FLUENTD_HOST=r",
	    "FLUENTD_SECURE=off"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_relay), "r:24224");
}
END_TEST

START_TEST(another_protocol_is_told)
{
	put_file("");
	ck_assert_int_eq(read_as(ROLE_RELAY, ENV(
	    "OTEL_EXPORTER_OTLP_ENDPOINT=http://h:4318",
	    "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
	    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=http/protobuf"), NONE), 0);
	told_is("R OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken here: "
	    "OTLP goes out as http/protobuf, to port 4318 where a collector "
	    "listens\n");
	ck_assert_int_eq(read_as(ROLE_RELAY, ENV(
	    "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), NONE), 0);
	told_is("");
}
END_TEST

START_TEST(what_is_not_used_is_said)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("DISABLE_FLUENT_BIT_LOGGING=true",
	    "LOG_LEVEL=loud"), NONE), 0);
	told_is("R LOG_LEVEL: 'loud' is no level known here and is ignored\n"
	    "R DISABLE_FLUENT_BIT_LOGGING: ignored: EMPLOG_DISABLED turns "
	    "logging off in a connector\n");
	ck_assert_int_eq(read_as(0, ENV("LOG_LEVEL=WARN"), NONE), 0);
	ck_assert_str_eq(TEXT(common_log_level), "warning");
}
END_TEST

START_TEST(fill_takes_its_values_from_the_environment)
{
	put_file("[agent]\nfill = worker_id, connector_id=c9\n");
	ck_assert_int_eq(read_as(0, ENV("WORKER_ID=w1"), NONE), 0);
	ck_assert_str_eq(TEXT(agent_fill), "worker_id=w1,connector_id=c9");
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'agent.fill': 'worker_id' has no value: set "
	    "WORKER_ID or write worker_id=value\n");
	refused("[agent]\nfill = job_id\n", "F @:2: key 'agent.fill': "
	    "'job_id' is not a list of worker_id, service_type, "
	    "connector_id\n");
}
END_TEST

START_TEST(a_token_comes_from_its_file)
{
	char token[128], text[256], creds[128];

	snprintf(token, sizeof(token), "%s/tok", dir);
	put_bytes(token, "auth_abc \r\n\n", 12);
	snprintf(text, sizeof(text), "[exporter]\ntoken_file = %s\n", token);
	taken(text);
	ck_assert_str_eq(TEXT(exporter_token), "auth_abc");
	ck_assert_str_eq(conf->value[KEY_exporter_token].where, token);

	snprintf(creds, sizeof(creds), "CREDENTIALS_DIRECTORY=%s", dir);
	put_file("[exporter]\ntoken_file = tok\n");
	ck_assert_int_eq(read_as(0, ENV(creds), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "auth_abc");
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	told_is("F @:2: key 'exporter.token_file': 'tok' has no '/', and "
	    "$CREDENTIALS_DIRECTORY is not set\n");
	/* stronger: a token in the environment */
	ck_assert_int_eq(read_as(0, ENV(creds, "EMPLOGD_EXPORTER_TOKEN=t2"),
	    NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "t2");
	/* weaker: a foreign one */
	ck_assert_int_eq(read_as(0, ENV(creds, "DASH0_AUTH_TOKEN=t3"),
	    NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "auth_abc");
	put_file("[exporter]\ntoken_file = tok\ntoken = x\n");
	ck_assert_int_eq(read_as(0, ENV(creds), NONE), -EINVAL);
	told_is("F @:2: key 'exporter.token_file' and 'exporter.token' (@:3) "
	    "are both given\n");
}
END_TEST

START_TEST(a_credential_needs_no_key)
{
	char token[128], creds[128];

	snprintf(token, sizeof(token), "%s/exporter.token", dir);
	put_bytes(token, "auth_s", 6);
	snprintf(creds, sizeof(creds), "CREDENTIALS_DIRECTORY=%s", dir);
	put_file("");
	ck_assert_int_eq(read_as(0, ENV(creds), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "auth_s");
	/* what a unit's SetCredential= puts where there is no file */
	put_bytes(token, "\n", 1);
	ck_assert_int_eq(read_as(0, ENV(creds), NONE), 0);
	ck_assert_str_eq(TEXT(exporter_token), "");
}
END_TEST

START_TEST(railway_without_a_volume_is_known)
{
	put_file("");
	ck_assert_int_eq(read_as(0, ENV("RAILWAY_ENVIRONMENT_NAME=production"),
	    NONE), 0);
	ck_assert(conf->no_volume);
	ck_assert_int_eq(read_as(0, ENV("RAILWAY_ENVIRONMENT_NAME=production",
	    "RAILWAY_VOLUME_MOUNT_PATH=/data"), NONE), 0);
	ck_assert(!conf->no_volume);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	ck_assert(!conf->no_volume);
}
END_TEST

START_TEST(secrets_that_all_may_read_are_remarked)
{
	char token[128], text[256], want[512];

	put_file("[exporter]\ntoken = auth_x\n");
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	told_is("R @: everybody may read the file, and it holds "
	    "'exporter.token': chmod 640 @\n");
	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	told_is("");
	snprintf(token, sizeof(token), "%s/tok", dir);
	put_bytes(token, "auth_abc", 8);
	ck_assert_int_eq(chmod(token, 0644), 0);
	snprintf(text, sizeof(text), "[exporter]\ntoken_file = %s\n", token);
	put_file(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), 0);
	snprintf(want, sizeof(want), "R %s: everybody may read the token: "
	    "chmod 600 %s\n", token, token);
	ck_assert_str_eq(told, want);
}
END_TEST

START_TEST(a_bad_token_file_is_told_and_its_content_is_not)
{
	char token[128], text[256], want[512];

	snprintf(token, sizeof(token), "%s/tok", dir);
	put_bytes(token, "sec\nret", 7);
	snprintf(text, sizeof(text), "[exporter]\ntoken_file = %s\n", token);
	put_file(text);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	snprintf(want, sizeof(want), "F %s: key 'exporter.token': the value "
	    "holds a control character or is not UTF-8\n", token);
	ck_assert_str_eq(told, want);
	put_bytes(token, "\n", 1);
	ck_assert_int_eq(read_as(0, NONE, NONE), -EINVAL);
	snprintf(want, sizeof(want), "F %s:2: key 'exporter.token_file': '%s' "
	    "holds no token\n", path, token);
	ck_assert_str_eq(told, want);
}
END_TEST

START_TEST(without_root_the_places_are_the_sessions)
{
	char run[] = "XDG_RUNTIME_DIR=/run/user/7", home[] = "HOME=/home/u",
	    state[] = "XDG_STATE_HOME=/st";
	char *env[] = { run, home, NULL, NULL };
	struct conf_source src = { .file = path, .env = env, .as_user = true,
	    .tell = on_tell };

	put_file("");
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	ck_assert_str_eq(TEXT(common_ring_dir), "/run/user/7/emplog");
	ck_assert_str_eq(TEXT(common_state_dir),
	    "/home/u/.local/state/emplogd");
	ck_assert_int_eq(conf->value[KEY_common_ring_dir].from, FROM_DEFAULT);
	conf_free(&conf);
	env[2] = state;
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	ck_assert_str_eq(TEXT(common_state_dir), "/st/emplogd");
	conf_free(&conf);
	src.roles = ROLE_AGENT;
	rewind(told_file);
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	fflush(told_file);
	/* Connectors of this user look there by themselves. */
	ck_assert_str_eq(told, "");
	conf_free(&conf);
	src.env = NULL;
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	ck_assert_str_eq(TEXT(common_ring_dir), "/dev/shm/emplog");
	ck_assert_str_eq(TEXT(common_state_dir), "/var/lib/emplogd");
}
END_TEST

START_TEST(a_lenient_reading_gives_what_is_good)
{
	struct conf_source src = { .file = path, .lenient = true,
	    .tell = on_tell };

	put_file("[agent]\nrely = x\n[common]\nstate_dir = /s\nio = fast\n"
	    "[exporter]\nendpoint = https://x.dash0.com\ntoken = ${T}\n"
	    "token_file = /absent\n");
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	ck_assert_str_eq(TEXT(common_state_dir), "/s");
	ck_assert_str_eq(TEXT(common_io), "auto");
	ck_assert_str_eq(TEXT(exporter_token), "");
	ck_assert_uint_eq(conf->faults, 3);
}
END_TEST

/* contrib/emplogd.conf, as it is or with what is commented out taken. */
static void
put_example(bool all)
{
	const char *top = getenv("srcdir");
	char name[256], line[256];
	FILE *in, *out;
	size_t n;

	snprintf(name, sizeof(name), "%s/contrib/emplogd.conf",
	    top != NULL ? top : ".");
	in = fopen(name, "r");
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(out);
	while (fgets(line, sizeof(line), in) != NULL) {
		n = line[0] == '#' ? strspn(line + 1,
		    "abcdefghijklmnopqrstuvwxyz_") : 0;
		if (n > 0 && strncmp(line + 1 + n, " = ", 3) == 0 &&
		    strncmp(line, "#token_file", 11) != 0 &&
		    strncmp(line, "#shared_key_file", 16) != 0)
			fputs(all ? line + 1 : "", out);
		else
			fputs(line, out);
	}
	fclose(in);
	fclose(out);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

START_TEST(the_example_is_without_fault_and_complete)
{
	unsigned k;

	put_example(false);
	ck_assert_int_eq(read_as(ROLE_AGENT, NONE, NONE), 0);
	told_is("");
	put_example(true);
	ck_assert_int_eq(read_as(ROLE_AGENT | ROLE_RELAY | ROLE_EXPORTER,
	    NONE, ENV("common.insecure_listen=yes")), 0);
	told_is("");
	for (k = 0; k < KEY_COUNT; k++)
		if (k != KEY_exporter_token_file &&
		    k != KEY_common_shared_key_file)
			ck_assert_msg(conf->value[k].from != FROM_DEFAULT,
			    "%s is missing", key_info[k].name);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	struct conf_source src = { .file = path, .roles = 7 };
	char token[] = "DASH0_AUTH_TOKEN=auth_x", host[] = "FLUENTD_HOST=h";
	char *env[] = { token, host, NULL };
	unsigned n;
	int r = -ENOMEM;

	put_file("[agent]\nregion = ${X:-eu}\nfill = worker_id=w\n"
	    "[exporter]\nendpoint = https://in.dash0.com\n");
	src.env = env;
	for (n = 1; r == -ENOMEM; n++) {
		ck_assert_uint_lt(n, 1000);
		fail_in = n;
		r = conf_read(&conf, &src);
		if (r < 0)
			ck_assert_ptr_null(conf);
	}
	fail_in = 0;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(n, KEY_COUNT);
}
END_TEST

START_TEST(a_long_list_is_bounded)
{
	char text[2048] = "[agent]\nrelay = ";
	unsigned i;

	for (i = 0; i < LIST_ITEMS_MAX; i++)
		strcat(text, "a:1,");
	taken(text);
	ck_assert_uint_eq(NUM(agent_relay), LIST_ITEMS_MAX);
	strcat(text, "a:1");
	refused(text, "F @:2: key 'agent.relay': more than 64 items\n");
}
END_TEST

START_TEST(foreign_rows_have_words)
{
	const struct foreign_info *f;

	for (f = foreign_info; f->name != NULL; f++) {
		ck_assert(f->text[0] != '\0');
		if (f->how <= FOREIGN_PROTOCOL)
			ck_assert_int_lt(f->key, KEY_COUNT);
		else
			ck_assert_int_eq(f->key, KEY_COUNT);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		defaults_are_those_of_the_table,
		every_value_knows_where_it_came_from,
		unknown_key_names_the_nearest, unknown_section_is_told_once,
		faults_of_form_name_their_line, a_repeated_key_names_the_first,
		all_faults_are_told, each_type_says_what_it_wants,
		sources_beat_each_other_in_order,
		a_beaten_value_is_checked_all_the_same,
		flags_are_checked_and_the_last_wins,
		no_fault_shows_what_may_be_a_secret,
		an_endpoint_has_a_host_and_a_port_that_exists,
		unknown_own_variables_are_remarks, every_key_has_a_variable,
		variables_expand, bad_expansions_are_told,
		an_expansion_is_bounded_by_its_buffer,
		an_expanded_newline_never_reaches_a_header,
		environment_and_flags_are_not_expanded, sizes_are_exact,
		times_are_exact, limits_hold_at_both_ends, addresses_parse,
		crlf_bom_and_no_newline_at_the_end,
		quotes_keep_blanks_and_comment_signs,
		a_colon_or_equal_sign_in_a_value_stays, a_long_value_is_whole,
		nul_bytes_are_refused_by_line,
		a_line_of_a_megabyte_costs_one_fault,
		a_file_is_at_most_sixteen_megabytes,
		ten_thousand_unknown_keys_are_counted,
		any_bytes_are_answered_without_a_crash,
		an_absent_file_is_a_fault_only_when_it_was_named,
		roles_come_from_the_flag_or_the_key,
		listening_off_loopback_wants_a_word,
		tls_or_a_key_guard_a_port, tls_names_the_file_it_lacks,
		peers_in_clear_are_remarked_and_get_no_key,
		two_listens_on_one_address_are_told,
		dash0_without_token_is_a_fault,
		the_path_of_a_signal_is_left_off_and_said,
		a_base_is_told_from_its_paths,
		fluentd_variables_name_the_relay,
		railway_and_platform_variables_are_taken,
		otel_variables_are_taken, variables_of_other_roles_are_no_faults,
		a_word_for_secure_is_understood_or_told,
		another_protocol_is_told, what_is_not_used_is_said,
		fill_takes_its_values_from_the_environment,
		a_token_comes_from_its_file, a_credential_needs_no_key,
		railway_without_a_volume_is_known,
		secrets_that_all_may_read_are_remarked,
		a_bad_token_file_is_told_and_its_content_is_not,
		without_root_the_places_are_the_sessions,
		a_lenient_reading_gives_what_is_good,
		the_example_is_without_fault_and_complete,
		every_allocation_may_fail, a_long_list_is_bounded,
		foreign_rows_have_words,
	};
	TCase *tc = tcase_create("config");
	Suite *s = suite_create("config");
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
