/* SPDX-License-Identifier: ISC */
/* fields.c - the table of known fields; the contract is in fields.h */

#include "otlp/fields.h"

struct field_name {
	const char	*name;
	uint8_t		 len;
	uint8_t		 id;
	uint8_t		 alias;
};

#include "src/otlp/fields_index.h"	/* in the build directory */

#include "banned.h"

#define LIT(s) { (const uint8_t *)("" s), sizeof(s) - 1 }

const struct field_info field_info[F_COUNT] = {
#define FIELD(id, name, place, type, schema, otel, aliases, text) \
	[F_##id] = { LIT(name), LIT(otel), aliases, P_##place, S_##schema },
#include "otlp/fields.def"
#undef FIELD
};

_Static_assert(F_COUNT < 255, "ids are kept in a byte");

uint32_t
field_hash(struct bytes s)
{
	uint32_t n = (uint32_t)s.n;

	if (n == 0)
		return 0;
	return n * 7 + s.p[0] * 31u + s.p[n - 1] * 167u +
	    s.p[n / 2] * 613u + s.p[n / 4] * 1031u + s.p[3 * n / 4] * 389u;
}

enum field_id
field_find(struct bytes name, uint32_t hash, uint8_t *ret_alias)
{
	const struct field_name *f;
	uint32_t h;

	for (h = hash % FIELD_SLOTS; field_slots[h] != 0;
	    h = (h + 1) % FIELD_SLOTS) {
		f = &field_names[field_slots[h] - 1];
		if (f->len == name.n && memcmp(f->name, name.p, name.n) == 0) {
			*ret_alias = f->alias;
			return (enum field_id)f->id;
		}
	}
	return F_NONE;
}

enum field_schema
field_schema_of(struct bytes t)
{
	static const struct {
		const char	*begin;
		size_t		 len;
		enum field_schema schema;
	} of[] = {
		{ "comfyui", 7, S_COMFYUI },
		{ "openai", 6, S_OPENAI },
		{ "a1111", 5, S_A1111 },
		{ "simulation", 10, S_SIMULATION },
	};
	size_t i;

	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (t.n >= of[i].len &&
		    memcmp(t.p, of[i].begin, of[i].len) == 0)
			return of[i].schema;
	return S_REST;
}
