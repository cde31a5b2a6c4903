// SPDX-License-Identifier: ISC
//
// connector.js - a worker that logs in the shape of the old transport
//
// usage: connector.js PORT NUMBER RECORDS_PER_SECOND JOBS SIDE_FILE
//
// One POST and one connection a line, no queue, no retry; an answer that is
// not 2xx or an error of the network is an error event, which ends the
// process by way of winston's handlers.  The connector's logger adds a transport
// to the logger it shares, and so does that of each job, so a line of job k is
// posted k + 1 times.  Begins at a line on stdin, ends at a second one, waits for
// the answers under way, and writes what it saw into the side file.
//
// Each call is measured by the clock and by the processor's time, and behind
// each one a control: a loop without calls, as long as the usual call.  What
// the control's slowest hundredth takes longer than that, the machine took.
'use strict';

const fs = require('fs');
const http = require('http');
const fetch = require('node-fetch');
const winston = require('winston');

const [port, number, rate, jobs_most, side] = process.argv.slice(2);
const JOB_LINES = 1000;		// of a job, until the last
const WARM = 400;		// calls before the measured ones
const TICK = 10;		// ms
const BURST = 8;		// lines in a tick at most
const GRACE = 20000;		// ms for the answers under way

const seen = { lines: 0, posts: 0, answers: 0, events: 0, errors: [], lines_of_job: [],
	posts_of_job: [], p50_us: 0, p99_us: 0, cpu_p99_us: 0, control_p50_us: 0,
	control_p99_us: 0, lag_ms: 0 };
const took = [], cpu = [], control = [];
let job = 0, control_ns = 0n;

class OldTransport extends winston.Transport {
	log(info, done) {
		const { timestamp, ...rest } = info;
		const body = JSON.stringify({ timestamp, ...rest, source: 'winston-logger',
			logger_name: info.service });
		seen.posts++;
		if (info.k !== undefined)
			seen.posts_of_job[info.k]++;
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

function logger_of(context) {
	const child = shared.child({ component: 'connector', service_type: 'simulation' });
	child.add(new OldTransport());
	seen.lines_of_job.push(0);
	seen.posts_of_job.push(0);
	return (message, meta) => child.info(message, { ...context, ...meta });
}

// Without a call, so that nothing of it is ours.
function spin(ns) {
	const start = process.hrtime.bigint();
	let now = start;
	while (now - start < ns)
		now = process.hrtime.bigint();
	return Number(now - start) / 1000;
}

function log_one(log) {
	const used = process.cpuUsage(), start = process.hrtime.bigint();
	log('Job progress update', { event_type: 'job_progress', p: Number(number), n: seen.lines,
		k: job });
	took.push(Number(process.hrtime.bigint() - start) / 1000);
	const { user, system } = process.cpuUsage(used);
	cpu.push(user + system);
	seen.lines_of_job[job]++;
	seen.lines++;
	if (took.length === WARM)
		control_ns = BigInt(part_of([...took], 0.5)) * 1000n;
	if (control_ns > 0n)
		control.push(spin(control_ns));
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
	seen.control_p50_us = part_of(control, 0.5);
	seen.control_p99_us = part_of(control, 0.99);
	fs.writeFileSync(side, JSON.stringify(seen));
}

process.on('exit', finish);

let log = logger_of({}), timer;

function begin() {
	const begun = Date.now();
	let last = begun;
	timer = setInterval(() => {
		// The longest it was kept from running: at 5 s its patience is over.
		seen.lag_ms = Math.max(seen.lag_ms, Date.now() - last);
		last = Date.now();
		const due = Math.floor((last - begun) * rate / 1000);
		// What the machine kept it from logging is made up for little by
		// little: a worker has no thousands of lines to say at once.
		for (let n = 0; n < BURST && seen.lines < due; n++)
			log_one(log);
		if (job < Number(jobs_most) && seen.lines_of_job[job] >= JOB_LINES)
			log = logger_of({ job_id: `job-${++job}` });
	}, TICK);
}

function end() {
	clearInterval(timer);
	const until = Date.now() + GRACE;
	setInterval(() => {
		if (seen.answers + seen.events === seen.posts || Date.now() > until)
			process.exit();
	}, TICK);
}

// A line to begin, when all are there, and one to end.
process.stdin.once('data', () => {
	begin();
	process.stdin.once('data', end);
});
process.stdout.write('ready\n');
