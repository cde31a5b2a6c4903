// SPDX-License-Identifier: ISC
'use strict';
/*
 * record.js - a record before it is bytes: its template, its parts, an object
 *
 * A template is what is the same in each record of a kind, encoded once.  The
 * parts of a record are all its fields tamed, for the long way (lib/encode.js)
 * and for HTTP and the console, which take objects.
 */

const text = require('./text');
const { Pairs, Tamer, tameFields } = require('./tame');
const { LEVELS, HEAD_BYTES, keyOf, plain, toObject, fixedOf } = require('./encode');
const { RULE_JOB, RULE_TIMED, RULE_LONG } = require('./names');
const trace = require('./trace');

const LIMIT = 256 << 10;	// of a record where no lane says another

/*
 * {first, second, pairs, ...}: first is all up to the message, and with a
 * fixed message all; second what follows a message that is not.
 */
function template(t, values) {
	const fixed = fixedOf(values);
	const level = fixedOf({ level: LEVELS[t.level] });
	const head = Buffer.alloc(HEAD_BYTES);
	head.set([0x92, 0xd7, 0]);
	head[HEAD_BYTES - 3] = 0xde;
	const key = keyOf('message').bytes;
	const message = t.message === null ? null :
	    fixedOf({ message: t.message }).bytes;
	const first = message === null ? [head, level.bytes, key] :
	    [head, level.bytes, message, fixed.bytes];
	return {
		level: t.level,
		event: t.event,
		jobEnd: t.event === 3,
		first: Uint8Array.from(Buffer.concat(first)),
		second: message === null ? fixed.bytes : null,
		pairs: 2 + fixed.pairs,
		message: t.message,
		fixed,
		fieldOf: t.fieldOf,
	};
}

// Of anything: an error's own message, an object as JSON without its secrets.
function messageText(m, tamer) {
	if (typeof m === 'string')
		return m;
	if (m === undefined || m === null)
		return '';
	const v = tamer.value(m, 1);
	if (v instanceof Pairs && m instanceof Error)
		return String(v.values[v.keys.indexOf('message')] ?? '');
	return typeof v === 'object' ?
	    JSON.stringify(plain(v, false, text.CAP, { shortened: 0, redacted: 0, original: 0 })) :
	    String(v);
}

function parts(t, message, who, jobId, data, extra) {
	const tamer = new Tamer();
	const pairs = new Pairs();
	let timed = false;
	let ids = who.traceId !== '' ? who : null;
	const said = t.message === null ? messageText(message, tamer) : t.message;
	if (jobId !== '')
		pairs.add('job_id', jobId);
	if (who.sessionId !== '')
		pairs.add('session_id', who.sessionId);
	for (let i = 0; extra !== null && i < extra.length; i += 2)
		pairs.add(extra[i], tamer.value(extra[i + 1], 1));
	const fields = tameFields(data, tamer);
	for (let i = 0; i < fields.keys.length; i++) {
		const k = t.fieldOf(fields.keys[i]);
		if (k.rule === RULE_JOB && jobId !== '')
			continue;
		if (k.rule === RULE_TIMED)
			timed = true;
		if (k.rule === RULE_LONG) {
			ids = trace.parse(fields.values[i]) ?? ids;
			continue;
		}
		pairs.add(k.name, fields.values[i]);
	}
	if (ids !== null) {
		pairs.add('trace_id', ids.traceId);
		pairs.add('span_id', ids.spanId);
	}
	return { rec: { level: t.level, message: said, fixed: t.fixed, pairs, cut: tamer.cut },
		timed, jobId };
}

// For HTTP and the console; undefined: it is too large.
function objectOf(t, long, identity) {
	const r = toObject(long.rec, Date.now(), LIMIT);
	if (r === undefined)
		return undefined;
	for (const key of Object.keys(identity)) {
		if (r.object[key] === undefined)
			r.object[key] = identity[key];
	}
	return r;
}

module.exports = { template, parts, objectOf };
