// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: without a lane records go by HTTP in batches, within bounded memory,
 * again after failures with growing waits, not at all while the circuit is
 * open; what finds no room is counted and told; a worker is never kept alive.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');

const { Http } = require(path.join(kit.PACKAGE, 'lib/http.js'));

// A receiver that answers as it is told: {bodies, heads, answer}.
async function receiver(t, answer = () => 201) {
	const r = { bodies: [], heads: [], answer, sockets: 0 };
	const server = http.createServer((req, res) => {
		let text = '';
		req.on('data', (d) => { text += d; });
		req.on('end', () => {
			r.heads.push({ ...req.headers, method: req.method, url: req.url });
			const [status, headers] = [r.answer(JSON.parse(text))].flat();
			if (status === 0)
				return;		// never answers
			if (status < 300)
				r.bodies.push(JSON.parse(text));
			res.writeHead(status, headers).end();
		});
	});
	server.on('connection', () => r.sockets++);
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	t.after(() => { server.closeAllConnections(); server.close(); });
	r.port = server.address().port;
	r.records = () => r.bodies.flat();
	return r;
}

const NO_ADDON = { EMPLOG_ADDON: '0', FLUENT_BIT_HOST: '127.0.0.1' };

test('without the addon: batches, one connection, today\'s fields', async (t) => {
	const r = await receiver(t);
	const c = await kit.child(`
		const job = logger.withJobContext('j1');
		job.jobReceived({ jobId: 'j1', inputSize: 5 });
		job.jobStarted({ jobId: 'j1' });
		job.jobCompleted({ jobId: 'j1', token: 'abc', big: 10n, auth: 'Bearer abcdefghijkl' });
		for (let i = 0; i < 2500; i++) logger.info('n', { i });
		const before = logger.state;
		logger.flush().then((all) => process.stderr.write(JSON.stringify({ all, before,
			stats: emplog.stats() })));
		setTimeout(() => {}, 1500);`, { ...NO_ADDON, FLUENT_BIT_PORT: r.port });
	assert.strictEqual(c.code, 0, c.err);
	const { all, before, stats } = JSON.parse(c.err);
	assert.strictEqual(all, true);
	assert.match(before, /^http 127\.0\.0\.1:\d+ \(EMPLOG_ADDON is 0\), circuit closed$/);
	assert.strictEqual(c.said, 'emplog: no lane (EMPLOG_ADDON is 0); records go to ' +
		`http://127.0.0.1:${r.port}\n`);
	const records = r.records();
	assert.strictEqual(records.length, 2503);
	assert.ok(r.bodies.length <= 10, `${r.bodies.length} posts`);
	assert.strictEqual(r.sockets, 1);
	assert.strictEqual(r.heads[0]['emplog-ack'], 'agent');
	assert.deepStrictEqual(records.slice(3).map((x) => x.i), Array.from({ length: 2500 },
		(_, i) => i));
	const [received, started, done] = records;
	assert.strictEqual(received.event_type, 'job_received');
	assert.strictEqual(received.machine_id, 'm');
	assert.strictEqual(received.connector_id, 'c');
	assert.strictEqual(received.input_size, 5);
	assert.match(received.timestamp, /^\d{4}-\d\d-\d\dT.*Z$/);
	assert.ok(started.queue_ms >= 0);
	assert.ok(done.duration >= 0);
	assert.strictEqual(done.token, '[redacted]');
	assert.strictEqual(done.auth, 'Bearer [redacted]');
	assert.strictEqual(done.big, 10);
	assert.strictEqual(stats.http.sent, 2503);
	assert.strictEqual(stats.http.queued, 0);
});

test('a ring that cannot be used: HTTP, and the state says why', async (t) => {
	const r = await receiver(t);
	const c = await kit.child(`
		logger.withJobContext('j').jobStarted({});
		logger.withJobContext('j').jobCompleted({});
		logger.flush().then(() => process.stderr.write(logger.state));
		setTimeout(() => {}, 500);`, { EMPLOG_RING_DIR: '/proc/no/ring',
		FLUENT_BIT_HOST: '127.0.0.1', FLUENT_BIT_PORT: r.port });
	assert.match(c.err, /^http 127.0.0.1:\d+ \(\/proc\/no\/ring: .+\), circuit closed$/);
	assert.ok(r.records()[1].duration >= 0);
});

test('a full ring: HTTP; a lane as soon as one can be had', async (t) => {
	const r = await receiver(t);
	const ring = kit.ring();
	const c = await kit.child(`
		const fs = require('fs'), ring = process.env.EMPLOG_RING_DIR;
		process.stdout.write(logger.state);
		logger.info('by HTTP');
		fs.unlinkSync(ring);
		const go = () => { logger.info('again');
			if (logger.state.startsWith('lane')) process.exit(0); setTimeout(go, 20); };
		go();`, { EMPLOG_RING_DIR: (fs.writeFileSync(ring, ''), ring),
		FLUENT_BIT_HOST: '127.0.0.1', FLUENT_BIT_PORT: r.port });
	assert.strictEqual(c.code, 0, c.err);
	assert.match(c.out, /^http .*ring: is not a directory\), circuit closed$/);
	assert.strictEqual(r.records()[0].message, 'by HTTP');
	assert.strictEqual(kit.read(ring).at(-1).message, 'again');
	const full = await kit.child('process.stdout.write(logger.state);', {
		EMPLOG_RING_DIR: kit.ring(), EMPLOGD_COMMON_RING_MAX: '1K' });
	assert.match(full.out, /^http .*no room for a lane/);
});

function queue(port, more) {
	return new Http({ host: '127.0.0.1', port, path: '/', maxBytes: 1 << 20,
		identity: { worker_id: 'w' }, ...more });
}
const put = (q, n, level = 2) => q.push(level, false, JSON.stringify({ n, pad: 'x'.repeat(100) }));

test('503 with Retry-After, 429, 500 and a lost answer: sent again, once taken', async (t) => {
	const answers = [[503, { 'Retry-After': '0' }], 429, 500];
	const r = await receiver(t, () => answers.shift() ?? 201);
	const q = queue(r.port);
	t.after(() => q.close());
	for (let n = 0; n < 10; n++)
		put(q, n);
	await kit.waitFor('all sent', () => q.sent === 10);
	assert.deepStrictEqual(r.records().map((x) => x.n), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
	assert.strictEqual(q.circuit, 'closed');
	assert.strictEqual(q.bytes, 0);
});

test('a poison record is found by halving and counted, the others arrive', async (t) => {
	const r = await receiver(t, (b) => (b.some((x) => x.n === 5) ? 400 : 200));
	const q = queue(r.port);
	t.after(() => q.close());
	for (let n = 0; n < 10; n++)
		put(q, n);
	await kit.waitFor('the queue is empty', () => q.queue.length === 0);
	assert.deepStrictEqual(r.records().map((x) => x.n), [0, 1, 2, 3, 4, 6, 7, 8, 9]);
	assert.strictEqual(q.rejected, 1);
});

test('the circuit: open after 5 failures, half-open with one record, closed', async (t) => {
	let up = false;
	const seen = [];
	const r = await receiver(t, (b) => { seen.push(b.length); return up ? 200 : 500; });
	const q = queue(r.port);
	t.after(() => q.close());
	for (let n = 0; n < 20; n++)
		put(q, n);
	const states = new Set();
	const soon = () => {		// without waiting out its waits
		states.add(q.circuit);
		if (q.timer !== null) {
			clearTimeout(q.timer);
			q.timer = null;
			q.send();
			states.add(q.circuit);
		}
	};
	await kit.waitFor('open', () => { soon(); return states.has('open'); });
	assert.ok(q.failures >= 5);
	assert.strictEqual(q.error, 'answer 500');
	await kit.waitFor('a try', () => { soon(); return seen.length > 5; });
	assert.deepStrictEqual(seen.slice(0, 6), [20, 20, 20, 20, 20, 1]);
	up = true;
	await kit.waitFor('all sent', () => { soon(); return q.sent === 20; });
	assert.deepStrictEqual([...states].sort(), ['closed', 'half-open', 'open']);
	assert.deepStrictEqual(r.records().map((x) => x.n), Array.from({ length: 20 }, (_, i) => i));
});

test('no room: refused by severity, counted, and told when there is room', async (t) => {
	let up = false;
	const r = await receiver(t, () => (up ? 200 : 500));
	const q = queue(r.port, { maxBytes: 65536 });
	t.after(() => q.close());
	let info = 0;
	for (let n = 0; n < 1000; n++)
		info += put(q, n);
	assert.ok(info > 100 && info < 1000);
	let warn = 0;
	for (let n = 0; n < 1000; n++)
		warn += put(q, n, 3);
	assert.ok(warn > 0);
	assert.strictEqual(q.push(2, true, '{"end":1}'), true);
	assert.ok(q.bytes <= 65536);
	const st = q.stats();
	assert.strictEqual(st.droppedByLevel.info, 1000 - info);
	assert.strictEqual(st.droppedByLevel.warn, 1000 - warn);
	up = true;
	await kit.waitFor('the gap record', () => r.records().some((x) => x.event_type === 'emplog_gap'));
	const gap = r.records().find((x) => x.event_type === 'emplog_gap');
	assert.strictEqual(gap.refused, 2000 - info - warn);
	assert.strictEqual(gap.refused_info, 1000 - info);
	assert.strictEqual(gap.worker_id, 'w');
});

test('nobody there, or nobody answers: calls return, the worker ends by itself', async (t) => {
	const r = await receiver(t, () => 0);
	for (const port of [r.port, 9]) {
		const c = await kit.child(`
			const t = performance.now();
			for (let i = 0; i < 100000; i++) logger.info('x', { i });
			setTimeout(() => process.stderr.write(String(performance.now() - t)), 100);`,
		{ ...NO_ADDON, FLUENT_BIT_PORT: port });
		assert.strictEqual(c.code, 0, c.err);
		assert.ok(c.ms < 6000, `${c.ms} ms`);
		assert.match(c.said, /\d+ records were not delivered by HTTP/);
	}
});

test('console fallback: what HTTP does not take is printed on stderr', async () => {
	const c = await kit.child(`logger.error('nobody takes this', { token: 'abc' });
		process.exit(0);`, { ...NO_ADDON, FLUENT_BIT_PORT: '9', EMPLOG_CONSOLE: 'fallback' });
	assert.match(c.err, /"message":"nobody takes this".*"token":"\[redacted\]"/);
	const env = { ...NO_ADDON, FLUENT_BIT_PORT: '9', EMPLOG_CONSOLE: 'fallback' };
	const off = await kit.run(kit.NODE, ['-e', `const { ConnectorLogger } =
		require(process.env.EMPLOG_PACKAGE);
		const l = new ConnectorLogger({}, { http: false });
		l.info('to the console alone');
		process.stdout.write(l.state);`], env);
	assert.strictEqual(off.code, 0, off.err);
	assert.strictEqual(off.out, 'console: EMPLOG_ADDON is 0');
	assert.match(off.err, / INFO to the console alone /);
});

test('the circuit is in the state: open and why, closed when they are taken', async (t) => {
	let posts = 0;
	const r = await receiver(t, () => (++posts <= 6 ? 500 : 201));
	const c = await kit.child(`
		const seen = new Set();
		logger.info('waits');
		const look = () => {
			seen.add(logger.state.replace(/^.*circuit /, ''));
			if (emplog.stats().http.sent === 1) {
				process.stdout.write(JSON.stringify({ seen: [...seen], now: logger.state }));
				return;
			}
			logger.flush(1);	// without waiting out its waits
			setTimeout(look, 5);
		};
		look();`, { ...NO_ADDON, FLUENT_BIT_PORT: r.port });
	assert.strictEqual(c.code, 0, c.err);
	const { seen, now } = JSON.parse(c.out);
	assert.ok(seen.includes('open, answer 500'), c.out);
	assert.match(now, /circuit closed$/);
});

test('1,000,000 calls in a tick by HTTP: bounded memory', async () => {
	const c = await kit.child(`
		for (let i = 0; i < 1e6; i++) logger.info('flood', { i });
		process.stderr.write(JSON.stringify({ rss: process.memoryUsage.rss(),
			http: emplog.stats().http }));
		process.exit(0);`, { ...NO_ADDON, FLUENT_BIT_PORT: '9' }, ['--max-old-space-size=256']);
	assert.strictEqual(c.code, 0, c.err);
	const { rss, http: h } = JSON.parse(c.err);
	assert.ok(h.queuedBytes <= 4 << 20);
	assert.strictEqual(h.queued + h.dropped, 1000000);
	assert.ok(rss < 400 << 20, `${rss}`);
	console.log(`# 1,000,000 calls by HTTP: ${c.ms.toFixed(0)} ms, rss ${rss >> 20} MiB`);
});
