// SPDX-License-Identifier: ISC
'use strict';
/*
 * text.js - what a string looks like in a lane: shm/text.c in JavaScript
 *
 * Needed here because a record may also leave by HTTP or on the console, and
 * no secret may by either.  test/encode.test.js holds both against each other.
 */

const CAP = 8192;
const CAP_LEAST = 32;
const RUN = 256;
const RUN_HEAD = 64;
const RUN_TAIL = 16;
const WINDOW = 4 * CAP;
const REDACTED = '[redacted]';
const DOTS = Buffer.from('\u2026');
const REDACTED_BYTES = Buffer.from(REDACTED);
const STARS = Buffer.from('*********');
const NOTHING = Buffer.alloc(0);

const BASE64 = 1;
const TOKEN = 2;
const CLASS = new Uint8Array(256);
for (const c of Buffer.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/=-_'))
	CLASS[c] = BASE64 | TOKEN;
for (const c of Buffer.from('.~'))
	CLASS[c] = TOKEN;

// ---- keys ----

const WITHIN = /secret|password|passwd|authorization/;
const WHOLE = new Set(['cookie', 'set-cookie', 'set_cookie', 'cookies', 'x-api-key',
	'x_api_key', 'api-key', 'api_key', 'apikey', 'xapikey']);
const HARMLESS = ['usage', 'count', 'limit', 'rate', 'type', 'budget', 'length', 'expir'];

// Of ASCII alone: what other letters become in lower case is none of ours.
function lower(s) {
	return s.replace(/[A-Z]/g, (c) => c.toLowerCase());
}

function isLetter(c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Is the "token" that ends at key[at] a credential?
function isTokenKey(key, low, at) {
	if (at === key.length)
		return true;
	const c = key[at];
	if (isLetter(c) && (c >= 'a' || key[at - 1] < 'a'))
		return false;
	const from = isLetter(c) ? at : at + 1;
	return !HARMLESS.some((word) => low.startsWith(word, from));
}

// Are values under this key secrets?
function keySecret(key) {
	if (key.length < 5)
		return false;
	const low = lower(key);
	if (WITHIN.test(low) || WHOLE.has(low))
		return true;
	for (let i = low.indexOf('token'); i >= 0; i = low.indexOf('token', i + 1))
		if (isTokenKey(key, low, i + 5))
			return true;
	return false;
}

// ---- values, as bytes ----

function isBearer(b, at) {
	return at >= 0 && (b[at] | 32) === 98 && (b[at + 1] | 32) === 101 &&
	    (b[at + 2] | 32) === 97 && (b[at + 3] | 32) === 114 &&
	    (b[at + 4] | 32) === 101 && (b[at + 5] | 32) === 114;
}

// Does a bearer token begin at b[i], i.e. is "bearer " before it?
function tokenBegins(b, i) {
	let j = i;
	while (j > 0 && b[j - 1] === 32)
		j--;
	return j < i && j >= 6 && isBearer(b, j - 6);
}

function hasToken(b) {
	const n = b.length;
	for (let i = b.indexOf(32); i >= 0; i = b.indexOf(32, i)) {
		while (i < n && b[i] === 32)
			i++;
		if (i >= n)
			return false;
		if ((CLASS[b[i]] & TOKEN) !== 0 && tokenBegins(b, i))
			return true;
	}
	return false;
}

// A run of 256 covers one of the places 255, 511, ...: as in text.c.
function hasRun(b, start, n) {
	let at = RUN - 1;
	let from = 0;
	while (at < n) {
		let i = at + 1;
		while (i > from && (CLASS[b[start + i - 1]] & BASE64) !== 0)
			i--;
		if (at + 1 - i >= RUN)
			return true;
		from = i;
		at = i + ((CLASS[b[start + at]] & BASE64) !== 0 ? RUN - 1 : RUN);
	}
	return false;
}

function tainted(b) {
	return hasToken(b) || (b.length >= RUN && hasRun(b, 0, b.length));
}

function runLength(b, i, bit) {
	const from = i;
	while (i < b.length && (CLASS[b[i]] & bit) !== 0)
		i++;
	return i - from;
}

function runPut(out, b) {
	if (b.length < RUN) {
		out.parts.push(b);
		return;
	}
	out.parts.push(b.subarray(0, RUN_HEAD), DOTS, b.subarray(b.length - RUN_TAIL));
	out.runs++;
}

// Never longer than what it stands for.
function tokenPut(out, n) {
	out.parts.push(n >= REDACTED_BYTES.length ? REDACTED_BYTES : STARS.subarray(0, n));
	out.tokens++;
}

// Cuts b into tokens, base64 runs and the rest.
function walk(out, b) {
	let i = 0;
	while (i < b.length) {
		const c = CLASS[b[i]];
		let n = 1;
		if ((c & TOKEN) !== 0 && tokenBegins(b, i)) {
			n = runLength(b, i, TOKEN);
			tokenPut(out, n);
		} else if ((c & BASE64) !== 0) {
			n = runLength(b, i, BASE64);
			runPut(out, b.subarray(i, i + n));
		} else {
			while (i + n < b.length && (CLASS[b[i + n]] & TOKEN) === 0)
				n++;
			out.parts.push(b.subarray(i, i + n));
		}
		i += n;
	}
}

// The second end of a very long string begins after the word it would cut.
function tailSkip(b) {
	let i = runLength(b, 0, TOKEN);
	let word;
	do {
		while (i < b.length && b[i] === 32)
			i++;
		word = runLength(b, i, TOKEN);
		i += word;
	} while (word === 6 && isBearer(b, i - 6));
	return i;
}

// The last place <= n where a character begins or b ends.
function utf8Back(b, n) {
	let i = n;
	let back = 0;
	while (i > 0 && back < 4 && (b[i - 1] & 0xc0) === 0x80) {
		i--;
		back++;
	}
	if (i === 0 || b[i - 1] < 0xc0)
		return n;
	const c = b[i - 1];
	return back >= (c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1) ? n : i - 1;
}

function cut(all, cap) {
	const half = (cap - DOTS.length) >> 1;
	const tail = all.subarray(all.length - half);
	let skip = 0;
	while (skip < 3 && skip < half && (tail[skip] & 0xc0) === 0x80)
		skip++;
	return Buffer.concat([all.subarray(0, utf8Back(all, half)), DOTS, tail.subarray(skip)]);
}

// The two ends of s as UTF-8, without encoding what lies between.
function ends(s) {
	let tail = s.slice(-WINDOW - 1);
	const c = tail.charCodeAt(0);
	if (c >= 0xdc00 && c <= 0xdfff)
		tail = tail.slice(1);
	const b = Buffer.from(tail);
	return [Buffer.from(s.slice(0, WINDOW + 1)).subarray(0, WINDOW),
		b.subarray(b.length - WINDOW)];
}

function walked(s, n, whole) {
	const out = { parts: [], tokens: 0, runs: 0 };
	if (n <= 2 * WINDOW) {
		walk(out, whole === undefined ? Buffer.from(s) : whole);
		return out;
	}
	const [head, tail] = ends(s);
	walk(out, head);
	out.parts.push(DOTS);
	out.runs++;
	walk(out, tail.subarray(tailSkip(tail)));
	return out;
}

/*
 * The bytes of s as they shall be stored, at most cap; adds to notes
 * {shortened, redacted, original}.
 */
function textBytes(s, cap, notes) {
	const n = Buffer.byteLength(s);
	let whole;
	if (n === 0)
		return NOTHING;
	if (n <= 2 * WINDOW)
		whole = Buffer.from(s);
	if (n <= cap && !tainted(whole))
		return whole;
	const out = walked(s, n, whole);
	const all = Buffer.concat(out.parts);
	notes.redacted += out.tokens;
	if (all.length > cap || out.runs > 0) {
		notes.shortened++;
		notes.original += n;
	}
	return all.length > cap ? cut(all, cap) : all;
}

module.exports = { CAP, CAP_LEAST, RUN, REDACTED, keySecret, hasRun, textBytes, tainted };
