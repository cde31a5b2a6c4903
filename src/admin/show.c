/* SPDX-License-Identifier: ISC */
/* show.c - one record for people or for jq; the contract is in show.h */

#include "admin/show.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "admin/admin.h"
#include "admin/human.h"
#include "forward/mp.h"
#include "otlp/norm.h"
#include "banned.h"

#define NS_PER_S	UINT64_C(1000000000)
#define STRING_MAX	(1u << 20)

static json_t *value_at(struct mp *m, unsigned depth);

/* Bytes that are no UTF-8 are shown as '?', every one beyond ASCII then. */
static json_t *
text_json(struct bytes s)
{
	json_t *j = json_stringn((const char *)s.p, s.n);
	char *copy;
	size_t i;

	if (j != NULL || s.n > STRING_MAX)
		return j;
	copy = admin_needed(s.n + 1);
	memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	for (i = 0; copy[i] != '\0'; i++)
		if ((unsigned char)copy[i] >= 0x80)
			copy[i] = '?';
	j = json_string(copy);
	free(copy);
	return j;
}

static json_t *
blob_json(const char *kind, size_t n)
{
	return json_sprintf("<%s, %zu bytes>", kind, n);
}

static json_t *
array_at(struct mp *m, uint32_t n, unsigned depth)
{
	json_t *a = json_array();

	for (; a != NULL && n > 0; n--)
		if (json_array_append_new(a, value_at(m, depth)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* A key of another type than text is shown as its JSON. */
static int
put_pair(json_t *o, json_t *key, json_t *value)
{
	char *text = NULL;
	int r;

	if (key == NULL || value == NULL) {
		json_decref(value);
		return -EBADMSG;
	}
	if (!json_is_string(key))
		text = json_dumps(key, JSON_COMPACT | JSON_ENCODE_ANY);
	r = json_object_set_new(o, text != NULL ? text :
	    json_is_string(key) ? json_string_value(key) : "?", value);
	free(text);
	return r;
}

static json_t *
map_at(struct mp *m, uint32_t pairs, unsigned depth)
{
	json_t *o = json_object(), *key;
	int r = 0;

	for (; o != NULL && pairs > 0 && r == 0; pairs--) {
		key = value_at(m, depth);
		r = put_pair(o, key, key == NULL ? NULL : value_at(m, depth));
		json_decref(key);
	}
	if (r != 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *
value_at(struct mp *m, unsigned depth)
{
	struct mp_item it;

	if (depth > MP_DEPTH_MAX || mp_next(m, &it) < 0)
		return NULL;
	switch (it.type) {
	case MP_NIL:
		return json_null();
	case MP_BOOL:
		return json_boolean(it.b);
	case MP_UINT:
		return it.u > INT64_MAX ? json_real((double)it.u) :
		    json_integer((json_int_t)it.u);
	case MP_INT:
		return json_integer(it.i);
	case MP_DOUBLE:
		return isfinite(it.d) ? json_real(it.d) : json_null();
	case MP_STR:
		return text_json(it.s);
	case MP_BIN:
		return blob_json("binary", it.s.n);
	case MP_EXT:
		return blob_json("extension", it.s.n);
	case MP_ARRAY:
		return array_at(m, it.count, depth + 1);
	case MP_MAP:
		return map_at(m, it.count, depth + 1);
	}
	return NULL;
}

json_t *
show_json(struct bytes value)
{
	struct mp m = mp_of(value);

	return value_at(&m, 0);
}

const char *
show_text(const json_t *record, const char *key)
{
	return json_string_value(json_object_get(record, key));
}

const json_t *
show_field(const json_t *record, enum field_id field)
{
	const json_t *best = NULL;
	unsigned best_alias = FIELD_ALIAS_OTEL + 1u;
	uint8_t alias;
	struct bytes name;
	void *it;

	/* jansson has no const on its iterators. */
	for (it = json_object_iter((json_t *)(uintptr_t)record); it != NULL;
	    it = json_object_iter_next((json_t *)(uintptr_t)record, it)) {
		name = bytes_str(json_object_iter_key(it));
		if (field_find(name, field_hash(name), &alias) != field ||
		    alias >= best_alias)
			continue;
		best = json_object_iter_value(it);
		best_alias = alias;
	}
	return best;
}

int
show_level(const json_t *value)
{
	uint8_t buf[64];
	struct mpw w = { .p = buf, .end = buf + sizeof(buf) };
	struct norm_level level = { .number = 0 };

	if (json_is_string(value))
		mpw_str(&w, bytes_str(json_string_value(value)));
	else if (json_is_integer(value) && json_integer_value(value) >= 0)
		mpw_uint(&w, (uint64_t)json_integer_value(value));
	else
		return -1;
	if (w.full || norm_level(bytes_of(buf, (size_t)(w.p - buf)),
	    &level) < 0 || level.number == 0)
		return -1;
	return (level.number - 1) / 4;	/* four numbers each */
}

void
show_identity(json_t *record, const json_t *identity)
{
	json_t *id = json_deep_copy(identity), *value;
	enum field_id field;
	const char *key;
	struct bytes name;
	uint8_t alias;

	json_object_foreach(id, key, value) {
		name = bytes_str(key);
		field = field_find(name, field_hash(name), &alias);
		if (json_object_get(record, key) == NULL && (field == F_NONE ||
		    show_field(record, field) == NULL))
			json_object_set(record, key, value);
	}
	json_decref(id);
}

static void
put_column(FILE *out, const json_t *record, const char *key, int width)
{
	const char *s = show_text(record, key);

	if (s == NULL || *s == '\0')
		s = "-";
	fputc(' ', out);
	human_put(out, s);
	for (width -= (int)strlen(s); width > 0; width--)
		fputc(' ', out);
}

static void
put_value(FILE *out, const char *key, const json_t *value)
{
	const char *s = json_string_value(value);
	char *dump = NULL;

	if (s == NULL || s[strcspn(s, " \"=\n")] != '\0' || *s == '\0')
		s = dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	fputc(' ', out);
	human_put(out, key);
	fputc('=', out);
	human_put(out, s != NULL ? s : "?");
	free(dump);
}

static bool
is_column(const char *key)
{
	static const char *const column[] = { "level", "worker_id",
	    "event_type", "job_id", "message", "machine_id", "service_type",
	    "connector_id", "timestamp" };
	size_t i;

	for (i = 0; i < sizeof(column) / sizeof(column[0]); i++)
		if (strcmp(column[i], key) == 0)
			return true;
	return false;
}

void
show_line(FILE *out, json_t *record, uint64_t time_ns)
{
	time_t s = (time_t)(time_ns / NS_PER_S);
	const char *key;
	json_t *value;
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	fprintf(out, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (unsigned)(time_ns % NS_PER_S / 1000000));
	put_column(out, record, "level", 5);
	put_column(out, record, "worker_id", 0);
	put_column(out, record, "event_type", 0);
	put_column(out, record, "job_id", 0);
	put_column(out, record, "message", 0);
	json_object_foreach(record, key, value)
		if (!is_column(key))
			put_value(out, key, value);
	fputc('\n', out);
}

void
show_json_line(FILE *out, json_t *record, uint64_t time_ns)
{
	time_t s = (time_t)(time_ns / NS_PER_S);
	char text[48];
	struct tm tm;
	char *dump;
	size_t n;

	if (json_object_get(record, "time") == NULL &&
	    gmtime_r(&s, &tm) != NULL) {
		n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(text + n, sizeof(text) - n, ".%09" PRIu64 "Z",
		    time_ns % NS_PER_S);
		json_object_set_new(record, "time", json_string(text));
	}
	dump = json_dumps(record, JSON_COMPACT);
	if (dump != NULL)
		human_put_json(out, dump);
	free(dump);
	fputc('\n', out);
}
