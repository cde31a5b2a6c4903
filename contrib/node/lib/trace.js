// SPDX-License-Identifier: ISC
'use strict';
/*
 * trace.js - which trace a record belongs to (W3C trace context)
 *
 * @opentelemetry/api keeps its one instance under a symbol of its own, so the
 * active span is found without loading the package: nothing is looked up
 * where nobody loaded it.
 */

const API = Symbol.for('opentelemetry.js.api.1');
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN');
const TRACE_ID = /^(?!0{32}$)[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0{16}$)[0-9a-f]{16}$/;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;

// {traceId, spanId} or null.
function parse(traceparent) {
	if (typeof traceparent !== 'string' || traceparent.length > 512)
		return null;
	const m = TRACEPARENT.exec(traceparent.trim().toLowerCase());
	return m !== null && TRACE_ID.test(m[1]) && SPAN_ID.test(m[2]) ?
	    { traceId: m[1], spanId: m[2] } : null;
}

function activeOf(api) {
	try {
		const span = api.context?.active?.()?.getValue?.(SPAN);
		const ids = span?.spanContext?.();
		return ids !== undefined && TRACE_ID.test(ids.traceId) && SPAN_ID.test(ids.spanId) ?
		    ids : null;
	} catch {
		return null;
	}
}

// The span that is active now, or null.
function active() {
	const api = globalThis[API];
	return api === undefined ? null : activeOf(api);
}

module.exports = { parse, active };
