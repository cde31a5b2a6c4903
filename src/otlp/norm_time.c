/* SPDX-License-Identifier: ISC */
/* norm_time.c - how sources write time; the contract is in norm.h */

#include <errno.h>

#include "forward/mp.h"
#include "otlp/norm.h"

#include "banned.h"

#define NS_PER_S	UINT64_C(1000000000)

struct text {				/* a cursor over ASCII */
	const uint8_t	*p;
	const uint8_t	*end;
};

/* Exactly n digits. */
static bool
digits(struct text *t, unsigned n, unsigned *ret)
{
	unsigned v = 0;

	if ((size_t)(t->end - t->p) < n)
		return false;
	for (; n > 0; n--, t->p++) {
		if (*t->p < '0' || *t->p > '9')
			return false;
		v = v * 10 + (*t->p - '0');
	}
	*ret = v;
	return true;
}

static bool
one_of(struct text *t, const char *set)
{
	if (t->p == t->end || *t->p == 0 || strchr(set, *t->p) == NULL)
		return false;
	t->p++;
	return true;
}

/* Digits after a point, as nanoseconds; those after the ninth are cut. */
static bool
fraction(struct text *t, uint64_t *ret_ns)
{
	uint64_t ns = 0, scale = NS_PER_S / 10;
	const uint8_t *start = t->p;

	for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
		ns += scale * (uint64_t)(*t->p - '0');
		scale /= 10;
	}
	*ret_ns = ns;
	return t->p > start;
}

/* Days since 1970-01-01 in the Gregorian calendar, for years from 1970. */
static uint64_t
days_since_1970(unsigned y, unsigned m, unsigned d)
{
	static const unsigned before[] = {
		0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334
	};
	unsigned leaps, last = y - 1;
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

	leaps = last / 4 - last / 100 + last / 400 - 477;
	return (uint64_t)(y - 1970) * 365 + leaps + before[m - 1] +
	    (leap && m > 2) + d - 1;
}

static unsigned
days_of_month(unsigned y, unsigned m)
{
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

	if (m == 2)
		return leap ? 29 : 28;
	return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

/* "Z", "+02:00", "+0200", "+02", or nothing. */
static bool
zone(struct text *t, int64_t *ret_s, bool *ret_none)
{
	unsigned h, m = 0;
	bool west;

	*ret_none = t->p == t->end;
	*ret_s = 0;
	if (*ret_none || one_of(t, "Zz"))
		return t->p == t->end;
	west = *t->p == '-';
	if (!one_of(t, "+-") || !digits(t, 2, &h))
		return false;
	one_of(t, ":");
	if (t->p < t->end && !digits(t, 2, &m))
		return false;
	if (t->p != t->end || h > 23 || m > 59)
		return false;
	*ret_s = (int64_t)(h * 3600 + m * 60) * (west ? -1 : 1);
	return true;
}

static bool
date(struct text *t, uint64_t *ret_days)
{
	unsigned y, m, d;

	if (!digits(t, 4, &y) || !one_of(t, "-/") || !digits(t, 2, &m) ||
	    !one_of(t, "-/") || !digits(t, 2, &d))
		return false;
	/* u64 nanoseconds end in 2554. */
	if (y < 1970 || y > 2553 || m < 1 || m > 12 || d < 1 ||
	    d > days_of_month(y, m))
		return false;
	*ret_days = days_since_1970(y, m, d);
	return true;
}

static bool
clock_time(struct text *t, uint64_t *ret_s, uint64_t *ret_ns)
{
	unsigned h, m, s = 0;

	*ret_ns = 0;
	if (!digits(t, 2, &h) || !one_of(t, ":") || !digits(t, 2, &m))
		return false;
	if (one_of(t, ":")) {
		if (!digits(t, 2, &s))
			return false;
		if (one_of(t, ".,") && !fraction(t, ret_ns))
			return false;
	}
	*ret_s = h * 3600 + m * 60 + s;
	return h <= 23 && m <= 59 && s <= 60;	/* 60: a leap second */
}

static int
iso(struct bytes s, uint64_t *ret_ns, bool *ret_zoneless)
{
	struct text t = { s.p, s.p + s.n };
	uint64_t days, sec, ns;
	int64_t east;
	bool none;

	if (!date(&t, &days) || !one_of(&t, "Tt ") ||
	    !clock_time(&t, &sec, &ns))
		return -EINVAL;
	if (t.p + 1 < t.end && *t.p == ' ')	/* 12:00:00 +0200 */
		t.p++;
	if (!zone(&t, &east, &none))
		return -EINVAL;
	sec += days * 86400;
	if (east > 0 && (uint64_t)east > sec)
		return -EINVAL;			/* before 1970 */
	sec = (uint64_t)((int64_t)sec - east);
	*ret_ns = sec * NS_PER_S + ns;
	*ret_zoneless = none;
	return 0;
}

/* Nanoseconds in the unit an epoch number of this size must be in; 0: none. */
static uint64_t
unit_of(uint64_t v)
{
	if (v < UINT64_C(100000000))		/* 1973 in seconds */
		return 0;
	if (v < UINT64_C(100000000000))		/* year 5138 in seconds */
		return NS_PER_S;
	if (v < UINT64_C(100000000000000))
		return 1000000;
	if (v < UINT64_C(100000000000000000))
		return 1000;
	return 1;
}

static int
epoch(uint64_t v, uint64_t frac_ns, uint64_t *ret_ns)
{
	uint64_t unit = unit_of(v);

	if (unit == 0 || v > UINT64_MAX / unit - 1)
		return -EINVAL;
	*ret_ns = v * unit + frac_ns / (NS_PER_S / unit);
	return 0;
}

static int
epoch_double(double d, uint64_t *ret_ns)
{
	uint64_t whole;

	if (!(d >= 1e8 && d < 1.8e19))
		return -EINVAL;
	whole = (uint64_t)d;
	return epoch(whole, (uint64_t)((d - (double)whole) * 1e9 + 0.5),
	    ret_ns);
}

/* "1723384927", "1723384927.118": the digits themselves, no double. */
static int
epoch_text(struct bytes s, uint64_t *ret_ns)
{
	struct text t = { s.p, s.p + s.n };
	uint64_t v = 0, frac = 0;

	for (; t.p < t.end && *t.p >= '0' && *t.p <= '9'; t.p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		v = v * 10 + (uint64_t)(*t.p - '0');
	}
	if (one_of(&t, ".") && !fraction(&t, &frac))
		return -EINVAL;
	if (s.n == 0 || t.p != t.end)
		return -EINVAL;
	return epoch(v, frac, ret_ns);
}

int
norm_time(struct bytes value, uint64_t *ret_ns, bool *ret_zoneless)
{
	struct mp m = mp_of(value);
	struct mp_item it;
	int r;

	*ret_zoneless = false;
	if (mp_next(&m, &it) < 0)
		return -EINVAL;
	switch (it.type) {
	case MP_UINT:
		return epoch(it.u, 0, ret_ns);
	case MP_DOUBLE:
		return epoch_double(it.d, ret_ns);
	case MP_STR:
		r = iso(it.s, ret_ns, ret_zoneless);
		return r == 0 ? 0 : epoch_text(it.s, ret_ns);
	default:
		return -EINVAL;
	}
}

static void
put_digits(char *p, uint64_t v, unsigned n)
{
	while (n-- > 0) {
		p[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

void
norm_iso(uint64_t ns, char ret_text[NORM_ISO_LEN])
{
	uint64_t s = ns / NS_PER_S, days = s / 86400, in_day = s % 86400;
	unsigned y = 1970 + (unsigned)(days / 366), m = 1;

	/* y is at most a little early. */
	while (days_since_1970(y + 1, 1, 1) <= days)
		y++;
	days -= days_since_1970(y, 1, 1);
	while (days >= days_of_month(y, m))
		days -= days_of_month(y, m++);
	memcpy(ret_text, "yyyy-mm-ddThh:mm:ss.nnnnnnnnnZ", NORM_ISO_LEN);
	put_digits(ret_text, y, 4);
	put_digits(ret_text + 5, m, 2);
	put_digits(ret_text + 8, days + 1, 2);
	put_digits(ret_text + 11, in_day / 3600, 2);
	put_digits(ret_text + 14, in_day / 60 % 60, 2);
	put_digits(ret_text + 17, in_day % 60, 2);
	put_digits(ret_text + 20, ns % NS_PER_S, 9);
}
