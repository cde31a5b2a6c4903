/* SPDX-License-Identifier: ISC */
/*
 * addon.c - a lane's memory for JavaScript
 *
 * What:     one loan (shm/loan.h) per JavaScript environment; its data as an
 *           external ArrayBuffer, its state as words both sides read.
 * Used by:  lib/lane.js, which writes msgpack into the data and makes one
 *           call, publish(), per record.
 * Never:    believes a word JavaScript wrote, throws, or unmaps memory that
 *           an ArrayBuffer still shows: the buffer is detached first.
 */

#define NAPI_VERSION 8
#include <node_api.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/ident.h"
#include "shm/loan.h"

/* lib/lane.js says an event as 1, 2 or 3; 0 is none. */
_Static_assert(JOBS_RECEIVED == 0 && JOBS_STARTED == 1 && JOBS_ENDED == 2,
    "the events of lib/lane.js");

#define WRITE_MAX	4096u	/* of one say() */

/* The words; lib/lane.js has the same list. */
enum word {
	W_BYTES, W_LEVEL, W_EVENT, W_ID_AT, W_ID_LEN, W_FILL, W_END,
	W_SHORTENED, W_REDACTED,
	/* written here */
	W_AT, W_ROOM_INFO, W_ROOM_WARN, W_ROOM_END, W_MOVED, W_RESULT,
	W_RECORD_MAX, W_COUNT
};

struct inst {
	struct loan	*loan;
	int32_t		*word;		/* of an ArrayBuffer held by ref */
	napi_env	 env;
	napi_ref	 words;
	napi_ref	 view;		/* the data's ArrayBuffer */
};

/* ---- small helpers: a call that fails gives undefined ---- */

static napi_value
number(napi_env env, double d)
{
	napi_value v = NULL;

	(void)napi_create_double(env, d, &v);
	return v;
}

static napi_value
text(napi_env env, const char *s)
{
	napi_value v = NULL;

	(void)napi_create_string_utf8(env, s, NAPI_AUTO_LENGTH, &v);
	return v;
}

static void
set(napi_env env, napi_value o, const char *key, napi_value v)
{
	if (v != NULL)
		(void)napi_set_named_property(env, o, key, v);
}

static struct inst *
args(napi_env env, napi_callback_info info, size_t *n, napi_value *v)
{
	void *data = NULL;

	(void)napi_get_cb_info(env, info, n, v, NULL, &data);
	return data;
}

static uint64_t
get_number(napi_env env, napi_value o, const char *key)
{
	napi_value v;
	double d = 0;

	if (napi_get_named_property(env, o, key, &v) != napi_ok ||
	    napi_get_value_double(env, v, &d) != napi_ok ||
	    !(d > 0) || d > 9e15)
		return 0;
	return (uint64_t)d;
}

/* "" when it is absent, no string or too long. */
static void
get_text(napi_env env, napi_value o, const char *key, char *buf, size_t cap)
{
	napi_value v;
	size_t n = 0;

	buf[0] = '\0';
	if (napi_get_named_property(env, o, key, &v) == napi_ok &&
	    napi_get_value_string_utf8(env, v, buf, cap, &n) != napi_ok)
		buf[0] = '\0';
}

/* ---- state ---- */

static void
words_set(struct inst *in, int result)
{
	int32_t *w = in->word;

	w[W_RESULT] = result;
	if (in->loan == NULL) {
		w[W_ROOM_INFO] = w[W_ROOM_WARN] = w[W_ROOM_END] = 0;
		return;
	}
	w[W_AT] = (int32_t)loan_at(in->loan);
	w[W_ROOM_INFO] = (int32_t)loan_room(in->loan, EMPLOG_INFO, false);
	w[W_ROOM_WARN] = (int32_t)loan_room(in->loan, EMPLOG_WARN, false);
	w[W_ROOM_END] = (int32_t)loan_room(in->loan, EMPLOG_INFO, true);
}

static void
view_drop(struct inst *in)
{
	napi_handle_scope scope;
	napi_value v = NULL;

	/* A cleanup hook is called outside of any scope. */
	if (in->view == NULL ||
	    napi_open_handle_scope(in->env, &scope) != napi_ok)
		return;
	if (napi_get_reference_value(in->env, in->view, &v) == napi_ok &&
	    v != NULL)
		(void)napi_detach_arraybuffer(in->env, v);
	(void)napi_delete_reference(in->env, in->view);
	in->view = NULL;
	(void)napi_close_handle_scope(in->env, scope);
}

/* The words stay; JavaScript sees no room in them any more. */
static void
lane_end(struct inst *in, bool clean_always)
{
	view_drop(in);
	loan_close(&in->loan, clean_always);
	if (in->word != NULL)
		words_set(in, -ENOSYS);
}

static void
cleanup(void *arg)
{
	lane_end(arg, false);
}

static void
inst_free(napi_env env, void *data, void *hint)
{
	struct inst *in = data;

	(void)env;
	(void)hint;
	lane_end(in, false);
	free(in);
}

/* ---- opening ---- */

static int
conf_fill(napi_env env, napi_value o, struct ident *id,
    struct pool_conf *conf)
{
	static const char *const key[] = { "machineId", "workerId",
	    "serviceType", "connectorId", "serviceName", "serviceVersion",
	    "deployment", "ringDir", "stateDir" };
	char t[9][IDENT_TEXT_MAX + 1];
	struct emplog_options opt;
	unsigned i;
	int r;

	for (i = 0; i < 9; i++)
		get_text(env, o, key[i], t[i], sizeof(t[i]));
	opt = (struct emplog_options){
		.machine_id = t[0], .worker_id = t[1], .service_type = t[2],
		.connector_id = t[3], .service_name = t[4],
		.service_version = t[5], .deployment = t[6],
		.ring_dir = t[7], .state_dir = t[8],
		.lane_bytes = get_number(env, o, "laneBytes"),
	};
	r = ident_settle(id, &opt);
	if (r < 0)
		return r;
	*conf = (struct pool_conf){
		.sys = &shm_sys_os,
		.lane_bytes = id->lane_bytes,
		.ring_max = id->ring_max,
		.ring_owner = id->ring_owner,
	};
	memcpy(conf->ring_dir, id->ring_dir, sizeof(conf->ring_dir));
	memcpy(conf->state_dir, id->state_dir, sizeof(conf->state_dir));
	conf->identity_len = ident_map(id, conf->identity);
	return 0;
}

static int
view_make(struct inst *in, napi_value *ret_view)
{
	uint64_t bytes;
	uint8_t *data = loan_data(in->loan, &bytes);
	napi_value v;

	if (napi_create_external_arraybuffer(in->env, data, 2 * bytes, NULL,
	    NULL, &v) != napi_ok)
		return -ENOTSUP;
	if (napi_create_reference(in->env, v, 1, &in->view) != napi_ok) {
		(void)napi_detach_arraybuffer(in->env, v);
		return -ENOMEM;
	}
	*ret_view = v;
	return 0;
}

static napi_value
open_result(struct inst *in, napi_value view)
{
	uint32_t n;
	const uint8_t *identity = loan_identity(in->loan, &n);
	napi_value o = NULL, v = NULL;
	void *p = NULL;

	(void)napi_create_object(in->env, &o);
	if (napi_create_arraybuffer(in->env, n, &p, &v) == napi_ok && n > 0)
		memcpy(p, identity, n);
	set(in->env, o, "identity", v);
	set(in->env, o, "data", view);
	set(in->env, o, "path", text(in->env, loan_path(in->loan)));
	set(in->env, o, "madeRing", number(in->env,
	    loan_made_ring(in->loan)));
	return o;
}

/* open(options): { data, path, ... } or -errno; sets ringDirUsed in it. */
static napi_value
js_open(napi_env env, napi_callback_info info)
{
	napi_value a[1], view = NULL;
	size_t n = 1;
	struct inst *in = args(env, info, &n, a);
	struct pool_conf *conf = calloc(1, sizeof(*conf));
	struct ident *id = calloc(1, sizeof(*id));
	napi_value v = NULL;
	int r = conf == NULL || id == NULL ? -ENOMEM : 0;

	if (r == 0 && (n < 1 || in->loan != NULL))
		r = -EINVAL;
	if (r == 0)
		r = conf_fill(env, a[0], id, conf);
	if (r == 0)
		set(env, a[0], "ringDirUsed", text(env, conf->ring_dir));
	if (r == 0)
		r = loan_open(&in->loan, conf);
	if (r == 0)
		r = view_make(in, &view);
	if (r < 0) {
		loan_close(&in->loan, true);
		v = number(env, r);
	} else {
		words_set(in, 0);
		in->word[W_RECORD_MAX] = (int32_t)loan_record_max(in->loan);
		v = open_result(in, view);
	}
	free(id);
	free(conf);
	return v;
}

/* After W_MOVED has changed: the data's new place; undefined: no lane. */
static napi_value
js_view(napi_env env, napi_callback_info info)
{
	size_t n = 0;
	struct inst *in = args(env, info, &n, NULL);
	napi_value v = NULL;

	if (in->loan == NULL)
		return NULL;
	view_drop(in);
	if (view_make(in, &v) < 0) {
		lane_end(in, true);
		return NULL;
	}
	return open_result(in, v);
}

/* ---- records ---- */

static void
moved(struct inst *in, int r)
{
	/* Detached before it is unmapped. */
	view_drop(in);
	loan_let_go(in->loan);
	if (r == -ENOSYS)
		loan_close(&in->loan, true);
	else
		in->word[W_RECORD_MAX] = (int32_t)loan_record_max(in->loan);
	in->word[W_MOVED]++;
}

static uint64_t
word(const struct inst *in, enum word w)
{
	return in->word[w] > 0 ? (uint64_t)in->word[w] : 0;
}

/* publish(): the record at W_AT; what became of it is in the words. */
static napi_value
js_publish(napi_env env, napi_callback_info info)
{
	size_t n = 0;
	struct inst *in = args(env, info, &n, NULL);
	struct loan_record rec;
	int r;

	if (in->loan == NULL) {
		in->word[W_RESULT] = -ENOSYS;
		return NULL;
	}
	rec = (struct loan_record){
		.bytes = word(in, W_BYTES),
		.level = (uint32_t)word(in, W_LEVEL),
		.shortened = (uint32_t)word(in, W_SHORTENED),
		.redacted = (uint32_t)word(in, W_REDACTED),
		.job = in->word[W_EVENT] > 0 && in->word[W_EVENT] <= 3,
		.job_end = in->word[W_END] != 0,
		.fill = in->word[W_FILL] != 0,
		.event = (enum jobs_event)(word(in, W_EVENT) - 1),
		.id_at = word(in, W_ID_AT),
		.id_len = word(in, W_ID_LEN),
	};
	r = loan_publish(in->loan, &rec);
	if (__builtin_expect(r == LOAN_MOVED || r == -ENOSYS, 0)) {
		moved(in, r);
		r = 0;	/* it is in the old lane or the new one */
	}
	words_set(in, r);
	return NULL;
}

/* refuse(): W_BYTES at W_LEVEL found no room; W_RESULT 1: there is now. */
static napi_value
js_refuse(napi_env env, napi_callback_info info)
{
	size_t n = 0;
	struct inst *in = args(env, info, &n, NULL);
	int r = -ENOSYS;

	if (in->loan != NULL)
		r = loan_refuse(in->loan, (uint32_t)word(in, W_LEVEL),
		    in->word[W_END] != 0, word(in, W_BYTES));
	words_set(in, r);
	return NULL;
}

static napi_value
js_oversize(napi_env env, napi_callback_info info)
{
	size_t n = 0;
	struct inst *in = args(env, info, &n, NULL);

	if (in->loan != NULL)
		loan_oversize(in->loan);
	return NULL;
}

/* note(event, id): the times of a job whose record goes elsewhere; ms. */
static napi_value
js_note(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	size_t n = 2, len = 0;
	int32_t event = 0;
	char id[512];
	struct jobs_times t;

	(void)args(env, info, &n, a);
	if (n < 2 || napi_get_value_int32(env, a[0], &event) != napi_ok ||
	    event < 1 || event > 3 || napi_get_value_string_utf8(env, a[1],
	    id, sizeof(id), &len) != napi_ok)
		return number(env, -1);
	t = loan_note((enum jobs_event)(event - 1), id, len);
	return number(env, event == 2 ? t.queue_ms : t.duration_ms);
}

/* ---- the rest ---- */

static napi_value
js_close(napi_env env, napi_callback_info info)
{
	size_t n = 0;

	lane_end(args(env, info, &n, NULL), true);
	return NULL;
}

static napi_value
js_died(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	loan_died();
	return NULL;
}

/* write(fd, bytes): a line that does not block; how many were written. */
static napi_value
js_write(napi_env env, napi_callback_info info)
{
	const struct shm_sys *sys = &shm_sys_os;
	napi_value a[2];
	size_t n = 2, bytes = 0, done = 0, part;
	int32_t fd = -1;
	void *p = NULL;
	int r;

	(void)args(env, info, &n, a);
	if (n < 2 || napi_get_value_int32(env, a[0], &fd) != napi_ok ||
	    napi_get_buffer_info(env, a[1], &p, &bytes) != napi_ok)
		return number(env, 0);
	while (done < bytes) {
		part = bytes - done < WRITE_MAX ? bytes - done : WRITE_MAX;
		r = sys->say(sys->arg, fd, (uint8_t *)p + done, part);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return number(env, (double)done);
}

static napi_value
js_stats(napi_env env, napi_callback_info info)
{
	struct emplog_stats st;
	napi_value o = NULL;

	(void)info;
	loan_stats(&st);
	(void)napi_create_object(env, &o);
	set(env, o, "written", number(env, (double)st.written));
	set(env, o, "refused", number(env, (double)st.refused));
	set(env, o, "oversize", number(env, (double)st.oversize));
	set(env, o, "shortened", number(env, (double)st.shortened));
	set(env, o, "redacted", number(env, (double)st.redacted));
	set(env, o, "lanes", number(env, st.lanes));
	return o;
}

static int
words_make(struct inst *in, napi_value exports)
{
	napi_value buf, arr;
	void *p = NULL;

	if (napi_create_arraybuffer(in->env, W_COUNT * sizeof(int32_t), &p,
	    &buf) != napi_ok ||
	    napi_create_typedarray(in->env, napi_int32_array, W_COUNT, buf, 0,
	    &arr) != napi_ok ||
	    napi_create_reference(in->env, buf, 1, &in->words) != napi_ok)
		return -ENOMEM;
	in->word = p;
	memset(p, 0, W_COUNT * sizeof(int32_t));
	words_set(in, -ENOSYS);
	set(in->env, exports, "words", arr);
	return 0;
}

NAPI_MODULE_INIT()
{
	static const struct { const char *name; napi_callback fn; } fns[] = {
		{ "open", js_open }, { "view", js_view },
		{ "publish", js_publish }, { "refuse", js_refuse },
		{ "oversize", js_oversize }, { "note", js_note },
		{ "close", js_close }, { "died", js_died },
		{ "write", js_write }, { "stats", js_stats },
	};
	struct inst *in = calloc(1, sizeof(*in));
	napi_value fn;
	size_t i;

	if (in == NULL)
		return NULL;
	in->env = env;
	if (words_make(in, exports) < 0 ||
	    napi_set_instance_data(env, in, inst_free, NULL) != napi_ok) {
		free(in);
		return NULL;
	}
	(void)napi_add_env_cleanup_hook(env, cleanup, in);
	for (i = 0; i < sizeof(fns) / sizeof(fns[0]); i++) {
		if (napi_create_function(env, fns[i].name, NAPI_AUTO_LENGTH,
		    fns[i].fn, in, &fn) == napi_ok)
			set(env, exports, fns[i].name, fn);
	}
	set(env, exports, "version", text(env, EMPLOG_VERSION));
	return exports;
}
