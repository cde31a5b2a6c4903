/* SPDX-License-Identifier: ISC */
/* human.c - numbers and texts for people; see human.h */

#include "admin/human.h"

#include <inttypes.h>
#include <time.h>

#include "banned.h"

#define NS_PER_S	UINT64_C(1000000000)

struct human
human_bytes(uint64_t n)
{
	static const char unit[] = "KMGTPE";
	struct human h;
	double d = (double)n / 1024;
	unsigned i = 0;

	if (n < 1024) {
		snprintf(h.text, sizeof(h.text), "%" PRIu64 " B", n);
		return h;
	}
	for (; d >= 1024 && unit[i + 1] != '\0'; i++)
		d /= 1024;
	snprintf(h.text, sizeof(h.text), "%.1f %ciB", d, unit[i]);
	return h;
}

struct human
human_age(uint64_t ns)
{
	uint64_t s = ns / NS_PER_S;
	struct human h;

	if (s < 60)
		snprintf(h.text, sizeof(h.text), "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(h.text, sizeof(h.text), "%" PRIu64 " min", s / 60);
	else if (s < 86400)
		snprintf(h.text, sizeof(h.text), "%" PRIu64 " h %" PRIu64
		    " min", s / 3600, s / 60 % 60);
	else
		snprintf(h.text, sizeof(h.text), "%" PRIu64 " d %" PRIu64 " h",
		    s / 86400, s / 3600 % 24);
	return h;
}

uint64_t
human_since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

uint64_t
human_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void
human_put(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	for (; *p != '\0'; p++) {
		if (*p == '\n')
			fputs("\\n", out);
		else if (*p == '\t')
			fputs("\\t", out);
		else if (*p < 0x20 || *p == 0x7f)
			fputc('?', out);
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			fputc('?', out);
			p++;
		} else {
			fputc(*p, out);
		}
	}
}

void
human_put_json(FILE *out, const char *json)
{
	const unsigned char *p = (const unsigned char *)json;

	for (; *p != '\0'; p++) {
		if (*p == 0x7f)
			fputs("\\u007f", out);
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			fprintf(out, "\\u00%02x", *++p);
		else
			fputc(*p, out);
	}
}
