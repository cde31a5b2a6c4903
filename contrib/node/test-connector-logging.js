#!/usr/bin/env node
// SPDX-License-Identifier: ISC
'use strict';
/*
 * test-connector-logging.js - one of each event, and where it arrived
 *
 * usage: test-connector-logging.js [--relay=http://host:port] [--emplogd=path]
 *
 * Uses the environment as a worker does (MACHINE_ID, FLUENT_BIT_HOST, ...).
 * With a lane each record is looked up in it (by emplogd tail where there is
 * one, else counted); by HTTP the agent's answer counts.  --relay also posts a
 * record to the relay's /test.  Exits 1 when anything did not arrive.
 */

const http = require('node:http');
const { execFileSync } = require('node:child_process');
const emplog = require('./index.js');

const args = new Map(process.argv.slice(2).map((a) => a.replace(/^--/, '').split('=')));
const id = `test-${process.pid}-${Date.now()}`;
let bad = 0;

function say(name, ok, where) {
	if (!ok)
		bad++;
	console.log(`${name.padEnd(20)} ${ok ? 'ok ' : 'BAD'} ${where}`);
}

function events(logger) {
	const job = logger.withJobContext(id);
	return [
		['job_received', () => job.jobReceived({ jobId: id, model: 'sdxl-base', inputSize: 512 })],
		['job_started', () => job.jobStarted({ jobId: id })],
		['job_progress', () => job.jobProgress({ jobId: id, progress: 50 })],
		['job_completed', () => job.jobCompleted({ jobId: id, outputSize: 9 })],
		['job_failed', () => job.jobFailed({ jobId: id, error: 'Request timeout after 1 ms' })],
		['health_check', () => logger.healthCheck('healthy', { api_available: true, test: id })],
		['service_test', () => logger.serviceEvent('test', 'a service event', { test: id })],
		['message', () => logger.info('a message', { test: id, event_type: 'message' })],
	];
}

// What the lanes of this host hold of this run: text, or null without a verb.
function tail(dir) {
	try {
		return execFileSync(args.get('emplogd') ?? 'emplogd', [`--set=common.ring_dir=${dir}`,
			'tail', '-n', '1000', '--json'], { encoding: 'utf8', timeout: 10000,
			stdio: ['ignore', 'pipe', 'ignore'] });
	} catch {
		return null;
	}
}

function byLane(state, list) {
	const file = state.replace(/^lane (\S+).*$/, '$1');
	const lines = (tail(file.slice(0, file.lastIndexOf('/'))) ?? '').split('\n')
		.filter((l) => l.includes(id));
	for (const [name, written] of list) {
		const seen = lines.some((l) => l.includes(`"${name}"`));
		say(name, written, `in the lane ${file}${seen ? ', seen by emplogd tail' : ''}`);
	}
}

async function byHttp(logger, list) {
	const all = await logger.flush(15000);
	for (const [name, written] of list)
		say(name, written && all, all ? `taken by ${logger.state}` :
			`NOT delivered: ${logger.state}`);
}

function relayTest(url) {
	return new Promise((resolve) => {
		const req = http.request(new URL('/test', url), { method: 'POST',
			headers: { 'Content-Type': 'application/json' }, timeout: 5000 }, (res) => {
			let text = '';
			res.on('data', (d) => { text += d; });
			res.on('end', () => resolve(`${res.statusCode} ${text.trim().slice(0, 200)}`));
		});
		req.on('error', (e) => resolve(`no answer: ${e.code ?? e.message}`));
		req.on('timeout', () => req.destroy(new Error('timeout')));
		req.end(JSON.stringify({ test: 'message', job_id: id }));
	});
}

async function main() {
	const logger = new emplog.ConnectorLogger({}, { console: 'off' });
	console.log(`records go to: ${logger.state}`);
	const list = events(logger).map(([name, call]) => {
		const before = emplog.stats();
		call();
		const now = emplog.stats();
		return [name, now.written + (now.http?.queued ?? 0) + (now.http?.sent ?? 0) >
			before.written + (before.http?.queued ?? 0) + (before.http?.sent ?? 0)];
	});
	if (logger.state.startsWith('lane '))
		byLane(logger.state, list);
	else
		await byHttp(logger, list);
	if (args.has('relay')) {
		const answer = await relayTest(args.get('relay'));
		say('POST /test', answer.startsWith('2'), answer);
	}
	process.exit(bad > 0 ? 1 : 0);
}

// Nothing of HTTP keeps a process alive: this one wants to know.
setTimeout(() => process.exit(1), 30000);
main();
