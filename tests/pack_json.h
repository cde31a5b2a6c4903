/* SPDX-License-Identifier: ISC */
/*
 * pack_json.h - JSON to msgpack, for tests that want to be read
 *
 * A value {"$bin": "hex"} is a binary, {"$double": "nan"} and {"$uint":
 * "18446744073709551615"} are what JSON or jansson has not; a key "$time" is
 * left out: the caller takes it as the entry's time.
 */
#ifndef EMPLOG_TESTS_PACK_JSON_H
#define EMPLOG_TESTS_PACK_JSON_H

#include <jansson.h>

#include "forward/mp.h"

void	 pack_json(struct mpw *w, json_t *value);
/* Bytes written, at most max. */
size_t	 unhex_json(const char *hex, uint8_t *out, size_t max);

#endif
