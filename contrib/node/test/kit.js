// SPDX-License-Identifier: ISC
'use strict';
/*
 * kit.js - what the tests share: rings, lanes read back, children, waiting
 *
 * EMPLOG_PACKAGE: the package to test, else this tree's.  EMPLOG_MODULES:
 * where winston, pino and the others are.  BUILD_DIR: emplogd's build.
 */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { createRequire } = require('node:module');

const PACKAGE = process.env.EMPLOG_PACKAGE ?? path.join(__dirname, '..');
// What runs the children: another runtime of JavaScript than the tests' own.
const NODE = process.env.EMPLOG_NODE ?? process.execPath;
const ofNode = NODE === process.execPath ? false : 'of Node alone';
const BUILD = process.env.BUILD_DIR ?? '';
const SRC = path.join(__dirname, '..', '..', '..');

const HEAD_AT = 4096, AGENT_AT = 8192, JOBS_AT = 16384, DATA_AT = 65536;

const made = [];
process.on('exit', () => {
	for (const dir of made)
		fs.rmSync(dir, { recursive: true, force: true });
});

function scratch(where) {
	const dir = fs.mkdtempSync(path.join(where ?? os.tmpdir(), 'emplog-node.'));
	made.push(dir);
	return dir;
}

// A ring of a test's own, not made yet.
function ring() {
	return path.join(scratch('/dev/shm'), 'ring');
}

// The environment of a child: nothing of the machine's own logging.
function envOf(more) {
	const env = {};
	for (const key of ['PATH', 'HOME', 'LANG', 'EMPLOG_PACKAGE', 'EMPLOG_MODULES', 'BUILD_DIR',
		'ASAN_OPTIONS', 'LD_LIBRARY_PATH']) {
		if (process.env[key] !== undefined)
			env[key] = process.env[key];
	}
	return { ...env, EMPLOG_PACKAGE: PACKAGE, EMPLOG_CONSOLE: 'off', ...more };
}

function need(name) {
	if (!process.env.EMPLOG_MODULES)
		return null;
	return createRequire(path.join(process.env.EMPLOG_MODULES, 'x'))(name);
}

async function waitFor(what, condition, ms = 20000) {
	const end = Date.now() + ms;
	for (;;) {
		const v = await condition();
		if (v)
			return v;
		if (Date.now() > end)
			throw new Error(`not within ${ms} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 2));
	}
}

// ---- msgpack, as much of it as records have ----

class Reader {
	constructor(b) {
		this.b = b;
		this.at = 0;
	}

	take(n) {
		if (this.at + n > this.b.length)
			throw new Error('the record is cut off');
		this.at += n;
		return this.at - n;
	}

	text(n) {
		const p = this.take(n);
		return this.b.toString('utf8', p, p + n);
	}

	list(n) {
		return Array.from({ length: n }, () => this.value());
	}

	map(n) {
		const o = {};
		for (; n > 0; n--) {
			const k = this.value();
			Object.defineProperty(o, k, { value: this.value(), enumerable: true,
				configurable: true, writable: true });
		}
		return o;
	}

	value() {
		const b = this.b;
		const c = b[this.take(1)];
		if (c < 0x80)
			return c;
		if (c >= 0xe0)
			return c - 256;
		if (c < 0x90)
			return this.map(c & 15);
		if (c < 0xa0)
			return this.list(c & 15);
		if (c < 0xc0)
			return this.text(c & 31);
		switch (c) {
		case 0xc0: return null;
		case 0xc2: return false;
		case 0xc3: return true;
		case 0xc4: { const n = b[this.take(1)]; const p = this.take(n);
			return Buffer.from(b.subarray(p, p + n)); }
		case 0xc5: { const n = b.readUInt16BE(this.take(2)); const p = this.take(n);
			return Buffer.from(b.subarray(p, p + n)); }
		case 0xcb: return b.readDoubleBE(this.take(8));
		case 0xcc: return b[this.take(1)];
		case 0xcd: return b.readUInt16BE(this.take(2));
		case 0xce: return b.readUInt32BE(this.take(4));
		case 0xcf: return this.big(b.readBigUInt64BE(this.take(8)));
		case 0xd0: return b.readInt8(this.take(1));
		case 0xd1: return b.readInt16BE(this.take(2));
		case 0xd2: return b.readInt32BE(this.take(4));
		case 0xd3: return this.big(b.readBigInt64BE(this.take(8)));
		case 0xd7: { const p = this.take(9); return b.readUInt32BE(p + 1) * 1000 +
			b.readUInt32BE(p + 5) / 1e6; }
		case 0xd9: return this.text(b[this.take(1)]);
		case 0xda: return this.text(b.readUInt16BE(this.take(2)));
		case 0xdb: return this.text(b.readUInt32BE(this.take(4)));
		case 0xdc: return this.list(b.readUInt16BE(this.take(2)));
		case 0xde: return this.map(b.readUInt16BE(this.take(2)));
		default: throw new Error(`what is ${c.toString(16)}?`);
		}
	}

	big(v) {
		return v <= 9007199254740991n && v >= -9007199254740991n ? Number(v) : v;
	}
}

// Whole records: [{time, ...fields}].
function records(bytes) {
	const r = new Reader(bytes);
	const out = [];
	while (r.at < bytes.length) {
		const [time, fields] = r.value();
		out.push(Object.defineProperty(fields, 'time', { value: time }));
	}
	return out;
}

// ---- lanes ----

function lane(file) {
	const b = fs.readFileSync(file);
	const size = Number(b.readBigUInt64LE(16));
	const head = b.readBigUInt64LE(HEAD_AT);
	const tail = b.readBigUInt64LE(AGENT_AT);
	const n = Number(head - tail);
	const from = Number(tail % BigInt(size));
	const data = b.subarray(DATA_AT);
	const bytes = Buffer.concat([data.subarray(from, Math.min(size, from + n)),
		data.subarray(0, Math.max(0, from + n - size))]);
	const jobs = [];
	for (let i = 0; i < 64; i++) {
		const j = JOBS_AT + i * 128;
		if (b.readUInt32LE(j) === 2)
			jobs.push(b.toString('utf8', j + 32, j + 32 + b.readUInt32LE(j + 4)));
	}
	const word = (at) => Number(b.readBigUInt64LE(HEAD_AT + at));
	return { file, size, created: b.readBigUInt64LE(48), head, tail, bytes, jobs, flags: b.readUInt32LE(56),
		identity: new Reader(b.subarray(512)).value(),
		records: word(8), refused: [0, 1, 2, 3, 4, 5].map((i) => word(64 + 8 * i)),
		told: [0, 1, 2, 3, 4, 5].map((i) => word(136 + 8 * i)), shortened: word(184),
		redacted: word(192), oversize: word(200), closed: b.readUInt32LE(HEAD_AT + 216) };
}

function lanes(dir) {
	if (!fs.existsSync(dir))
		return [];
	return fs.readdirSync(dir).filter((f) => f.endsWith('.lane')).sort()
		.map((f) => lane(path.join(dir, f)));
}

// All that lies in a ring's lanes, the older lane first.
function read(dir) {
	return lanes(dir).sort((a, b) => (a.created < b.created ? -1 : 1))
		.flatMap((l) => records(l.bytes));
}

function word(file, at, value) {
	const fd = fs.openSync(file, 'r+');
	const b = Buffer.alloc(8);
	b.writeBigUInt64LE(BigInt(value));
	fs.writeSync(fd, b, 0, 8, at);
	fs.closeSync(fd);
}

// As an agent does: all of it is safe elsewhere.
function drain(dir) {
	for (const l of lanes(dir))
		word(l.file, AGENT_AT, l.head);
}

function retire(file) {
	const fd = fs.openSync(file, 'r+');
	fs.writeSync(fd, Buffer.from([1, 0, 0, 0]), 0, 4, AGENT_AT + 128);
	fs.closeSync(fd);
}

// ---- children ----

/*
 * Runs a script with `emplog` and `logger` in it to its end:
 * {code, signal, out, err, said, ms}.
 */
function child(script, env, args = [], ms = 60000) {
	const head = 'const emplog = require(process.env.EMPLOG_PACKAGE);' +
	    'const logger = new emplog.ConnectorLogger({ machineId: "m", workerId: "w", ' +
	    'serviceType: "rest", connectorId: "c" });\n';
	return run(NODE, [...args, '-e', head + script], env, ms);
}

function run(command, args, env, ms = 60000, options = {}) {
	return new Promise((resolve, reject) => {
		const start = performance.now();
		const p = spawn(command, args, { env: envOf(env), stdio: ['ignore', 'pipe', 'pipe'],
			...options });
		let out = '';
		let err = '';
		p.stdout.on('data', (d) => { out += d; });
		p.stderr.on('data', (d) => { err += d; });
		const timer = setTimeout(() => p.kill('SIGKILL'), ms);
		p.on('error', reject);
		p.on('close', (code, signal) => {
			clearTimeout(timer);
			// What the package says of itself comes when it may.
			const ours = /emplog: [^\n]*\n/g;
			resolve({ code, signal, out, err: err.replace(ours, ''),
				said: (err.match(ours) ?? []).join(''), ms: performance.now() - start });
		});
	});
}

// A generator whose seed is printed, so that a failure can be had again.
function random(name) {
	let x = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31)) | 1;
	console.log(`# ${name}: SEED=${x}`);
	return (n) => {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		return (x >>> 0) % n;
	};
}

module.exports = { PACKAGE, NODE, ofNode, BUILD, SRC, AGENT_AT, scratch, ring, envOf, need, waitFor,
	records, lane, lanes, read, word, drain, retire, child, run, random };
