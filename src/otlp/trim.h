/* SPDX-License-Identifier: ISC */
/*
 * trim.h - a sorted record after the backend's limits, ready to be written
 *
 * What:     decides once, for protobuf and JSON alike, which attributes go
 *           out, which are folded into emplog.more, and where texts are cut.
 *           Every text is either valid UTF-8 or marked to be repaired.
 *
 * Values are borrowed from the norm, or made in arena.
 */
#ifndef EMPLOG_TRIM_H
#define EMPLOG_TRIM_H

#include "forward/mp.h"
#include "otlp/otlp.h"
#include "otlp/text.h"

/* Limits of Dash0 (its "Quotas and Limits"); characters are code points. */
#define DASH0_BODY_BYTES	4096
#define DASH0_ATTRS		16
#define DASH0_KEY_CHARS		128
#define DASH0_VALUE_CHARS	2048
#define DASH0_EVENT_CHARS	256
#define DASH0_FUTURE_NS		(UINT64_C(3) * 86400 * 1000000000)

/*
 * A decoder counts three messages for each level of an AnyValue and stops at
 * 100: what nests deeper than this is sent as JSON text.
 */
#define TRIM_DEPTH_MAX	16
#define TRIM_ARENA	(256u << 10)
#define TRIM_JSON_MAX	(32u << 10)	/* such a text, without other limits */

struct trim_value {
	bool		 is_text;
	struct text	 t;		/* is_text */
	struct bytes	 mp;		/* else: one msgpack value */
};

struct trim_attr {
	struct text	 key;
	struct trim_value value;
};

struct trim {
	const struct norm *n;		/* time, severity, ids */
	struct text	 severity_text, event_name, scope_name;
	bool		 has_body;
	struct trim_value body;
	struct trim_attr resource[NORM_RESOURCE_MAX];
	unsigned	 resource_n;
	uint32_t	 resource_dropped;	/* likewise, of the resource */
	struct trim_attr scope[NORM_SCOPE_MAX];
	unsigned	 scope_n;
	struct trim_attr attr[NORM_ATTRS_MAX];
	unsigned	 attr_n;
	uint32_t	 dropped;	/* dropped_attributes_count */
	bool		 keys_changed;	/* some key is not as it came */

	enum otlp_limits limits;
	struct otlp_counts *counts;
	size_t		 arena_n;
	uint8_t		 arena[TRIM_ARENA];
};

/* All but resource and scope. */
void	 trim_record(struct trim *t, const struct norm *n);
/* Resource and scope. */
void	 trim_identity(struct trim *t, const struct norm *n);

#endif
