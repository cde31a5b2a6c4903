// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: what JavaScript writes is, byte for byte, what shm/encode.c writes
 * of the same values: the short way (place.js), the long one (encode.js), at
 * any limit; over a table of values and over random ones.
 */

const assert = require('node:assert');
const path = require('node:path');
const { test } = require('node:test');
const { execFileSync, spawnSync } = require('node:child_process');
const kit = require('./kit');

const lib = (name) => require(path.join(kit.PACKAGE, 'lib', name));
const { pack, keyOf, LEVELS } = lib('encode.js');
const { Tamer, tameFields, Pairs, Bytes, TOO_DEEP } = lib('tame.js');
const { setMemory, place } = lib('place.js');
const { keySecret } = lib('text.js');
const { verbatim } = lib('names.js');

const LIMIT = 256 << 10;
const fixed = { bytes: new Uint8Array(0), pairs: 0, values: {} };

// ---- C's side ----

const dir = kit.scratch();
const program = path.join(dir, 'encode_as_c');
execFileSync(process.env.CC ?? 'cc', ['-std=gnu17', '-O1', '-D_GNU_SOURCE', `-I${kit.SRC}`,
	'-o', program, path.join(__dirname, 'encode_as_c.c'),
	path.join(kit.SRC, 'shm/encode.c'), path.join(kit.SRC, 'shm/text.c')]);

function u32(n) {
	const b = Buffer.alloc(4);
	b.writeUInt32LE(n);
	return b;
}

function u16(n) {
	const b = Buffer.alloc(2);
	b.writeUInt16LE(n);
	return b;
}

function textOf(s) {
	const b = typeof s === 'string' ? Buffer.from(s) : s;
	return [u32(b.length), b];
}

function eight(tag, write) {
	const b = Buffer.alloc(9);
	b.write(tag, 0, 'latin1');
	write(b);
	return [b];
}

// A tame value as a frame of encode_as_c.c.
function tree(v) {
	const tag = (t) => Buffer.from(t);
	if (typeof v === 'string')
		return [tag('S'), ...textOf(v)];
	if (typeof v === 'boolean')
		return [tag(v ? 'T' : 'F')];
	if (typeof v === 'bigint')
		return v < 0n ? eight('I', (b) => b.writeBigInt64LE(v, 1)) :
		    eight('U', (b) => b.writeBigUInt64LE(v, 1));
	if (typeof v === 'number')
		return Number.isInteger(v) && Math.abs(v) <= 9e15 ?
		    eight('I', (b) => b.writeBigInt64LE(BigInt(v), 1)) :
		    eight('D', (b) => b.writeDoubleLE(v, 1));
	if (v instanceof Bytes)
		return [tag('B'), ...textOf(Buffer.from(v.bytes))];
	if (Array.isArray(v))
		return [tag('A'), u16(v.length), ...v.flatMap(tree)];
	if (v instanceof Pairs)
		return [tag('M'), ...pairsTree(v)];
	// C is given what it finds too deep itself.
	return v === TOO_DEEP ? [tag('M'), u16(0)] : [tag('N')];
}

function pairsTree(p) {
	return [u16(p.keys.length), ...p.keys.flatMap((k, i) =>
		[...textOf(k), ...tree(p.values[i])])];
}

function frame(level, message, pairs, limit) {
	const body = Buffer.concat([u32(limit), Buffer.from([level]), ...textOf(message),
		...pairsTree(pairs)]);
	return Buffer.concat([u32(body.length), body]);
}

// C's encodings of [{level, message, pairs, limit}].
function byC(list) {
	const r = spawnSync(program, { input: Buffer.concat(list.map((x) =>
		frame(x.level, x.message, x.pairs, x.limit))), maxBuffer: 1 << 30 });
	assert.strictEqual(r.status, 0, 'encode_as_c ended badly');
	const out = [];
	for (let p = 0; p < r.stdout.length;) {
		const n = r.stdout.readUInt32LE(p);
		out.push(n === 0 ? undefined : r.stdout.subarray(p + 4, p + 4 + n));
		p += 4 + n;
	}
	assert.strictEqual(out.length, list.length);
	return out;
}

// ---- ours ----

const memory = new ArrayBuffer(2 << 20);
setMemory(memory);
const nobody = { sessionId: '', traceId: '', spanId: '' };

function templateOf(level) {
	const first = Buffer.concat([Buffer.from([0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0,
		0]), keyOf('level').bytes, keyOf(LEVELS[level]).bytes, keyOf('message').bytes]);
	return { first: Uint8Array.from(first), second: new Uint8Array(0), pairs: 2 };
}
const templates = [0, 1, 2, 3, 4, 5].map(templateOf);

function byPlace(level, message, data, limit) {
	const start = 4096;
	let n;
	try {
		n = place(start, limit, limit, templates[level], message, nobody, '', data, null,
			verbatim);
	} catch {
		n = -1;
	}
	return n < 0 ? undefined : Buffer.from(memory, start, n);
}

function tamed(data) {
	return tameFields(data, new Tamer());
}

function byPack(level, message, pairs, limit) {
	return pack({ level, message, fixed, pairs, cut: 0 }, limit)?.bytes;
}

let shortWays = 0;

function check(list) {
	const cases = list.map((x) => ({ level: 2, limit: LIMIT, message: 'm', ...x,
		pairs: tamed(x.data) }));
	byC(cases).forEach((want, i) => {
		const c = cases[i];
		const got = byPack(c.level, c.message, c.pairs, c.limit);
		const show = () => `${c.message.slice(0, 100)} ${String(JSON.stringify(c.data,
			(_k, v) => (typeof v === 'bigint' ? `${v}n` : v))).slice(0, 1500)} limit ${c.limit}`;
		assert.ok(want === undefined ? got === undefined : got !== undefined && want.equals(got),
			`pack() differs: ${show()}\nC  ${want?.toString('hex').slice(0, 3000)}\nJS ${
				got?.toString('hex').slice(0, 3000)}`);
		const short = byPlace(c.level, c.message, c.data, c.limit);
		if (short === undefined)
			return;
		shortWays++;
		assert.ok(want !== undefined && want.equals(short), `place() differs: ${show()}\nC  ${
			want?.toString('hex').slice(0, 3000)}\nJS ${short.toString('hex').slice(0, 3000)}`);
	});
}

// ---- the table ----

const b64 = (n) => 'QUJDREVGRw+/'.repeat(Math.ceil(n / 12)).slice(0, n);
const words = (n) => 'lorem ipsum dolor '.repeat(Math.ceil(n / 18)).slice(0, n);

const NUMBERS = [0, -0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1,
	2 ** 32, 2 ** 53 - 1, 9e15, 9e15 + 2, 1e300, -1, -32, -33, -128, -129, -32768, -32769,
	-(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1, -9e15, 0.5, -0.25, 1e-9, NaN, Infinity,
	-Infinity, Number.MIN_VALUE, 17784.5, 4294967296.5];
const BIGS = [0n, 1n, 127n, 128n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n, -1n, -32n,
	-33n, -(2n ** 31n), -(2n ** 31n) - 1n, -(2n ** 63n), 2n ** 64n, -(2n ** 63n) - 1n];
const LENGTHS = [0, 1, 8, 9, 16, 17, 18, 31, 32, 47, 48, 49, 63, 64, 65, 254, 255, 256, 257, 1000,
	8189, 8190, 8191, 8192, 8193, 8194, 20000, 65535, 65536, 65537, 100000];
const STRINGS = [
	'', 'plain', 'ä', 'äöü€', '😀', '\ud800', '\udc00x', 'x\ud83d', '\ud83dx', 'nul\0in',
	'Bearer abcdefghijkl', 'bearer abc', 'Bearer', 'Bearer x', 'bearer .', 'Bearer  x', 'xBearer y', 'BEARER  x.y~z', 'a Bearer', 'Bearer ', 'a bearer x y',
	'Authorization: Bearer eyJhbGciOi.J9.abc-_ and more', 'Bearer Bearer Bearer abc',
	'forbearer token', 'r ', 'r x', 'R y', 'for us or them', 'Bearerx y', 'Bearer\tabc',
	'€'.repeat(40), '€'.repeat(85), '€'.repeat(86), '😀'.repeat(60), 'ä'.repeat(127), 'é'.repeat(128),
	`${'x'.repeat(200)} Bearer ${b64(300)} tail`, `${'€'.repeat(3000)}`, '😀'.repeat(3000),
	`${words(4090)}€${words(8000)}`, `${words(4094)}😀${words(8000)}`,
	`${words(32760)}Bearer ${b64(80000)}`, `${words(70000)} Bearer ${b64(40)} ${words(20)}`,
	`${words(40000)} Bearer abc ${words(32750)}`, `€${b64(32767)}€`.repeat(3),
	`\ud83d${'😀'.repeat(20000)}`, 'x'.repeat(32767) + '😀' + 'y'.repeat(60000),
];
const KEYS = ['token', 'Token', 'access_token', 'apiToken', 'tokenValue', 'tokens', 'max_tokens',
	'tokenizer', 'token_usage', 'tokenCount', 'token-limit', 'tokenExpiry', 'xtokeny', 'tokenA',
	'TOKENA', 'TOKEN_A', 'secret', 'mySecretKey', 'password', 'PassWord1', 'passwd', 'pass',
	'authorization', 'Proxy-Authorization', 'cookie', 'cookies', 'cookiejar', 'set-cookie',
	'set_cookie', 'api_key', 'apiKey', 'x-api-key', 'xapikey', 'api_keys', 'key', 'k', '',
	'keyword', 'ſecret', 'toKen', 'TOKEN', 'prompt_tokens', 'tokenRate', 'refreshtoken2',
	'ключ', 'k'.repeat(300), 'é'.repeat(140)];

test('numbers, big and small', () => {
	check([...NUMBERS, ...BIGS].map((v) => ({ data: { v, list: [v], in: { v } } })));
});

test('strings of every length around a limit, of four kinds', () => {
	check(LENGTHS.flatMap((n) => ['x'.repeat(n), words(n), b64(n), 'ä'.repeat(n)]
		.flatMap((s) => [{ data: { s } }, { message: s, data: {} }])));
});

test('strings with tokens, half characters and other traps', () => {
	check(STRINGS.flatMap((s) => [{ data: { s, t: [s, { s }] } }, { message: s, data: {} }]));
});

test('keys that are secret and keys that only look so', () => {
	check(KEYS.flatMap((k) => [{ data: { [k]: 'v' } }, { data: { [k]: 5 } },
		{ data: { [k]: { a: 'x', b: [true, 'y', { c: Buffer.from('z') }] } } },
		{ data: { o: { [k]: 'v', [`${k}x`]: null } } }]));
	assert.strictEqual(keySecret('token'), true);
	assert.strictEqual(keySecret('tokens'), false);
});

test('every kind of value', () => {
	const deep = (n) => (n === 0 ? 'x' : { a: deep(n - 1), b: [deep(0)] });
	check([{ data: { a: null, b: true, c: false, d: undefined, e: [undefined, null] } },
		{ data: { b: Buffer.from('bytes') } }, { data: { b: Buffer.alloc(255) } },
		{ data: { b: Buffer.alloc(256) } }, { data: { b: Buffer.alloc(9000) } },
		{ data: { token: Buffer.alloc(9) } }, { data: {} }, { data: { l: [] , o: {} } },
		...[14, 15, 16, 17, 18].map((n) => ({ data: { deep: deep(n) } })),
		...[0, 1, 2, 3, 4, 5].map((level) => ({ level, data: { level } }))]);
});

test('records at their limit', () => {
	const many = (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]));
	check([16384, 65536, LIMIT].flatMap((limit) => [
		...[40, 100, 1000, 1500, 4000, 4200, 9000].map((n) => ({ limit, data: many(n) })),
		...[1, 2, 4, 8, 30, 33, 40].map((n) => ({ limit, data: Object.fromEntries(
			Array.from({ length: n }, (_, i) => [`t${i}`, words(9000)])) })),
		{ limit, data: { list: Array.from({ length: 5000 }, (_, i) => `${i}`) } },
		{ limit, data: { list: Array.from({ length: 3000 }, () => words(60)) } }]));
});

test('random records', () => {
	const rnd = kit.random('random records');
	const pick = (a) => a[rnd(a.length)];
	const str = () => {
		const kinds = [() => words(rnd(60)), () => pick(STRINGS.slice(0, 30)), () => b64(rnd(700)),
			() => words(rnd(400)), () => `${words(rnd(200))}${pick(STRINGS.slice(0, 26))}`,
			() => Array.from({ length: rnd(30) }, () => String.fromCodePoint(rnd(0x3000))).join(''),
			() => Array.from({ length: rnd(60) }, () => pick(['r', ' ', 'R', 'B', 'Bearer', 'x',
				'.', '€'])).join(''), () => pick(['', words(9000), b64(9000)])];
		return pick(kinds)();
	};
	const value = (d) => {
		switch (rnd(d > 3 ? 6 : 9)) {
		case 0: case 1: return str();
		case 2: return pick(NUMBERS);
		case 3: return rnd(2 ** 30) / (rnd(1000) + 1);
		case 4: return pick([true, false, null, undefined]);
		case 5: return rnd(100);
		case 6: return Array.from({ length: rnd(6) }, () => value(d + 1));
		case 7: return obj(d + 1, rnd(6));
		default: return pick([pick(BIGS), Buffer.from(str()), str()]);
		}
	};
	const obj = (d, n) => {
		const o = {};
		for (let i = 0; i < n; i++)
			o[rnd(3) === 0 ? pick(KEYS) : `field_${rnd(40)}`] = value(d);
		return o;
	};
	const before = shortWays;
	for (let round = 0; round < 20; round++) {
		check(Array.from({ length: 100 }, () => ({ level: rnd(6), message: str(),
			data: obj(0, rnd(14)), limit: pick([16384, 65536, LIMIT, 2048, 600]) })));
		check(Array.from({ length: 50 }, () => ({ message: words(rnd(200)), data: {
			a: words(rnd(300)), b: rnd(1000) / 8, token: 't', c: [rnd(2) === 0, null,
				{ d: pick(NUMBERS), e: pick(STRINGS.slice(0, 10)) }] } })));
	}
	// Most of it is written as it is met, or the test tests little.
	assert.ok(shortWays - before > 1000, `only ${shortWays - before} went the short way`);
});
