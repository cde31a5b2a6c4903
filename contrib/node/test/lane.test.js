// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: what a connector does today arrives in its lane with the names of
 * today, and nothing a caller can pass throws, loops, blocks or is lost
 * without a count.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');

async function ran(script, more = {}, args = []) {
	const dir = kit.ring();
	const r = await kit.child(script, { EMPLOG_RING_DIR: dir, ...more }, args);
	assert.strictEqual(r.code, 0, `${r.err}\n${r.out}`);
	return { ...r, dir, lanes: kit.lanes(dir), records: kit.read(dir) };
}

const without = (o, ...keys) => Object.fromEntries(Object.entries(o).filter(([k]) =>
	!keys.includes(k)));
const MARKS = ['component', 'source', 'logger_name'];

test('the life of a job, field by field', async () => {
	const { records, lanes } = await ran(`
		const job = logger.withJobContext('job-1', 'session-1');
		job.jobReceived({ jobId: 'job-1', model: 'sdxl', inputSize: 18342 });
		job.jobStarted({ jobId: 'job-1', model: 'sdxl' });
		job.jobProgress({ jobId: 'job-1', progress: 45, execution_step: 'KSampler',
			queue_remaining: 1 });
		job.jobCompleted({ jobId: 'job-1', outputSize: 912, custom: { a: [1] } });
		logger.jobReceived({ jobId: 'job-2' });
		logger.jobFailed({ jobId: 'job-2', error: 'Request timeout after 60000ms',
			duration: 60021 });`);
	const [received, started, progress, completed, , failed] = records;
	assert.deepStrictEqual(without(received, ...MARKS), { level: 'info',
		message: 'Job received', event_type: 'job_received', job_status: 'received',
		job_id: 'job-1', session_id: 'session-1', model: 'sdxl', input_size: 18342 });
	assert.strictEqual(received.component, 'connector');
	assert.strictEqual(received.source, 'winston-logger');
	assert.deepStrictEqual(without(started, 'queue_ms', ...MARKS), { level: 'info',
		message: 'Job processing started', event_type: 'job_started',
		job_status: 'processing', job_id: 'job-1', session_id: 'session-1', model: 'sdxl' });
	assert.ok(started.queue_ms >= 0);
	assert.deepStrictEqual(without(progress, ...MARKS), { level: 'info',
		message: 'Job progress update', event_type: 'job_progress', job_status: 'processing',
		job_id: 'job-1', session_id: 'session-1', progress: 45, execution_step: 'KSampler',
		queue_remaining: 1 });
	assert.deepStrictEqual(without(completed, 'duration', ...MARKS), { level: 'info',
		message: 'Job completed successfully', event_type: 'job_completed',
		job_status: 'completed', job_id: 'job-1', session_id: 'session-1', output_size: 912,
		custom: { a: [1] } });
	assert.ok(completed.duration >= 0 && completed.duration < 60000);
	assert.deepStrictEqual(without(failed, ...MARKS), { level: 'error', message: 'Job failed',
		event_type: 'job_failed', job_status: 'failed', job_id: 'job-2',
		error_type: 'timeout', error: 'Request timeout after 60000ms', duration: 60021 });
	assert.deepStrictEqual(lanes[0].identity, { machine_id: 'm', worker_id: 'w',
		service_type: 'rest', connector_id: 'c' });
	assert.strictEqual(lanes[0].closed, 1);
	for (const r of records)
		assert.ok(Math.abs(r.time - Date.now()) < 60000);
});

test('messages, errors, health and services', async () => {
	const { records } = await ran(`
		logger.debug('d');
		logger.info('i', { event_type: 'websocket_message', prompt_id: 'p' });
		logger.warn('w', { jobId: 'j' });
		logger.error('e', new TypeError('Invalid', { cause: new Error('inner') }), { x: 1 });
		logger.error('s', 'just text');
		logger.error('n');
		logger.healthCheck('healthy', { api_available: true });
		logger.healthCheck('unhealthy', { error: 'ECONNREFUSED' });
		logger.serviceEvent('retry', 'Retrying', { retry_count: 1 });
		logger.withJobContext('j2').info('k', { jobId: 'other', level: 'x', message: 'y' });`);
	const [d, i, w, e, s, n, h, u, v, k] = records;
	assert.deepStrictEqual(without(d, ...MARKS), { level: 'debug', message: 'd' });
	assert.deepStrictEqual(without(i, ...MARKS), { level: 'info', message: 'i',
		event_type: 'websocket_message', prompt_id: 'p' });
	assert.strictEqual(w.job_id, 'j');
	assert.strictEqual(w.jobId, undefined);
	assert.strictEqual(e.error, 'Invalid');
	assert.strictEqual(e.error_name, 'TypeError');
	assert.match(e.stack, /^TypeError: Invalid\n {4}at /);
	assert.strictEqual(e.error_cause.message, 'inner');
	assert.strictEqual(e.x, 1);
	assert.strictEqual(s.error, 'just text');
	assert.strictEqual(n.level, 'error');
	assert.deepStrictEqual(without(h, ...MARKS), { level: 'info',
		message: 'Health check: healthy', event_type: 'health_check',
		health_status: 'healthy', health_details: { api_available: true } });
	assert.strictEqual(u.level, 'warn');
	assert.strictEqual(u.health_status, 'unhealthy');
	assert.deepStrictEqual(without(v, ...MARKS), { level: 'info', message: 'Retrying',
		event_type: 'service_retry', retry_count: 1 });
	assert.deepStrictEqual(without(k, ...MARKS), { level: 'info', message: 'k', job_id: 'j2',
		meta_level: 'x', meta_message: 'y' });
});

test('error_type is told from the error, the first that matches', async () => {
	const { ConnectorLogger } = require(kit.PACKAGE);
	assert.ok(ConnectorLogger);
	const { errorType } = require(path.join(kit.PACKAGE, 'lib/logger.js'));
	for (const [error, type] of [['a timeout of memory', 'timeout'], ['CUDA out of memory',
		'memory'], ['OOM', 'memory'], ['oom', 'unknown'], ['connection reset', 'network'],
	['network', 'network'], ['model missing', 'model'], ['load', 'model'],
	['validation', 'validation'], ['invalid', 'validation'], ['Invalid', 'unknown'],
	['', 'unknown']])
		assert.strictEqual(errorType(error), type, error);
});

test('another identity is said in the records, the lane\'s is not', async () => {
	const { records, lanes } = await ran(`
		logger.info('same');
		new emplog.ConnectorLogger({ machineId: 'm', workerId: 'w', serviceType: 'rest',
			connectorId: 'other' }).info('differs');
		new emplog.ConnectorLogger({}).info('from the environment');`,
	{ CONNECTOR_ID: 'env', MACHINE_ID: 'm' });
	assert.strictEqual(lanes.length, 1);
	assert.strictEqual(records[0].connector_id, undefined);
	assert.strictEqual(records[0].machine_id, undefined);
	assert.strictEqual(records[1].connector_id, 'other');
	assert.strictEqual(records[1].machine_id, undefined);
	assert.strictEqual(records[2].connector_id, 'env');
});

// ---- what a caller may pass ----

const HOSTILE = `
	const circle = { name: 'c' }; circle.self = circle; circle.list = [circle];
	const twice = { a: 1 };
	class Custom { constructor() { this.own = 1; } get inherited() { return 2; } }
	const wide = {}; for (let i = 0; i < 70000; i++) wide['k' + i] = i;
	const deep = {}; let at = deep; for (let i = 0; i < 5000; i++) at = at.next = {};
	module.exports = undefined;
	const hostile = {
		circular: { circle }, shared: { x: twice, y: twice }, bigint: { v: 12345678901234567890n },
		huge_bigint: { v: 10n ** 100n }, buffer: { v: Buffer.from('abc') },
		typed: { v: new Float64Array([1, 2]) }, arraybuffer: { v: new ArrayBuffer(8) },
		map: { v: new Map([['a', 1], [{}, 2], [Symbol('k'), 3]]) }, set: { v: new Set([1, 'b']) },
		date: { v: new Date(0) }, invalid_date: { v: new Date(NaN) },
		error: { v: new Error('e', { cause: new Error('c') }) },
		getter: { get v() { throw new Error('from a getter'); }, w: 1 },
		getter_throws_null: { get v() { throw null; } },
		proxy: new Proxy({ a: 1 }, {}),
		bad_proxy: { v: new Proxy({}, { ownKeys() { throw new Error('no keys'); },
			getPrototypeOf() { throw new Error('no prototype'); } }) },
		revoked: (() => { const p = Proxy.revocable({}, {}); p.revoke(); return { v: p.proxy }; })(),
		to_json: { v: { toJSON() { return { made: 'by toJSON' }; } } },
		bad_to_json: { v: { toJSON() { throw new Error('toJSON'); } } },
		endless_to_json: { v: { toJSON() { return { again: this, toJSON: this.toJSON }; } } },
		symbol: { v: Symbol('s'), [Symbol('key')]: 1 }, fn: { v: function named() {} },
		undef: { v: undefined, w: [undefined] }, nan: { v: NaN, w: -Infinity },
		long: { v: 'x y '.repeat(2500000) }, base64: { v: 'QUJD'.repeat(2500000) },
		lone: { v: '\\ud800 and \\udfff' }, custom: { v: new Custom() },
		no_proto: Object.assign(Object.create(null), { v: 1 }), wide, deep: { deep },
		proto_key: JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}'),
		sparse: { v: [1, , 3] }, boxed: { v: new String('s'), w: new Number(4) },
		promise: { v: Promise.resolve(1) }, weak: { v: new WeakMap() }, regexp: { v: /a/g },
		url: { v: new URL('http://x/y') }, args: (function () { return { v: arguments }; })(1, 2),
		string: 'a string', number: 5, array: [1, 2], nothing: null, a_function: () => 1,
		a_map: new Map([['k', 'v']]), an_error: new Error('as meta'), a_symbol: Symbol('s'),
		a_bigint: 5n, a_buffer: Buffer.from('x'), key_long: { ['k'.repeat(5000)]: 1 },
		key_newline: { 'a\\nb': 1, '': 2 }, secrets: { token: 'abc', headers: {
			Authorization: 'Bearer abcdefghijklmn', cookie: 'c' }, max_tokens: 5 },
	};`;

test('hostile values: each call returns, and the record after it is whole', async () => {
	const { records, err } = await ran(`${HOSTILE}
		for (const [name, value] of Object.entries(hostile)) {
			logger.info(name, value);
			logger.info('after ' + name);
		}
		process.stderr.write(JSON.stringify(emplog.stats()));`,
	{}, ['--stack-size=900']);
	const stats = JSON.parse(err.slice(err.indexOf('{')));
	const by = new Map(records.map((r) => [r.message, r]));
	const after = [...by.keys()].filter((k) => k.startsWith('after '));
	assert.ok(after.length > 50);
	assert.deepStrictEqual(after.filter((k) => !by.has(k.slice(6))), ['after wide']);
	const get = (name) => without(by.get(name), 'level', 'message', ...MARKS);
	assert.deepStrictEqual(get('circular'), { circle: { name: 'c', self: '[Circular]',
		list: ['[Circular]'] } });
	assert.deepStrictEqual(get('shared'), { x: { a: 1 }, y: { a: 1 } });
	assert.deepStrictEqual(get('bigint'), { v: 12345678901234567890n });
	assert.deepStrictEqual(get('huge_bigint'), { v: `1${'0'.repeat(100)}` });
	assert.deepStrictEqual(get('buffer'), { v: Buffer.from('abc') });
	assert.strictEqual(get('typed').v.length, 16);
	assert.deepStrictEqual(get('map'), { v: { a: 1, 'Symbol(too deep)': 2, 'Symbol(k)': 3 } });
	assert.deepStrictEqual(get('set'), { v: [1, 'b'] });
	assert.deepStrictEqual(get('date'), { v: '1970-01-01T00:00:00.000Z' });
	assert.deepStrictEqual(get('invalid_date'), { v: 'Invalid Date' });
	assert.strictEqual(get('error').v.message, 'e');
	assert.strictEqual(get('error').v.cause.message, 'c');
	assert.deepStrictEqual(get('getter'), { v: '[threw: from a getter]', w: 1 });
	assert.deepStrictEqual(get('getter_throws_null'), { v: '[threw: null]' });
	assert.deepStrictEqual(get('proxy'), { a: 1 });
	assert.match(get('bad_proxy').v, /^\[threw: no /);
	assert.match(get('revoked').v, /^\[threw: /);
	assert.deepStrictEqual(get('to_json'), { v: { made: 'by toJSON' } });
	assert.deepStrictEqual(get('bad_to_json'), { v: '[threw: toJSON]' });
	assert.deepStrictEqual(get('symbol'), { v: 'Symbol(s)' });
	assert.deepStrictEqual(get('fn'), { v: '[Function named]' });
	assert.deepStrictEqual(get('undef'), { w: [null] });
	assert.deepStrictEqual(get('nan'), { v: NaN, w: -Infinity });
	for (const name of ['long', 'base64']) {
		assert.strictEqual(get(name).truncated, true);
		assert.strictEqual(get(name).original_size, 10000000);
		assert.ok(get(name).v.length <= 8192);
	}
	assert.strictEqual(get('lone').v, '\ufffd and \ufffd');
	assert.deepStrictEqual(get('custom'), { v: { own: 1 } });
	assert.deepStrictEqual(get('no_proto'), { v: 1 });
	assert.deepStrictEqual(get('sparse'), { v: [1, null, 3] });
	assert.deepStrictEqual(get('boxed'), { v: 's', w: 4 });
	assert.deepStrictEqual(get('url'), { v: 'http://x/y' });
	assert.deepStrictEqual(get('string'), { meta: 'a string' });
	assert.deepStrictEqual(get('array'), { meta: [1, 2] });
	assert.deepStrictEqual(get('a_map'), { k: 'v' });
	assert.strictEqual(get('an_error').meta_message, 'as meta');
	assert.deepStrictEqual(get('key_newline'), { 'a\nb': 1, '': 2 });
	assert.strictEqual(Object.keys(get('key_long'))[0].length, 255);
	assert.deepStrictEqual(get('secrets'), { token: '[redacted]', headers: {
		Authorization: '[redacted]', cookie: '[redacted]' }, max_tokens: 5 });
	// 70,000 fields are more than a record holds: counted
	assert.ok(by.has('after wide') && !by.has('wide'));
	assert.strictEqual(stats.oversize, 1);
	assert.ok(by.has('deep'));
});

test('messages that are no strings', async () => {
	const { records } = await ran(`
		for (const m of [undefined, null, 5, 5n, true, Symbol('s'), { a: 1, token: 'x' }, [1],
			new Error('text'), () => 1, 'x y '.repeat(5000)])
			logger.info(m, { n: 1 });`);
	assert.deepStrictEqual(records.slice(0, 9).map((r) => r.message), ['', '', '5', '5', 'true',
		'Symbol(s)', '{"a":1,"token":"[redacted]"}', '[1]', 'text']);
	assert.ok(records[10].message.length <= 8192);
	assert.strictEqual(records[10].truncated, true);
});

test('hostile arguments in every other place', async () => {
	const { records } = await ran(`${HOSTILE}
		const all = Object.values(hostile).concat([undefined, '', 'x'.repeat(1 << 20)]);
		for (const v of all) {
			new emplog.ConnectorLogger(v).info('a');
			new emplog.ConnectorLogger({ machineId: v }, v).info('b');
			logger.withJobContext(v, v, v).jobStarted(v);
			for (const m of ['jobReceived', 'jobStarted', 'jobProgress', 'jobCompleted',
				'jobFailed', 'healthCheck', 'serviceEvent', 'debug'])
				logger[m](v, v, v);
			logger.error(v, v, v);
			logger.jobFailed({ jobId: v, error: v });
		}
		logger.warn('the last');`, {}, ['--stack-size=900']);
	assert.ok(records.length > 500);
	assert.ok(records.some((r) => r.message === 'the last'));
});

test('a call inside a call: the outer record first, both whole', async () => {
	const { records } = await ran(`
		const loud = { get a() { logger.info('inner', { b: 1 }); return 'a'; }, c: 2 };
		logger.info('outer', loud);
		const endless = { get a() { logger.info('again', endless); return 1; } };
		logger.info('endless', endless);
		logger.info('end');
		process.stderr.write(String(emplog.stats().lost));`);
	const messages = records.map((r) => r.message);
	assert.deepStrictEqual(messages.slice(0, 2), ['outer', 'inner']);
	assert.strictEqual(records[0].a, 'a');
	assert.strictEqual(records[0].c, 2);
	assert.ok(messages.includes('endless'));
	assert.strictEqual(messages.at(-1), 'end');
});

// ---- room ----

test('1,000,000 calls in a tick without an agent: refused by severity and told', async () => {
	const { dir, err, ms } = await ran(`
		const t = process.hrtime.bigint();
		for (let i = 0; i < 1e6; i++)
			logger.info('flood', { i });
		const took = Number(process.hrtime.bigint() - t) / 1e6;
		logger.warn('a warning finds room');
		logger.withJobContext('j').jobCompleted({ jobId: 'j' });
		process.stderr.write(JSON.stringify({ took, rss: process.memoryUsage.rss() }));
		process.stdout.write(require('child_process').execFileSync(process.execPath,
			['-e', process.env.DRAIN]) );
		logger.info('room again');`,
	{ DRAIN: `require(${JSON.stringify(path.join(__dirname, 'kit.js'))})
		.drain(process.env.EMPLOG_RING_DIR)` });
	const { took, rss } = JSON.parse(err.slice(err.indexOf('{"took')));
	const [l] = kit.lanes(dir);
	const [first, gap] = kit.read(dir);
	assert.strictEqual(first.message, 'room again');
	assert.strictEqual(gap.event_type, 'emplog_gap');
	assert.strictEqual(gap.refused, l.refused[2]);
	assert.strictEqual(gap.refused_info, l.refused[2]);
	assert.strictEqual(l.refused[2] + l.records, 1000000 + 4);
	assert.deepStrictEqual(l.told, l.refused);
	assert.ok(rss < 300 << 20, `rss ${rss}`);
	assert.ok(took < 10000, `${took} ms`);
	console.log(`# 1,000,000 calls: ${took.toFixed(0)} ms, ${l.records} taken; all ${ms.toFixed(0)} ms`);
});

test('a small lane: the last eighth is for warnings, the last for job ends', async () => {
	const { records, lanes } = await ran(`
		for (let i = 0; i < 2000; i++) logger.info('info', { pad: 'x'.repeat(100) });
		for (let i = 0; i < 2000; i++) logger.warn('warn', { pad: 'x'.repeat(100) });
		for (let i = 0; i < 5; i++) logger.withJobContext('j' + i).jobCompleted({});
		logger.withJobContext('f').jobFailed({ error: 'OOM' });`,
	{ LANE: '1' }, ['-r', path.join(__dirname, 'small-lane.js')]);
	assert.strictEqual(lanes[0].size, 65536);
	const n = (m) => records.filter((r) => r.message === m).length;
	assert.ok(n('info') > 100 && n('warn') > 10);
	assert.strictEqual(n('Job completed successfully'), 5);
	assert.strictEqual(n('Job failed'), 1);
	assert.strictEqual(lanes[0].refused[2], 2000 - n('info'));
	assert.strictEqual(lanes[0].refused[3], 2000 - n('warn'));
});

test('records of every size around the wrap of a small lane are whole', async () => {
	const { dir, err } = await ran(`
		const kit = require(process.env.KIT);
		let n = 0, got = 0, next = 0;
		const check = () => { for (const r of kit.read(process.env.EMPLOG_RING_DIR)) {
			if (r.n !== next++ || r.s !== 's'.repeat(r.n % 253)) throw new Error('broken ' + r.n);
			got++; } kit.drain(process.env.EMPLOG_RING_DIR); };
		for (let round = 0; round < 30; round++) {
			for (let i = 0; i < 100; i++) { logger.info('m', { n, s: 's'.repeat(n % 253) }); n++; }
			check();
		}
		process.stderr.write(got + ' of ' + n);`,
	{ KIT: path.join(__dirname, 'kit.js') }, ['-r', path.join(__dirname, 'small-lane.js')]);
	assert.match(err, /3000 of 3000$/);
	assert.strictEqual(kit.lanes(dir)[0].refused[2], 0);
});

test('a record too large for its lane is cut until it fits, or counted', async () => {
	const { records, lanes } = await ran(`
		logger.info('cut', Object.fromEntries(Array.from({ length: 40 }, (_, i) =>
			['t' + i, 'word '.repeat(1000)])));
		logger.info('too many', Object.fromEntries(Array.from({ length: 5000 }, (_, i) =>
			['t' + i, 'word'])));
		logger.info('after');`, {}, ['-r', path.join(__dirname, 'small-lane.js')]);
	assert.deepStrictEqual(records.map((r) => r.message), ['cut', 'after']);
	assert.strictEqual(records[0].truncated, true);
	assert.strictEqual(lanes[0].oversize, 1);
});

// ---- lanes that are taken away ----

test('a retired lane and an unlinked one are replaced; nothing is lost', async () => {
	const dir = kit.ring();
	const r = await kit.child(`
		const kit = require(process.env.KIT);
		const dir = process.env.EMPLOG_RING_DIR, fs = require('fs');
		const until = (m, f) => { while (!f()) { logger.info(m, { n: n++ }); Atomics.wait(
			new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); } };
		let n = 0;
		logger.info('first', { n: n++ });
		const job = logger.withJobContext('running');
		job.jobReceived({});
		const [a] = kit.lanes(dir);
		kit.retire(a.file);
		until('retired', () => kit.lanes(dir).length === 2);
		const b = kit.lanes(dir).find((l) => l.file !== a.file);
		const kept = fs.openSync(b.file, 'r');
		fs.unlinkSync(b.file);
		until('unlinked', () => kit.lanes(dir).length === 2);
		logger.info('last', { n: n++ });
		fs.writeFileSync(dir + '/../b', fs.readFileSync(kept));
		process.stderr.write(JSON.stringify({ n, state: logger.state }));
		process.exit();`, { EMPLOG_RING_DIR: dir, KIT: path.join(__dirname, 'kit.js') });
	assert.strictEqual(r.code, 0, r.err);
	const { n, state } = JSON.parse(r.err.slice(r.err.indexOf('{')));
	const gone = kit.lane(path.join(dir, '..', 'b'));
	const all = [...kit.read(dir), ...kit.records(gone.bytes)].filter((x) => x.n !== undefined);
	assert.deepStrictEqual(all.map((x) => x.n).sort((x, y) => x - y),
		Array.from({ length: n }, (_, i) => i));
	const lanes = kit.lanes(dir);
	const last = lanes.find((l) => state.includes(path.basename(l.file)));
	assert.ok(last, state);
	assert.deepStrictEqual(last.jobs, ['running']);
	assert.strictEqual(last.closed, 0, 'a job is left: no clean end');
	assert.strictEqual(lanes.find((l) => l !== last).closed, 1);
	assert.strictEqual(gone.closed, 1);
});

test('worker threads: a lane each, the jobs of all in the first', async () => {
	const dir = kit.ring();
	const r = await kit.child(`
		const { Worker } = require('worker_threads');
		const kit = require(process.env.KIT);
		logger.info('main');
		const code = 'const { ConnectorLogger } = require(process.env.EMPLOG_PACKAGE);' +
			'const l = new ConnectorLogger({ connectorId: "t" + require("worker_threads").threadId });' +
			'l.withJobContext("job of " + require("worker_threads").threadId).jobStarted({});' +
			'for (let i = 0; i < 1000; i++) l.info("thread", { i });' +
			'require("worker_threads").parentPort.postMessage("done");' +
			'setInterval(() => {}, 1000);';
		const workers = Array.from({ length: 5 }, () => new Worker(code, { eval: true }));
		Promise.all(workers.map((w) => new Promise((res, rej) => { w.on('message', res);
			w.on('error', rej); }))).then(async () => {
			const jobs = kit.lanes(process.env.EMPLOG_RING_DIR).find((l) => !(l.flags & 4)).jobs;
			await Promise.all(workers.map((w) => w.terminate()));
			logger.info('main again');
			process.stderr.write(JSON.stringify({ jobs, stats: emplog.stats() }));
		});`, { EMPLOG_RING_DIR: dir, KIT: path.join(__dirname, 'kit.js') });
	assert.strictEqual(r.code, 0, r.err);
	const { jobs, stats } = JSON.parse(r.err.slice(r.err.indexOf('{"jobs')));
	const lanes = kit.lanes(dir);
	assert.strictEqual(lanes.length, 6);
	assert.strictEqual(lanes.filter((l) => l.flags & 4).length, 5);
	assert.ok(lanes.filter((l) => l.flags & 4).every((l) => l.closed === 1));
	assert.strictEqual(lanes.find((l) => !(l.flags & 4)).closed, 0, 'jobs are left');
	assert.strictEqual(jobs.length, 5);
	assert.strictEqual(stats.written, 5 * 1001 + 2);
	assert.strictEqual(kit.read(dir).filter((x) => x.message === 'thread').length, 5000);
});

test('the lane of a worker thread that was first stays for the others', async () => {
	const dir = kit.ring();
	const code = `
		const { Worker, isMainThread, threadId } = require('worker_threads');
		if (isMainThread) {
			const one = new Worker(__filename);
			one.on('exit', () => {
				const two = new Worker(__filename);
				two.on('exit', () => process.exit(0));
			});
		} else {
			const { ConnectorLogger } = require(process.env.EMPLOG_PACKAGE);
			new ConnectorLogger({ machineId: 'm' }).info('thread ' + threadId);
		}`;
	const file = path.join(kit.scratch(), 'threads.js');
	fs.writeFileSync(file, code);
	const r = await kit.run(kit.NODE, [file], { EMPLOG_RING_DIR: dir });
	assert.strictEqual(r.code, 0, r.err);
	assert.deepStrictEqual(kit.read(dir).map((x) => x.message), ['thread 1', 'thread 2']);
	assert.ok(kit.lanes(dir).every((l) => l.closed === 1 && !(l.flags & 4)));
});

test('cluster and children have lanes of their own', { skip: kit.ofNode }, async () => {
	const dir = kit.ring();
	const file = path.join(kit.scratch(), 'cluster.js');
	fs.writeFileSync(file, `
		const cluster = require('cluster');
		const { ConnectorLogger } = require(process.env.EMPLOG_PACKAGE);
		const l = new ConnectorLogger({ machineId: 'm', workerId: 'w' + process.pid });
		l.info(cluster.isPrimary ? 'primary' : 'child');
		if (cluster.isPrimary) for (let i = 0; i < 3; i++) cluster.fork();
		else process.exit(0);`);
	const r = await kit.run(kit.NODE, [file], { EMPLOG_RING_DIR: dir });
	assert.strictEqual(r.code, 0, r.err);
	const lanes = kit.lanes(dir);
	assert.strictEqual(lanes.length, 4);
	assert.ok(lanes.every((l) => l.closed === 1 && !(l.flags & 4)));
	assert.strictEqual(new Set(lanes.map((l) => l.identity.worker_id)).size, 4);
});

// ---- settings ----

test('a missing ring is made 0700 and said; LOG_LEVEL and EMPLOG_DISABLED count', async () => {
	const { dir, said, records } = await ran(`logger.debug('no'); logger.info('no');
		logger.warn('yes');`, { LOG_LEVEL: 'warn', DISABLE_FLUENT_BIT_LOGGING: 'true' });
	assert.strictEqual(fs.statSync(dir).mode & 0o7777, 0o700);
	assert.match(said, /was missing: made for this user only/);
	assert.match(said, /DISABLE_FLUENT_BIT_LOGGING is ignored, EMPLOG_DISABLED=1/);
	assert.deepStrictEqual(records.map((r) => r.message), ['yes']);
	const off = await ran('logger.error("no"); process.stdout.write(logger.state)',
		{ EMPLOG_DISABLED: '1', EMPLOG_CONSOLE: 'on', DISABLE_FLUENT_BIT_LOGGING: '1' });
	assert.strictEqual(off.err + off.said, '');
	assert.match(off.out, /^disabled: EMPLOG_DISABLED is set$/);
	assert.ok(!fs.existsSync(off.dir));
});

test('the console prints as LOG_FORMAT says, without secrets', async () => {
	const script = `logger.info('hello', { a: 'two words', token: 'abc', n: 5 });
		logger.error('bad\\x1b[31m', new Error('x'));`;
	const json = await ran(script, { EMPLOG_CONSOLE: '', LOG_FORMAT: 'json' });
	const [one, two] = json.out.trim().split('\n').map((l) => JSON.parse(l));
	assert.deepStrictEqual(without(one, 'timestamp', ...MARKS), { level: 'info',
		message: 'hello', a: 'two words', token: '[redacted]', n: 5, machine_id: 'm',
		worker_id: 'w', service_type: 'rest', connector_id: 'c' });
	assert.strictEqual(two.error, 'x');
	const text = await ran(script, { EMPLOG_CONSOLE: 'on' });
	assert.match(text.out, /^\S+Z INFO hello .*a="two words" token=\[redacted\] n=5/m);
	assert.match(text.out, /ERROR bad\\x1b\[31m /);
	assert.strictEqual((await ran(script)).out, '');
	assert.strictEqual(text.records.length, 2);
});

for (const [how, more] of [['', {}], [' without the addon', { EMPLOG_ADDON: '0' }],
	[' in a thread without the addon', { EMPLOG_ADDON: '0', IN_THREAD: '1' }]])
test(`a reader of stdout that does not read holds nobody up${how}`, {
	skip: more.IN_THREAD ? kit.ofNode : false,
}, async (t) => {
	const dir = kit.ring();
	const file = path.join(kit.scratch(), 'loud.js');
	fs.writeFileSync(file, `
		const { Worker, isMainThread } = require('node:worker_threads');
		const loud = () => {
			const emplog = require(process.env.EMPLOG_PACKAGE);
			const l = new emplog.ConnectorLogger({}, { console: 'on' });
			let n = 0;
			const go = () => { for (let i = 0; i < 2000; i++) l.info('line', { pad: 'x'.repeat(200) });
				if (++n < 20) setImmediate(go); else { require('fs').writeSync(2, JSON.stringify(
					emplog.stats().console)); process.exit(0); } };
			go();
		};
		if (isMainThread && process.env.IN_THREAD === '1')
			new Worker(__filename);
		else
			loud();`);
	const { spawn } = require('node:child_process');
	const p = spawn(kit.NODE, [file], { env: kit.envOf({ EMPLOG_RING_DIR: dir, ...more }),
		stdio: ['ignore', 'pipe', 'pipe'] });
	const late = setTimeout(() => p.kill('SIGKILL'), 20000);
	t.after(() => clearTimeout(late));
	let err = '';
	p.stderr.on('data', (d) => { err += d; });	// and nobody reads stdout
	p.stdout.pause();
	const code = await new Promise((resolve) => p.on('exit', resolve));
	p.stdout.destroy();
	assert.strictEqual(code, 0, err);
	await kit.waitFor('its words', () => err.includes('dropped'));
	const { lines, dropped } = JSON.parse(/\{"lines".*?\}/.exec(err)[0]);
	assert.ok(lines > 0 && dropped > 10000, err);
});
