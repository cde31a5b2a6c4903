/* SPDX-License-Identifier: ISC */
/*
 * config.h - what the operator said, checked
 *
 * What:     one table (keys.def) that the reader, emplogd help keys and
 *           emplogd.conf(5) share.  A value comes from, in this order: --set
 *           section.key=value, EMPLOGD_SECTION_KEY, the file, a foreign
 *           variable (foreign.def), the default.
 * Errors:   every fault is one line: file:line (or --set, or the variable),
 *           the key, the value, what was expected, the nearest known key.
 *           All faults are told, not only the first.
 * Secrets:  never printed; refused in --set (ps shows it).
 */
#ifndef EMPLOG_CONFIG_H
#define EMPLOG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROLE_AGENT	0x1u
#define ROLE_RELAY	0x2u
#define ROLE_EXPORTER	0x4u

enum conf_type { CONF_STR, CONF_SIZE, CONF_NUM, CONF_MS, CONF_BOOL,
    CONF_ENUM, CONF_LIST, CONF_HOSTPORT, CONF_SECRET, CONF_PATH };
enum conf_from { FROM_DEFAULT, FROM_FOREIGN, FROM_FILE, FROM_ENV, FROM_FLAG };

enum conf_key {
#define KEY(section, key, type, def, least, most, brief, text) \
	KEY_##section##_##key,
#include "config/keys.def"
#undef KEY
	KEY_COUNT
};

struct conf_value {
	enum conf_from	 from;
	int		 line;		/* of the file; 0 elsewhere */
	const char	*where;		/* file or variable name */
	char		*text;		/* expanded; never NULL */
	uint64_t	 num;		/* sizes in bytes, times in ms, bools,
					   index of an enum's word */
};

struct conf {
	struct conf_value value[KEY_COUNT];
	unsigned	 roles;		/* ROLE_*; 0: none was given, which is
					   a fault in a daemon alone */
	bool		 no_volume;	/* on Railway, which mounted none */
	unsigned	 faults;	/* told; 0 unless read leniently */
};

struct conf_source {
	const char	*file;		/* NULL: the one under SYSCONFDIR, whose
					   absence is no fault */
	char *const	*env;		/* environ */
	const char *const *sets;	/* --set arguments */
	unsigned	 sets_n;
	unsigned	 roles;		/* from --role, 0: from the file */
	bool		 as_user;	/* take the defaults of one who is not
					   root, whoever we are (tests) */
	bool		 lenient;	/* for verbs that look and do not run:
					   gives out what was good, and looks
					   for no secret */
	/* Each fault or remark, one line; fault: the start must fail. */
	void		(*tell)(void *arg, bool fault, const char *line);
	void		*arg;
};

/*
 * Reads all; 0, -EINVAL (faults were told), -ENOMEM.  Blocking, start and
 * SIGHUP only.  Nothing of src is kept.
 *
 * Lists come out as "a,b" without blanks or empty items; agent.fill as
 * "worker_id=w1,…" with what the environment says; exporter.endpoint
 * without the path of a signal; exporter.token as token_file holds it.
 */
int	 conf_read(struct conf **ret_conf, const struct conf_source *src);
/* Accepts NULL; what held secrets is wiped. */
void	 conf_free(struct conf **conf);

static inline const char *
conf_text(const struct conf *c, enum conf_key k)
{
	return c->value[k].text;
}

static inline uint64_t
conf_num(const struct conf *c, enum conf_key k)
{
	return c->value[k].num;
}

/* "10M" -> 10485760; plain bytes, K, M, G, T, P (1024). -EINVAL, -ERANGE. */
int	 conf_size(const char *text, uint64_t *ret_bytes);
/* "1500", "1500ms", "2s", "10m", "6h", "7d" -> ms. */
int	 conf_ms(const char *text, uint64_t *ret_ms);

#endif
