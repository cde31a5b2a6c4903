// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: records go from JavaScript through a real agent, relay and exporter
 * to a file, once each, by lane and by HTTP; a killed worker is reported with
 * its jobs; an agent that stops and comes again costs no record.
 */

const assert = require('node:assert');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');
const { EMPLOGD, skip, daemon } = require('./daemon');

test('by lane and by HTTP to the exported file, once each', { skip }, async (t) => {
	const { d, env } = await daemon(t);
	for (const [how, more] of [['lane', {}], ['http', { EMPLOG_ADDON: '0' }]]) {
		const c = await kit.child(`
			for (let i = 0; i < 1000; i++)
				logger.withJobContext('${how}-' + i).jobCompleted({ duration: i });
			const stay = setTimeout(() => {}, 10000);
			logger.flush().then(() => clearTimeout(stay));`, { ...env, ...more });
		assert.strictEqual(c.code, 0, c.err);
		await kit.waitFor(`all by ${how}`, () => d.exported().length >= (how === 'lane' ? 1000 :
			2000));
	}
	const all = d.exported();
	for (const how of ['lane', 'http']) {
		const ids = all.flatMap((r) => r.text.match(new RegExp(`${how}-\\d+`)) ?? []);
		assert.strictEqual(ids.length, 1000, how);
		assert.strictEqual(new Set(ids).size, 1000, how);
	}
	assert.ok(all.every((r) => r.body === 'Job completed successfully' &&
		r.resource.includes('machine-m.w')));
});

test('a killed worker is reported with its job', { skip }, async (t) => {
	const { d, env } = await daemon(t);
	const c = await kit.child(`logger.withJobContext('the-job').jobStarted({});
		process.kill(process.pid, 'SIGKILL');`, env);
	assert.strictEqual(c.signal, 'SIGKILL');
	await kit.waitFor('worker_died', () => d.exported().some((r) =>
		r.text.includes('worker_died') && r.text.includes('the-job')));
	const ok = await kit.child('logger.info("a clean end");', env);
	assert.strictEqual(ok.code, 0);
	await kit.waitFor('the other', () => d.exported().some((r) => r.body === 'a clean end'));
	assert.strictEqual(d.exported().filter((r) => r.text.includes('worker_died')).length, 1);
});

// 66 of them have had a lane in the end: more than a process has at a time.
const THREADS = `
	const { Worker } = require('worker_threads');
	const code = 'const { ConnectorLogger } = require(process.env.EMPLOG_PACKAGE);' +
		'const { workerData: { shared, name } } = require("worker_threads");' +
		'const l = new ConnectorLogger({}, { http: false, laneBytes: 1048576 });' +
		'if (!l.state.startsWith("lane")) throw new Error(l.state);' +
		'const a = new Int32Array(shared);' +
		'for (let n = 0; ; n++) { l.warn("t", { mark: name + "-" + n + "." });' +
		'Atomics.store(a, 0, n); Atomics.wait(a, 1, 0, 1); }';
	const mapped = () => require('fs').readFileSync('/proc/self/maps', 'utf8').split('\\n')
		.filter((l) => l.includes('.lane')).length;
	const start = (name) => {
		const shared = new SharedArrayBuffer(8);
		return { name, a: new Int32Array(shared), w: new Worker(code, { eval: true,
			workerData: { shared, name } }) };
	};
	(async () => {
		logger.info('main');
		const before = mapped(), last = {};
		for (let round = 0; round < 2; round++) {
			const all = Array.from({ length: 32 }, (_, i) => start(round + '-' + i));
			while (!all.every((x) => Atomics.load(x.a, 0) >= 20))
				await new Promise((resolve) => setTimeout(resolve, 2));
			if (emplog.stats().lanes !== 33)
				throw new Error(emplog.stats().lanes + ' lanes');
			await Promise.all(all.map((x) => x.w.terminate()));
			for (const x of all)
				last[x.name] = Atomics.load(x.a, 0);
		}
		process.stdout.write(JSON.stringify({ last, before, after: mapped(),
			refused: emplog.stats().refused }));
	})();`;

test('32 threads that are terminated: a lane each, the last record, no lane left', { skip },
	async (t) => {
		const { d, env, ring } = await daemon(t);
		const c = await kit.child(THREADS, { ...env, EMPLOGD_COMMON_RING_MAX: '32M' });
		assert.strictEqual(c.code, 0, c.err);
		const { last, before, after, refused } = JSON.parse(c.out);
		assert.strictEqual(Object.keys(last).length, 64);
		assert.strictEqual(refused, 0);
		assert.strictEqual(after, before);
		const missing = () => {
			const text = new Set(d.exported().flatMap((r) => r.text.match(/\d-\d+-\d+\./) ?? []));
			return Object.entries(last).filter(([name, n]) => !text.has(`${name}-${n}.`));
		};
		await kit.waitFor('the last of each', () => missing().length === 0);
		await kit.waitFor('no lane is left but the agent\'s own', () =>
			kit.lanes(ring).length === 1);
	});

test('an agent that is killed and comes again costs no record', { skip }, async (t) => {
	const { d, env } = await daemon(t);
	const run = kit.child(`
		let n = 0;
		const go = () => {
			for (let i = 0; i < 20; i++) logger.warn('w', { mark: 'n-' + n++ + '-' });
			if (n < 4000) setTimeout(go, 5); else process.stdout.write(String(emplog.stats().refused));
		};
		go();`, env);
	await kit.waitFor('some', () => d.exported().length > 500);
	await d.stop('SIGKILL');
	await d.start();
	const c = await run;
	assert.strictEqual(c.code, 0, c.err);
	assert.strictEqual(c.out, '0');
	await kit.waitFor('all', () => new Set(d.exported().flatMap((r) =>
		r.text.match(/n-\d+-/) ?? [])).size === 4000);
});

test('test-connector-logging.js says where each event arrived', { skip }, async (t) => {
	const { d, env } = await daemon(t);
	const script = path.join(kit.PACKAGE, 'test-connector-logging.js');
	const r = await kit.run(kit.NODE, [script, `--emplogd=${EMPLOGD}`], env);
	assert.strictEqual(r.code, 0, r.out + r.err);
	assert.match(r.out, /job_received +.*in the lane/);
	assert.match(r.out, /job_failed +.*in the lane/);
	const h = await kit.run(kit.NODE, [script, `--relay=http://127.0.0.1:${d.relayHttp}`],
		{ ...env, EMPLOG_ADDON: '0' });
	assert.strictEqual(h.code, 0, h.out + h.err);
	assert.match(h.out, /job_completed +.*taken by http/);
	assert.match(h.out, /POST \/test +.*200/);
	const none = await kit.run(kit.NODE, [script], { EMPLOG_ADDON: '0',
		FLUENT_BIT_HOST: '127.0.0.1', FLUENT_BIT_PORT: '9' });
	assert.strictEqual(none.code, 1);
	assert.match(none.out, /NOT delivered/);
});
