// SPDX-License-Identifier: ISC
'use strict';
/*
 * tame.js - any JavaScript value as a plain tree
 *
 * What:     null, boolean, number, string, integers (BigInt within 64 bits),
 *           Bytes, arrays, and Pairs in place of objects; getters, Proxies and
 *           toJSON() have run when it returns, and what they threw is text.
 * Never:    throws, loops, or visits more than NODES values.
 */

const DEPTH = 16;		// shm/encode.h: ENCODE_DEPTH
const NODES = 65000;		// and ELEMENTS_MAX
const INT_MIN = -(1n << 63n);
const UINT_MAX = (1n << 64n) - 1n;

class Pairs {
	constructor() {
		this.keys = [];
		this.values = [];
	}

	add(key, value) {
		this.keys.push(key);
		this.values.push(value);
	}
}

class Bytes {
	constructor(bytes) {
		this.bytes = bytes;
	}
}

// What is nested too deep, or beyond NODES: nil, and counted as shortened.
const TOO_DEEP = Symbol('too deep');

function failed(e) {
	let why = 'an error';
	try {
		why = e instanceof Error ? String(e.message) : String(e);
	} catch {
		// even that threw
	}
	return `[threw: ${why.slice(0, 200)}]`;
}

function bytesOf(v) {
	if (v instanceof ArrayBuffer ||
	    (typeof SharedArrayBuffer !== 'undefined' && v instanceof SharedArrayBuffer))
		return new Bytes(new Uint8Array(v));
	return new Bytes(new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
}

class Tamer {
	constructor() {
		this.left = NODES;
		this.cut = 0;		// containers or values not shown
		this.stack = [];
	}

	get(o, key) {
		try {
			return o[key];
		} catch (e) {
			return failed(e);
		}
	}

	value(v, depth) {
		switch (typeof v) {
		case 'string':
		case 'boolean':
		case 'number':
			return v;
		case 'undefined':
			return null;
		case 'bigint':
			return v >= INT_MIN && v <= UINT_MAX ? v : v.toString();
		case 'symbol':
			return String(v);
		case 'function':
			return this.callable(v);
		default:
			return v === null ? null : this.object(v, depth);
		}
	}

	callable(f) {
		const name = this.get(f, 'name');
		return `[Function ${typeof name === 'string' && name !== '' ? name : 'anonymous'}]`;
	}

	object(o, depth) {
		if (this.stack.includes(o))
			return '[Circular]';
		if (depth >= DEPTH)
			return TOO_DEEP;
		this.stack.push(o);
		try {
			return this.known(o, depth);
		} catch (e) {
			return failed(e);
		} finally {
			this.stack.pop();
		}
	}

	// What is more than its own enumerable properties.
	known(o, depth) {
		if (Array.isArray(o))
			return this.list(o, o.length, depth);
		if (ArrayBuffer.isView(o) || o instanceof ArrayBuffer)
			return bytesOf(o);
		if (o instanceof Date)
			return Number.isNaN(o.getTime()) ? 'Invalid Date' : o.toISOString();
		if (o instanceof Error)
			return this.error(o, depth);
		if (o instanceof Map)
			return this.map(o, depth);
		if (o instanceof Set)
			return this.list([...o], o.size, depth);
		if (o instanceof RegExp || o instanceof Number || o instanceof String ||
		    o instanceof Boolean)
			return o instanceof RegExp ? String(o) : o.valueOf();
		if (o instanceof Promise || o instanceof WeakMap || o instanceof WeakSet)
			return `[${o.constructor.name}]`;
		const toJSON = this.get(o, 'toJSON');
		if (typeof toJSON === 'function')
			return this.value(toJSON.call(o), depth + 1);
		return this.own(o, new Pairs(), depth);
	}

	own(o, pairs, depth) {
		for (const key of Object.keys(o)) {
			if (this.left-- <= 0) {
				this.cut++;
				break;
			}
			const v = this.get(o, key);
			if (v !== undefined)
				pairs.add(key, this.value(v, depth + 1));
		}
		return pairs;
	}

	list(a, n, depth) {
		const out = [];
		for (let i = 0; i < n; i++) {
			if (this.left-- <= 0) {
				this.cut++;
				break;
			}
			out.push(this.value(this.get(a, i), depth + 1));
		}
		return out;
	}

	map(m, depth) {
		const pairs = new Pairs();
		for (const [k, v] of m) {
			if (this.left-- <= 0) {
				this.cut++;
				break;
			}
			pairs.add(typeof k === 'string' ? k : String(this.value(k, DEPTH)),
				this.value(v, depth + 1));
		}
		return pairs;
	}

	error(e, depth) {
		const pairs = new Pairs();
		for (const key of ['name', 'message', 'stack', 'cause']) {
			const v = this.get(e, key);
			if (v !== undefined && v !== '')
				pairs.add(key, this.value(v, depth + 1));
		}
		for (const key of Object.keys(e)) {
			if (!pairs.keys.includes(key) && this.left-- > 0)
				pairs.add(key, this.value(this.get(e, key), depth + 1));
		}
		return pairs;
	}
}

// The own enumerable properties of data, one level down.
function tameFields(data, tamer) {
	const pairs = new Pairs();
	try {
		if (data === undefined || data === null)
			return pairs;
		if (typeof data !== 'object') {
			pairs.add('meta', tamer.value(data, 1));
			return pairs;
		}
		if (Array.isArray(data) || data instanceof Map || ArrayBuffer.isView(data) ||
		    data instanceof Set || data instanceof Date) {
			const v = tamer.object(data, 1);
			if (v instanceof Pairs)
				return v;
			pairs.add('meta', v);
			return pairs;
		}
		if (data instanceof Error)
			return tamer.error(data, 1);
		tamer.stack.push(data);
		tamer.own(data, pairs, 0);
		tamer.stack.pop();
	} catch (e) {
		pairs.add('meta', failed(e));
	}
	return pairs;
}

module.exports = { DEPTH, TOO_DEEP, Bytes, Pairs, Tamer, tameFields, failed };
