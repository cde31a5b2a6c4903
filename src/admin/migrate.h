/* SPDX-License-Identifier: ISC */
/*
 * migrate.h - what the parts of emplogd migrate share
 *
 * What:     old_conf.h reads the old files; migrate_bit.c and
 *           migrate_fluentd.c walk what was read; old_lore.h knows options and
 *           plugins; migrate.c keeps keys of ours and prints them.
 * Never:    prints a value that is, or may be, a secret; keeps a value that
 *           our own reader would refuse.
 */
#ifndef EMPLOG_ADMIN_MIGRATE_H
#define EMPLOG_ADMIN_MIGRATE_H

#include "admin/old_conf.h"
#include "config/config.h"

#define MIGRATE_TEXT	1024u

struct migrate {
	struct old_conf	 old;
	FILE		*said;		/* remarks, put behind the keys */
	FILE		*hints;		/* keys that want a file or a secret */
	unsigned	 roles;
	bool		 bit, fluentd;	/* there was such a section */
	bool		 given[KEY_COUNT];
	char		 value[KEY_COUNT][MIGRATE_TEXT];
	/* What the two files say of each other. */
	const struct old_key *uri, *format;	/* of Fluent Bit to Fluentd */
	int		 error;		/* -ENOMEM met on the walk */
};

/*
 * The whole: prints the emplogd.conf of paths on out.  files may be NULL.
 * 0; -EINVAL and other -errno told on err; -ENOMEM not.
 */
int	 migrate_files(const char *const *paths, unsigned n,
	    const struct old_files *files, FILE *out, FILE *err);

/* One remark with file and line. */
void	 migrate_say(struct migrate *m, const struct old_key *at,
	    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The place of a section, under its plugin's name or its own. */
struct old_key migrate_at(const struct old_section *s);
/* @type, Name; "" where there is none. */
const char *migrate_plugin(const struct old_section *s);
/*
 * Keeps a value of ours, unless it is none, which is said; the first given
 * wins, which is not.  true: it is there now.
 */
bool	 migrate_put(struct migrate *m, const struct old_key *at,
	    enum conf_key key, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));
/* Is s nothing but letters, digits, ._:/- and ${VAR}. */
bool	 migrate_is_plain(const char *s);
/* "host:port", an IPv6 address in brackets; "" when they are not plain. */
struct migrate_addr { char text[MIGRATE_TEXT]; };
struct migrate_addr migrate_addr(const char *host, const char *port);
/* A commented key in [common], with what belongs into it. */
void	 migrate_hint(struct migrate *m, const char *key, const char *value,
	    const char *why);
/* It listened with TLS; what of its files is not given is a hint. */
void	 migrate_listen_tls(struct migrate *m, const struct old_key *cert,
	    const struct old_key *key, const struct old_key *ca);
/*
 * Where the old one listened; one that asked for TLS or a key is not opened
 * to everybody without.
 */
void	 migrate_listen(struct migrate *m, const struct old_key *at,
	    enum conf_key key, const char *host, const char *port,
	    bool secured);
/* The options of a section: what the table says of each, and mistakes. */
void	 migrate_options(struct migrate *m, const struct old_section *s,
	    const char *plugin);
/* What stands for its plugin; false: it is not to be looked into. */
bool	 migrate_plugin_known(struct migrate *m, const struct old_section *s);
/* A backend's URL without its signal's path; says what did not fit. */
void	 migrate_endpoint(struct migrate *m, const struct old_key *at,
	    const char *url, bool otlp);
/* A header line or a list of them: the dataset, the token's place. */
void	 migrate_headers(struct migrate *m, const struct old_key *at);
/* A field that a filter set: what of it the agent fills in. */
void	 migrate_field(struct migrate *m, const struct old_key *at,
	    const char *field, const char *value);
bool	 migrate_is_on(const char *value);	/* NULL is off */

/* Once all is walked: defaults, and no port twice. */
void	 migrate_complete(struct migrate *m);
void	 migrate_print(const struct migrate *m, const char *hints, FILE *out);

/*
 * Fluentd's patterns, several with blanks between.  Do the earlier ones take
 * all that the later ones would; unsure is no.
 */
bool	 migrate_tags_cover(const char *earlier, const char *later);
/* May they take that tag; what is not understood may. */
bool	 migrate_tags_may_take(const char *patterns, const char *tag);

void	 migrate_bit(struct migrate *m);
/* Files that are read twice, or written by who reads them. */
void	 migrate_tails(struct migrate *m);
void	 migrate_fluentd(struct migrate *m);

#endif
