/* SPDX-License-Identifier: ISC */
/*
 * write.h - what otlp.c asks of the two formats
 *
 * What:     each writes a trimmed record, or a resource or a scope, at the
 *           end of the batch; how those are put together is otlp.c's.
 */
#ifndef EMPLOG_OTLP_WRITE_H
#define EMPLOG_OTLP_WRITE_H

#include "otlp/pb.h"
#include "otlp/trim.h"

/* LogRecord as a member of ScopeLogs, Resource and Scope with their tags. */
void	 pb_record(struct pb *w, const struct trim *t);
void	 pb_resource(struct pb *w, const struct trim *t);
void	 pb_scope(struct pb *w, const struct trim *t);

/* One object each; the resource and scope with their names in front. */
void	 json_record(struct pb *w, const struct trim *t);
void	 json_resource(struct pb *w, const struct trim *t);
void	 json_scope(struct pb *w, const struct trim *t);

#endif
