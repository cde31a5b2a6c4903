/* SPDX-License-Identifier: ISC */
/*
 * fuzz_conf.c - any bytes as a configuration (libFuzzer: clang)
 *
 * Input: a byte of options, lines of the environment "NAME=value" up to an
 * empty one, then the file.  Claims: it is read or refused with at least one
 * fault told, each of one printable line; what was read has a value for each
 * key, numbers within their bounds, and no secret is told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "config/config.h"
#include "config/types.h"

#define ENV_MAX		8
#define TEXT_MAX	(16u << 10)
#define SECRET		"s3cr3tf0rn0b0dy"

int	 LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct heard { unsigned faults; };

static void
hear(void *arg, bool fault, const char *line)
{
	struct heard *h = arg;

	h->faults += fault;
	must(line[0] != '\0');
	must(strchr(line, '\n') == NULL);
	must(strstr(line, SECRET) == NULL);
}

static void
check(const struct conf *c)
{
	char again[VALUE_MAX + 1];
	uint64_t num;
	int k;

	for (k = 0; k < KEY_COUNT; k++) {
		must(c->value[k].text != NULL);
		must(strlen(c->value[k].text) <= VALUE_MAX);
	}
	/* What was said in good form is so when it is read again. */
	must(value_check(KEY_common_grace_ms,
	    conf_text(c, KEY_common_grace_ms), again, &num) == 0);
	must(num == conf_num(c, KEY_common_grace_ms));
}

static void
read_file(const char *text, size_t n, char *const *env, uint8_t options)
{
	int fd = memfd_create("fuzz.conf", MFD_CLOEXEC), r;
	struct heard h = { .faults = 0 };
	struct conf *c = NULL;
	char path[64];
	struct conf_source src = { .file = path, .env = env, .tell = hear,
	    .arg = &h, .as_user = (options & 1) != 0,
	    .lenient = (options & 2) != 0, .roles = options >> 2 & 7 };

	must(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(write(fd, text, n) == (ssize_t)n);
	r = conf_read(&c, &src);
	must(r == 0 || r == -EINVAL);
	must(r == 0 || h.faults > 0);
	must(r != 0 || src.lenient || h.faults == 0);
	if (r == 0)
		check(c);
	conf_free(&c);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *env[ENV_MAX + 1], *text, *end;
	char token[] = "EMPLOGD_EXPORTER_TOKEN=" SECRET;
	unsigned i = 0;
	char *at;

	if (n < 1 || n > TEXT_MAX || memmem(p, n, SECRET, 8) != NULL)
		return 0;
	text = malloc(n);
	must(text != NULL);
	memcpy(text, p + 1, n - 1);
	text[n - 1] = '\0';
	at = text;
	end = text + n - 1;
	env[i++] = token;
	while (i < ENV_MAX && at < end && *at != '\n') {
		env[i++] = at;
		at = memchr(at, '\n', (size_t)(end - at));
		if (at == NULL)
			at = end;
		else
			*at++ = '\0';
	}
	env[i] = NULL;
	if (at < end && *at == '\n')
		at++;
	read_file(at, (size_t)(end - at), env, p[0]);
	free(text);
	return 0;
}
