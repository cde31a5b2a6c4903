// SPDX-License-Identifier: ISC
'use strict';
/*
 * names.js - how the names of a connector's fields are written
 *
 * One spelling of each on the wire: jobId and job_id were both there once.
 * Names we do not know stay as they are.
 */

const { keyOf } = require('./encode');

const SPELLING = {
	jobId: 'job_id', jobID: 'job_id', sessionId: 'session_id', inputSize: 'input_size',
	outputSize: 'output_size', traceId: 'trace_id', spanId: 'span_id',
	machineId: 'machine_id', workerId: 'worker_id', serviceType: 'service_type',
	connectorId: 'connector_id', queueMs: 'queue_ms',
	// These two are the record's own.
	level: 'meta_level', message: 'meta_message',
};
const RULE_JOB = 1;		// left out where the context has a job
const RULE_TIMED = 2;		// the caller measured himself
const RULE_LONG = 3;		// lib/record.js looks at it
const RULES = { job_id: RULE_JOB, duration: RULE_TIMED, queue_ms: RULE_TIMED,
	traceparent: RULE_LONG };

const KEEP_MAX = 1024;

function namesOf(spelling, rules) {
	const known = new Map();

	function make(name) {
		const written = Object.hasOwn(spelling, name) ? spelling[name] : name;
		const { bytes, length, secret } = keyOf(written);
		const k = { name: written, bytes, length, secret,
			rule: Object.hasOwn(rules, written) ? rules[written] : 0 };
		if (known.size < KEEP_MAX && name.length <= 64)
			known.set(name, k);
		return k;
	}

	return function fieldOf(name) {
		const k = known.get(name);
		return k !== undefined ? k : make(name);
	};
}

module.exports = {
	RULE_JOB, RULE_TIMED, RULE_LONG,
	// A connector's fields; and those of other loggers, kept as they are.
	connectorField: namesOf(SPELLING, RULES),
	anyField: namesOf({ level: 'meta_level', message: 'meta_message' }, {}),
	verbatim: namesOf({}, {}),
};
