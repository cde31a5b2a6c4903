/* SPDX-License-Identifier: ISC */
/*
 * norm.h - one record as connectors wrote it, as OpenTelemetry wants it
 *
 * What:     takes one entry the walker accepted, and its lane's identity, and
 *           sorts every field to its place: resource, scope, time, severity,
 *           body, event name, trace, attribute.  Aliases, level spellings,
 *           time formats and the five schemas come from src/otlp/fields.def,
 *           which emplog-fields(7) is made from too.
 * Never:    loses a field without a count, copies a value, allocates.
 *
 * Values are borrowed: each is a whole msgpack value in the entry (or a
 * constant); keys are UTF-8 or will be made so by the encoder.
 */
#ifndef EMPLOG_NORM_H
#define EMPLOG_NORM_H

#include "base/chunk.h"
#include "forward/walk.h"
#include "otlp/fields.h"

#define NORM_ATTRS_MAX	512	/* fields of one record; more are counted */
#define NORM_RESOURCE_MAX 24
#define NORM_SCOPE_MAX	4
#define NORM_IDENTITY_N	(F_component + 1) /* resource and scope fields */
#define NORM_JOINED_MAX	2048	/* bytes of a string spread over fields */

enum norm_names { NAMES_EMP, NAMES_OTEL };

enum norm_kind { NV_MSGPACK, NV_STR };
struct norm_value {
	enum norm_kind	 kind;
	struct bytes	 b;		/* one value, or the text itself */
};
struct norm_attr {
	struct bytes	 key;
	struct norm_value value;
	uint16_t	 rank;		/* right to stay: lower stays longer */
};

struct norm_conf {
	enum norm_names	 names;
	const char	*service_namespace;	/* "emp" */
	/* fill where record and identity have none; NULL: none */
	const char	*machine_id, *deployment, *region, *host;
};

struct norm {
	uint64_t	 time_ns;		/* 0: unknown */
	uint64_t	 observed_ns;
	uint8_t		 severity;		/* OTLP number, 0 unspecified */
	struct bytes	 severity_text;		/* the source's own word */
	struct norm_value body;			/* kind NV_STR n 0: none */
	struct bytes	 event_name;
	bool		 has_trace, has_span;
	uint8_t		 trace_id[16], span_id[8];
	uint8_t		 trace_flags;
	struct norm_attr resource[NORM_RESOURCE_MAX];
	unsigned	 resource_n;
	unsigned	 resource_lost;	/* of an identity, no place for them */
	struct bytes	 scope_name;
	struct norm_attr scope[NORM_SCOPE_MAX];
	unsigned	 scope_n;
	struct norm_attr attr[NORM_ATTRS_MAX];	/* by rank, then as met */
	unsigned	 attr_n;
	unsigned	 lost;		/* fields over NORM_ATTRS_MAX and
					   values of a repeated key */
	const uint8_t	*record_end;	/* of what norm_fields() read */
	uint8_t		 scratch[1024];		/* small texts made here */
	unsigned	 scratch_n;

	/*
	 * The account: fields + added == moved + attr_n + same + joined + lost.
	 */
	unsigned	 fields;	/* pairs in the record */
	unsigned	 added;		/* attributes we made */
	unsigned	 moved;		/* became resource, scope, time, … */
	unsigned	 same;		/* an alias with an equal value, or an
					   identity field that is empty */
	unsigned	 joined;	/* characters of a spread string */

	/* Identity fields of the record itself, as text. */
	uint32_t	 own;			/* bit per field */
	struct bytes	 own_value[NORM_IDENTITY_N];
	uint8_t		 joined_text[NORM_JOINED_MAX];
	unsigned	 joined_bytes;
};

/* An identity taken apart once for all records of its chunk. */
struct norm_lane {
	uint32_t	 set;			/* bit per field */
	struct bytes	 value[NORM_IDENTITY_N];
	/* What the table does not know, or not as identity: verbatim. */
	struct norm_attr other[8];
	unsigned	 other_n;
	unsigned	 lost;			/* more than that */
};

struct norm_from {
	const struct norm_conf *conf;
	const struct norm_lane *lane;
	const struct entry *entry;
	struct bytes	 uid;			/* empty: none */
	uint64_t	 observed_ns;
};

/* Borrows identity, a msgpack map; anything else counts as empty. */
void	 norm_lane_init(struct norm_lane *lane, struct bytes identity);
/*
 * Everything but resource and scope.  The entry's record may have bytes
 * behind it: record_end tells where they begin.  0; -EBADMSG: not a map, or
 * not all of one.
 */
int	 norm_fields(struct norm *n, const struct norm_from *from);
/*
 * Resource and scope, after norm_fields().  Depends on conf and lane alone
 * when n->own is 0: then one result serves a whole chunk.
 */
void	 norm_identity(struct norm *n, const struct norm_from *from);

/*
 * 0; -EBADMSG: the record is not a map.  A member whose key is no string is
 * passed over and counted in lost.  identity is a
 * msgpack map (may be empty).  uid (stream and position, text) becomes
 * log.record.uid when not empty.  Duplicate keys: the last one wins.
 */
int	 norm_record(struct norm *n, const struct norm_conf *conf,
	    const struct entry *entry, struct bytes identity,
	    struct bytes uid, uint64_t observed_ns);

/*
 * Puts an attribute of the table where its rank belongs; when all places are
 * taken the last one is lost, and counted.
 */
void	 norm_add(struct norm *n, enum field_id id, struct bytes text);

/*
 * Pieces, for norm.c and tests.  value is one msgpack value.
 */

/* Text made in scratch, empty when it has no room. */
struct bytes norm_scratch(struct norm *n, const void *p, size_t len);
/* A number's decimal digits in scratch. */
struct bytes norm_digits(struct norm *n, uint64_t u, bool minus);

/*
 * Nanoseconds since 1970 of a text or number; ret_zoneless: its zone was
 * assumed to be UTC.  -EINVAL: not a time (or one before 1973 as a number).
 */
int	 norm_time(struct bytes value, uint64_t *ret_ns, bool *ret_zoneless);
/* ns as ISO 8601 with nine digits and Z: always 30 bytes. */
#define NORM_ISO_LEN	30
void	 norm_iso(uint64_t ns, char ret_text[NORM_ISO_LEN]);

struct norm_level {
	uint8_t		 number;	/* 0: a word we do not know */
	struct bytes	 word;		/* without colours; empty: a number */
	uint64_t	 digits;	/* the number when word is empty */
};
/* -EINVAL: neither a short word nor a number. */
int	 norm_level(struct bytes value, struct norm_level *ret_level);

/* Hexadecimal text of exactly 2 * n digits, not all zero; -EINVAL. */
int	 norm_hex_id(struct bytes text, uint8_t *ret_id, size_t n);
/* W3C traceparent; -EINVAL. */
int	 norm_traceparent(struct bytes text, uint8_t ret_trace[16],
	    uint8_t ret_span[8], uint8_t *ret_flags);

#endif
