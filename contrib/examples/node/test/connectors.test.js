// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: a job of each of the five connectors goes through a real agent,
 * relay and exporter as its life's events, with its ids, its schema's fields
 * and its trace; the service it called saw the same trace.  A service that
 * fails, in its own words, is away or breaks off makes job_failed with the
 * reason and never a crash.  No credential arrives.
 */

const assert = require('node:assert');
const path = require('node:path');
const { test, before, after } = require('node:test');
const kit = require('./kit');
const { daemon, skip: noDaemon } = require('../../../node/test/daemon');

const skip = noDaemon || kit.skip;
const KEY = 'sk-demo-5f1c9a';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const { validate } = skip ? {} : require(path.join(kit.APP, 'node_modules/emplog'));

// One for all tests; what it exports is told apart by connector_id.
let world;
const last = [];
before(async () => {
	if (!skip)
		world = await daemon({ after: (f) => last.push(f) });
});
after(async () => {
	for (const f of last)
		await f();
});

function record({ record: r, fields, body }) {
	return { ...fields, message: body, level: r.severityText, event_type: r.eventName,
		timestamp: r.timeUnixNano, trace_id: r.traceId, span_id: r.spanId };
}

// What arrived of a connector's run, in order, once its last record has.
async function arrived(connectorId) {
	const { d } = world;
	const of = () => d.exported().map(record).filter((r) => r.connector_id === connectorId);
	await kit.waitFor(`the last record of ${connectorId}`, () => of().some((r) =>
		r.event_type === 'service_stopped'));
	return of();
}

// A run of jobs to its end, and what arrived of it.
let runs = 0;
async function runOf(name, env, jobs) {
	const { env: logging } = world;
	const id = `${name}-test-${++runs}`;
	const r = await kit.run(name, { ...logging, CONNECTOR_ID: id, A1111_POLL_MS: '20',
		REST_POLL_MS: '20', OPENAI_API_KEY: KEY, REST_TOKEN: KEY, ...env }, jobs);
	assert.strictEqual(r.code, 0, r.err);
	assert.strictEqual(r.err, '');
	const all = await arrived(id);
	return { all, of: (job) => all.filter((x) => x.job_id === job),
		one: (job, event) => {
			const found = all.filter((x) => x.job_id === job && x.event_type === event);
			assert.strictEqual(found.length, 1, `${event} of ${job}: ${found.length}`);
			return found[0];
		} };
}

function workflow(change = {}) {
	return { 4: { class_type: 'CheckpointLoaderSimple', inputs: {
		ckpt_name: 'sdxl_base_1.0.safetensors', ...change } },
	3: { class_type: 'KSampler', inputs: { model: ['4', 0], seed: 1, steps: 20 } },
	9: { class_type: 'SaveImage', inputs: { images: ['3', 0] } } };
}

const FIVE = {
	comfyui: { url: 'COMFYUI_URL', payload: { workflow: workflow() }, called: '/prompt',
		check: (r) => {
			assert.match(r.one('j1', 'job_completed').prompt_id, /^[\da-f-]{36}$/);
			const steps = r.of('j1').filter((x) => x.event_type === 'job_progress');
			assert.deepStrictEqual([...new Set(steps.map((x) => x.execution_step))],
				['CheckpointLoaderSimple', 'KSampler', 'SaveImage']);
			assert.ok(steps.every((x, i) => i === 0 || x.progress >= steps[i - 1].progress));
			const told = r.of('j1').filter((x) => x.event_type === 'websocket_message')
				.map((x) => x.websocket_message_type);
			for (const type of ['execution_start', 'executing', 'executed',
				'execution_success'])
				assert.ok(told.includes(type), type);
			assert.ok(r.one('j1', 'job_completed').previews > 0);
			assert.strictEqual(r.one('j1', 'job_completed').output_size, 70);
		} },
	openai: { url: 'OPENAI_BASE_URL', suffix: '/v1', called: '/v1/images/generations',
		payload: { kind: 'image', model: 'gpt-image-1', prompt: 'a lighthouse' },
		progress: false,
		check: (r) => {
			const call = r.one('j1', 'service_api_call');
			assert.deepStrictEqual(call.token_usage, { prompt_tokens: 12,
				completion_tokens: 1056, total_tokens: 1068 });
			assert.match(call.request_id, /^req_/);
		} },
	a1111: { url: 'A1111_URL', called: '/sdapi/v1/txt2img',
		payload: { prompt: 'x', sampler: 'DPM++ 2M', steps: 28, cfg_scale: 6.5, seed: 7,
			width: 832, height: 1216, model: 'dreamshaper_8' },
		check: (r) => {
			const s = r.one('j1', 'job_started');
			assert.deepStrictEqual([s.sampler, s.steps, s.cfg_scale, s.seed, s.width, s.height,
				s.model_checkpoint, s.vae], ['DPM++ 2M', 28, 6.5, 7, 832, 1216,
				'dreamshaper_8', 'sdxl_vae']);
			assert.strictEqual(r.one('j1', 'model_loaded').model_name, 'dreamshaper_8');
		} },
	simulation: { payload: { size: 24, tolerance: 0.01, iterations: 1000 },
		check: (r) => {
			assert.deepStrictEqual(r.one('j1', 'job_started').parameters, { size: 24,
				edge: 100, tolerance: 0.01 });
			assert.ok(r.one('j1', 'job_completed').convergence <= 0.01);
		} },
	rest: { url: 'REST_URL', payload: { input: { a: 1 } }, called: '/v1/jobs',
		check: (r, requests) => {
			assert.strictEqual(requests.find((x) => x.method === 'POST')
				.headers['idempotency-key'], 'j1');
			assert.match(r.one('j1', 'job_completed').endpoint, /^\/v1\/jobs\/[\da-f-]{36}$/);
		} },
};

for (const [name, c] of Object.entries(FIVE)) {
	test(`${name}: a job's life arrives, with its ids, fields and trace`, { skip }, async (t) => {
		const f = c.url === undefined ? { requests: [] } : await kit.fake(t, name, '--ms=300');
		const r = await runOf(name, c.url ? { [c.url]: f.url + (c.suffix ?? '') } : {}, [{
			id: 'j1', payload: c.payload, sessionId: 's1',
			traceparent: `00-${TRACE}-00f067aa0ba902b7-01` }]);
		const life = r.of('j1').map((x) => x.event_type).filter((e) => e.startsWith('job_'));
		assert.deepStrictEqual([...new Set(life)], ['job_received', 'job_started',
			...(c.progress === false ? [] : ['job_progress']), 'job_completed']);
		const spans = new Set(r.of('j1').map((x) => x.span_id));
		assert.strictEqual(spans.size, 1);
		assert.ok(!spans.has('00f067aa0ba902b7'));
		assert.ok(r.of('j1').every((x) => x.trace_id === TRACE && x.session_id === 's1' &&
			x.machine_id === 'm' && x.worker_id === 'w'));
		const v = validate({ ...r.one('j1', 'job_completed') });
		assert.deepStrictEqual(v.errors, []);
		assert.strictEqual(v.schema, name);
		assert.ok(r.one('j1', 'job_completed').duration > 0);
		for (const event of ['service_started', 'service_stopped', 'health_check'])
			assert.ok(r.all.some((x) => x.event_type === event), event);
		assert.strictEqual(r.all.find((x) => x.event_type === 'health_check').health_status,
			'healthy');
		if (c.called !== undefined)
			assert.strictEqual(f.requests.find((x) => x.path === c.called &&
				x.method === 'POST').headers.traceparent, `00-${TRACE}-${[...spans][0]}-01`);
		c.check(r, f.requests);
		assert.ok(!JSON.stringify(r.all).includes(KEY));
	});
}

test('a streamed completion: progress, tokens, finish', { skip }, async (t) => {
	const f = await kit.fake(t, 'openai');
	const r = await runOf('openai', { OPENAI_BASE_URL: `${f.url}/v1` }, [{ id: 'j1',
		payload: { kind: 'text', model: 'gpt-4o-mini', prompt: 'p' } }]);
	assert.ok(r.of('j1').some((x) => x.event_type === 'job_progress'));
	assert.strictEqual(r.one('j1', 'job_completed').finish_reason, 'stop');
	assert.strictEqual(r.one('j1', 'service_api_call').token_usage.total_tokens, 34);
});

/*
 * name, the fake's switches (null: there is none), a job's payload; then what
 * its job_failed says.
 */
const FAILURES = {
	'comfyui: a node raises': ['comfyui', ['--fail=execution_error'],
		{ workflow: workflow() }, { error_type: 'model', node_id: '3',
			execution_step: 'KSampler', error: /^KSampler failed: mat1 and mat2/,
			cause: /RuntimeError/ }],
	'comfyui: no memory left': ['comfyui', ['--fail=oom'], { workflow: workflow() },
		{ error_type: 'memory', error: /would exceed allowed memory/,
			cause: /OutOfMemoryError/ }],
	'comfyui: a workflow it refuses': ['comfyui', [],
		{ workflow: workflow({ ckpt_name: 'gone' }) }, { error_type: 'validation',
			node_id: '4', error: /failed validation/, cause: /'gone' not in/ }],
	'comfyui: an error of its own': ['comfyui', ['--fail=500'], { workflow: workflow() },
		{ error_type: 'service', status_code: 500, error: /status 500/ }],
	'comfyui: away': ['comfyui', null, { workflow: workflow() }, { error_type: 'network',
		error: /^connection to ws:\/\/127\.0\.0\.1:9 failed: ECONNREFUSED/,
		cause: /ECONNREFUSED/ }],
	'comfyui: no workflow': ['comfyui', [], {}, { error_type: 'validation',
		error: /there is no workflow/ }],
	'openai: 429 to the end': ['openai', ['--fail=429'], { model: 'gpt-4o-mini', kind: 'text',
		prompt: 'p' }, { error_type: 'rate_limit', status_code: 429, error: /^Rate limit/,
		cause: /rate_limit_exceeded/, retries: 2 }],
	'openai: a quota, which no retry helps': ['openai', ['--fail=quota'],
		{ model: 'gpt-image-1', prompt: 'p' }, { error_type: 'rate_limit',
			error: /exceeded your current quota/, retries: 0 }],
	'openai: 500 to the end': ['openai', ['--fail=500'], { model: 'gpt-image-1', prompt: 'p' },
		{ error_type: 'service', status_code: 500, error: /Sorry about that/, retries: 2,
			cause: /server_error/ }],
	'openai: a stream that is cut': ['openai', ['--fail=cut'], { model: 'gpt-4o-mini',
		kind: 'text', prompt: 'p' }, { error_type: 'network',
		error: /^connection to .* failed: ECONNRESET/, cause: /ECONNRESET/, retries: 0 }],
	'openai: a stream that ends too soon': ['openai', ['--fail=short'], { model: 'gpt-4o-mini',
		kind: 'text', prompt: 'p' }, { error_type: 'network', chunks: 7,
		error: /in the middle of the stream/ }],
	'openai: an error in the stream': ['openai', ['--fail=stream'], { model: 'gpt-4o-mini',
		kind: 'text', prompt: 'p' }, { error_type: 'service', error: /Sorry about that/ }],
	'openai: a model it does not have': ['openai', [], { model: 'gpt-9', prompt: 'p' },
		{ error_type: 'validation', status_code: 404, cause: /model_not_found/ }],
	'a1111: away': ['a1111', null, { prompt: 'p' }, { error_type: 'network',
		error: /ECONNREFUSED/, cause: /ECONNREFUSED/ }],
	'a1111: no memory left': ['a1111', ['--fail=oom'], { prompt: 'p' },
		{ error_type: 'memory', error: /OutOfMemoryError/, cause: /1\.20 GiB/ }],
	'a1111: an answer without JSON': ['a1111', ['--fail=500'], { prompt: 'p' },
		{ error_type: 'service', status_code: 500 }],
	'a1111: a sampler it does not have': ['a1111', [], { prompt: 'p', sampler: 'Fast' },
		{ error_type: 'validation', status_code: 404, error: /Sampler not found/ }],
	'simulation: no convergence': ['simulation', [], { iterations: 5 },
		{ error: /no convergence within 5/, iteration: 5, cause: /the last change/ }],
	'simulation: a payload that makes no sense': ['simulation', [], { size: 'big' },
		{ error_type: 'validation', error: /'size' is not a number/ }],
	'rest: the job failed': ['rest', ['--fail=failed'], { input: 1 }, { error_type: 'service',
		error: /there is no such template/, cause: /template_missing/ }],
	'rest: the job is forgotten': ['rest', ['--fail=lost'], { input: 1 },
		{ error_type: 'validation', status_code: 404, http_method: 'GET' }],
};

for (const [claim, [name, switches, payload, said]] of Object.entries(FAILURES)) {
	test(`${claim}: job_failed says it, the next job comes`, { skip }, async (t) => {
		const f = switches === null || FIVE[name].url === undefined ? null :
			await kit.fake(t, name, '--ms=40', ...switches);
		const env = FIVE[name].url === undefined ? {} :
			{ [FIVE[name].url]: (f?.url ?? 'http://127.0.0.1:9') + (FIVE[name].suffix ?? '') };
		const r = await runOf(name, env, [{ id: 'j1', payload }, { id: 'j2', payload }]);
		const { cause, error, retries, ...exact } = said;
		const x = r.one('j1', 'job_failed');
		for (const [k, v] of Object.entries(exact))
			assert.strictEqual(x[k], v, k);
		assert.match(x.error, error ?? /./);
		assert.match(JSON.stringify(x.error_cause ?? ''), cause ?? /./);
		assert.strictEqual(x.level, 'error');
		assert.ok(x.duration >= 0);
		r.one('j2', 'job_failed');
		if (retries !== undefined)
			assert.strictEqual(r.of('j1').filter((y) => y.event_type === 'service_retry').length,
				retries);
		const health = r.all.filter((y) => y.event_type === 'health_check');
		assert.strictEqual(health.length, 3);
		if (switches === null) {
			assert.strictEqual(health[0].health_status, 'unhealthy');
			assert.strictEqual(health[0].health_details.error_type, 'network');
		}
		const stopped = r.all.find((y) => y.event_type === 'service_stopped');
		assert.deepStrictEqual([stopped.jobs, stopped.failed], [2, 2]);
		assert.ok(!JSON.stringify(r.all).includes(KEY));
	});
}

test('openai: one 429 is waited for as it says, and told', { skip }, async (t) => {
	// the first request is that of health
	const f = await kit.fake(t, 'openai', '--fail=429:2');
	const r = await runOf('openai', { OPENAI_BASE_URL: `${f.url}/v1` }, [{ id: 'j1',
		payload: { model: 'gpt-image-1', prompt: 'p' } }]);
	r.one('j1', 'job_completed');
	const x = r.one('j1', 'service_retry');
	assert.deepStrictEqual([x.status_code, x.wait_ms, x.retry_count, x.level],
		[429, 20, 1, 'warn']);
	assert.strictEqual(x.request_headers.authorization, '[redacted]');
	assert.strictEqual(x.response_headers['retry-after'], '1');
	assert.strictEqual(f.requests.find((q) => q.status === 429).headers.authorization,
		`Bearer ${KEY}`);
});

test('rest: a bad gateway that took the job: one job all the same', { skip }, async (t) => {
	const f = await kit.fake(t, 'rest', '--fail=502:2');
	const r = await runOf('rest', { REST_URL: f.url }, [{ id: 'j1', payload: { input: 1 } },
		{ id: 'j2', payload: { input: 2 } }]);
	r.one('j1', 'job_completed');
	const x = r.one('j2', 'service_retry');
	assert.deepStrictEqual(validate(x).errors, []);
	assert.strictEqual(x.wait_ms, 1000);
	assert.strictEqual(x.request_headers.authorization, '[redacted]');
	assert.strictEqual(x.response_headers['set-cookie'], undefined);
	assert.deepStrictEqual(f.requests.filter((q) => q.method === 'POST').map((q) =>
		q.headers['idempotency-key']), ['j1', 'j2', 'j2']);
	const ids = new Set(f.requests.filter((q) => q.method === 'GET' && q.path !== '/health')
		.map((q) => q.path));
	assert.strictEqual(ids.size, 2);
	assert.strictEqual(r.one('j2', 'job_completed').endpoint, [...ids][1]);
});

test('comfyui: the websocket breaks in the middle: told, and the job completes',
	{ skip }, async (t) => {
		const f = await kit.fake(t, 'comfyui', '--fail=drop');
		const r = await runOf('comfyui', { COMFYUI_URL: f.url }, [{ id: 'j1',
			payload: { workflow: workflow() } }]);
		assert.ok(r.of('j1').some((x) => x.event_type === 'service_reconnect'));
		assert.strictEqual(r.one('j1', 'job_completed').images, 1);
	});

test('comfyui: a last message that never comes is asked for', { skip }, async (t) => {
	const f = await kit.fake(t, 'comfyui', '--fail=silent');
	const r = await runOf('comfyui', { COMFYUI_URL: f.url, COMFYUI_QUIET_MS: '100' }, [{ id: 'j1',
		payload: { workflow: workflow() } }]);
	assert.strictEqual(r.one('j1', 'job_completed').images, 1);
	assert.ok(f.requests.some((q) => q.path.startsWith('/history/')));
});

test('comfyui: it restarts in the middle: job_failed, not a job that hangs',
	{ skip }, async (t) => {
		const { env } = world;
		const f = await kit.fake(t, 'comfyui', '--ms=20000');
		const id = 'comfyui-restart';
		const c = kit.start('comfyui', { ...env, CONNECTOR_ID: id, COMFYUI_URL: f.url });
		c.give({ id: 'j1', payload: { workflow: workflow() } });
		await kit.waitFor('the prompt', () => f.requests.some((q) => q.path === '/prompt'));
		f.stop();
		const again = await kit.fake(t, 'comfyui', `--port=${new URL(f.url).port}`);
		c.process.stdin.end();
		assert.strictEqual((await c.ended).code, 0);
		const x = (await arrived(id)).find((y) => y.event_type === 'job_failed');
		assert.match(x.error, /does not know the prompt any more/);
		assert.ok(again.requests.length > 0);
	});

// A job that runs long is given up at SIGTERM, and the service is told.
const GIVEN_UP = { comfyui: ['POST', '/interrupt'], a1111: ['POST', '/sdapi/v1/interrupt'],
	rest: ['DELETE', '/v1/jobs/'], simulation: null, openai: null };
const LONG = { simulation: { size: 512, tolerance: 0, iterations: 1e6 }, a1111: { prompt: 'x' } };
for (const [name, told] of Object.entries(GIVEN_UP)) {
	test(`${name}: SIGTERM gives the job up after its grace, and ends cleanly`,
		{ skip }, async (t) => {
			const { env } = world;
			const { url, suffix = '' } = FIVE[name];
			const f = url === undefined ? null : await kit.fake(t, name, '--ms=20000');
			const id = `${name}-term`;
			const side = path.join(kit.scratch(), 'side');
			const c = kit.start(name, { ...env, CONNECTOR_ID: id, GRACE_MS: '100',
				OPENAI_API_KEY: KEY, A1111_POLL_MS: '20', ...(url ? { [url]: f.url + suffix } : {}) },
			[`--side=${side}`]);
			c.give({ id: 'j1', payload: LONG[name] ?? FIVE[name].payload });
			const { d } = world;
			await kit.waitFor('at work', () => d.exported().map(record).some((r) =>
				r.connector_id === id && r.event_type === (told === null ? 'job_started' :
					'job_progress')));
			c.process.kill('SIGTERM');
			const { code, err } = await c.ended;
			assert.strictEqual(code, 0, err);
			const all = await arrived(id);
			const x = all.find((y) => y.event_type === 'job_failed');
			assert.strictEqual(x.error, 'the worker has to end: SIGTERM');
			assert.strictEqual(x.error_type, 'cancelled');
			assert.ok(!all.some((y) => y.event_type === 'worker_died'));
			if (told !== null)
				await kit.waitFor('the service was told', () => f.requests.some((q) =>
					q.method === told[0] && q.path.startsWith(told[1])));
		});
}

test('a line that is no job is told, and the next is done', { skip }, async () => {
	const r = await runOf('simulation', {}, [{ payload: {} }, 5, null, { id: 'j1', payload: {} }]);
	assert.strictEqual(r.all.filter((x) => x.message === 'not a job').length, 3);
	r.one('j1', 'job_completed');
});

test('a job that takes too long is given up', { skip }, async (t) => {
	const f = await kit.fake(t, 'rest', '--ms=20000');
	const r = await runOf('rest', { REST_URL: f.url, JOB_TIMEOUT_MS: '200' }, [{ id: 'j1',
		payload: { input: 1 } }]);
	assert.strictEqual(r.one('j1', 'job_failed').error_type, 'timeout');
	assert.match(r.one('j1', 'job_failed').error, /timeout: the job took more than 200 ms/);
	assert.ok(f.requests.some((q) => q.method === 'DELETE'));
});
