// SPDX-License-Identifier: ISC
'use strict';
/*
 * core.js - the way of a record: lane, else HTTP, else console
 *
 * What:     one per JavaScript environment.  emit() takes a record apart from
 *           where it shall go; the short way is lib/place.js and one call of
 *           the addon, the long way lib/tame.js and lib/encode.js.
 * Never:    throws, or lets a call inside a call (a getter that logs) write
 *           into the record that is being written.
 */

const { isMainThread } = require('node:worker_threads');

const { place } = require('./place');
const { OFF, settle } = require('./settle');
const trace = require('./trace');
const lines = require('./console');
const { Http } = require('./http');
const { loadAddon } = require('./addon');
const laning = require('./lane');
const { lane, roomFor, refuse } = laning;
const { template, parts, objectOf } = require('./record');

const WARN = 3;
const LEAST = 512;		// with less room there is no use in trying
const DEEP = 3;			// calls inside calls
const WAITING_MAX = 256;
const JOBS_MAX = 64;		// as in a lane

const EAGAIN = -11, ENOSYS = -38;

const core = {
	opened: false,
	conf: null,		// the first logger's
	http: null,
	depth: 0,
	waiting: [],		// records of calls inside calls
	oversize: 0,
	shortened: 0,
	redacted: 0,
	notedHere: new Map(),	// job id: times, where no addon knows them
	said: new Set(),
};

function sayOnce(what) {
	if (core.said.has(what) || core.conf?.level === OFF)
		return;
	core.said.add(what);
	lines.say(what);
}

// ---- opening ----

function atExit() {
	if (core.http !== null && core.conf.console !== 'on' && core.conf.console !== 'off') {
		for (const q of core.http.rest())
			lines.print(2, `${q.text}\n`);
	}
	const rest = core.http === null ? 0 : core.http.rest().length;
	if (rest > 0 && core.conf.level !== OFF)
		lines.say(`${rest} records were not delivered by HTTP`);
	lines.flush();
}

// A thread may die of it and the process go on, or somebody handle it.
function atUncaught(error) {
	try {
		if (isMainThread && process.listenerCount('uncaughtException') === 0 &&
		    !process.hasUncaughtExceptionCaptureCallback())
			lane.addon?.died();
		module.exports.onUncaught?.(error);
	} catch {
		// it ends anyway
	}
}

function open(options) {
	if (core.opened)
		return;
	core.opened = true;
	core.conf = settle(options);
	process.on('exit', atExit);
	if (core.conf.level === OFF)
		return;
	process.on('uncaughtExceptionMonitor', atUncaught);
	const { addon, error } = loadAddon();
	lines.use(addon);
	laning.start(addon, error, core.conf.lane);
	if (!lane.on)
		sayOnce(`no lane (${lane.why}); records go to ${httpName()}`);
	else if (lane.madeRing)
		sayOnce(`${lane.path.slice(0, lane.path.lastIndexOf('/'))} was missing: made for ` +
			'this user only; an agent of another user will refuse it');
	if (process.env.DISABLE_FLUENT_BIT_LOGGING)
		sayOnce('DISABLE_FLUENT_BIT_LOGGING is ignored, EMPLOG_DISABLED=1 turns logging off');
}

function httpName() {
	const { on, host, port } = core.conf.http;
	return on ? `http://${host}:${port}` : 'the console';
}

// ---- HTTP ----

function noteHere(event, id) {
	const now = performance.now();
	const job = core.notedHere.get(id) ?? { received: -1, started: -1 };
	if (event === 3) {
		core.notedHere.delete(id);
		const from = job.started >= 0 ? job.started : job.received;
		return from < 0 ? -1 : Math.floor((now - from) * 1000) / 1000;
	}
	if (core.notedHere.size < JOBS_MAX || core.notedHere.has(id))
		core.notedHere.set(id, job);
	job[event === 1 ? 'received' : 'started'] = now;
	return event === 2 && job.received >= 0 ?
	    Math.floor((now - job.received) * 1000) / 1000 : -1;
}

function note(event, id) {
	if (event === 0 || id === '')
		return -1;
	return lane.addon !== null ? lane.addon.note(event, id) : noteHere(event, id);
}

function fill(t, long, object) {
	const ms = note(t.event, long.jobId);
	if (!long.timed && ms >= 0)
		object[t.event === 2 ? 'queue_ms' : 'duration'] = ms;
}

function byHttp(t, r) {
	if (!core.conf.http.on)
		return ENOSYS;
	if (core.http === null)
		core.http = new Http({ ...core.conf.http, identity: core.conf.identity });
	core.shortened += r.notes.shortened;
	core.redacted += r.notes.redacted;
	if (!core.http.push(t.level, t.jobEnd, JSON.stringify(r.object)))
		return EAGAIN;
	return core.http.circuit === 'closed' ? 0 : 1;
}

// ---- emit ----

function printed(shared, level, r) {
	if (shared.console === 'on')
		return true;
	return shared.console === 'fallback' && r !== 0 &&
	    (r === ENOSYS || r === 1 || !lane.on || level >= WARN);
}

function print(shared, t, object) {
	lines.print(shared.console === 'on' ? 1 : 2, lines.lineOf(object, t.level, shared.json));
}

// A queue without room costs a call next to nothing.
function refusedByHttp(shared, t, jobId) {
	if (lane.on || core.http === null || shared.console !== 'off' ||
	    !core.http.full(t.level, t.jobEnd) || laning.wanted())
		return false;
	core.http.refuse(t.level);
	note(t.event, jobId);
	return true;
}

function emitLong(shared, t, message, who, jobId, data, extra) {
	if (refusedByHttp(shared, t, jobId))
		return;
	const long = parts(t, message, who, jobId, data, extra);
	let r, o;
	if (core.depth > 1) {
		later(shared, t, long);
		return;
	}
	if (laning.wanted()) {
		laning.hasMoved();
		if (lane.on)
			r = laning.packInto(t, long);
	}
	if (r === undefined || printed(shared, t.level, r)) {
		o = objectOf(t, long, shared.identity);
		if (o === undefined) {
			core.oversize++;
			return;
		}
	}
	if (r === undefined) {
		fill(t, long, o.object);
		r = byHttp(t, o);
	}
	if (printed(shared, t.level, r))
		print(shared, t, o.object);
}

// The outer record first: this one's place is taken.
function later(shared, t, long) {
	if (core.waiting.length >= WAITING_MAX) {
		lane.lost[t.level]++;
		return;
	}
	core.waiting.push([shared, t, long]);
}

function emitWaiting() {
	for (const [shared, t, long] of core.waiting.splice(0)) {
		const r = lane.on ? laning.packInto(t, long) : undefined;
		const o = r === undefined || printed(shared, t.level, r) ?
		    objectOf(t, long, shared.identity) : undefined;
		if (o === undefined)
			continue;
		if (r === undefined)
			fill(t, long, o.object);
		const sent = r === undefined ? byHttp(t, o) : r;
		if (printed(shared, t.level, sent))
			print(shared, t, o.object);
	}
}

/*
 * 0 or -errno, or 1: not this way.  Refused at once when there is next to no
 * room, so that a full lane costs a call no more than a free one.
 */
function emitShort(t, message, who, jobId, data, extra) {
	if (laning.hasMoved())
		return 1;
	let room = roomFor(t);
	const most = laning.recordMax();
	if (room < most) {
		if (room < LEAST && refuse(t, LEAST) !== 1)
			return EAGAIN;
		room = roomFor(t);
	}
	const n = place(laning.at(), room, most, t, message, who, jobId, data, extra, t.fieldOf);
	return n < 0 ? 1 : laning.publish(t, n);
}

function tryShort(t, message, who, jobId, data, extra) {
	if (t.second !== null && typeof message !== 'string')
		return 1;
	try {
		return emitShort(t, message, who, jobId, data, extra);
	} catch {
		return 1;	// a getter threw: the long way says so
	}
}

function withSpan(who) {
	const ids = who.traceId === '' ? trace.active() : null;
	return ids === null ? who :
	    { sessionId: who.sessionId, traceId: ids.traceId, spanId: ids.spanId };
}

function printOf(shared, t, message, who, jobId, data, extra) {
	const o = objectOf(t, parts(t, message, who, jobId, data, extra), shared.identity);
	if (o !== undefined)
		print(shared, t, o.object);
}

function emitIn(shared, t, message, logger, jobId, data, extra) {
	const who = withSpan(logger);
	if (core.depth === 1 && lane.on) {
		const r = tryShort(t, message, who, jobId, data, extra);
		if (r <= 0) {
			if (shared.console !== 'off' && printed(shared, t.level, r))
				printOf(shared, t, message, who, jobId, data, extra);
			return;
		}
	}
	emitLong(shared, t, message, who, jobId, data, extra);
}

/*
 * One record.  shared: of the logger {level, console, json, identity}; t its
 * template; who {sessionId, traceId, spanId}; extra: further fields, key and
 * value in turn, or null.
 */
function emit(shared, t, message, who, jobId, data, extra) {
	if (t.level < shared.level) {
		if (t.event > 0 && shared.level !== OFF)
			note(t.event, jobId);
		return;
	}
	if (core.depth >= DEEP) {
		lane.lost[t.level]++;
		return;
	}
	core.depth++;
	try {
		emitIn(shared, t, message, who, jobId, data, extra);
		if (core.depth === 1 && core.waiting.length > 0)
			emitWaiting();
	} catch {
		lane.lost[t.level]++;
	} finally {
		core.depth--;
	}
}

// ---- for people ----

function state() {
	if (!core.opened)
		return 'closed';
	if (core.conf.level === OFF)
		return 'disabled: EMPLOG_DISABLED is set';
	if (lane.on)
		return `lane ${lane.path}${lane.madeRing ? ' (the directory was missing: made ' +
			'0700 for this user only)' : ''}`;
	if (!core.conf.http.on)
		return `console: ${lane.why}`;
	const circuit = core.http === null ? 'closed' : core.http.circuit;
	const error = core.http !== null && core.http.error !== '' ? `, ${core.http.error}` : '';
	return `http ${httpName().slice(7)} (${lane.why}), circuit ${circuit}${error}`;
}

function stats() {
	const ours = lane.addon !== null ? lane.addon.stats() : { written: 0, refused: 0,
		oversize: 0, shortened: 0, redacted: 0, lanes: 0 };
	return {
		written: ours.written,
		refused: ours.refused,
		oversize: ours.oversize + core.oversize,
		shortened: ours.shortened + core.shortened,
		redacted: ours.redacted + core.redacted,
		lanes: ours.lanes,
		lost: lane.lost.reduce((a, b) => a + b, 0),
		http: core.http === null ? null : core.http.stats(),
		console: { ...lines.stats },
	};
}

// Everything the agent does not have yet; a lane needs none of it.
async function flush(ms = 5000) {
	lines.flush();
	return core.http === null ? true : core.http.flush(ms);
}

async function close(ms = 1000) {
	const all = await flush(ms);
	laning.close();
	core.http?.close();
	return all;
}

module.exports = { core, lane, open, emit, template, state, stats, flush, close };
