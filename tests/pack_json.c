/* SPDX-License-Identifier: ISC */
/* pack_json.c - JSON to msgpack for tests; the contract is in pack_json.h */

#include "tests/pack_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t
unhex_json(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned v;

	for (; n < max && s[0] != '\0' && sscanf(s, "%2x", &v) == 1; s += 2)
		out[n++] = (uint8_t)v;
	return n;
}

static void
pack_object(struct mpw *w, json_t *o)
{
	const char *key;
	uint8_t bin[4096];
	json_t *v;

	if ((v = json_object_get(o, "$bin")) != NULL) {
		mpw_bin(w, bytes_of(bin, unhex_json(json_string_value(v), bin,
		    sizeof(bin))));
		return;
	}
	if ((v = json_object_get(o, "$double")) != NULL) {
		mpw_double(w, strtod(json_string_value(v), NULL));
		return;
	}
	if ((v = json_object_get(o, "$uint")) != NULL) {
		mpw_uint(w, strtoull(json_string_value(v), NULL, 10));
		return;
	}
	mpw_map(w, (uint32_t)(json_object_size(o) -
	    (json_object_get(o, "$time") != NULL)));
	json_object_foreach(o, key, v) {
		if (strcmp(key, "$time") == 0)
			continue;
		mpw_str(w, bytes_str(key));
		pack_json(w, v);
	}
}

void
pack_json(struct mpw *w, json_t *v)
{
	size_t i;

	switch (json_typeof(v)) {
	case JSON_NULL: mpw_nil(w); break;
	case JSON_TRUE: mpw_bool(w, true); break;
	case JSON_FALSE: mpw_bool(w, false); break;
	case JSON_INTEGER: mpw_int(w, json_integer_value(v)); break;
	case JSON_REAL: mpw_double(w, json_real_value(v)); break;
	case JSON_STRING:
		mpw_str(w, bytes_of(json_string_value(v),
		    json_string_length(v)));
		break;
	case JSON_ARRAY:
		mpw_array(w, (uint32_t)json_array_size(v));
		for (i = 0; i < json_array_size(v); i++)
			pack_json(w, json_array_get(v, i));
		break;
	case JSON_OBJECT:
		pack_object(w, v);
		break;
	}
}
