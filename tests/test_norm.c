/* SPDX-License-Identifier: ISC */
/*
 * test_norm.c - each field of a record to its place
 *
 * Claimed: levels and times as sources spell them; aliases, identity and the
 * order of right to stay; that every field is accounted for.  Records are
 * written as JSON and packed.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "otlp/norm.h"
#include "tests/pack_json.h"

#define NOW	UINT64_C(1754920945000000000)

static uint8_t mem[1 << 20], id_mem[IDENTITY_MAX];
static struct norm norm;
static struct norm_conf conf;

static struct bytes
packed(const char *json, uint8_t *p, size_t cap)
{
	struct mpw w = { p, p + cap, false };
	json_error_t e;
	json_t *v = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);

	ck_assert_msg(v != NULL, "%s in %s", e.text, json);
	pack_json(&w, v);
	ck_assert(!w.full);
	json_decref(v);
	return bytes_of(p, (size_t)(w.p - p));
}

static struct norm *
sorted_in(const char *identity, const char *record)
{
	struct entry e = { .time_ns = 7 };

	e.record = packed(record, mem, sizeof(mem));
	ck_assert_int_eq(norm_record(&norm, &conf, &e,
	    packed(identity, id_mem, sizeof(id_mem)),
	    (struct bytes){ NULL, 0 }, NOW), 0);
	ck_assert_uint_eq(norm.fields + norm.added, norm.moved + norm.attr_n +
	    norm.same + norm.joined + norm.lost);
	return &norm;
}

static struct norm *
sorted(const char *record)
{
	return sorted_in("{}", record);
}

static const struct norm_attr *
attr(const struct norm_attr *a, unsigned n, const char *key)
{
	for (; n > 0; n--, a++)
		if (bytes_eq(a->key, bytes_str(key)))
			return a;
	return NULL;
}

static void
is_text(struct bytes b, const char *text)
{
	ck_assert_msg(bytes_eq(b, bytes_str(text)), "'%.*s' is not '%s'",
	    (int)b.n, b.p, text);
}

static void
has_text(const char *key, const char *text)
{
	const struct norm_attr *a = attr(norm.attr, norm.attr_n, key);

	ck_assert_msg(a != NULL, "no %s", key);
	ck_assert_int_eq(a->value.kind, NV_STR);
	is_text(a->value.b, text);
}

static void
resource_is(const char *key, const char *text)
{
	const struct norm_attr *a = attr(norm.resource, norm.resource_n, key);

	if (text == NULL) {
		ck_assert_msg(a == NULL, "%s is there", key);
		return;
	}
	ck_assert_msg(a != NULL, "no %s", key);
	is_text(a->value.b, text);
}

/* The attributes' keys, blank-separated. */
static const char *
keys(void)
{
	static char text[8192];
	size_t at = 0;
	unsigned i;

	text[0] = '\0';
	for (i = 0; i < norm.attr_n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s",
		    i > 0 ? " " : "", (int)norm.attr[i].key.n,
		    norm.attr[i].key.p);
	return text;
}

static const struct {
	const char	*value;
	unsigned	 number;
	const char	*word;
} levels[] = {
	{ "\"info\"", 9, "info" }, { "\"INFO\"", 9, "INFO" },
	{ "\"Warn\"", 13, "Warn" }, { "\"WARNING\"", 13, "WARNING" },
	{ "\"error\"", 17, "error" }, { "\"err\"", 17, "err" },
	{ "\"debug\"", 5, "debug" }, { "\"trace\"", 1, "trace" },
	{ "\"fatal\"", 21, "fatal" }, { "\"critical\"", 21, "critical" },
	{ "\"http\"", 7, "http" }, { "\"verbose\"", 6, "verbose" },
	{ "\"silly\"", 1, "silly" }, { "\"crit\"", 18, "crit" },
	{ "\"alert\"", 19, "alert" }, { "\"emerg\"", 21, "emerg" },
	{ "\"notice\"", 10, "notice" },
	{ "\"\\u001b[32minfo\\u001b[39m\"", 9, "info" },
	{ "\"\\u001b[1;31mERROR\\u001b[0m\"", 17, "ERROR" },
	{ "\"\\u001b[32m\\u001b[1minfo\\u001b[22m\\u001b[39m\"", 9, "info" },
	{ "\"[warn]\"", 13, "warn" }, { "\" info: \"", 9, "info" },
	{ "\"loud\"", 0, "loud" },
	{ "0", 21, "0" }, { "1", 19, "1" }, { "2", 18, "2" },
	{ "3", 17, "3" }, { "4", 13, "4" }, { "5", 10, "5" },
	{ "6", 9, "6" }, { "7", 5, "7" }, { "9", 9, "9" },
	{ "10", 1, "10" }, { "13", 13, "13" }, { "17", 17, "17" },
	{ "20", 5, "20" }, { "21", 21, "21" }, { "30", 9, "30" },
	{ "35", 9, "35" }, { "40", 13, "40" }, { "50", 17, "50" },
	{ "60", 21, "60" }, { "69", 21, "69" }, { "70", 0, "70" },
	{ "30.0", 9, "30" }, { "\"30\"", 9, "30" }, { "\"70\"", 0, "70" },
};

START_TEST(a_level_is_told_however_it_is_spelled)
{
	char record[128];

	snprintf(record, sizeof(record), "{\"level\":%s}", levels[_i].value);
	sorted(record);
	ck_assert_msg(norm.severity == levels[_i].number, "%s: %u",
	    levels[_i].value, norm.severity);
	is_text(norm.severity_text, levels[_i].word);
	ck_assert_uint_eq(norm.attr_n, 0);
}
END_TEST

START_TEST(what_is_no_level_stays_an_attribute)
{
	static const char *const no[] = {
		"{\"level\":{}}", "{\"level\":true}", "{\"level\":-1}",
		"{\"level\":1.5}", "{\"level\":\"\"}",
		"{\"level\":\"\\u001b[3\"}",
		"{\"level\":\"123456789012345678901234567890123\"}",
		"{\"severity_number\":25}", "{\"severity_number\":0}",
	};
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		sorted(no[i]);
		ck_assert_msg(norm.attr_n == 1, "%s", no[i]);
		ck_assert_uint_eq(norm.severity, 0);
		ck_assert_uint_eq(norm.severity_text.n, 0);
	}
	sorted("{\"level\":\"12345678901234567890123456789012\"}");
	ck_assert_uint_eq(norm.attr_n, 0);
	ck_assert_uint_eq(norm.severity_text.n, 32);
}
END_TEST

START_TEST(a_severity_number_wins_over_the_word)
{
	sorted("{\"level\":\"info\",\"severity_number\":24}");
	ck_assert_uint_eq(norm.severity, 24);
	is_text(norm.severity_text, "info");
}
END_TEST

static const struct {
	const char	*value;
	uint64_t	 ns;
} times[] = {
	{ "\"1970-01-01T00:00:00Z\"", 0 },
	{ "\"2025-08-11T14:02:24.902Z\"", UINT64_C(1754920944902000000) },
	{ "\"2025-08-11T16:02:24.902+02:00\"", UINT64_C(1754920944902000000) },
	{ "\"2025-08-11T09:32:24.902-0430\"", UINT64_C(1754920944902000000) },
	{ "\"2025-08-11 16:02:24,902 +02\"", UINT64_C(1754920944902000000) },
	{ "\"2025-08-11 14:02:24.902\"", UINT64_C(1754920944902000000) },
	{ "\"2025-08-11T14:02:24.123456789z\"", UINT64_C(1754920944123456789) },
	{ "\"2025-08-11T14:02:24.1234567899Z\"",
	    UINT64_C(1754920944123456789) },
	{ "\"2025-08-11T14:02Z\"", UINT64_C(1754920920000000000) },
	{ "\"2024-02-29T00:00:00Z\"", UINT64_C(1709164800000000000) },
	{ "\"2000-03-01T00:00:00Z\"", UINT64_C(951868800000000000) },
	{ "\"2016-12-31T23:59:60Z\"", UINT64_C(1483228800000000000) },
	{ "\"2553-12-31T23:59:59.999999999Z\"",
	    UINT64_C(18429292799999999999) },
	{ "1754920944", UINT64_C(1754920944000000000) },
	{ "1754920944902", UINT64_C(1754920944902000000) },
	{ "1754920944902123", UINT64_C(1754920944902123000) },
	{ "1754920944902123457", UINT64_C(1754920944902123457) },
	{ "\"1754920944902123457\"", UINT64_C(1754920944902123457) },
	{ "\"1754920944.902123457\"", UINT64_C(1754920944902123457) },
	{ "\"1754920944902.123457\"", UINT64_C(1754920944902123457) },
	{ "1754920944.5", UINT64_C(1754920944500000000) },
	{ "1754920944902.25", UINT64_C(1754920944902250000) },
	{ "100000000", UINT64_C(100000000000000000) },
	{ "100000000000", UINT64_C(100000000000000000) },
};

START_TEST(a_time_is_told_to_the_nanosecond)
{
	char record[128];

	snprintf(record, sizeof(record), "{\"timestamp\":%s}",
	    times[_i].value);
	sorted(record);
	ck_assert_msg(norm.time_ns == times[_i].ns, "%s: %llu",
	    times[_i].value, (unsigned long long)norm.time_ns);
}
END_TEST

START_TEST(what_is_no_time_stays_an_attribute_and_the_entry_has_its_own)
{
	static const char *const no[] = {
		"\"\"", "\"now\"", "\"2025-08-11\"", "\"2025-13-01T00:00:00Z\"",
		"\"2025-02-29T00:00:00Z\"", "\"2100-02-29T00:00:00Z\"",
		"\"2025-08-11T24:00:00Z\"", "\"2025-08-11T14:60:00Z\"",
		"\"2025-08-11T14:02:61Z\"", "\"2025-08-11T14:02:24.Z\"",
		"\"2025-08-11T14:02:24+24:00\"", "\"2025-08-11T14:02:24Zx\"",
		"\"2025-08-11T14:02:24 \"", "\"1969-12-31T23:59:59Z\"",
		"\"1970-01-01T00:00:00+01:00\"", "\"2554-01-01T00:00:00Z\"",
		"99999999", "99999999999", "-1754920944", "1.5", "true", "{}",
		"\"1754920944.\"", "\"1754920944x\"", "\"99999999\"",
		"\"99999999999999999999\"", "{\"$double\":\"nan\"}",
		"{\"$double\":\"inf\"}", "{\"$double\":\"1e300\"}",
	};
	char record[128];
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		snprintf(record, sizeof(record), "{\"timestamp\":%s}", no[i]);
		sorted(record);
		ck_assert_msg(norm.attr_n == 1, "%s", no[i]);
		ck_assert_uint_eq(norm.time_ns, 7);
	}
}
END_TEST

START_TEST(a_time_without_a_zone_is_utc_and_says_so)
{
	sorted("{\"timestamp\":\"2025-08-11 14:02:24.902\"}");
	has_text("emplog.assumed_zone", "UTC");
	sorted("{\"timestamp\":\"2025-08-11 14:02:24.902Z\"}");
	ck_assert_uint_eq(norm.attr_n, 0);
}
END_TEST

START_TEST(a_timestamp_stands_before_time_and_ts)
{
	sorted("{\"ts\":1754920944,\"time\":1754920945,"
	    "\"timestamp\":1754920946}");
	ck_assert_uint_eq(norm.time_ns, UINT64_C(1754920946000000000));
	ck_assert_str_eq(keys(), "ts time");
}
END_TEST

START_TEST(an_iso_text_reads_back_the_same)
{
	static const uint64_t ns[] = {
		0, 1, UINT64_C(951868799999999999),
		UINT64_C(951868800000000000),
		UINT64_C(1709164800000000000), UINT64_C(1754920944902123457),
		UINT64_C(4107542399000000000), UINT64_C(18429292799999999999)
	};
	char text[NORM_ISO_LEN], record[64];
	size_t i;

	for (i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
		norm_iso(ns[i], text);
		snprintf(record, sizeof(record), "{\"time\":\"%.*s\"}",
		    NORM_ISO_LEN, text);
		sorted(record);
		ck_assert_msg(norm.time_ns == ns[i], "%.*s", NORM_ISO_LEN,
		    text);
	}
}
END_TEST

START_TEST(every_name_of_the_table_is_found)
{
	char name[64];
	const char *p;
	unsigned id;
	uint8_t alias;
	size_t n;

	for (id = 0; id < F_COUNT; id++) {
		struct bytes b = field_info[id].name;

		ck_assert_uint_eq(field_find(b, field_hash(b), &alias), id);
		ck_assert_uint_eq(alias, FIELD_ALIAS_NAME);
		for (p = field_info[id].aliases; *p != '\0'; p += n) {
			p += *p == ' ';
			n = strcspn(p, " ");
			snprintf(name, sizeof(name), "%.*s", (int)n, p);
			b = bytes_str(name);
			ck_assert_msg(field_find(b, field_hash(b), &alias) ==
			    id, "%s", name);
			ck_assert_uint_gt(alias, FIELD_ALIAS_NAME);
		}
	}
	ck_assert_uint_eq(field_find(BYTES(""), 0, &alias), F_NONE);
	ck_assert_uint_eq(field_find(BYTES("job_ix"),
	    field_hash(BYTES("job_ix")), &alias), F_NONE);
}
END_TEST

START_TEST(an_alias_with_an_equal_value_is_said_once)
{
	sorted("{\"jobId\":\"j\",\"job_id\":\"j\",\"inputSize\":5,"
	    "\"input_size\":5}");
	ck_assert_str_eq(keys(), "job_id input_size");
	ck_assert_uint_eq(norm.same, 2);
	ck_assert_uint_eq(norm.lost, 0);
}
END_TEST

START_TEST(an_alias_alone_takes_the_fields_name)
{
	sorted("{\"jobID\":\"j\",\"duration_ms\":5,\"sessionId\":\"s\"}");
	ck_assert_str_eq(keys(), "job_id duration session_id");
}
END_TEST

START_TEST(of_different_values_the_nearer_spelling_has_the_field)
{
	sorted("{\"jobID\":\"c\",\"jobId\":\"b\",\"job_id\":\"a\"}");
	ck_assert_str_eq(keys(), "job_id jobID jobId");
	has_text("job_id", "a");
	has_text("jobId", "b");
	has_text("jobID", "c");
	sorted("{\"job_id\":\"a\",\"jobId\":\"b\",\"jobID\":\"b\"}");
	has_text("jobId", "b");
	has_text("jobID", "b");
	ck_assert_uint_eq(norm.attr_n, 3);
}
END_TEST

/* jansson has no repeated keys: by hand. */
START_TEST(of_a_repeated_key_the_last_value_stays_and_the_loss_is_counted)
{
	static const uint8_t twice[] =
	    "\x85\xa1x\x01\xa1x\x02\xa1x\x02\xa6job_id\x01\xa6job_id\x02";
	struct entry e = { .record = { twice, sizeof(twice) - 1 } };

	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    (struct bytes){ 0 }, NOW), 0);
	ck_assert_str_eq(keys(), "job_id x");
	ck_assert_uint_eq(norm.attr[0].value.b.p[0], 2);
	ck_assert_uint_eq(norm.attr[1].value.b.p[0], 2);
	ck_assert_uint_eq(norm.lost, 2);
	ck_assert_uint_eq(norm.same, 1);
}
END_TEST

START_TEST(a_key_that_is_no_string_costs_only_its_own_member)
{
	static const uint8_t odd[] =
	    "\x84\x07\xa1s\xa1x\x01\x91\x01\x02\xc0\xc0";
	struct entry e = { .record = { odd, sizeof(odd) - 1 } };

	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    (struct bytes){ 0 }, NOW), 0);
	ck_assert_str_eq(keys(), "x");
	ck_assert_uint_eq(norm.lost, 3);
}
END_TEST

START_TEST(a_record_that_is_no_whole_map_is_refused)
{
	static const char *const no[] = {
		"\x91\x01", "\xc0", "\x81\xa1x", "\x81\x01",
		"\x81\xa2x", "\x82\xa1x\x01", "\x81\xa1x\xc1", ""
	};
	struct entry e = { 0 };
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		e.record = bytes_str(no[i]);
		ck_assert_msg(norm_record(&norm, &conf, &e,
		    (struct bytes){ 0 }, (struct bytes){ 0 }, NOW) ==
		    -EBADMSG, "%zu", i);
	}
}
END_TEST

#define LANE	"{\"machine_id\":\"m1\",\"worker_id\":\"w1\"," \
	"\"service_type\":\"comfyui\",\"connector_id\":\"c1\"}"

START_TEST(a_lanes_identity_becomes_the_resource)
{
	sorted_in(LANE, "{}");
	resource_is("service.name", "comfyui");
	resource_is("service.instance.id", "machine-m1.w1");
	resource_is("machine_id", "m1");
	resource_is("worker_id", "w1");
	resource_is("service_type", "comfyui");
	resource_is("connector_id", "c1");
	ck_assert_uint_eq(norm.resource_n, 6);
	ck_assert_uint_eq(norm.own, 0);
}
END_TEST

START_TEST(identity_in_the_record_wins)
{
	sorted_in(LANE, "{\"machineId\":\"m2\",\"service_name\":\"api\","
	    "\"worker_id\":3,\"version\":\"1.0\","
	    "\"environment\":\"production\","
	    "\"host.name\":\"h\",\"region\":\"eu\"}");
	resource_is("machine_id", "m2");
	resource_is("worker_id", "3");
	resource_is("service.name", "api");
	resource_is("service_type", "comfyui");
	resource_is("service.instance.id", "machine-m2.3");
	resource_is("service.version", "1.0");
	resource_is("deployment.environment.name", "production");
	resource_is("host.name", "h");
	resource_is("cloud.region", "eu");
	ck_assert_uint_eq(norm.attr_n, 0);
}
END_TEST

START_TEST(an_empty_identity_field_is_none)
{
	sorted_in(LANE, "{\"service_type\":\"\",\"worker_id\":null}");
	resource_is("service_type", "comfyui");
	resource_is("worker_id", "w1");
	ck_assert_uint_eq(norm.same, 2);
	sorted("{}");
	resource_is("service.name", "unknown_service");
	resource_is("service.instance.id", NULL);
}
END_TEST

START_TEST(an_identity_of_another_type_stays_an_attribute)
{
	sorted_in(LANE, "{\"worker_id\":{\"a\":1},\"source\":[1]}");
	ck_assert_str_eq(keys(), "worker_id source");
	resource_is("worker_id", "w1");
}
END_TEST

START_TEST(the_configuration_fills_what_nobody_says)
{
	conf = (struct norm_conf){ .service_namespace = "emp",
		.machine_id = "cm", .deployment = "cd", .region = "cr",
		.host = "ch" };
	sorted_in("{\"region\":\"lane\"}", "{\"hostname\":\"own\"}");
	resource_is("service.namespace", "emp");
	resource_is("machine_id", "cm");
	resource_is("deployment.environment.name", "cd");
	resource_is("cloud.region", "lane");
	resource_is("host.name", "own");
	conf = (struct norm_conf){ 0 };
}
END_TEST

START_TEST(a_host_in_an_identity_is_the_host_and_in_a_record_is_not)
{
	sorted_in("{\"host\":\"gpu1\",\"rack\":7}", "{\"host\":\"api.x\"}");
	resource_is("host.name", "gpu1");
	ck_assert_ptr_nonnull(attr(norm.resource, norm.resource_n, "rack"));
	has_text("host", "api.x");
}
END_TEST

START_TEST(an_identity_that_is_broken_gives_what_it_can)
{
	struct norm_lane lane;

	norm_lane_init(&lane, bytes_str("\x82\xaamachine_id\xa1m\xa1"));
	ck_assert_uint_eq(lane.set, 1u << F_machine_id);
	norm_lane_init(&lane, bytes_str("\x01"));
	ck_assert_uint_eq(lane.set, 0);
	ck_assert_uint_eq(lane.other_n, 0);
}
END_TEST

START_TEST(scope_is_the_logger_with_source_and_component)
{
	sorted("{\"service\":\"emp-redis-js\",\"logger_name\":\"emp-redis-js\","
	    "\"source\":\"s\",\"component\":\"c\"}");
	is_text(norm.scope_name, "emp-redis-js");
	ck_assert_uint_eq(norm.scope_n, 2);
	is_text(norm.scope[0].key, "source");
	is_text(norm.scope[1].key, "component");
	ck_assert_uint_eq(norm.attr_n, 0);
	ck_assert_uint_eq(norm.same, 1);
}
END_TEST

START_TEST(attributes_stand_in_their_order_of_right_to_stay)
{
	sorted("{\"zeta\":1,\"iteration\":1,\"http_method\":\"GET\","
	    "\"node_id\":\"n\",\"prompt_id\":\"p\",\"session_id\":\"s\","
	    "\"progress\":1,\"model\":\"m\",\"queue_ms\":1,\"duration\":1,"
	    "\"error\":\"e\",\"error_type\":\"t\",\"job_status\":\"j\","
	    "\"event_type\":\"v\",\"job_id\":\"i\",\"alpha\":1,"
	    "\"input_size\":1,\"service_type\":\"comfyui-remote\"}");
	ck_assert_str_eq(keys(), "job_id event_type job_status error_type "
	    "error duration queue_ms model progress session_id prompt_id "
	    "node_id iteration http_method input_size zeta alpha");
	is_text(norm.event_name, "v");
}
END_TEST

START_TEST(the_schema_is_told_by_how_the_service_type_begins)
{
	static const struct {
		const char *type;
		enum field_schema schema;
	} of[] = {
		{ "comfyui", S_COMFYUI }, { "comfyui-remote", S_COMFYUI },
		{ "openai", S_OPENAI }, { "openai-img2img", S_OPENAI },
		{ "a1111", S_A1111 }, { "simulation-http", S_SIMULATION },
		{ "rest", S_REST }, { "", S_REST }, { "comfyu", S_REST },
	};
	size_t i;

	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		ck_assert_uint_eq(field_schema_of(bytes_str(of[i].type)),
		    of[i].schema);
}
END_TEST

START_TEST(ids_are_hexadecimal_and_not_zero_or_attributes)
{
	sorted("{\"traceId\":\"0AF7651916CD43DD8448EB211C80319C\","
	    "\"span_id\":\"b7ad6b7169203331\",\"trace_flags\":\"01\"}");
	ck_assert(norm.has_trace && norm.has_span);
	ck_assert_uint_eq(norm.trace_id[0], 0x0a);
	ck_assert_uint_eq(norm.span_id[7], 0x31);
	ck_assert_uint_eq(norm.trace_flags, 1);
	ck_assert_uint_eq(norm.attr_n, 0);
	sorted("{\"trace_id\":\"trace_17_x\",\"span_id\":\"0000000000000000\","
	    "\"trace_flags\":\"zz\"}");
	ck_assert(!norm.has_trace && !norm.has_span);
	ck_assert_uint_eq(norm.attr_n, 3);
	sorted("{\"trace_id\":\"\",\"span_id\":null}");
	ck_assert_uint_eq(norm.same, 2);
}
END_TEST

#define IDS	"-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define PARENT	"00" IDS

START_TEST(a_traceparent_gives_the_ids_where_none_are_said)
{
	sorted("{\"traceparent\":\"" PARENT "\"}");
	ck_assert(norm.has_trace && norm.has_span);
	ck_assert_uint_eq(norm.trace_flags, 1);
	ck_assert_uint_eq(norm.attr_n, 0);
	sorted("{\"traceparent\":\"" PARENT "\","
	    "\"trace_id\":\"1af7651916cd43dd8448eb211c80319c\"}");
	ck_assert_uint_eq(norm.trace_id[0], 0x1a);
	ck_assert(!norm.has_span);
	ck_assert_str_eq(keys(), "traceparent");
}
END_TEST

START_TEST(a_bad_traceparent_is_ignored_whole)
{
	static const char *const no[] = {
		"", "00", PARENT "-", PARENT "x",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
	};
	uint8_t trace[16], span[8], flags;
	size_t i;

	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_msg(norm_traceparent(bytes_str(no[i]), trace, span,
		    &flags) == -EINVAL, "%s", no[i]);
	ck_assert_int_eq(norm_traceparent(bytes_str("01" IDS), trace,
	    span, &flags), 0);
}
END_TEST

START_TEST(a_body_may_be_anything)
{
	sorted("{\"message\":\"m\",\"log\":\"raw\"}");
	is_text(norm.body.b, "m");
	ck_assert_str_eq(keys(), "log");
	sorted("{\"msg\":{\"a\":1}}");
	ck_assert_int_eq(norm.body.kind, NV_MSGPACK);
	sorted("{}");
	ck_assert_int_eq(norm.body.kind, NV_STR);
	ck_assert_uint_eq(norm.body.b.n, 0);
	/* A legacy message that is JSON text is left as it is. */
	sorted("{\"message\":\"{\\\"level\\\":\\\"error\\\"}\"}");
	is_text(norm.body.b, "{\"level\":\"error\"}");
	ck_assert_uint_eq(norm.severity, 0);
}
END_TEST

START_TEST(a_string_spread_over_fields_is_put_together)
{
	sorted("{\"0\":\"H\",\"1\":\"\\u00e4\",\"2\":\"!\",\"x\":1}");
	has_text("emplog.joined", "H\xc3\xa4!");
	ck_assert_uint_eq(norm.joined, 3);
	ck_assert_uint_eq(norm.attr_n, 2);
	sorted("{\"0\":\"word\",\"1\":\"a\",\"01\":\"b\",\"3\":\"c\"}");
	ck_assert_str_eq(keys(), "0 1 01 3");
	ck_assert_uint_eq(norm.joined, 0);
}
END_TEST

START_TEST(otel_names_replace_ours_where_there_are_some)
{
	sorted("{\"gen_ai.request.model\":\"a\",\"model\":\"b\"}");
	ck_assert_str_eq(keys(), "model gen_ai.request.model");
	conf.names = NAMES_OTEL;
	sorted("{\"job_id\":\"j\",\"error_type\":\"t\",\"model\":\"m\"}");
	ck_assert_str_eq(keys(), "job_id error.type gen_ai.request.model");
	sorted("{\"gen_ai.request.model\":\"a\",\"model\":\"b\"}");
	ck_assert_str_eq(keys(), "gen_ai.request.model model");
	has_text("gen_ai.request.model", "a");
	conf.names = NAMES_EMP;
}
END_TEST

START_TEST(the_uid_given_is_the_records_and_its_own_is_kept)
{
	struct entry e = { 0 };

	e.record = packed("{\"log.record.uid\":\"own\"}", mem, sizeof(mem));
	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    BYTES("ab:1"), NOW), 0);
	has_text("log.record.uid", "ab:1");
	has_text("log.record.uid.original", "own");
	ck_assert_uint_eq(norm.observed_ns, NOW);
}
END_TEST

START_TEST(metadata_of_an_entry_is_kept)
{
	struct entry e = { .metadata = BYTES("\x81\xa1k\x01"),
		.record = BYTES("\x80") };

	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    (struct bytes){ 0 }, NOW), 0);
	ck_assert_str_eq(keys(), "fluent.metadata");
	e.metadata = BYTES("\x80");
	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    (struct bytes){ 0 }, NOW), 0);
	ck_assert_uint_eq(norm.attr_n, 0);
}
END_TEST

static void
many(unsigned n)
{
	struct mpw w = { mem, mem + sizeof(mem), false };
	struct entry e = { 0 };
	char key[16];
	unsigned i;

	mpw_map(&w, n);
	mpw_str(&w, BYTES("job_id"));
	mpw_uint(&w, 1);
	for (i = 1; i < n; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		mpw_str(&w, bytes_str(key));
		mpw_uint(&w, i);
	}
	e.record = bytes_of(mem, (size_t)(w.p - mem));
	ck_assert_int_eq(norm_record(&norm, &conf, &e, (struct bytes){ 0 },
	    (struct bytes){ 0 }, NOW), 0);
}

START_TEST(more_fields_than_there_is_room_for_are_counted)
{
	many(NORM_ATTRS_MAX - 1);
	ck_assert_uint_eq(norm.attr_n, NORM_ATTRS_MAX - 1);
	ck_assert_uint_eq(norm.lost, 0);
	many(NORM_ATTRS_MAX);
	ck_assert_uint_eq(norm.attr_n, NORM_ATTRS_MAX);
	ck_assert_uint_eq(norm.lost, 0);
	many(NORM_ATTRS_MAX + 1);
	ck_assert_uint_eq(norm.attr_n, NORM_ATTRS_MAX);
	ck_assert_uint_eq(norm.lost, 1);
	is_text(norm.attr[0].key, "job_id");
	many(3 * NORM_ATTRS_MAX);
	ck_assert_uint_eq(norm.lost, 2 * NORM_ATTRS_MAX);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("norm");
	TCase *c = tcase_create("norm");

	tcase_add_loop_test(c, a_level_is_told_however_it_is_spelled, 0,
	    (int)(sizeof(levels) / sizeof(levels[0])));
	tcase_add_test(c, what_is_no_level_stays_an_attribute);
	tcase_add_test(c, a_severity_number_wins_over_the_word);
	tcase_add_loop_test(c, a_time_is_told_to_the_nanosecond, 0,
	    (int)(sizeof(times) / sizeof(times[0])));
	tcase_add_test(c,
	    what_is_no_time_stays_an_attribute_and_the_entry_has_its_own);
	tcase_add_test(c, a_time_without_a_zone_is_utc_and_says_so);
	tcase_add_test(c, a_timestamp_stands_before_time_and_ts);
	tcase_add_test(c, an_iso_text_reads_back_the_same);
	tcase_add_test(c, every_name_of_the_table_is_found);
	tcase_add_test(c, an_alias_with_an_equal_value_is_said_once);
	tcase_add_test(c, an_alias_alone_takes_the_fields_name);
	tcase_add_test(c,
	    of_different_values_the_nearer_spelling_has_the_field);
	tcase_add_test(c,
	    of_a_repeated_key_the_last_value_stays_and_the_loss_is_counted);
	tcase_add_test(c,
	    a_key_that_is_no_string_costs_only_its_own_member);
	tcase_add_test(c, a_record_that_is_no_whole_map_is_refused);
	tcase_add_test(c, a_lanes_identity_becomes_the_resource);
	tcase_add_test(c, identity_in_the_record_wins);
	tcase_add_test(c, an_empty_identity_field_is_none);
	tcase_add_test(c, an_identity_of_another_type_stays_an_attribute);
	tcase_add_test(c, the_configuration_fills_what_nobody_says);
	tcase_add_test(c,
	    a_host_in_an_identity_is_the_host_and_in_a_record_is_not);
	tcase_add_test(c, an_identity_that_is_broken_gives_what_it_can);
	tcase_add_test(c, scope_is_the_logger_with_source_and_component);
	tcase_add_test(c, attributes_stand_in_their_order_of_right_to_stay);
	tcase_add_test(c, the_schema_is_told_by_how_the_service_type_begins);
	tcase_add_test(c, ids_are_hexadecimal_and_not_zero_or_attributes);
	tcase_add_test(c, a_traceparent_gives_the_ids_where_none_are_said);
	tcase_add_test(c, a_bad_traceparent_is_ignored_whole);
	tcase_add_test(c, a_body_may_be_anything);
	tcase_add_test(c, a_string_spread_over_fields_is_put_together);
	tcase_add_test(c, otel_names_replace_ours_where_there_are_some);
	tcase_add_test(c, the_uid_given_is_the_records_and_its_own_is_kept);
	tcase_add_test(c, metadata_of_an_entry_is_kept);
	tcase_add_test(c, more_fields_than_there_is_room_for_are_counted);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
