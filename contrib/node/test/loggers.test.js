// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: winston's and pino's records arrive with what they carry; records
 * belong to the active OpenTelemetry span, or to the traceparent of their job;
 * the schemas' validator; the guide's connector compiles.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');

const modules = process.env.EMPLOG_MODULES;
const skip = modules ? false : 'npm brought no packages';
const NEED = 'const need = require("module").createRequire((process.env.EMPLOG_MODULES ?? "") + ' +
	'"/x");';

async function ran(script, env = {}) {
	const dir = kit.ring();
	const r = await kit.child(NEED + script, { EMPLOG_RING_DIR: dir, ...env });
	assert.strictEqual(r.code, 0, r.err);
	return { ...r, records: kit.read(dir) };
}

test('winston: levels, colours, meta, children; never an error event', { skip }, async () => {
	const { records, err } = await ran(`
		const winston = need('winston');
		const t = new emplog.FluentBitTransport({ machineId: 'm', connectorId: 'x' });
		t.on('error', () => process.stderr.write('an error event'));
		const l = winston.createLogger({ level: 'debug', format: winston.format.combine(
			winston.format.timestamp(), winston.format.colorize()), transports: [t] });
		l.info('hello', { job_id: 'j', jobId: 'j', n: 1 });
		l.child({ service: 'emp-redis-js' }).error('bad', new Error('why'));
		l.silly('not wanted');
		l.debug('wanted');
		l.warn({ message: 'an object', token: 'abc' });
		const circular = {}; circular.c = circular;
		l.http('http', { circular, worker_id: '' });
		l.add(new emplog.EmplogTransport({ level: 'error' }));
		l.info('once');
		l.error('twice');
		process.stderr.write(t.state.slice(0, 5));`);
	assert.strictEqual(err, 'lane ');
	const by = (m) => records.filter((r) => r.message.startsWith(m));
	const [hello] = by('hello');
	assert.strictEqual(hello.level, 'info');
	assert.strictEqual(hello.n, 1);
	assert.strictEqual(hello.jobId, 'j');
	assert.strictEqual(hello.source, 'winston-logger');
	assert.strictEqual(hello.logger_name, 'emp-worker');
	assert.strictEqual(hello.connector_id, 'x');
	assert.match(hello.timestamp, /Z$/);
	assert.strictEqual(by('bad')[0].level, 'error');
	assert.strictEqual(by('bad')[0].logger_name, 'emp-redis-js');
	assert.strictEqual(by('not wanted').length, 0);
	assert.strictEqual(by('wanted')[0].level, 'debug');
	assert.strictEqual(by('an object')[0].token, '[redacted]');
	assert.strictEqual(by('http')[0].circular.c, '[Circular]');
	assert.strictEqual(by('once').length, 1);
	assert.strictEqual(by('twice').length, 2);
});

test('winston: a job logger for each of 100 jobs adds no line', { skip }, async () => {
	const { records } = await ran(`
		for (let i = 0; i < 100; i++)
			logger.withJobContext('j' + i).info('once', { i });`);
	assert.strictEqual(records.length, 100);
});

test('pino: in the thread and as a transport', { skip }, async () => {
	const { records } = await ran(`
		const pino = need('pino');
		const l = pino({ level: 'trace' }, require(process.env.EMPLOG_PACKAGE + '/lib/pino.js')
			.stream());
		for (const m of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
			l[m]({ job_id: 'j', token: 'x' }, 'by pino');
		l.info(new Error('why'));
		const far = pino.transport({ target: process.env.EMPLOG_PACKAGE + '/lib/pino.js' });
		const l2 = pino(far);
		l2.info({ a: { b: 1 } }, 'from a thread');
		far.on('ready', () => { l2.flush(() => {}); far.end(); });`);
	const own = records.filter((r) => r.message === 'by pino');
	assert.deepStrictEqual(own.map((r) => r.level), ['trace', 'debug', 'info', 'warn', 'error',
		'fatal']);
	assert.ok(own.every((r) => r.job_id === 'j' && r.token === '[redacted]'));
	assert.strictEqual(records.find((r) => r.message === 'why').err.type, 'Error');
	assert.deepStrictEqual(records.find((r) => r.message === 'from a thread').a, { b: 1 });
});

test('the active OpenTelemetry span is on the records', { skip }, async () => {
	const { records } = await ran(`
		const api = need('@opentelemetry/api');
		const { AsyncLocalStorageContextManager } = need('@opentelemetry/context-async-hooks');
		api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
		const span = api.trace.wrapSpanContext({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16),
			traceFlags: 1 });
		const none = api.trace.wrapSpanContext({ traceId: '0'.repeat(32),
			spanId: '0'.repeat(16), traceFlags: 0 });
		logger.info('without');
		api.context.with(api.trace.setSpan(api.context.active(), none), () => logger.info('none'));
		api.context.with(api.trace.setSpan(api.context.active(), span), async () => {
			logger.info('inside', { a: 1 });
			await null;
			logger.withJobContext('j', 's', { traceparent:
				'00-' + 'c'.repeat(32) + '-' + 'd'.repeat(16) + '-01' }).info('given');
			logger.info('after a turn', { date: new Date(0) });
		});`);
	const ids = (m) => { const r = records.find((x) => x.message === m);
		return [r.trace_id, r.span_id]; };
	assert.deepStrictEqual(ids('without'), [undefined, undefined]);
	assert.deepStrictEqual(ids('none'), [undefined, undefined]);
	assert.deepStrictEqual(ids('inside'), ['a'.repeat(32), 'b'.repeat(16)]);
	assert.deepStrictEqual(ids('after a turn'), ['a'.repeat(32), 'b'.repeat(16)]);
	assert.deepStrictEqual(ids('given'), ['c'.repeat(32), 'd'.repeat(16)]);
});

test('traceparent of a job, good and bad ones', async () => {
	const { records } = await ran(`
		const good = '00-' + 'c'.repeat(32) + '-' + 'd'.repeat(16) + '-01';
		logger.jobStarted({ jobId: 'j', traceparent: good });
		for (const bad of ['', 'x', '00-' + '0'.repeat(32) + '-' + 'd'.repeat(16) + '-01', 5,
			'ff' + good.slice(2), good.slice(0, -1), null, 'x'.repeat(10000)])
			logger.withJobContext('j', undefined, { traceparent: bad }).info('bad');`);
	assert.strictEqual(records[0].trace_id, 'c'.repeat(32));
	assert.strictEqual(records[0].traceparent, undefined);
	assert.strictEqual(records.length, 9);
	assert.ok(records.slice(1).every((r) => r.trace_id === undefined));
});

test('the validator knows the five schemas', () => {
	const { validate, normalize, schemaOf } = require(kit.PACKAGE);
	const base = { timestamp: 't', level: 'info', message: 'm', event_type: 'e',
		connector_id: 'c' };
	for (const [type, fields, schema] of [['comfyui', { prompt_id: 'p', client_id: 'c' },
		'comfyui'], ['openai-image', { model: 'm', request_id: 'r' }, 'openai'],
	['a1111', { sampler: 's', steps: 5 }, 'a1111'], ['simulation', { simulation_type: 's' },
		'simulation'], ['ollama', { endpoint: '/' }, 'rest']]) {
		const good = { ...base, service_type: type, ...fields };
		assert.deepStrictEqual(validate(good), { valid: true, schema, errors: [] });
		assert.strictEqual(schemaOf(type), schema);
		for (const key of Object.keys(good)) {
			const bad = { ...good };
			delete bad[key];
			assert.strictEqual(validate(bad, type).valid, false, `${type} without ${key}`);
		}
	}
	assert.deepStrictEqual(validate({ ...base, service_type: 'a1111', sampler: 's',
		steps: 'five', level: 'loud' }).errors, ['\'steps\' is not a number',
		'\'level\' is not one of debug, info, warn, error']);
	assert.strictEqual(validate({ ...base, service_type: 'openai', model: 'm', request_id: 'r',
		token_usage: { prompt_tokens: 'x' } }).valid, false);
	for (const odd of [null, undefined, 5, 'x', []])
		assert.strictEqual(validate(odd).valid, false);
	assert.strictEqual(normalize({ message: 'm' }).connector_id, 'unknown');
});

test('the guide\'s connector compiles and its output is JavaScript that runs', { skip }, async () => {
	const dir = kit.scratch();
	fs.mkdirSync(path.join(dir, 'node_modules'));
	for (const name of fs.readdirSync(path.join(modules, 'node_modules')))
		fs.symlinkSync(path.join(modules, 'node_modules', name),
			path.join(dir, 'node_modules', name));
	fs.symlinkSync(kit.PACKAGE, path.join(dir, 'node_modules/emplog'));
	fs.copyFileSync(path.join(__dirname, 'types/connector.ts'), path.join(dir, 'connector.ts'));
	const tsc = path.join(modules, 'node_modules/typescript/bin/tsc');
	const strict = ['--strict', '--noEmitOnError', '--esModuleInterop', '--skipLibCheck', 'false',
		'--target', 'es2022', '--types', 'node', '--preserveSymlinks'];
	for (const module of [['--module', 'node16', '--moduleResolution', 'node16'],
		['--module', 'commonjs', '--moduleResolution', 'node10', '--ignoreDeprecations', '5.0']]) {
		const old = module.includes('node10');
		if (old)	// it knows no exports maps
			fs.writeFileSync(path.join(dir, 'connector.ts'), fs.readFileSync(
				path.join(dir, 'connector.ts'), 'utf8').replace('emplog/pino', 'emplog/pino.js'));
		const r = await kit.run(process.execPath, [tsc, ...strict, ...module, 'connector.ts'], {},
			60000, { cwd: dir });
		assert.strictEqual(r.code, 0, r.out);
	}
	const ring = kit.ring();
	fs.writeFileSync(path.join(dir, 'run.js'), `
		const { YourConnector } = require('./connector.js');
		new YourConnector('c1').processJob({ id: 'job-1', payload: {} });`);
	fs.writeFileSync(path.join(dir, 'connector.js'), fs.readFileSync(path.join(dir,
		'connector.js'), 'utf8').replace('emplog/pino.js', 'emplog/pino'));
	const r = await kit.run(kit.NODE, ['run.js'], { EMPLOG_RING_DIR: ring }, 20000,
		{ cwd: dir });
	assert.strictEqual(r.code, 0, r.err);
	assert.strictEqual(kit.read(ring).find((x) => x.job_id === 'job-1').event_type, 'job_received');
});

test('it can be imported', async () => {
	const file = path.join(kit.scratch(), 'x.mjs');
	fs.writeFileSync(file, `import emplog, { ConnectorLogger, EmplogTransport } from
		${JSON.stringify(path.join(kit.PACKAGE, 'index.mjs'))};
		if (emplog.ConnectorLogger !== ConnectorLogger || !EmplogTransport) process.exit(1);
		new ConnectorLogger({}).info('esm');`);
	const ring = kit.ring();
	const r = await kit.run(kit.NODE, [file], { EMPLOG_RING_DIR: ring });
	assert.strictEqual(r.code, 0, r.err);
	assert.strictEqual(kit.read(ring)[0].message, 'esm');
});
