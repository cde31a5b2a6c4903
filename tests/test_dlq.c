/* SPDX-License-Identifier: ISC */
/*
 * test_dlq.c - dead letters on disk, read by emplogd dlq
 *
 * Claims: the note of a letter comes back as it was put and never costs the
 * identity of its lane; letters of the form before (golden file) are read;
 * no word of a backend prints a control character; whatever lies in the
 * directory, reading it ends; what is asked is what was meant.
 */

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/letters.h"
#include "export/asked.h"
#include "forward/mp.h"

#define GOLDEN		SRCDIR "/tests/golden/dead-letters-form1.seg"
#define FILE_MAX	(64u << 10)

static char dir[64], state[96], dead[128], segment[192];
static struct conf *conf;
static struct admin a;
static char *out, *err;
static size_t out_len, err_len;
static uint8_t file[FILE_MAX];
static size_t file_n;

static void
setup(void)
{
	char state_set[160], cmd[256];
	const char *sets[] = { state_set };
	struct conf_source src = { .sets = sets, .sets_n = 1,
	    .file = "/dev/null" };

	snprintf(dir, sizeof(dir), "/tmp/test_dlq.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(dead, sizeof(dead), "%s/relay/dead", state);
	snprintf(segment, sizeof(segment), "%s/0000000000000001.seg", dead);
	snprintf(cmd, sizeof(cmd), "mkdir -p %s", dead);
	ck_assert_int_eq(system(cmd), 0);
	snprintf(state_set, sizeof(state_set), "common.state_dir=%s", state);
	ck_assert_int_eq(conf_read(&conf, &src), 0);
	a = (struct admin){ .conf = conf };
	file_n = 0;
}

static void
teardown(void)
{
	char cmd[128];

	conf_free(&conf);
	free(out);
	free(err);
	out = err = NULL;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

#define RUN(...)	run((const char *const[]){ __VA_ARGS__, NULL })

static int
run(const char *const *words)
{
	char *argv[8] = { NULL };
	int argc, r;

	free(out);
	free(err);
	a.out = open_memstream(&out, &out_len);
	a.err = open_memstream(&err, &err_len);
	for (argc = 0; words[argc] != NULL; argc++)
		argv[argc] = strdup(words[argc]);
	r = admin_dlq(argc, argv, &a);
	while (argc > 0)
		free(argv[--argc]);
	fclose(a.out);
	fclose(a.err);
	return r;
}

static void
says(const char *want)
{
	ck_assert_msg(strstr(out, want) != NULL, "no '%s' in:\n%s%s", want,
	    out, err);
}

/* ---- files ---- */

static void
put_file(const char *path)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(file, 1, file_n, f), file_n);
	fclose(f);
}

static void
read_golden(void)
{
	FILE *f = fopen(GOLDEN, "r");

	ck_assert_ptr_nonnull(f);
	file_n = fread(file, 1, sizeof(file), f);
	fclose(f);
	ck_assert_uint_gt(file_n, 4096);
}

/* One more letter in file: its record is {message: text}. */
static void
add_letter(uint64_t number, const struct letter_note *note, const char *text)
{
	uint8_t identity[IDENTITY_MAX], body[256], *p;
	struct mpw w = { body, body + sizeof(body), false };
	struct frame f = { .kind = FRAME_DATA, .records = 1, .seq = number,
	    .generation = 7, .taken_ns = 1 };

	mpw_array(&w, 2);
	mpw_event_time(&w, UINT64_C(1700000000000000000));
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("message"));
	mpw_str(&w, bytes_str(text));
	f.identity = bytes_of(identity, letter_put(identity,
	    (struct bytes){ 0 }, note));
	f.body = bytes_of(body, (size_t)(w.p - body));
	f.to = f.body.n;
	f.size = frame_size(f.identity.n, f.body.n);
	ck_assert_uint_lt(file_n + f.size, FILE_MAX);
	p = frame_put(file + file_n, &f);
	memcpy(p, body, f.body.n);
	frame_seal(file + file_n, 7, file_n);
	file_n += f.size;
}

static const struct letter_note refused = { .why = BYTES("refused"),
    .words = BYTES("no such thing"), .endpoint = BYTES("https://b"),
    .dataset = BYTES("d"), .status = 400,
    .time_ns = UINT64_C(1700000001000000000) };

/* ---- the note ---- */

/* A map of one pair that is n bytes long. */
static struct bytes
identity_of(uint8_t *buf, size_t n)
{
	static uint8_t value[IDENTITY_MAX];
	struct mpw w = { buf, buf + n, false };
	size_t head = n < 40 ? 1 : n < 270 ? 2 : 3;

	memset(value, 'v', sizeof(value));
	mpw_map(&w, 1);
	mpw_str(&w, BYTES("k"));
	mpw_str(&w, bytes_of(value, n - 3 - head));
	ck_assert(!w.full && w.p == buf + n);
	return bytes_of(buf, n);
}

START_TEST(a_note_comes_back_as_it_was_put)
{
	uint8_t buf[IDENTITY_MAX], lane[IDENTITY_MAX], back[IDENTITY_MAX];
	struct bytes was = identity_of(lane, 300), with;
	struct letter_note got;

	with = bytes_of(buf, letter_put(buf, was, &refused));
	letter_get(with, &got);
	ck_assert(bytes_eq(got.why, refused.why));
	ck_assert(bytes_eq(got.words, refused.words));
	ck_assert(bytes_eq(got.endpoint, refused.endpoint));
	ck_assert(bytes_eq(got.dataset, refused.dataset));
	ck_assert_int_eq(got.status, 400);
	ck_assert_uint_eq(got.time_ns, refused.time_ns);
	ck_assert(bytes_eq(bytes_of(back, letter_strip(back, with)), was));
	/* again, as one that is refused again */
	with = bytes_of(buf, letter_put(buf, bytes_of(back, was.n), &refused));
	ck_assert(bytes_eq(bytes_of(back, letter_strip(back, with)), was));
}
END_TEST

START_TEST(an_identity_of_any_length_outlives_its_note)
{
	uint8_t buf[IDENTITY_MAX], lane[IDENTITY_MAX], back[IDENTITY_MAX];
	struct letter_note note = refused, got;
	char words[1000];
	struct bytes was;
	size_t n, len;

	memset(words, 'w', sizeof(words));
	note.words = bytes_of(words, sizeof(words));
	for (n = 310; n <= IDENTITY_MAX; n++) {
		was = identity_of(lane, n);
		len = letter_put(buf, was, &note);
		ck_assert_uint_le(len, IDENTITY_MAX);
		letter_get(bytes_of(buf, len), &got);
		if (n < 1500)
			ck_assert_uint_eq(got.words.n, 255);
		ck_assert(bytes_eq(bytes_of(back, letter_strip(back,
		    bytes_of(buf, len))), was));
	}
}
END_TEST

START_TEST(words_are_not_cut_inside_a_character)
{
	uint8_t buf[IDENTITY_MAX];
	struct letter_note note = refused, got;
	char words[400];
	size_t i;

	for (i = 0; i < sizeof(words); i += 2)
		memcpy(words + i, "\xc3\xa4", 2);
	note.words = bytes_of(words, sizeof(words));
	letter_get(bytes_of(buf, letter_put(buf, (struct bytes){ 0 }, &note)),
	    &got);
	ck_assert_uint_eq(got.words.n, 254);
}
END_TEST

/* ---- ls, show ---- */

START_TEST(letters_of_the_form_before_are_read)
{
	read_golden();
	put_file(segment);
	ck_assert_int_eq(RUN("dlq", "ls"), 0);
	says("relay/0-2  3 records");
	says("  -  refused, HTTP 400: no such thing: ");
	says("kept: 3 dead letters");
	ck_assert_int_eq(RUN("dlq", "show", "2"), 0);
	says("record 3");
	ck_assert_ptr_null(strstr(out, "record 2"));
}
END_TEST

START_TEST(no_word_of_a_backend_prints_a_control_character)
{
	struct letter_note note = refused;
	size_t i;
	int json;

	note.words = note.endpoint = note.dataset = note.why =
	    BYTES("\x1b[31m\r\n\x07\xff\xc2\x9b" "0m\x7f\"\\");
	add_letter(0, &note, "\x1b[31m\x07");
	put_file(segment);
	for (json = 0; json < 4; json++) {
		ck_assert_int_eq(RUN("dlq", json & 1 ? "ls" : "show",
		    json & 2 ? "--json" : "0"), 0);
		for (i = 0; out[i] != '\0'; i++)
			ck_assert_msg((out[i] & 0xe0) != 0 || out[i] == '\n',
			    "%s", out);
		ck_assert_ptr_null(strstr(out, "\xc2\x9b"));
		ck_assert_ptr_null(strchr(out, 0x7f));
	}
}
END_TEST

START_TEST(letters_that_died_of_the_same_are_one_line)
{
	struct letter_note other = refused;
	unsigned i;

	other.status = 422;
	for (i = 0; i < 10; i++)
		add_letter(i + (i > 5), i == 3 ? &other : &refused, "one");
	put_file(segment);
	ck_assert_int_eq(RUN("dlq", "ls"), 0);
	says("relay/0-2  3 records");
	says("relay/3  1 record ");
	says("relay/4-5  2 records");
	says("relay/7-10  4 records");
	says("2023-11-14T22:13:21Z  refused, HTTP 400: no such thing; "
	    "https://b, dataset d\n");
	says("kept: 10 dead letters");
	ck_assert_int_eq(RUN("dlq", "ls", "relay/5-7"), 0);
	says("kept: 2 dead letters");
}
END_TEST

START_TEST(whatever_byte_is_damaged_reading_it_ends)
{
	size_t i;

	read_golden();
	for (i = 0; i < file_n; i += 13) {
		file[i] ^= (uint8_t)(1u << (i % 8));
		put_file(segment);
		file[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(RUN("dlq", "ls"), 0);
		ck_assert_int_le(letters_each(dead, NULL, NULL), 3);
	}
	for (i = file_n; i > 0; i -= i > 101 ? 101 : i) {
		file_n = i;
		put_file(segment);
		ck_assert_int_le(letters_each(dead, NULL, NULL), 3);
	}
}
END_TEST

START_TEST(what_is_no_letter_is_refused)
{
	static const char *const bad[] = { "x", "1-", "-1", "3-1", "relay/",
	    "agent/1", "1 2", "0x1", "", "99999999999999999999", "--jso" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(RUN("dlq", "ls", bad[i]) == EXIT_CONFIG, "%s",
		    bad[i]);
	ck_assert_int_eq(RUN("dlq"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("dlq", "eat"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("dlq", "drop"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("dlq", "ls", "--yes"), EXIT_CONFIG);
	ck_assert_int_eq(RUN("dlq", "ls"), 0);
	says("kept: 0 dead letters");
	ck_assert_int_eq(RUN("dlq", "replay"), 0);
	says("there are no dead letters");
}
END_TEST

/* ---- asking ---- */

/* The one request in dead/asked, read back. */
static void
asked(struct asked_for *ret)
{
	char path[320];
	struct dirent *e;
	DIR *d;
	FILE *f;

	snprintf(path, sizeof(path), "%s/asked", dead);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			break;
	ck_assert_ptr_nonnull(e);
	snprintf(path, sizeof(path), "%s/asked/%.60s", dead, e->d_name);
	closedir(d);
	f = fopen(path, "r");
	file_n = fread(file, 1, sizeof(file), f);
	fclose(f);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(asked_read(bytes_of(file, file_n), ret), 0);
}

static struct asked_for want;

START_TEST(what_is_asked_names_the_letters_that_are_there_now)
{
	unsigned i;

	for (i = 0; i < 10; i++)
		add_letter(2 * i, &refused, "one");
	put_file(segment);
	ck_assert_int_eq(RUN("dlq", "replay"), 0);
	says("relay: replay 10 dead letters: when an exporter starts");
	asked(&want);
	ck_assert(!want.drop);
	ck_assert_uint_eq(want.n, 10);
	ck_assert(asked_has(&want, 18) && !asked_has(&want, 19));
	ck_assert_int_eq(RUN("dlq", "drop", "relay/4-9"), 0);
	says("relay: drop 3 dead letters: ");
	asked(&want);
	ck_assert(want.drop);
	ck_assert_uint_eq(want.n, 3);
	ck_assert(asked_has(&want, 4) && asked_has(&want, 8));
	ck_assert(!asked_has(&want, 2) && !asked_has(&want, 10));
	ck_assert_int_eq(RUN("dlq", "drop", "3"), 1);
	ck_assert_int_eq(RUN("dlq", "replay", "exporter/4"), 1);
}
END_TEST

START_TEST(a_bare_number_of_two_roles_is_refused)
{
	char cmd[512];

	add_letter(0, &refused, "one");
	put_file(segment);
	snprintf(cmd, sizeof(cmd), "mkdir -p %s/exporter && cp -r %s "
	    "%s/exporter/", state, dead, state);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_eq(RUN("dlq", "drop", "0"), 1);
	ck_assert_ptr_nonnull(strstr(err, "say relay/N or exporter/N"));
	ck_assert_int_eq(RUN("dlq", "drop", "exporter/0"), 0);
	says("exporter: drop 1 dead letter: ");
	ck_assert_ptr_null(strstr(out, "relay"));
}
END_TEST

START_TEST(the_longest_request_is_written_and_read)
{
	static char text[ASKED_BYTES_MAX];
	struct asked_for *got = calloc(1, sizeof(*got));
	uint64_t at = UINT64_MAX / 20;
	size_t n;

	for (want.n = 0; want.n < ASKED_RANGES_MAX; want.n++, at += 10)
		want.v[want.n] = (struct asked_range){ at, at + 5 };
	want.drop = true;
	n = asked_text(&want, text, sizeof(text));
	ck_assert_int_eq(asked_read(bytes_of(text, n), got), 0);
	ck_assert_int_eq(memcmp(got, &want, sizeof(want)), 0);
	ck_assert_int_eq(asked_read(bytes_of(text, n - 1), got), -EINVAL);
	free(got);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dlq");
	TCase *tc = tcase_create("all");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_note_comes_back_as_it_was_put);
	tcase_add_test(tc, an_identity_of_any_length_outlives_its_note);
	tcase_add_test(tc, words_are_not_cut_inside_a_character);
	tcase_add_test(tc, letters_of_the_form_before_are_read);
	tcase_add_test(tc, no_word_of_a_backend_prints_a_control_character);
	tcase_add_test(tc, letters_that_died_of_the_same_are_one_line);
	tcase_add_test(tc, whatever_byte_is_damaged_reading_it_ends);
	tcase_add_test(tc, what_is_no_letter_is_refused);
	tcase_add_test(tc,
	    what_is_asked_names_the_letters_that_are_there_now);
	tcase_add_test(tc, a_bare_number_of_two_roles_is_refused);
	tcase_add_test(tc, the_longest_request_is_written_and_read);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
