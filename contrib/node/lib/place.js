// SPDX-License-Identifier: ISC
'use strict';
/*
 * place.js - a record written straight into mapped memory
 *
 * The short way: one pass over the object, nothing allocated.  What cannot be
 * written as it is met (a Date, a long or suspicious string, no room) ends it
 * with -1, and lib/core.js goes the long way round (lib/encode.js); nothing
 * was published then.  Bytes are the same either way: test/encode.test.js.
 *
 * Every put takes the place to write at and returns the next one, or -1.
 * Nothing is ever written at or past limit.
 */

const { keyOf, HEAD_BYTES, RECORD_WORST, FIELD_WORST } = require('./encode');
const { RUN, CAP, hasRun } = require('./text');
const { DEPTH } = require('./tame');

const LOOP = 48;		// longer strings are encoded by the engine
const TAIL = 64;		// kept free: what loan_publish() may append

const REDACTED = Uint8Array.from(Buffer.concat([Buffer.from([0xaa]),
	Buffer.from('[redacted]')]));
const ObjectPrototype = Object.prototype;
// Without the argument checks of write(), where there is one.
const utf8Write = Buffer.prototype.utf8Write ?? function write(s, at, n) {
	return this.write(s, at, n, 'utf8');
};

let u8 = new Uint8Array(0);
let buf = Buffer.alloc(0);
let view = new DataView(new ArrayBuffer(0));
let limit = 0;
let elements = 0;		// as many fields as fields_worst() would count
let hidden = 0;			// bytes of what was redacted, at the most
let redacted = 0;
let idAt = 0;			// of the job's id, and how long it is
let idLength = 0;
let timed = false;		// the caller said how long it took

function setMemory(arrayBuffer) {
	u8 = new Uint8Array(arrayBuffer);
	buf = Buffer.from(arrayBuffer);
	view = new DataView(arrayBuffer);
}

// ---- texts ----

const BEARER = /bearer +[0-9A-Za-z+/=_.~-]/i;

// The expression only where an r and a space say so: nearly nowhere.
function bearer(s) {
	return (s.indexOf('r ') >= 0 || s.indexOf('R ') >= 0) && BEARER.test(s);
}

function putLong(p, s, n) {
	if (n > CAP || p + 3 * n + 3 > limit)
		return -1;
	const m = utf8Write.call(buf, s, p + 3, 3 * n);
	if (m > CAP || bearer(s) || hasRun(u8, p + 3, m))
		return -1;
	u8[p] = 0xda;
	u8[p + 1] = m >> 8;
	u8[p + 2] = m;
	return p + 3 + m;
}

// Shorter than RUN, but its bytes may be more.
function putEncoded(p, s, n) {
	if (bearer(s))
		return -1;
	let head = n < 32 ? 1 : 2;
	const m = utf8Write.call(buf, s, p + head, 3 * n);
	const real = m < 32 ? 1 : m < 256 ? 2 : 3;
	if (real !== head)
		u8.copyWithin(p + real, p + head, p + head + m);
	head = real;
	if (head === 1) {
		u8[p] = 0xa0 | m;
	} else if (head === 2) {
		u8[p] = 0xd9;
		u8[p + 1] = m;
	} else {
		u8[p] = 0xda;
		u8[p + 1] = m >> 8;
		u8[p + 2] = m;
	}
	return p + head + m;
}

function putText(p, s) {
	const n = s.length;
	if (n >= RUN)
		return putLong(p, s, n);
	if (p + 3 * n + 3 > limit)
		return -1;
	if (n > LOOP)
		return putEncoded(p, s, n);
	const q = n < 32 ? p + 1 : p + 2;
	let before = 0;
	let suspect = false;
	for (let i = 0; i < n; i++) {
		const c = s.charCodeAt(i);
		if (c > 127)
			return putEncoded(p, s, n);
		if (c === 32 && (before | 32) === 114)
			suspect = true;
		u8[q + i] = c;
		before = c;
	}
	if (suspect && BEARER.test(s))
		return -1;
	if (n < 32) {
		u8[p] = 0xa0 | n;
	} else {
		u8[p] = 0xd9;
		u8[p + 1] = n;
	}
	return q + n;
}

// ---- numbers ----

function putInt(p, v) {
	if (v >= 0) {
		if (v < 128) {
			u8[p] = v;
			return p + 1;
		}
		if (v < 256) {
			u8[p] = 0xcc;
			u8[p + 1] = v;
			return p + 2;
		}
		if (v < 65536) {
			u8[p] = 0xcd;
			u8[p + 1] = v >> 8;
			u8[p + 2] = v;
			return p + 3;
		}
		u8[p] = 0xce;
		view.setUint32(p + 1, v);
		return p + 5;
	}
	if (v >= -32) {
		u8[p] = v;
		return p + 1;
	}
	if (v >= -128) {
		u8[p] = 0xd0;
		u8[p + 1] = v;
		return p + 2;
	}
	if (v >= -32768) {
		u8[p] = 0xd1;
		u8[p + 1] = v >> 8;
		u8[p + 2] = v;
		return p + 3;
	}
	u8[p] = 0xd2;
	view.setInt32(p + 1, v);
	return p + 5;
}

function putNumber(p, v) {
	if (p + 9 > limit)
		return -1;
	if ((v | 0) === v)
		return putInt(p, v);
	if (!Number.isInteger(v) || v > 9e15 || v < -9e15) {
		u8[p] = 0xcb;
		view.setFloat64(p + 1, v);
		return p + 9;
	}
	if (v >= 0 && v <= 0xffffffff)
		return putInt(p, v);
	const high = Math.floor(v / 4294967296);
	u8[p] = v < 0 ? 0xd3 : 0xcf;
	view.setInt32(p + 1, high);
	view.setUint32(p + 5, v - high * 4294967296);
	return p + 9;
}

// ---- containers ----

function putKey(p, k) {
	const b = k.bytes;
	const n = b.length;
	if (p + n > limit)
		return -1;
	if (n > 32) {
		u8.set(b, p);
		return p + n;
	}
	for (let i = 0; i < n; i++)
		u8[p + i] = b[i];
	return p + n;
}

function putCount(p, tag, n) {
	u8[p] = tag;
	u8[p + 1] = n >> 8;
	u8[p + 2] = n;
}

function putList(p, a, depth) {
	const n = a.length;
	if (n > 4096 || p + 3 > limit)
		return -1;
	putCount(p, 0xdc, n);
	let q = p + 3;
	for (let i = 0; i < n && q >= 0; i++) {
		elements++;
		q = a[i] === undefined ? putValue(q, null, depth + 1) :
		    putValue(q, a[i], depth + 1);
	}
	return q;
}

function putMap(p, o, depth) {
	if (p + 3 > limit)
		return -1;
	let q = p + 3;
	let n = 0;
	for (const name in o) {
		const v = o[name];
		if (v === undefined)
			continue;
		q = putPair(q, keyOf(name), v, depth + 1);
		if (q < 0)
			return -1;
		n++;
	}
	putCount(p, 0xde, n);
	return q;
}

function putObject(p, o, depth) {
	if (depth >= DEPTH)
		return -1;
	if (Array.isArray(o))
		return putList(p, o, depth);
	const proto = Object.getPrototypeOf(o);
	return proto === ObjectPrototype || proto === null ? putMap(p, o, depth) : -1;
}

function putValue(p, v, depth) {
	if (p >= limit)
		return -1;
	switch (typeof v) {
	case 'string':
		return putText(p, v);
	case 'number':
		return putNumber(p, v);
	case 'boolean':
		u8[p] = v ? 0xc3 : 0xc2;
		return p + 1;
	case 'object':
		if (v === null) {
			u8[p] = 0xc0;
			return p + 1;
		}
		return putObject(p, v, depth);
	default:
		return -1;
	}
}

function putSecret(p, v) {
	if (typeof v !== 'string')
		return typeof v === 'object' && v !== null ? -1 : putValue(p, v, 1);
	if (p + REDACTED.length > limit)
		return -1;
	u8.set(REDACTED, p);
	redacted++;
	hidden += 3 * v.length;
	return p + REDACTED.length;
}

function putPair(p, k, v, depth) {
	const q = putKey(p, k);
	if (q < 0)
		return -1;
	elements++;
	return k.secret ? putSecret(q, v) : putValue(q, v, depth);
}

// ---- a record ----

const K_JOB_ID = keyOf('job_id');
const K_SESSION_ID = keyOf('session_id');
const K_TRACE_ID = keyOf('trace_id');
const K_SPAN_ID = keyOf('span_id');

function putId(p, jobId) {
	const q = putPair(p, K_JOB_ID, jobId, 1);
	if (q < 0)
		return -1;
	// Behind its key and its own head, which a text of up to 31 bytes has 1 of.
	const at = p + K_JOB_ID.bytes.length;
	const head = u8[at] < 0xc0 ? 1 : u8[at] === 0xd9 ? 2 : 3;
	idAt = at + head;
	idLength = q - idAt;
	return q;
}

/*
 * template: {first, second, pairs} as lib/record.js makes it; message is only
 * looked at when second is not null.  fields: how a name is written, by a
 * function of lib/names.js.  Returns how many bytes lie at start, or -1.
 */
function place(start, room, recordMax, template, message, who, jobId, data, extra, fieldOf) {
	limit = start + (room < recordMax ? room : recordMax) - TAIL;
	elements = redacted = hidden = idLength = 0;
	timed = false;
	let n = template.pairs;
	let p = start + template.first.length;
	if (p > limit)
		return -1;
	u8.set(template.first, start);
	if (template.second !== null) {
		p = putText(p, message);
		if (p < 0 || p + template.second.length > limit)
			return -1;
		u8.set(template.second, p);
		p += template.second.length;
	}
	if (jobId !== '') {
		p = putId(p, jobId);
		n++;
	}
	if (p >= 0 && who.sessionId !== '') {
		p = putPair(p, K_SESSION_ID, who.sessionId, 1);
		n++;
	}
	if (p >= 0 && who.traceId !== '') {
		p = putPair(p, K_TRACE_ID, who.traceId, 1);
		if (p < 0)
			return -1;
		p = putPair(p, K_SPAN_ID, who.spanId, 1);
		n += 2;
	}
	if (p < 0)
		return -1;
	if (extra !== null) {
		for (let i = 0; i < extra.length; i += 2) {
			p = putPair(p, keyOf(extra[i]), extra[i + 1], 1);
			if (p < 0)
				return -1;
			n++;
		}
	}
	if (data !== undefined && data !== null) {
		const proto = typeof data === 'object' ? Object.getPrototypeOf(data) : 0;
		if (proto !== ObjectPrototype && proto !== null)
			return -1;
		for (const name in data) {
			const v = data[name];
			if (v === undefined)
				continue;
			const k = fieldOf(name);
			if (k.rule !== 0) {
				if (k.rule === 1 && jobId !== '')
					continue;	// the context's wins
				if (k.rule === 2)
					timed = true;
				if (k.rule === 3)
					return -1;
			}
			p = putPair(p, k, v, 1);
			if (p < 0)
				return -1;
			n++;
		}
	}
	u8[start + HEAD_BYTES - 2] = n >> 8;
	u8[start + HEAD_BYTES - 1] = n;
	// Else strings would have to be cut shorter: encode_worst()'s sum.
	return n > 4096 || p - start + RECORD_WORST + FIELD_WORST * elements + hidden > recordMax ?
	    -1 : p - start;
}

// Bytes packed elsewhere.
function placeBytes(start, bytes) {
	u8.set(bytes, start);
}

module.exports = { setMemory, place, placeBytes,
	notes: { get redacted() { return redacted; }, get idAt() { return idAt; },
		get idLength() { return idLength; }, get timed() { return timed; } } };
