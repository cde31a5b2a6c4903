/* SPDX-License-Identifier: ISC */
/*
 * fields.h - the table of known fields, and finding one by any of its names
 *
 * What:     fields.def as an enum and an array; a hash of its names that is
 *           made when emplogd is built, so that a lookup reads constant
 *           memory only.
 */
#ifndef EMPLOG_FIELDS_H
#define EMPLOG_FIELDS_H

#include "base/bytes.h"

enum field_id {
#define FIELD(id, name, place, type, schema, otel, aliases, text) F_##id,
#include "otlp/fields.def"
#undef FIELD
	F_COUNT,
	F_NONE = F_COUNT
};

enum field_place {
	P_RESOURCE, P_SCOPE, P_TIME, P_SEVERITY, P_BODY, P_EVENT, P_TRACE,
	P_ATTR
};
enum field_schema {
	S_BASE, S_COMFYUI, S_OPENAI, S_A1111, S_SIMULATION, S_REST
};

struct field_info {
	struct bytes	 name;
	struct bytes	 otel;		/* empty: none */
	const char	*aliases;
	enum field_place place;
	enum field_schema schema;
};

extern const struct field_info field_info[F_COUNT];

#define FIELD_ALIAS_NAME	0	/* the name itself */
#define FIELD_ALIAS_OTEL	255	/* OpenTelemetry's, and no alias */

/* A number for a name, good enough to tell most apart. */
uint32_t field_hash(struct bytes name);
/*
 * The field that goes by a name, F_NONE if none does; ret_alias says which
 * of its spellings it is (lower is nearer to the name).
 */
enum field_id	 field_find(struct bytes name, uint32_t hash,
		    uint8_t *ret_alias);
/* The schema of a service_type: by its beginning; S_REST is the rest's. */
enum field_schema field_schema_of(struct bytes service_type);

#endif
