// SPDX-License-Identifier: ISC
'use strict';
/*
 * http.js - records by HTTP, where there is no lane
 *
 * What:     a bounded queue, sent as JSON arrays on one connection, removed
 *           when the agent says they are safe (Emplog-Ack: agent; any 2xx of
 *           another receiver counts as well).
 * Never:    keeps the process alive, throws, or drops without a count: what
 *           finds no room is refused by severity, and a gap record says so.
 *
 * Circuit:  closed - sending; open - after FAILURES in a row nothing is sent
 *           until a jittered wait is over; half-open - one batch tries.
 */

const http = require('node:http');

const BATCH_BYTES = 256 << 10;
const BATCH_RECORDS = 1000;
const GATHER_MS = 20;
const TIMEOUT_MS = 5000;
const WAIT_MS = 200;		// doubled with each failure
const WAIT_MAX_MS = 30000;
const FAILURES = 5;
const LEAST = 256;		// of a record
const OVERHEAD = 64;		// of a queued record beside its text
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

function zeros() {
	return [0, 0, 0, 0, 0, 0];
}

class Http {
	constructor(conf) {
		this.conf = conf;
		this.circuit = 'closed';
		this.queue = [];
		this.bytes = 0;
		this.flying = 0;	// records of the request under way
		this.failures = 0;
		this.half = 0;		// a batch this large was too large
		this.timer = null;
		this.waiters = [];
		this.sent = 0;
		this.dropped = zeros();	// by severity: no room
		this.told = zeros();
		this.gapFirst = 0;
		this.gapLast = 0;
		this.rejected = 0;	// the receiver will not have them
		this.error = '';
		this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	}

	// The least severe find no room first, as in a lane.
	room(level, jobEnd) {
		const max = this.conf.maxBytes;
		if (jobEnd)
			return max;
		return level < 3 ? max - max / 8 : max - max / 32;
	}

	push(level, jobEnd, text) {
		const bytes = text.length + OVERHEAD;
		if (this.bytes + bytes > this.room(level, jobEnd)) {
			this.refuse(level);
			return false;
		}
		this.queue.push({ text, bytes, level });
		this.bytes += bytes;
		if (this.flying === 0)
			this.plan(GATHER_MS);
		return true;
	}

	refuse(level) {
		const now = Date.now();
		if (this.untold() === 0)
			this.gapFirst = now;
		this.gapLast = now;
		this.dropped[level]++;
	}

	// There is no use in making a record for it.
	full(level, jobEnd) {
		return this.bytes + LEAST > this.room(level, jobEnd);
	}

	untold() {
		let n = 0;
		for (let i = 0; i < 6; i++)
			n += this.dropped[i] - this.told[i];
		return n;
	}

	plan(ms) {
		if (this.timer !== null)
			return;
		this.timer = setTimeout(() => {
			this.timer = null;
			this.send();
		}, ms);
		this.timer.unref();
	}

	batch() {
		let n = 0;
		let bytes = 0;
		const most = this.circuit === 'half-open' ? 1 : this.half || BATCH_RECORDS;
		while (n < this.queue.length && n < most &&
		    (n === 0 || bytes + this.queue[n].bytes <= BATCH_BYTES))
			bytes += this.queue[n++].bytes;
		return n;
	}

	send() {
		if (this.flying > 0)
			return;
		if (this.queue.length === 0) {
			this.wake();
			return;
		}
		if (this.circuit === 'open')
			this.circuit = 'half-open';
		this.flying = this.batch();
		const body = Buffer.from(`[${this.queue.slice(0, this.flying).map((q) =>
		    q.text).join(',')}]`);
		try {
			this.post(body);
		} catch (e) {
			this.failed(e.message, 0);
		}
	}

	post(body) {
		const { host, port, path } = this.conf;
		let over = false;
		const done = (status, retryAfter, why) => {
			if (over)
				return;
			over = true;
			clearTimeout(late);
			this.answered(status, retryAfter, why);
		};
		const req = http.request({ host, port, path, method: 'POST', agent: this.agent,
			headers: { 'Content-Type': 'application/json', 'Content-Length': body.length,
				'Emplog-Ack': 'agent' } }, (res) => {
			res.on('error', () => {});
			res.on('end', () => done(res.statusCode, res.headers['retry-after'], ''));
			res.on('close', () => done(0, undefined, 'the answer was cut off'));
			res.resume();
		});
		const late = setTimeout(() => {
			req.destroy();
			done(0, undefined, 'no answer in time');
		}, TIMEOUT_MS);
		late.unref();
		req.on('socket', (s) => s.unref());
		req.on('error', (e) => done(0, undefined, e.code ?? e.message));
		req.end(body);
	}

	answered(status, retryAfter, why) {
		const n = this.flying;
		this.flying = 0;
		if (status >= 200 && status < 300)
			return this.delivered(n);
		if (status === 413 && n > 1) {
			this.half = Math.max(1, n >> 1);
			return this.plan(0);
		}
		if (status === 400 || status === 413 || status === 422) {
			if (n > 1) {	// one of them, perhaps
				this.half = Math.max(1, n >> 1);
				return this.plan(0);
			}
			this.rejected += n;
			this.remove(n);
			this.error = `answer ${status}`;
			return this.plan(0);
		}
		return this.failed(why || `answer ${status}`,
			status === 503 || status === 429 ? Number(retryAfter) * 1000 || 0 : 0);
	}

	remove(n) {
		for (const q of this.queue.splice(0, n))
			this.bytes -= q.bytes;
	}

	delivered(n) {
		this.sent += n;
		this.remove(n);
		this.failures = 0;
		this.circuit = 'closed';
		this.error = '';
		if (this.half > 0)
			this.half = Math.min(this.half * 2, BATCH_RECORDS);
		this.tellGap();
		if (this.queue.length > 0)
			this.send();
		else
			this.wake();
	}

	failed(why, waitMs) {
		this.flying = 0;
		this.failures++;
		this.error = why;
		if (this.failures >= FAILURES || this.circuit === 'half-open')
			this.circuit = 'open';
		const most = Math.min(WAIT_MS * 2 ** Math.min(this.failures, 10), WAIT_MAX_MS);
		this.plan(Math.min(waitMs, WAIT_MAX_MS) || most / 2 + Math.random() * most / 2);
		if (this.circuit === 'open')
			this.wake();
	}

	tellGap() {
		const refused = this.untold();
		if (refused === 0)
			return;
		const gap = { timestamp: new Date().toISOString(), level: 'warn',
			message: 'records refused: the queue was full', event_type: 'emplog_gap',
			...this.conf.identity, refused };
		for (let i = 0; i < 6; i++) {
			if (this.dropped[i] > this.told[i])
				gap[`refused_${LEVELS[i]}`] = this.dropped[i] - this.told[i];
		}
		gap.first_ms = this.gapFirst;
		gap.last_ms = this.gapLast;
		const told = [...this.dropped];
		if (this.push(5, true, JSON.stringify(gap)))
			this.told = told;
	}

	wake() {
		for (const w of this.waiters.splice(0))
			w();
	}

	// Resolves to whether everything was taken within ms.
	flush(ms) {
		if (this.queue.length === 0)
			return Promise.resolve(true);
		return new Promise((resolve) => {
			const timer = setTimeout(() => resolve(this.queue.length === 0), ms);
			this.waiters.push(() => {
				clearTimeout(timer);
				resolve(this.queue.length === 0);
			});
			clearTimeout(this.timer);
			this.timer = null;
			this.send();
		});
	}

	// What is still here when the process ends.
	rest() {
		return this.queue;
	}

	close() {
		clearTimeout(this.timer);
		this.agent.destroy();
	}

	stats() {
		return { circuit: this.circuit, queued: this.queue.length, queuedBytes: this.bytes,
			sent: this.sent, rejected: this.rejected,
			dropped: this.dropped.reduce((a, b) => a + b, 0),
			droppedByLevel: Object.fromEntries(LEVELS.map((l, i) => [l, this.dropped[i]])),
			failures: this.failures, error: this.error };
	}
}

module.exports = { Http };
