/* SPDX-License-Identifier: ISC */
/*
 * print_tables.c - the lists of emplogd.conf(5) and emplogd-counters(7) in
 * mdoc, made of keys.def, foreign.def and counters.def
 *
 *	print_tables keys | variables | counters
 *
 * man/tables.sh puts them between the pages' marks;
 * tests/t0010-man-matches-tables.sh compares.
 */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/foreign.h"
#include "config/keys.h"
#include "config/types.h"
#include "counters/counters.h"

#define WIDTH	72

/* One word; what roff would read otherwise is escaped. */
static size_t
put_word(const char *w, size_t n, bool first)
{
	size_t i, at = 0;

	if (first && (w[0] == '.' || w[0] == '\''))
		at += (size_t)printf("\\&");
	for (i = 0; i < n; i++)
		if (w[i] == '-' && (i == 0 || w[i - 1] == '-'))
			at += (size_t)printf("\\-");
		else if (w[i] == '\\')
			at += (size_t)printf("\\e");
		else if (w[i] == '~')
			at += (size_t)printf("\\(ti");
		else
			at += putchar(w[i]) != EOF;
	return at;
}

static bool
ends_sentence(const char *w, size_t n, const char *rest)
{
	return n > 0 && (w[n - 1] == '.' || w[n - 1] == '?') &&
	    strncmp(rest, "  ", 2) == 0;
}

/* Each sentence on a line of its own, as mdoc wants it, and none too long. */
static void
put_text(const char *text)
{
	size_t n, at = 0;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (at > 0 && at + 1 + n > WIDTH) {
			putchar('\n');
			at = 0;
		}
		if (at > 0)
			at += putchar(' ') != EOF;
		at += put_word(text, n, at == 0);
		if (ends_sentence(text, n, text + n)) {
			putchar('\n');
			at = 0;
		}
		text += n + strspn(text + n, " ");
	}
	if (at > 0)
		putchar('\n');
}

/* A phrase of the table as a sentence. */
static void
put_sentence(const char *phrase)
{
	char s[512];
	size_t n = strlen(phrase);

	snprintf(s, sizeof(s), "%s%s", phrase,
	    n > 0 && phrase[n - 1] == '.' ? "" : ".");
	s[0] = (char)toupper((unsigned char)s[0]);
	put_text(s);
}

static void
put_key(const struct key_info *k, enum conf_key key)
{
	char values[256];

	printf(".It Ic %s\n", k->name);
	put_sentence(k->brief);
	snprintf(values, sizeof(values), "Takes %s; default %s",
	    value_expected(key).text, k->def[0] == '\0' ? "empty" : k->def);
	put_sentence(values);
	put_text(k->text);
}

static void
print_keys(void)
{
	const char *section = "";
	unsigned k;

	for (k = 0; k < KEY_COUNT; k++) {
		if (strcmp(section, key_info[k].section) != 0) {
			if (*section != '\0')
				puts(".El");
			section = key_info[k].section;
			printf(".Ss Section %s\n.Bl -tag -width Ds\n", section);
		}
		put_key(&key_info[k], (enum conf_key)k);
	}
	puts(".El");
}

/* The rows above f for the same key: they win. */
static void
put_beaten_by(const struct foreign_info *f)
{
	const struct foreign_info *g;
	const char *sep = "Beaten by ";

	for (g = foreign_info; g < f; g++)
		if (g->key == f->key && g->how != FOREIGN_WITH) {
			printf("%s%s", sep, g->name);
			sep = ",\n";
		}
	if (*sep == ',')
		puts(".");
}

static void
print_variables(void)
{
	const struct foreign_info *f;

	puts(".Bl -tag -width Ds");
	for (f = foreign_info; f->name != NULL; f++) {
		printf(".It Ev %s\n", f->name);
		if (f->key < KEY_COUNT)
			printf("To\n.Ic %s .\n", key_info[f->key].name);
		put_sentence(f->text);
		if (f->how < FOREIGN_WITH)
			put_beaten_by(f);
	}
	puts(".El");
}

static void
print_counters(void)
{
	const char *part = "";
	int i;

	for (i = 0; i < CTR_COUNT; i++) {
		if (strcmp(part, ctr_info[i].part) != 0) {
			if (*part != '\0')
				puts(".El");
			part = ctr_info[i].part;
			printf(".Ss %s\n.Bl -tag -width Ds\n", part);
		}
		printf(".It Va %s%s\n", ctr_info[i].name,
		    ctr_info[i].kind == CTR_GAUGE ? " Pq gauge" : "");
		put_sentence(ctr_info[i].brief);
		put_text(ctr_info[i].text);
	}
	puts(".El");
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "keys") == 0)
		print_keys();
	else if (argc == 2 && strcmp(argv[1], "variables") == 0)
		print_variables();
	else if (argc == 2 && strcmp(argv[1], "counters") == 0)
		print_counters();
	else
		return 1;
	return fflush(stdout) == 0 ? 0 : 1;
}
