/* SPDX-License-Identifier: ISC */
/*
 * show.h - one record for people or for jq
 *
 * What:     msgpack to JSON (jansson), the lane's identity filled in where
 *           the record is silent, then a line of text or of JSON.
 * Bounds:   depth as the walker's (MP_DEPTH_MAX); the record was accepted by
 *           walk_entry() before.
 */
#ifndef EMPLOG_SHOW_H
#define EMPLOG_SHOW_H

#include <jansson.h>
#include <stdio.h>

#include "base/bytes.h"
#include "otlp/fields.h"

/* A new reference, or NULL: not msgpack, or no memory. */
json_t	*show_json(struct bytes value);
/* The text of a key, or NULL. */
const char *show_text(const json_t *record, const char *key);
/* A field by any of its spellings, the nearest first; borrowed, or NULL. */
const json_t *show_field(const json_t *record, enum field_id field);
/* 0 trace .. 5 fatal, spelt as sources do; -1: no level, or no value. */
int	 show_level(const json_t *value);
/* Adds identity's fields that record does not have, however spelt. */
void	 show_identity(json_t *record, const json_t *identity);

/* HH:MM:SS.mmm level worker event job message key=value ... */
void	 show_line(FILE *out, json_t *record, uint64_t time_ns);
/*
 * The record as one line of JSON, with "time" where it has none; control
 * characters are escaped, C1 and DEL too.
 */
void	 show_json_line(FILE *out, json_t *record, uint64_t time_ns);

#endif
