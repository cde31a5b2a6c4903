/* SPDX-License-Identifier: ISC */
/* ident.c - who logs; the contract is in ident.h */

#include "shm/ident.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shm/encode.h"
#include "shm/sys.h"

static const char *const ident_key[IDENT_FIELDS] = {
	"machine_id", "worker_id", "service_type", "connector_id",
	"service_name", "service_version", "deployment"
};

static const char *
env(const char *name)
{
	const char *v = name == NULL ? NULL : getenv(name);

	return v != NULL && *v != '\0' ? v : NULL;
}

/* given, else the first variable that is set, else fallback. */
static int
settle(char dst[IDENT_TEXT_MAX + 1], const char *given, const char *var,
    const char *var2, const char *fallback)
{
	const char *v = given;
	size_t n;

	if (v != NULL && *v != '\0') {
		n = strlen(v);
		if (n > IDENT_TEXT_MAX)
			return -EINVAL;
	} else {
		v = env(var);
		if (v == NULL)
			v = env(var2);
		if (v == NULL)
			v = fallback;
		n = strnlen(v, IDENT_TEXT_MAX);
	}
	memcpy(dst, v, n);
	dst[n] = '\0';
	return 0;
}

static uint32_t
level_of(const char *s)
{
	/* winston's and pino's names as well */
	static const struct { const char *name; uint32_t level; } names[] = {
		{ "trace", EMPLOG_TRACE }, { "silly", EMPLOG_TRACE },
		{ "debug", EMPLOG_DEBUG }, { "verbose", EMPLOG_DEBUG },
		{ "http", EMPLOG_DEBUG }, { "info", EMPLOG_INFO },
		{ "warn", EMPLOG_WARN }, { "warning", EMPLOG_WARN },
		{ "error", EMPLOG_ERROR }, { "fatal", EMPLOG_FATAL },
		{ "critical", EMPLOG_FATAL },
	};
	size_t i;

	for (i = 0; s != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(s, names[i].name) == 0)
			return names[i].level;
	return EMPLOG_TRACE;
}

static enum emplog_console
console_of(enum emplog_console given)
{
	const char *v = env("EMPLOG_CONSOLE");

	if (given != EMPLOG_CONSOLE_DEFAULT)
		return given;
	if (v != NULL && strcasecmp(v, "off") == 0)
		return EMPLOG_CONSOLE_OFF;
	if (v != NULL && strcasecmp(v, "on") == 0)
		return EMPLOG_CONSOLE_ON;
	return EMPLOG_CONSOLE_FALLBACK;
}

/* A decimal number with K, M or G behind it, else 0. */
static uint64_t
size_of(const char *s)
{
	unsigned shift = 0;
	uint64_t v;
	char *end;

	if (s == NULL || *s < '0' || *s > '9')
		return 0;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (*end == 'k' || *end == 'K')
		shift = 10;
	else if (*end == 'm' || *end == 'M')
		shift = 20;
	else if (*end == 'g' || *end == 'G')
		shift = 30;
	if (shift > 0)
		end++;
	return errno != 0 || *end != '\0' || v > UINT64_MAX >> 30 ? 0 :
	    v << shift;
}

static bool
disabled(void)
{
	const char *v = env("EMPLOG_DISABLED");

	return v != NULL && strcmp(v, "0") != 0 && strcasecmp(v, "no") != 0 &&
	    strcasecmp(v, "false") != 0;
}

static int
settle_texts(struct ident *id, const struct emplog_options *o)
{
	const struct {
		char		*dst;
		const char	*given, *var, *var2, *fallback;
	} t[] = {
		{ id->field[IDENT_MACHINE_ID], o->machine_id, "MACHINE_ID",
		    NULL, "" },
		{ id->field[IDENT_WORKER_ID], o->worker_id, "WORKER_ID",
		    NULL, "" },
		{ id->field[IDENT_SERVICE_TYPE], o->service_type,
		    "SERVICE_TYPE", NULL, "" },
		{ id->field[IDENT_CONNECTOR_ID], o->connector_id,
		    "CONNECTOR_ID", NULL, "" },
		{ id->field[IDENT_SERVICE_NAME], o->service_name,
		    "SERVICE_NAME", "OTEL_SERVICE_NAME", "" },
		{ id->field[IDENT_SERVICE_VERSION], o->service_version,
		    "SERVICE_VERSION", NULL, "" },
		{ id->field[IDENT_DEPLOYMENT], o->deployment,
		    "DEPLOYMENT_ENV", "RAILWAY_ENVIRONMENT", "" },
		{ id->logger_name, o->logger_name, NULL, NULL, "emplog" },
		{ id->ring_dir, o->ring_dir, "EMPLOG_RING_DIR",
		    "EMPLOGD_COMMON_RING_DIR", "" },
		{ id->state_dir, o->state_dir, "EMPLOGD_COMMON_STATE_DIR",
		    NULL, "" },
	};
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < sizeof(t) / sizeof(t[0]); i++)
		r = settle(t[i].dst, t[i].given, t[i].var, t[i].var2,
		    t[i].fallback);
	return r;
}

/*
 * Not as root an agent's default is under XDG_RUNTIME_DIR (user_defaults() in
 * src/config/conf.c), while one of the system is where it always is: the ring
 * that exists, else the user's own.
 */
static void
ring_default(char dst[IDENT_TEXT_MAX + 1])
{
	static const char common[] = "/dev/shm/emplog";
	const struct shm_sys *sys = &shm_sys_os;
	const char *run = env("XDG_RUNTIME_DIR");
	struct shm_stat st;
	int n;

	if (sys->uid(sys->arg) != 0 && run != NULL && *run == '/') {
		n = snprintf(dst, IDENT_TEXT_MAX + 1, "%s/emplog", run);
		if (n <= IDENT_TEXT_MAX &&
		    (sys->lstat(sys->arg, dst, &st) == 0 ||
		    sys->lstat(sys->arg, common, &st) < 0))
			return;
	}
	memcpy(dst, common, sizeof(common));
}

int
ident_settle(struct ident *id, const struct emplog_options *o)
{
	static const struct emplog_options none;
	int r;

	if (o == NULL)
		o = &none;
	if ((unsigned)o->console > EMPLOG_CONSOLE_ON ||
	    (o->level_set && (unsigned)o->level > EMPLOG_FATAL))
		return -EINVAL;
	*id = (struct ident){ .lane_bytes = o->lane_bytes };
	r = settle_texts(id, o);
	if (r < 0)
		return r;
	if (id->ring_dir[0] == '\0')
		ring_default(id->ring_dir);
	id->level = o->level_set ? o->level : level_of(env("LOG_LEVEL"));
	if (disabled())
		id->level = EMPLOG_FATAL + 1;
	id->console = console_of(o->console);
	id->ring_max = size_of(env("EMPLOGD_COMMON_RING_MAX"));
	id->ring_owner = (uint32_t)size_of(env("EMPLOG_RING_OWNER"));
	return 0;
}

uint32_t
ident_map(const struct ident *id, uint8_t *buf)
{
	uint8_t *p = buf + 1, n = 0;
	unsigned i;

	for (i = 0; i < IDENT_FIELDS; i++) {
		if (id->field[i][0] == '\0')
			continue;
		p = encode_pair(p, ident_key[i], id->field[i]);
		n++;
	}
	buf[0] = (uint8_t)(0x80 | n);
	return (uint32_t)(p - buf);
}

uint32_t
ident_extra(const struct ident *id, const struct ident *lane, uint8_t *buf,
    uint32_t *ret_pairs)
{
	uint8_t *p = encode_pair(buf, "logger_name", id->logger_name);
	uint32_t n = 1;
	unsigned i;

	for (i = 0; i < IDENT_FIELDS; i++) {
		if (strcmp(id->field[i], lane->field[i]) == 0)
			continue;
		p = encode_pair(p, ident_key[i], id->field[i]);
		n++;
	}
	*ret_pairs = n;
	return (uint32_t)(p - buf);
}
