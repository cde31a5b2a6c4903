// SPDX-License-Identifier: ISC
//
// connector.js - a worker that logs in the shape of the old transport
//
// usage: connector.js PORT NUMBER RECORDS_PER_SECOND SIDE_FILE
//
// One POST and one connection a line, no queue, no retry; an answer that is
// not 2xx or an error of the network is an error event, which ends the
// process by way of winston's handlers.  A logger with a job's context adds a
// transport to the logger it shares, so lines are posted once more with each
// job.  Runs until a line comes on stdin, waits for the answers under way,
// and writes what it saw into the side file.
'use strict';

const fs = require('fs');
const http = require('http');
const fetch = require('node-fetch');
const winston = require('winston');

const [port, number, rate, side] = process.argv.slice(2);
const JOBS = 2;			// in a process's life: so many transports more
const WARM = 400;		// calls before the measured ones
const TICK = 10;		// ms
const GRACE = 20000;		// ms for the answers under way

const seen = { lines: 0, posts: 0, answers: 0, events: 0, errors: [], p50_us: 0, p99_us: 0,
	cpu_p99_us: 0 };
const took = [], cpu = [];

class OldTransport extends winston.Transport {
	log(info, done) {
		const { timestamp, ...rest } = info;
		const body = JSON.stringify({ timestamp, ...rest, source: 'winston-logger',
			logger_name: info.service });
		seen.posts++;
		fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, timeout: 5000,
			agent: new http.Agent({ keepAlive: false }),
			headers: { 'Content-Type': 'application/json' } })
		.then((r) => {
			if (!r.ok)
				throw new Error(`status ${r.status}`);
			seen.answers++;
		}).catch((e) => {
			seen.events++;
			if (seen.errors.length < 10)
				seen.errors.push(`${Date.now()} ${e.message}`);
			this.emit('error', e);
		});
		done();
	}
}

const shared = winston.createLogger({
	level: 'info',
	format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
	defaultMeta: { service: 'old-logger', worker_id: `worker-${number}` },
	transports: [new winston.transports.Console({ silent: true, handleExceptions: true,
		handleRejections: true })],
});

function job_logger(job) {
	const child = shared.child({ component: 'connector', service_type: 'simulation' });
	child.add(new OldTransport());
	return (message, meta) => child.info(message, { job_id: job, ...meta });
}

function log_one(log) {
	const used = process.cpuUsage(), start = process.hrtime.bigint();
	log('Job progress update', { event_type: 'job_progress', p: Number(number), n: seen.lines });
	took.push(Number(process.hrtime.bigint() - start) / 1000);
	const { user, system } = process.cpuUsage(used);
	cpu.push(user + system);
	seen.lines++;
}

function part_of(values, part) {
	values.sort((a, b) => a - b);
	return Math.round(values[Math.floor(values.length * part)] || 0);
}

function finish() {
	took.splice(0, WARM);
	cpu.splice(0, WARM);
	seen.p50_us = part_of(took, 0.5);
	seen.p99_us = part_of(took, 0.99);
	seen.cpu_p99_us = part_of(cpu, 0.99);
	fs.writeFileSync(side, JSON.stringify(seen));
}

process.on('exit', finish);

let log = job_logger('job-0'), jobs = 1;
const begun = Date.now();
const timer = setInterval(() => {
	const due = Math.floor((Date.now() - begun) * rate / 1000);
	while (seen.lines < due)
		log_one(log);
	if (jobs < JOBS && seen.lines >= jobs * 200)
		log = job_logger(`job-${jobs++}`);
}, TICK);

process.stdin.once('data', () => {
	clearInterval(timer);
	const end = Date.now() + GRACE;
	const wait = setInterval(() => {
		if (seen.answers + seen.events === seen.posts || Date.now() > end)
			process.exit();
	}, TICK);
});
process.stdout.write('ready\n');
