/* SPDX-License-Identifier: ISC */
/*
 * test_export.c - the answer table and the waits of the exporter
 *
 * Claims DESIGN 10's table row by row, and that waits are spread, bounded,
 * and end.
 */

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "export/answer.h"
#include "base/env.h"
#include "export/batch.h"
#include "export/circuit.h"
#include "export/export.h"
#include "export/target.h"
#include "forward/mp.h"

static const struct {
	int		 status;
	const char	*type;
	const char	*body;
	size_t		 n;
	enum verdict	 verdict;
	uint64_t	 rejected;
} row[] = {
	{ 200, "", "", 0, ANSWER_DONE, 0 },
	{ 200, "application/x-protobuf", "", 0, ANSWER_DONE, 0 },
	{ 202, "text/html", "", 0, ANSWER_DONE, 0 },
	{ 200, "application/x-protobuf", "\x0a\x07\x08\x03\x12\x03old", 9,
	    ANSWER_DONE, 3 },
	{ 200, "application/x-protobuf", "\x0a\x03\x12\x01w", 5, ANSWER_DONE, 0 },
	{ 200, "application/x-protobuf", "\x0a\x00", 2, ANSWER_DONE, 0 },
	{ 200, "application/json", "{}", 2, ANSWER_DONE, 0 },
	{ 200, "application/json; charset=utf-8",
	    "{\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}", 45,
	    ANSWER_DONE, 2 },
	{ 200, "application/json", "{\"partialSuccess\":"
	    "{\"rejectedSpans\":4}}", 38, ANSWER_DONE, 4 },
	{ 200, "application/json", "{\"partialSuccess\":"
	    "{\"rejectedDataPoints\":\"-5\"}}", 46, ANSWER_DONE, 0 },
	{ 200, "application/json", "{\"welcome\":1}", 13, ANSWER_RETRY, 0 },
	{ 200, "application/json", "[]", 2, ANSWER_RETRY, 0 },
	{ 200, "text/html", "<html>", 6, ANSWER_RETRY, 0 },
	{ 200, "application/x-protobuf", "\xff\xff\xff", 3, ANSWER_RETRY, 0 },
	{ 301, "text/html", "", 0, ANSWER_RETRY, 0 },
	{ 302, "", "", 0, ANSWER_RETRY, 0 },
	{ 400, "", "no", 2, ANSWER_BISECT, 0 },
	{ 401, "", "", 0, ANSWER_HOLD, 0 },
	{ 403, "", "", 0, ANSWER_HOLD, 0 },
	{ 404, "", "", 0, ANSWER_HOLD, 0 },
	{ 405, "", "", 0, ANSWER_HOLD, 0 },
	{ 407, "", "", 0, ANSWER_HOLD, 0 },
	{ 408, "", "", 0, ANSWER_RETRY, 0 },
	{ 413, "", "", 0, ANSWER_HALVE, 0 },
	{ 415, "", "", 0, ANSWER_HOLD, 0 },
	{ 422, "", "", 0, ANSWER_BISECT, 0 },
	{ 429, "", "", 0, ANSWER_RETRY, 0 },
	{ 500, "", "", 0, ANSWER_RETRY, 0 },
	{ 502, "", "", 0, ANSWER_RETRY, 0 },
	{ 503, "", "", 0, ANSWER_RETRY, 0 },
	{ 504, "", "", 0, ANSWER_RETRY, 0 },
	{ 599, "", "", 0, ANSWER_RETRY, 0 },
	{ 0, "", "", 0, ANSWER_RETRY, 0 },
};

START_TEST(each_answer_has_its_verdict)
{
	struct answer a;

	answer_read(row[_i].status, row[_i].type,
	    bytes_of(row[_i].body, row[_i].n), false, &a);
	ck_assert_int_eq(a.verdict, row[_i].verdict);
	ck_assert_uint_eq(a.rejected, row[_i].rejected);
}
END_TEST

START_TEST(words_of_an_error_are_one_printable_line)
{
	struct answer a;

	answer_read(400, "text/html", BYTES("bad\r\n\x1b[31m token\x01!"), false, &a);
	ck_assert_str_eq(a.words, "bad [31m token !");
}
END_TEST

START_TEST(a_type_that_is_no_text_is_quoted_as_one)
{
	struct answer a;

	answer_read(200, "text/h\xe9\x1b", BYTES("?"), false, &a);
	ck_assert_str_eq(a.words, "answered 200 with 'text/h ', which is not "
	    "OTLP: is this the endpoint?");
}
END_TEST

START_TEST(words_are_cut_not_overrun)
{
	struct answer a;
	char body[1000];

	memset(body, 'x', sizeof(body));
	answer_read(400, "", bytes_of(body, sizeof(body)), true, &a);
	ck_assert_uint_eq(strlen(a.words), sizeof(a.words) - 1);
}
END_TEST

/* rejected 3, a message that says it has 300 bytes and goes on. */
#define LONG_PB	"\x0a\xb1\x02\x08\x03\x12\xac\x02too old"
#define LONG_JSON "{ \"partialSuccess\": {\"errorMessage\": \"too old"

START_TEST(a_taken_request_whose_answer_is_too_long_is_not_sent_again)
{
	struct answer a;

	answer_read(200, "application/x-protobuf", BYTES(LONG_PB), true, &a);
	ck_assert_int_eq(a.verdict, ANSWER_DONE);
	ck_assert_uint_eq(a.rejected, 3);
	ck_assert_str_eq(a.words, "too old");
	answer_read(200, "application/x-protobuf", BYTES(LONG_PB), false, &a);
	ck_assert_int_eq(a.verdict, ANSWER_RETRY);
	answer_read(200, "application/json", BYTES(LONG_JSON), true, &a);
	ck_assert_int_eq(a.verdict, ANSWER_DONE);
	ck_assert_ptr_nonnull(strstr(a.words, "too old"));
	answer_read(200, "application/json", BYTES("{\"items\": ["), true,
	    &a);
	ck_assert_int_eq(a.verdict, ANSWER_RETRY);
	answer_read(200, "text/html", BYTES("<html>"), true, &a);
	ck_assert_int_eq(a.verdict, ANSWER_RETRY);
}
END_TEST

#define S UINT64_C(1000000000)

START_TEST(four_failures_leave_the_circuit_closed_the_fifth_opens_it)
{
	struct circuit c = { 0 };
	unsigned i;

	for (i = 0; i < 4; i++) {
		circuit_failed(&c, i * S, 1);
		ck_assert(circuit_try(&c, i * S));
	}
	circuit_failed(&c, 4 * S, 1);
	ck_assert(!circuit_try(&c, 4 * S));
}
END_TEST

START_TEST(five_failures_over_more_than_30_s_do_not_open_it)
{
	struct circuit c = { 0 };
	unsigned i;

	for (i = 0; i < 20; i++) {
		circuit_failed(&c, i * 8 * S, 1);
		ck_assert(circuit_try(&c, i * 8 * S));
	}
}
END_TEST

START_TEST(after_the_wait_exactly_one_probe_may_go)
{
	struct circuit c = { 0 };
	unsigned i;

	for (i = 0; i < 5; i++)
		circuit_failed(&c, 0, 3);
	ck_assert(!circuit_try(&c, c.until_ns - 1));
	ck_assert(circuit_try(&c, c.until_ns));
	ck_assert(!circuit_try(&c, c.until_ns + S));
	circuit_ok(&c);
	ck_assert(circuit_try(&c, c.until_ns));
	ck_assert(circuit_try(&c, c.until_ns));
}
END_TEST

START_TEST(waits_grow_to_60_s_and_stay_spread_after_the_cap)
{
	struct circuit c = { 0 };
	uint64_t now = 0, wait, least = UINT64_MAX, most = 0;
	unsigned i;

	srandom(1);
	for (i = 0; i < 5; i++)
		circuit_failed(&c, now, 7);
	for (i = 0; i < 500; i++) {
		wait = c.until_ns - now;
		ck_assert_uint_le(wait, CIRCUIT_WAIT_MAX_NS);
		if (i > 10) {
			least = wait < least ? wait : least;
			most = wait > most ? wait : most;
		}
		now = c.until_ns;
		ck_assert(circuit_try(&c, now));
		circuit_failed(&c, now, (uint64_t)random() << 32 ^
		    (uint64_t)random());
	}
	ck_assert_uint_lt(least, 20 * S);
	ck_assert_uint_gt(most, 55 * S);
}
END_TEST

START_TEST(a_cancelled_probe_gives_its_turn_back)
{
	struct circuit c = { 0 };
	unsigned i;

	for (i = 0; i < 5; i++)
		circuit_failed(&c, 0, 3);
	ck_assert(circuit_try(&c, 100 * S));
	circuit_unused(&c, 100 * S);
	ck_assert(circuit_try(&c, 100 * S));
}
END_TEST

START_TEST(a_retry_is_never_at_once_and_never_after_30_s)
{
	unsigned attempt;

	for (attempt = 1; attempt < 100; attempt++) {
		ck_assert_uint_ge(retry_wait_ns(attempt, 0), S / 4);
		ck_assert_uint_le(retry_wait_ns(attempt, UINT64_MAX), 30 * S);
	}
}
END_TEST

START_TEST(retry_after_is_exact_up_to_an_hour)
{
	ck_assert_uint_eq(retry_after_ns(0), 0);
	ck_assert_uint_eq(retry_after_ns(1), 1000000);
	ck_assert_uint_eq(retry_after_ns(3599999), RETRY_AFTER_MAX_NS - 1000000);
	ck_assert_uint_eq(retry_after_ns(3600000), RETRY_AFTER_MAX_NS);
	ck_assert_uint_eq(retry_after_ns(3600001), RETRY_AFTER_MAX_NS);
	ck_assert_uint_eq(retry_after_ns(INT64_MAX), RETRY_AFTER_MAX_NS);
}
END_TEST

/* ---- where requests go ---- */

static struct env env;
static struct target target;

static int
target_of(const char *dataset, const char *headers)
{
	struct export_conf c = { .endpoint = "https://ingest.example/",
	    .token = "t0ken", .dataset = dataset, .headers = headers };

	env_init(&env, NULL, "test");
	return target_init(&target, &env, &c);
}

static void
target_done(void)
{
	target_fini(&target, &env);
	env_fini(&env);
}

static const char *
header(const char *name)
{
	unsigned i;

	for (i = 0; i < target.header_n; i++)
		if (strcmp(target.header[i].name, name) == 0)
			return target.header[i].value;
	return "";
}

START_TEST(a_target_has_paths_token_dataset_and_headers)
{
	ck_assert_int_eq(target_of("production", "X-A=1, X-B = two "), 0);
	ck_assert_str_eq(target.url[SIGNAL_LOGS],
	    "https://ingest.example/v1/logs");
	ck_assert_str_eq(target.url[SIGNAL_TRACES],
	    "https://ingest.example/v1/traces");
	ck_assert_str_eq(header("Authorization"), "Bearer t0ken");
	ck_assert_str_eq(header("Dash0-Dataset"), "production");
	ck_assert_str_eq(header("X-A"), "1");
	ck_assert_str_eq(header("X-B"), "two");
	ck_assert_ptr_null(target_dataset(&target, BYTES("production")));
	target_done();
}
END_TEST

START_TEST(a_secret_a_backend_repeats_is_not_told)
{
	char whole[] = "no token auth_0123456789 here", cut[] = "bad auth_012",
	    other[] = "Bearer auth is what it needs, application/x-protobuf";

	ck_assert_int_eq(target_of("production",
	    "Authorization=Bearer auth_0123456789"), 0);
	target_hide(&target, whole);
	ck_assert_str_eq(whole, "no token *************** here");
	target_hide(&target, cut);
	ck_assert_str_eq(cut, "bad ********");
	target_hide(&target, other);
	ck_assert_str_eq(other,
	    "Bearer auth is what it needs, application/x-protobuf");
	target_done();
}
END_TEST

static int
refused_target(const char *dataset, const char *headers)
{
	int r = target_of(dataset, headers);

	env_fini(&env);
	return r;
}

START_TEST(headers_that_are_none_are_refused)
{
	ck_assert_int_eq(refused_target("", "X-A"), -EINVAL);
	ck_assert_int_eq(refused_target("", "X A=1"), -EINVAL);
	ck_assert_int_eq(refused_target("", "=1"), -EINVAL);
	ck_assert_int_eq(refused_target("", "X-A=1\r\nX-B=2"), -EINVAL);
	ck_assert_int_eq(refused_target("by:deployment.environment.name", ""),
	    -EINVAL);
}
END_TEST

START_TEST(an_environment_not_listed_goes_to_the_first_dataset)
{
	ck_assert_int_eq(target_of("by:deployment.environment.name, "
	    "development production", ""), 0);
	ck_assert_str_eq(header("Dash0-Dataset"), "development");
	ck_assert_str_eq(target_dataset(&target, BYTES("production")),
	    "production");
	ck_assert_str_eq(target_dataset(&target, BYTES("staging")),
	    "development");
	ck_assert_str_eq(target_dataset(&target, BYTES("")), "development");
	target_done();
}
END_TEST

static const char *
pick(const void *arg, struct bytes environment)
{
	return target_dataset(arg, environment);
}

/* Three records: production, production, development. */
static size_t
three_records(uint8_t *to, size_t cap)
{
	static const char *const env_of[] = { "production", "production",
	    "development" };
	struct mpw w = { to, to + cap, false };
	unsigned i;

	for (i = 0; i < 3; i++) {
		mpw_array(&w, 2);
		mpw_event_time(&w, UINT64_C(1700000000000000000));
		mpw_map(&w, 1);
		mpw_str(&w, BYTES("deployment_env"));
		mpw_str(&w, bytes_str(env_of[i]));
	}
	ck_assert(!w.full);
	return (size_t)(w.p - to);
}

START_TEST(a_request_holds_records_of_one_dataset_only)
{
	struct norm_conf nc = { .service_namespace = "emp" };
	uint8_t body[512];
	struct batch b;

	ck_assert_int_eq(target_of("by:deployment.environment.name, "
	    "development, production", ""), 0);
	batch_init(&b, &env);
	b.frame[0].chunk.records = 3;
	b.frame[0].chunk.body[0] = bytes_of(body,
	    three_records(body, sizeof(body)));
	b.frame_n = 1;
	b.records = 3;
	b.range[0] = (struct batch_range){ 0, 3 };
	b.range_n = 1;
	ck_assert_str_eq(batch_one_dataset(&b, &nc, pick, &target),
	    "production");
	ck_assert_uint_eq(b.range_n, 2);
	ck_assert_uint_eq(b.range[1].from, 0);
	ck_assert_uint_eq(b.range[1].to, 2);
	batch_pop(&b);
	ck_assert_str_eq(batch_one_dataset(&b, &nc, pick, &target),
	    "development");
	ck_assert_uint_eq(b.range_n, 1);
	ck_assert_uint_eq(b.range[0].from, 2);
	batch_fini(&b);
	target_done();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("export");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, each_answer_has_its_verdict, 0,
	    (int)(sizeof(row) / sizeof(row[0])));
	tcase_add_test(tc, words_of_an_error_are_one_printable_line);
	tcase_add_test(tc, a_type_that_is_no_text_is_quoted_as_one);
	tcase_add_test(tc, words_are_cut_not_overrun);
	tcase_add_test(tc,
	    a_taken_request_whose_answer_is_too_long_is_not_sent_again);
	tcase_add_test(tc, a_secret_a_backend_repeats_is_not_told);
	tcase_add_test(tc,
	    four_failures_leave_the_circuit_closed_the_fifth_opens_it);
	tcase_add_test(tc, five_failures_over_more_than_30_s_do_not_open_it);
	tcase_add_test(tc, after_the_wait_exactly_one_probe_may_go);
	tcase_add_test(tc, waits_grow_to_60_s_and_stay_spread_after_the_cap);
	tcase_add_test(tc, a_cancelled_probe_gives_its_turn_back);
	tcase_add_test(tc, a_retry_is_never_at_once_and_never_after_30_s);
	tcase_add_test(tc, retry_after_is_exact_up_to_an_hour);
	tcase_add_test(tc, a_target_has_paths_token_dataset_and_headers);
	tcase_add_test(tc, headers_that_are_none_are_refused);
	tcase_add_test(tc,
	    an_environment_not_listed_goes_to_the_first_dataset);
	tcase_add_test(tc, a_request_holds_records_of_one_dataset_only);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
