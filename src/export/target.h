/* SPDX-License-Identifier: ISC */
/*
 * target.h - where requests go: URLs and headers, made once per configuration
 *
 * Never:    prints a token.
 */
#ifndef EMPLOG_TARGET_H
#define EMPLOG_TARGET_H

#include "loop/loop.h"

struct env;
struct export_conf;

#define TARGET_HEADERS_MAX	72
#define TARGET_SLUGS_MAX	16

struct target {
	char		*url[3];	/* by enum signal; [0] NULL: files */
	struct post_header header[TARGET_HEADERS_MAX];
	unsigned	 header_n;
	unsigned	 own_n;		/* so many of them are no secrets */
	/*
	 * dataset = by:deployment.environment.name, slug, slug, …: the header
	 * at dataset_at is chosen per request.  slug_n 0: one for all.
	 */
	unsigned	 dataset_at;
	const char	*slug[TARGET_SLUGS_MAX];
	unsigned	 slug_n;
	char		*text;		/* what the headers point into */
	size_t		 text_cap;
};

/*
 * 0, -ENOMEM, -EINVAL: headers is not a list of name=value, or dataset names
 * no slug.
 */
int	 target_init(struct target *t, struct env *env,
	    const struct export_conf *conf);
/*
 * The dataset of an environment: the slug of that name, else the first one.
 * NULL: there is no choice.
 */
const char *target_dataset(const struct target *t, struct bytes environment);
/*
 * Stars in place of values of headers that a backend repeats in its words,
 * or of the beginning of one where these were cut; not of short ones.
 */
void	 target_hide(const struct target *t, char *words);
/*
 * For people: the base URL without user, password and query, "" for local
 * files; and the dataset of a request with this header, "" for none.
 */
void	 target_tell(const struct target *t, const struct post_header *header,
	    char *url, size_t cap, const char **ret_dataset);
void	 target_fini(struct target *t, struct env *env);

#endif
