// SPDX-License-Identifier: ISC
'use strict';
/*
 * bench.js - what a log call costs the main thread, beside its alternatives
 *
 * usage: bench.js [calls]		one line of JSON: case -> ns per call, 5 runs
 *
 * The record is the guide's job_completed.  Every case is warmed up with a
 * tenth of the calls; the collector's work is inside, by running long enough
 * and by a collection (--expose-gc) at the end of each run where there is one.
 * emplog writes bursts that its lane takes whole and waits, untimed, until the
 * agent has emptied it: nothing is refused, or the run says so.  CPU is of the
 * main thread's own time in bursts, so what waiting costs is not in it.
 * EMPLOG_MODULES: where winston and pino are; without it those are left out.
 */

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { createRequire } = require('node:module');

const RUNS = 5;
const CALLS = Number(process.argv[2] ?? 1000000);
const RECORD_BYTES = 320;		// more than one of ours takes
const TAIL_AT = 8192, HEAD_AT = 4096, DATA_AT = 65536;	// shm/lane.h

const { ConnectorLogger, state, stats } = require(process.env.EMPLOG_PACKAGE ??
    path.join(__dirname, '..'));
const IDS = { machineId: 'railway-comfyui-worker-001', workerId: 'comfyui-gpu0',
	serviceType: 'comfyui', connectorId: 'comfyui-local' };
const RECORD = { timestamp: '2025-01-07T12:00:00.000Z', level: 'info',
	message: 'Job completed successfully', event_type: 'job_completed',
	machine_id: IDS.machineId, worker_id: IDS.workerId, service_type: IDS.serviceType,
	connector_id: IDS.connectorId, job_id: 'job-abc123', duration: 15000,
	model: 'sdxl-base', source: 'winston-logger' };

let sink = 0;
const now = process.hrtime.bigint;

function timed(run, n) {
	const start = now();
	run(n);
	globalThis.gc?.();
	return Number(now() - start) / n;
}

function lane() {
	const file = fs.openSync(state().replace(/^lane (\S+).*$/, '$1'), 'r');
	const word = Buffer.alloc(8);
	const at = (where) => {
		fs.readSync(file, word, 0, 8, where);
		return word.readBigUInt64LE();
	};
	const room = fs.fstatSync(file).size - DATA_AT;
	return { burst: Math.floor(room / 2 / RECORD_BYTES), drained() {
		while (at(TAIL_AT) !== at(HEAD_AT))
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
	} };
}

function burstsOf(call, { burst, drained }) {
	return (n) => {
		let spent = 0n;
		for (let left = n; left > 0; left -= burst) {
			const start = now();
			call(Math.min(burst, left));
			spent += now() - start;
			drained();
		}
		const start = now();
		globalThis.gc?.();
		return Number(spent + now() - start) / n;
	};
}

function emplog(console) {
	const logger = new ConnectorLogger(IDS, { console });
	const call = (n) => {
		for (let i = 0; i < n; i++)
			logger.withJobContext('job-abc123').jobCompleted({ jobId: 'job-abc123',
				duration: 15000, model: 'sdxl-base' });
	};
	return burstsOf(call, lane());
}

function stringify(n) {
	return timed((m) => {
		for (let i = 0; i < m; i++) {
			RECORD.duration = 15000 + (i & 15);
			sink += JSON.stringify(RECORD).length;
		}
	}, n);
}

function winstonConsole(need) {
	const winston = need('winston');
	const logger = winston.createLogger({ format: winston.format.combine(
		winston.format.timestamp(), winston.format.json()),
	transports: [new winston.transports.Console()] });
	return (n) => timed((m) => {
		for (let i = 0; i < m; i++)
			logger.info('Job completed successfully', { ...RECORD });
	}, n);
}

// The shape of the old transport: a POST of its own for each line.
async function winstonHttp(need, n) {
	const winston = need('winston');
	const { Writable } = require('node:stream');
	const server = http.createServer((req, res) => {
		req.resume();
		req.on('end', () => res.writeHead(201).end());
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address();
	let flying = 0;
	const transport = new Writable({ objectMode: true, write(info, _e, done) {
		transport.log(info, done);
	} });
	transport.log = (info, done) => {
		flying++;
		const req = http.request({ host: '127.0.0.1', port, path: '/', method: 'POST',
			agent: false, headers: { 'Content-Type': 'application/json' } }, (res) => {
			res.resume();
			res.on('end', () => flying--);
		});
		req.on('error', () => flying--);
		req.end(JSON.stringify(info));
		done();
	};
	const logger = winston.createLogger({ transports: [transport] });
	const runs = [];
	for (let r = 0; r < RUNS + 1; r++) {
		const cpu = process.cpuUsage();
		for (let left = n; left > 0; left -= 100) {
			for (let i = 0; i < 100; i++)
				logger.info('Job completed successfully', { ...RECORD });
			while (flying > 0)
				await new Promise(setImmediate);
		}
		const used = process.cpuUsage(cpu);
		runs.push((used.user + used.system) * 1000 / n);
	}
	server.close();
	server.closeAllConnections();
	return runs.slice(1);
}

function pinoFile(need, file) {
	const pino = need('pino');
	const logger = pino({ base: null }, pino.destination({ dest: file, sync: true }));
	return (n) => timed((m) => {
		for (let i = 0; i < m; i++)
			logger.info({ ...RECORD }, 'Job completed successfully');
	}, n);
}

function series(run, n) {
	run(n / 10);
	const out = [];
	for (let i = 0; i < RUNS; i++)
		out.push(run(n));
	return out;
}

async function main() {
	const out = {};
	// Each beside the other, so that both meet the same machine.
	const off = emplog('off');
	off(CALLS / 5);
	stringify(CALLS / 5);
	out.emplog = [];
	out.stringify = [];
	for (let i = 0; i < RUNS; i++) {
		out.emplog.push(off(CALLS));
		out.stringify.push(stringify(CALLS));
	}
	const { refused, oversize, written } = stats();
	out.refused = refused + oversize;
	out.written = written;
	if (process.argv[3] !== 'short') {
		out.emplog_console = series(emplog('on'), CALLS / 10);
		if (process.env.EMPLOG_MODULES) {
			const need = createRequire(path.join(process.env.EMPLOG_MODULES, 'x'));
			out.winston_console = series(winstonConsole(need), CALLS / 10);
			out.winston_http = await winstonHttp(need, CALLS / 500);
			const file = path.join(process.env.BENCH_DIR ?? '/tmp', 'pino.log');
			out.pino_file = series(pinoFile(need, file), CALLS / 10);
			fs.rmSync(file, { force: true });
		}
	}
	out.sink = sink > 0;
	fs.writeSync(Number(process.env.BENCH_FD ?? 2), `${JSON.stringify(out)}\n`);
}

main();
