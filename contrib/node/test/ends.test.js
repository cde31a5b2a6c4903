// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: however a worker ends, the record it wrote last is in its lane:
 * exit, abort, SIGKILL, an uncaught exception, out of heap, a thread's
 * terminate(); and the lane says whether the end was a clean one.
 * EMPLOG_RUNS: how often each of those.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');

const skip = kit.ofNode;
const RUNS = Number(process.env.EMPLOG_RUNS ?? 100);

// Numbers records and says in a file which one was written last.
const WRITER = `
	const fd = require('fs').openSync(process.env.SAID, 'w');
	let n = 0;
	const put = () => { logger.info('record', { n }); require('fs').writeSync(fd,
		String(n++).padStart(8), 0); };
	for (let i = 0; i < 20; i++) put();
`;

async function one(script, args, check) {
	const dir = kit.ring();
	const said = path.join(dir, '..', 'said');
	const r = await kit.child(WRITER + script, { EMPLOG_RING_DIR: dir, SAID: said }, args);
	const last = Number(fs.readFileSync(said, 'latin1'));
	const got = kit.read(dir).filter((x) => x.message === 'record');
	assert.ok(got.length >= 20 && got.at(-1).n >= last,
		`last ${got.at(-1)?.n}, said ${last}: ${r.err.slice(0, 500)}`);
	assert.deepStrictEqual(got.map((x) => x.n), got.map((_, i) => i));
	check(r, kit.lanes(dir)[0], kit.read(dir));
	fs.rmSync(path.dirname(dir), { recursive: true });
}

async function many(name, runs, script, args, check) {
	let left = runs;
	const next = async () => {
		while (left-- > 0)
			await one(script, args, check);
	};
	await Promise.all([next(), next(), next()]);
	console.log(`# ${name}: ${runs} runs`);
}

test('process.exit(): clean', { skip }, () =>
	many('exit', RUNS, 'process.exit(3);', [], (r, lane) => {
		assert.strictEqual(r.code, 3);
		assert.strictEqual(lane.closed, 1);
	}));

test('process.exit() with a job left: not clean, the job is named', () =>
	many('exit with a job', Math.ceil(RUNS / 10),
		'logger.withJobContext("left").jobStarted({}); process.exit(0);', [], (r, lane) => {
			assert.strictEqual(lane.closed, 0);
			assert.deepStrictEqual(lane.jobs, ['left']);
		}));

test('SIGKILL: not clean', () => many('SIGKILL', RUNS,
	'logger.withJobContext("left").jobStarted({}); put(); process.kill(process.pid, "SIGKILL");',
	[], (r, lane) => {
		assert.strictEqual(r.signal, 'SIGKILL');
		assert.strictEqual(lane.closed, 0);
		assert.deepStrictEqual(lane.jobs, ['left']);
	}));

test('abort(): not clean', () => many('abort', RUNS, 'process.abort();', [], (r, lane) => {
	assert.strictEqual(r.signal, 'SIGABRT');
	assert.strictEqual(lane.closed, 0);
}));

test('an uncaught exception: it is the last record', () => many('uncaught', RUNS,
	'put(); throw new TypeError("the reason");', [], (r, lane, all) => {
		assert.strictEqual(r.code, 1);
		assert.strictEqual(lane.closed, 0);
		const last = all.at(-1);
		assert.strictEqual(last.event_type, 'uncaught_exception');
		assert.strictEqual(last.level, 'fatal');
		assert.strictEqual(last.error, 'the reason');
		assert.match(r.err, /TypeError: the reason/);
	}));

test('an unhandled rejection as well', { skip }, () => many('rejection', Math.ceil(RUNS / 10),
	'Promise.reject(new Error("why"));', [], (r, lane, all) => {
		assert.strictEqual(r.code, 1);
		assert.strictEqual(all.at(-1).error, 'why');
	}));

test('an exception somebody handles is no death', () => many('handled', 3,
	'process.on("uncaughtException", () => {}); setTimeout(() => { throw new Error("x"); });', [],
	(r, lane) => {
		assert.strictEqual(r.code, 0);
		assert.strictEqual(lane.closed, 1);
	}));

test('an exception that ends a thread is no death of the process', async () => {
	const dir = kit.ring();
	const r = await kit.child(`
		const { Worker } = require('worker_threads');
		const w = new Worker('new (require(process.env.EMPLOG_PACKAGE)).ConnectorLogger({})' +
			'.info("t"); throw new Error("in a thread");', { eval: true });
		logger.info('main');
		w.on('error', () => {});`, { EMPLOG_RING_DIR: dir });
	assert.strictEqual(r.code, 0, r.err);
	assert.ok(kit.lanes(dir).every((l) => l.closed === 1));
	assert.ok(kit.read(dir).some((x) => x.error === 'in a thread'));
});

test('the end of the loop: clean, and nothing keeps it from ending', () =>
	many('end of the loop', Math.ceil(RUNS / 10), '', [], (r, lane) => {
		assert.strictEqual(r.code, 0);
		assert.strictEqual(lane.closed, 1);
	}));

test('out of heap', { skip }, () => many('out of heap', RUNS,
	'const all = []; for (;;) { put(); for (let i = 0; i < 1000; i++) all.push({ i }); }',
	['--max-old-space-size=16'], (r, lane) => {
		assert.strictEqual(r.signal, 'SIGABRT');
		assert.strictEqual(lane.closed, 0);
	}));

test('terminate() of a thread that is writing', async () => {
	const dir = kit.ring();
	const r = await kit.child(`
		const { Worker } = require('worker_threads');
		const kit = require(process.env.KIT), fs = require('fs');
		const code = 'const { ConnectorLogger } = require(process.env.EMPLOG_PACKAGE);' +
			'const { workerData } = require("worker_threads");' +
			'const l = new ConnectorLogger({}); const a = new Int32Array(workerData);' +
			'for (let n = 0; ; n++) { l.info("t", { n }); Atomics.store(a, 0, n);' +
			'if (n > 2000) Atomics.wait(a, 1, 0, 1); }';
		(async () => {
			for (let i = 0; i < ${RUNS}; i++) {
				const shared = new SharedArrayBuffer(8), a = new Int32Array(shared);
				const w = new Worker(code, { eval: true, workerData: shared });
				while (Atomics.load(a, 0) < i * 5) await new Promise(setImmediate);
				await w.terminate();
				const last = Atomics.load(a, 0);
				const lane = kit.lanes(process.env.EMPLOG_RING_DIR).find((l) => l.flags & 4);
				if (lane === undefined && last === 0) continue;
				const got = kit.records(lane.bytes);
				if (got.length === 0 || got.at(-1).n < last || lane.closed !== 1)
					throw new Error('run ' + i + ': ' + got.length + ' of ' + last);
				fs.unlinkSync(lane.file);
			}
			logger.info('the main thread goes on');
		})();`, { EMPLOG_RING_DIR: dir, KIT: path.join(__dirname, 'kit.js') });
	assert.strictEqual(r.code, 0, r.err);
	assert.strictEqual(kit.read(dir).at(-1).message, 'the main thread goes on');
	console.log(`# terminate: ${RUNS} runs`);
});
