/* SPDX-License-Identifier: ISC */
/*
 * fuzz_migrate.c - any bytes as an old configuration (libFuzzer: clang)
 *
 * Claims: whatever the file, and whoever includes it once more, it is
 * refused with one line that says why, or what is printed is without a fault
 * to our own reader; nothing of it leaves its memory.
 */
#include "base/bytes.h"
#include "base/must.h"
#include "tests/migrate_files.h"

#define TEXT_MAX	(16u << 10)
#define UNSET		"# must be set in its environment:"

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
show(void *arg, bool fault, const char *line)
{
	(void)arg;
	if (fault)
		fprintf(stderr, "%s\n", line);
}

static void
check_made(const char *made, size_t n)
{
	char token[] = "EMPLOGD_EXPORTER_TOKEN=auth_x";
	char *const env[] = { token, NULL };

	/* What its variables hold is not known here. */
	if (strstr(made, UNSET) != NULL)
		return;
	must(faults_in(made, n, env, show) == 0);
}

static void
run(const char *path, struct bytes text)
{
	struct kept kept = { .file = {
		{ path, (const char *)text.p, text.n },
		{ "again.conf", (const char *)text.p, text.n < 512 ?
		    text.n : 0 } }, .n = 2 };
	const struct old_files files = { kept_load, kept_match, &kept };
	char *out = NULL, *err = NULL;
	size_t out_n, err_n;
	FILE *o = open_memstream(&out, &out_n);
	FILE *e = open_memstream(&err, &err_n);
	int r;

	must(o != NULL && e != NULL);
	r = migrate_files(&path, 1, &files, o, e);
	fclose(o);
	fclose(e);
	if (r == 0)
		check_made(out, out_n);
	else
		must(out_n == 0 && err_n > 0);
	free(out);
	free(err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n > TEXT_MAX)
		return 0;
	run("in.conf", bytes_of(p, n));
	run("in.yaml", bytes_of(p, n));
	return 0;
}
