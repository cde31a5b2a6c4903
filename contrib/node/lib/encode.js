// SPDX-License-Identifier: ISC
'use strict';
/*
 * encode.js - a tame record as msgpack or JSON, by the rules of shm/encode.c
 *
 * The long way, for what lib/place.js cannot write as it goes: everything is
 * known beforehand, so that strings can be cut until the record fits.
 */

const { CAP, CAP_LEAST, REDACTED, keySecret, textBytes } = require('./text');
const { Bytes, Pairs, TOO_DEEP } = require('./tame');

const KEY_MAX = 255;
const ELEMENTS_MAX = 65000;
const FIELD_WORST = 24;
const RECORD_WORST = 128;
const HEAD_BYTES = 14;		// array, time, map16

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

// ---- keys ----

const keys = new Map();
const KEYS_MAX = 1024;

function keyMake(name) {
	const all = Buffer.from(name);
	const b = all.subarray(0, KEY_MAX);
	const head = b.length < 32 ? Buffer.from([0xa0 | b.length]) : Buffer.from([0xd9, b.length]);
	return { bytes: Uint8Array.from(Buffer.concat([head, b])), length: b.length,
		secret: keySecret(name) };
}

// A key as it is written; the usual ones are kept.
function keyOf(name) {
	let k = keys.get(name);
	if (k === undefined) {
		k = keyMake(name);
		if (keys.size < KEYS_MAX && name.length <= 64)
			keys.set(name, k);
	}
	return k;
}

// ---- the worst case, as encode_worst() ----

function valueWorst(v, cap) {
	if (typeof v === 'string') {
		const n = v.length >= cap ? cap : Buffer.byteLength(v);
		return n < cap ? n : cap;
	}
	if (v instanceof Bytes)
		return Math.min(v.bytes.length, cap);
	if (v instanceof Pairs)
		return pairsWorst(v, cap);
	if (Array.isArray(v)) {
		let sum = 0;
		for (const e of v)
			sum += FIELD_WORST + valueWorst(e, cap);
		return sum;
	}
	return 0;
}

function pairsWorst(p, cap) {
	let sum = 0;
	for (let i = 0; i < p.keys.length; i++)
		sum += FIELD_WORST + keyOf(p.keys[i]).length + valueWorst(p.values[i], cap);
	return sum;
}

/*
 * At which length strings must be cut so that the record is at most limit,
 * and how many bytes it may need.  extra: bytes of what is written verbatim.
 */
function worst(message, pairs, extra, limit) {
	let sum = 0;
	let cap = CAP;
	for (; cap >= CAP_LEAST; cap = Math.floor(cap / 4)) {
		sum = RECORD_WORST + extra + valueWorst(message, cap) + pairsWorst(pairs, cap);
		if (sum <= limit)
			break;
	}
	return { bytes: sum, cap };
}

// ---- writing ----

class Packer {
	constructor(bytes, cap) {
		this.b = Buffer.allocUnsafe(bytes);
		this.n = 0;
		this.cap = cap;
		this.notes = { shortened: 0, redacted: 0, original: 0 };
	}

	raw(bytes) {
		this.b.set(bytes, this.n);
		this.n += bytes.length;
	}

	byte(v) {
		this.b[this.n++] = v;
	}

	be16(v) {
		this.n = this.b.writeUInt16BE(v, this.n);
	}

	strBytes(b) {
		const n = b.length;
		if (n < 32) {
			this.byte(0xa0 | n);
		} else if (n < 256) {
			this.byte(0xd9);
			this.byte(n);
		} else {
			this.byte(0xda);
			this.be16(n);
		}
		this.raw(b);
	}

	text(s) {
		this.strBytes(textBytes(s, this.cap, this.notes));
	}

	bin(bytes) {
		const n = Math.min(bytes.length, this.cap);
		if (n < bytes.length) {
			this.notes.shortened++;
			this.notes.original += bytes.length;
		}
		if (n < 256) {
			this.byte(0xc4);
			this.byte(n);
		} else {
			this.byte(0xc5);
			this.be16(n);
		}
		this.raw(bytes.subarray(0, n));
	}

	bigint(v) {
		if (v >= 0n) {
			if (v <= 0xffffffffn) {
				this.integer(Number(v));
				return;
			}
			this.byte(0xcf);
			this.n = this.b.writeBigUInt64BE(v, this.n);
		} else if (v >= -0x80000000n) {
			this.integer(Number(v));
		} else {
			this.byte(0xd3);
			this.n = this.b.writeBigInt64BE(v, this.n);
		}
	}

	// Within -2^31 .. 2^32 - 1.
	integer(v) {
		if (v >= 0) {
			this.unsigned(v);
		} else if (v >= -32) {
			this.byte(v & 0xff);
		} else if (v >= -128) {
			this.byte(0xd0);
			this.byte(v & 0xff);
		} else if (v >= -32768) {
			this.byte(0xd1);
			this.be16(v & 0xffff);
		} else {
			this.byte(0xd2);
			this.n = this.b.writeInt32BE(v, this.n);
		}
	}

	unsigned(v) {
		if (v < 128) {
			this.byte(v);
		} else if (v < 256) {
			this.byte(0xcc);
			this.byte(v);
		} else if (v < 65536) {
			this.byte(0xcd);
			this.be16(v);
		} else {
			this.byte(0xce);
			this.n = this.b.writeUInt32BE(v, this.n);
		}
	}

	// 17784, not 17784.0: saved queries compare with whole numbers.
	number(v) {
		if (!Number.isInteger(v) || v > 9e15 || v < -9e15) {
			this.byte(0xcb);
			this.n = this.b.writeDoubleBE(v, this.n);
		} else if (v <= 0xffffffff && v >= -0x80000000) {
			this.integer(v);
		} else {
			this.bigint(BigInt(v));
		}
	}

	value(v, secret) {
		switch (typeof v) {
		case 'string':
			if (secret)
				this.redacted();
			else
				this.text(v);
			return;
		case 'number':
			this.number(v);
			return;
		case 'boolean':
			this.byte(v ? 0xc3 : 0xc2);
			return;
		case 'bigint':
			this.bigint(v);
			return;
		}
		if (v === null) {
			this.byte(0xc0);
		} else if (v === TOO_DEEP) {
			this.notes.shortened++;
			this.byte(0xc0);
		} else if (v instanceof Bytes) {
			if (secret)
				this.redacted();
			else
				this.bin(v.bytes);
		} else {
			this.nested(v, secret);
		}
	}

	redacted() {
		this.notes.redacted++;
		this.strBytes(Buffer.from(REDACTED));
	}

	nested(v, secret) {
		const map = v instanceof Pairs;
		const all = map ? v.keys.length : v.length;
		const n = Math.min(all, ELEMENTS_MAX);
		if (n < all)
			this.notes.shortened++;
		this.byte(map ? 0xde : 0xdc);
		this.be16(n);
		for (let i = 0; i < n; i++) {
			if (!map) {
				this.value(v[i], secret);
				continue;
			}
			const k = keyOf(v.keys[i]);
			this.raw(k.bytes);
			this.value(v.values[i], secret || k.secret);
		}
	}

	pairs(p) {
		for (let i = 0; i < p.keys.length; i++) {
			const k = keyOf(p.keys[i]);
			this.raw(k.bytes);
			this.value(p.values[i], k.secret);
		}
	}
}

/*
 * A record: rec is {level, message, fixed, pairs, cut}; fixed.bytes are
 * fixed.pairs pairs written before the fields.  undefined: it is over limit,
 * else {bytes, worst, notes}.  time is left for loan_publish().
 */
function pack(rec, limit) {
	const { fixed, pairs } = rec;
	const w = worst(rec.message, pairs, fixed.bytes.length, limit);
	if (w.bytes > limit)
		return undefined;
	const p = new Packer(w.bytes, w.cap);
	p.raw([0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0, 0]);
	p.raw(keyOf('level').bytes);
	p.strBytes(Buffer.from(LEVELS[rec.level]));
	p.raw(keyOf('message').bytes);
	p.text(rec.message);
	p.raw(fixed.bytes);
	p.pairs(pairs);
	let count = 2 + fixed.pairs + pairs.keys.length;
	p.notes.shortened += rec.cut;
	if (p.notes.shortened > 0) {
		p.raw(keyOf('truncated').bytes);
		p.byte(0xc3);
		p.raw(keyOf('original_size').bytes);
		p.number(p.notes.original);
		count += 2;
	}
	p.b.writeUInt16BE(count, HEAD_BYTES - 2);
	return { bytes: p.b.subarray(0, p.n), worst: w.bytes, notes: p.notes };
}

// ---- the same as an object for JSON.stringify() ----

const JSON_BYTES = 96;

function plain(v, secret, cap, notes) {
	if (typeof v === 'string')
		return secret ? redactedText(notes) : textBytes(v, cap, notes).toString();
	if (typeof v === 'bigint')
		return v <= 9007199254740991n && v >= -9007199254740991n ? Number(v) : v.toString();
	if (typeof v === 'number')
		return Number.isFinite(v) ? v : String(v);
	if (v === null || typeof v === 'boolean')
		return v;
	if (v === TOO_DEEP) {
		notes.shortened++;
		return null;
	}
	if (v instanceof Bytes) {
		if (secret)
			return redactedText(notes);
		const part = Buffer.from(v.bytes.subarray(0, JSON_BYTES)).toString('base64');
		if (v.bytes.length <= JSON_BYTES)
			return part;
		notes.shortened++;
		notes.original += v.bytes.length;
		return `${part}\u2026`;
	}
	if (Array.isArray(v))
		return v.slice(0, ELEMENTS_MAX).map((e) => plain(e, secret, cap, notes));
	return plainPairs(v, secret, cap, notes, {});
}

function redactedText(notes) {
	notes.redacted++;
	return REDACTED;
}

function plainPairs(p, secret, cap, notes, into) {
	for (let i = 0; i < p.keys.length; i++) {
		const key = p.keys[i];
		const v = plain(p.values[i], secret || keyOf(key).secret, cap, notes);
		if (key === '__proto__')
			Object.defineProperty(into, key, { value: v, enumerable: true });
		else
			into[key] = v;
	}
	return into;
}

// rec as above, with fixed.values; {object, notes} or undefined: over limit.
function toObject(rec, when, limit) {
	const w = worst(rec.message, rec.pairs, rec.fixed.bytes.length, limit);
	if (w.bytes > limit)
		return undefined;
	const notes = { shortened: rec.cut, redacted: 0, original: 0 };
	const object = { timestamp: new Date(when).toISOString(), level: LEVELS[rec.level],
		message: textBytes(rec.message, w.cap, notes).toString() };
	Object.assign(object, rec.fixed.values);
	plainPairs(rec.pairs, false, w.cap, notes, object);
	if (notes.shortened > 0) {
		object.truncated = true;
		object.original_size = notes.original;
	}
	return { object, notes };
}

// Short pairs of texts, as encode_pair(): {bytes, pairs, values}.
function fixedOf(values) {
	const parts = [];
	let pairs = 0;
	for (const key of Object.keys(values)) {
		const b = Buffer.from(values[key]).subarray(0, KEY_MAX);
		parts.push(keyOf(key).bytes, b.length < 32 ? Buffer.from([0xa0 | b.length]) :
		    Buffer.from([0xd9, b.length]), b);
		pairs++;
	}
	return { bytes: Uint8Array.from(Buffer.concat(parts)), pairs, values };
}

module.exports = { LEVELS, HEAD_BYTES, RECORD_WORST, FIELD_WORST, KEY_MAX, keyOf, pack, plain,
	toObject, fixedOf };
