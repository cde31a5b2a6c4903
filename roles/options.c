/* SPDX-License-Identifier: ISC */
/* options.c - the command line; see options.h */

#include "roles/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

#include "admin/admin.h"
#include "roles/role.h"
#include "banned.h"

static int
role_bits(const char *list, unsigned *ret_bits)
{
	static const struct role_kind *const kinds[] = {
		&role_agent, &role_relay, &role_exporter
	};
	enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
	const char *p = list;
	unsigned bits = 0, i;
	size_t n;

	while (*p != '\0') {
		n = strcspn(p, ", ");
		for (i = 0; i < KINDS; i++)
			if (strlen(kinds[i]->name) == n &&
			    strncmp(kinds[i]->name, p, n) == 0)
				break;
		if (i == KINDS)
			return -EINVAL;
		bits |= kinds[i]->bit;
		p += n;
		p += strspn(p, ", ");
	}
	*ret_bits = bits;
	return bits == 0 ? -EINVAL : 0;
}

static void
usage(FILE *to)
{
	admin_synopsis(to);
	fputs("see 'emplogd help' and emplogd(8)\n", to);
}

static int
add_set(struct opts *o, const char *set)
{
	if (o->sets_n == SETS_MAX) {
		fprintf(stderr, "emplogd: error: more than %d --set; use a "
		    "file\n", SETS_MAX);
		return -E2BIG;
	}
	o->sets[o->sets_n++] = set;
	return 0;
}

int
options_read(struct opts *o, int argc, char **argv, int *ret_status)
{
	static const struct option longs[] = {
		{ "role", required_argument, NULL, 'r' },
		{ "config", required_argument, NULL, 'c' },
		{ "set", required_argument, NULL, 's' },
		{ "io", required_argument, NULL, 'i' },
		{ "check", no_argument, NULL, 'n' },
		{ "keep", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	*ret_status = EXIT_CONFIG;
	/* "+": a verb ends the options; what follows is the verb's. */
	while ((c = getopt_long(argc, argv, "+r:c:s:nvh", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			if (role_bits(optarg, &o->roles) == 0)
				break;
			fprintf(stderr, "emplogd: error: --role: '%s' is not a "
			    "list of agent, relay, exporter\n", optarg);
			return 1;
		case 'c': o->file = optarg; break;
		case 'n': o->check = true; break;
		case 'k': o->keep = true; break;
		case 'i':
			snprintf(o->io_set, sizeof(o->io_set), "common.io=%s",
			    optarg);
			if (add_set(o, o->io_set) < 0)
				return 1;
			break;
		case 's':
			if (add_set(o, optarg) < 0)
				return 1;
			break;
		case 'v':
			printf("emplogd %s\n", PACKAGE_VERSION);
			*ret_status = 0;
			return 1;
		case 'h':
			usage(stdout);
			*ret_status = 0;
			return 1;
		default:
			usage(stderr);
			return 1;
		}
	}
	return 0;
}
