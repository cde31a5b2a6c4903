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

const text = require('./text');
const { Pairs, Tamer, tameFields } = require('./tame');
const { LEVELS, HEAD_BYTES, keyOf, pack, plain, toObject, fixedOf } = require('./encode');
const placing = require('./place');
const { setMemory, place, placeBytes } = placing;
const { RULE_JOB, RULE_TIMED, RULE_LONG } = require('./names');
const { OFF, settle } = require('./settle');
const trace = require('./trace');
const lines = require('./console');
const { Http } = require('./http');
const { loadAddon } = require('./addon');

// The addon's words; src/addon.c has the same list.
const W_BYTES = 0, W_LEVEL = 1, W_EVENT = 2, W_ID_AT = 3, W_ID_LEN = 4, W_FILL = 5, W_END = 6,
	W_SHORTENED = 7, W_REDACTED = 8, W_AT = 9, W_ROOM_INFO = 10, W_ROOM_WARN = 11,
	W_ROOM_END = 12, W_MOVED = 13, W_RESULT = 14, W_RECORD_MAX = 15;

const WARN = 3;
const LIMIT = 256 << 10;	// of a record where no lane says another
const RETRY_MS = 1000;		// between tries to get a lane
const LEAST = 512;		// with less room there is no use in trying
const DEEP = 3;			// calls inside calls
const WAITING_MAX = 256;
const JOBS_MAX = 64;		// as in a lane

const EAGAIN = -11, EINVAL = -22, ENOSYS = -38, E2BIG = -7;
const WHY = { '-28': 'no room for a lane', '-40': 'is a symbolic link',
	'-20': 'is not a directory', '-13': 'permission denied', '-1': 'belongs to another ' +
	'user, or others may write to it without the sticky bit', '-27': 'the file size limit ' +
	'(ulimit -f) is below a lane\'s size', '-2': 'its parent is missing',
	'-30': 'read-only file system', '-24': 'too many threads have lanes',
	'-38': 'the lane is gone', '-12': 'out of memory',
	'-95': 'this runtime maps no outside memory' };

const core = {
	opened: false,
	conf: null,		// the first logger's
	addon: null,
	words: new Int32Array(16),
	lane: false,
	laneIdentity: {},	// what need not be said in each record
	generation: 1,		// of what templates depend on
	why: '',
	path: '',
	madeRing: false,
	moved: 0,
	tried: 0,
	http: null,
	depth: 0,
	waiting: [],		// records of calls inside calls
	lost: [0, 0, 0, 0, 0, 0],
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

// ---- the lane ----

// A map of short texts, as ident_map() writes it.
function identityOf(bytes) {
	const out = {};
	let p = 1;
	const next = () => {
		const n = bytes[p] === 0xd9 ? bytes[p + 1] : bytes[p] & 0x1f;
		p += bytes[p] === 0xd9 ? 2 : 1;
		p += n;
		return bytes.toString('utf8', p - n, p);
	};
	for (let n = bytes.length > 0 ? bytes[0] & 0x0f : 0; n > 0; n--) {
		const key = next();
		out[key] = next();
	}
	return out;
}

function laneOpened(r) {
	setMemory(r.data);
	core.lane = true;
	core.path = r.path;
	core.madeRing = r.madeRing !== 0;
	core.moved = core.words[W_MOVED];
	core.why = '';
	core.laneIdentity = identityOf(Buffer.from(r.identity));
	core.generation++;
}

function laneLost(error, dir) {
	core.lane = false;
	core.why = error === null ? 'the addon is not built' :
	    `${dir || 'the ring'}: ${WHY[error] ?? `error ${-error}`}`;
	core.laneIdentity = {};
	core.generation++;
}

function laneTry(now) {
	core.tried = now;
	const r = core.addon.open(core.conf.lane);
	if (typeof r === 'number')
		laneLost(r, core.conf.lane.ringDirUsed);
	else
		laneOpened(r);
	return core.lane;
}

function laneMoved() {
	const r = core.addon.view();
	core.moved = core.words[W_MOVED];
	if (r === undefined) {
		laneLost(ENOSYS, '');
		return;
	}
	setMemory(r.data);
	core.path = r.path;
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
			core.addon?.died();
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
	core.addon = addon;
	lines.use(addon);
	if (addon !== null) {
		core.words = addon.words;
		laneTry(Date.now());
	} else {
		laneLost(null, '');
		core.why = error;
	}
	if (!core.lane)
		sayOnce(`no lane (${core.why}); records go to ${httpName()}`);
	else if (core.madeRing)
		sayOnce(`${core.path.slice(0, core.path.lastIndexOf('/'))} was missing: made for ` +
			'this user only; an agent of another user will refuse it');
	if (process.env.DISABLE_FLUENT_BIT_LOGGING)
		sayOnce('DISABLE_FLUENT_BIT_LOGGING is ignored, EMPLOG_DISABLED=1 turns logging off');
}

function httpName() {
	const { on, host, port } = core.conf.http;
	return on ? `http://${host}:${port}` : 'the console';
}

// ---- templates: what is the same in each record of a kind ----

/*
 * {first, second, pairs, ...}: first is all up to the message, and with a
 * fixed message all; second what follows a message that is not.
 */
function template(t, values) {
	const fixed = fixedOf(values);
	const level = fixedOf({ level: LEVELS[t.level] });
	const head = Buffer.alloc(HEAD_BYTES);
	head.set([0x92, 0xd7, 0]);
	head[HEAD_BYTES - 3] = 0xde;
	const key = keyOf('message').bytes;
	const message = t.message === null ? null :
	    fixedOf({ message: t.message }).bytes;
	const first = message === null ? [head, level.bytes, key] :
	    [head, level.bytes, message, fixed.bytes];
	return {
		level: t.level,
		event: t.event,
		jobEnd: t.event === 3,
		first: Uint8Array.from(Buffer.concat(first)),
		second: message === null ? fixed.bytes : null,
		pairs: 2 + fixed.pairs,
		message: t.message,
		fixed,
		fieldOf: t.fieldOf,
	};
}

// ---- the long way ----

// Of anything: an error's own message, an object as JSON without its secrets.
function messageText(m, tamer) {
	if (typeof m === 'string')
		return m;
	if (m === undefined || m === null)
		return '';
	const v = tamer.value(m, 1);
	if (v instanceof Pairs && m instanceof Error)
		return String(v.values[v.keys.indexOf('message')] ?? '');
	return typeof v === 'object' ?
	    JSON.stringify(plain(v, false, text.CAP, { shortened: 0, redacted: 0, original: 0 })) :
	    String(v);
}

function parts(t, message, who, jobId, data, extra) {
	const tamer = new Tamer();
	const pairs = new Pairs();
	let timed = false;
	let ids = who.traceId !== '' ? who : null;
	const said = t.message === null ? messageText(message, tamer) : t.message;
	if (jobId !== '')
		pairs.add('job_id', jobId);
	if (who.sessionId !== '')
		pairs.add('session_id', who.sessionId);
	for (let i = 0; extra !== null && i < extra.length; i += 2)
		pairs.add(extra[i], tamer.value(extra[i + 1], 1));
	const fields = tameFields(data, tamer);
	for (let i = 0; i < fields.keys.length; i++) {
		const k = t.fieldOf(fields.keys[i]);
		if (k.rule === RULE_JOB && jobId !== '')
			continue;
		if (k.rule === RULE_TIMED)
			timed = true;
		if (k.rule === RULE_LONG) {
			ids = trace.parse(fields.values[i]) ?? ids;
			continue;
		}
		pairs.add(k.name, fields.values[i]);
	}
	if (ids !== null) {
		pairs.add('trace_id', ids.traceId);
		pairs.add('span_id', ids.spanId);
	}
	return { rec: { level: t.level, message: said, fixed: t.fixed, pairs, cut: tamer.cut },
		timed, jobId };
}

function published(t) {
	const w = core.words;
	core.addon.publish();
	if (w[W_MOVED] !== core.moved)
		laneMoved();
	if (w[W_RESULT] === EINVAL)
		core.lost[t.level]++;
	return w[W_RESULT];
}

function publishPacked(t, packed, jobId, timed) {
	const w = core.words;
	const bytes = packed.bytes;
	placeBytes(w[W_AT], bytes);
	w[W_BYTES] = bytes.length;
	w[W_LEVEL] = t.level;
	w[W_EVENT] = 0;
	w[W_END] = t.jobEnd ? 1 : 0;
	w[W_SHORTENED] = packed.notes.shortened;
	w[W_REDACTED] = packed.notes.redacted;
	if (t.event > 0 && jobId !== '') {
		const key = keyOf('job_id').bytes;
		const at = bytes.indexOf(key, t.fixed.bytes.length) + key.length;
		const head = bytes[at] < 0xc0 ? 1 : bytes[at] === 0xd9 ? 2 : 3;
		w[W_EVENT] = t.event;
		w[W_ID_AT] = at + head;
		w[W_ID_LEN] = head === 1 ? bytes[at] & 0x1f : head === 2 ? bytes[at + 1] :
		    bytes.readUInt16BE(at + 1);
		w[W_FILL] = timed ? 0 : 1;
	}
	return published(t);
}

function roomFor(t) {
	return t.jobEnd ? core.words[W_ROOM_END] :
	    t.level >= WARN ? core.words[W_ROOM_WARN] : core.words[W_ROOM_INFO];
}

// No room for so many bytes: counted, unless there is meanwhile.
function refuse(t, bytes) {
	const w = core.words;
	w[W_BYTES] = bytes;
	w[W_LEVEL] = t.level;
	w[W_END] = t.jobEnd ? 1 : 0;
	core.addon.refuse();
	return w[W_RESULT];
}

function packInto(t, long) {
	const packed = pack(long.rec, core.words[W_RECORD_MAX]);
	if (packed === undefined) {
		core.addon.oversize();
		return E2BIG;
	}
	const need = packed.worst + 64;
	if (roomFor(t) < Math.min(need, core.words[W_RECORD_MAX]) && refuse(t, need) !== 1)
		return EAGAIN;
	return publishPacked(t, packed, long.jobId, long.timed);
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
	return core.addon !== null ? core.addon.note(event, id) : noteHere(event, id);
}

function objectOf(t, long, identity) {
	const r = toObject(long.rec, Date.now(), LIMIT);
	if (r === undefined)
		return undefined;
	for (const key of Object.keys(identity)) {
		if (r.object[key] === undefined)
			r.object[key] = identity[key];
	}
	return r;
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

function laneWanted() {
	if (core.lane || core.addon === null)
		return core.lane;
	const now = Date.now();
	return now - core.tried >= RETRY_MS || now < core.tried ? laneTry(now) : false;
}

function printed(shared, level, r) {
	if (shared.console === 'on')
		return true;
	return shared.console === 'fallback' && r !== 0 &&
	    (r === ENOSYS || r === 1 || !core.lane || level >= WARN);
}

function print(shared, t, object) {
	lines.print(shared.console === 'on' ? 1 : 2, lines.lineOf(object, t.level, shared.json));
}

// A queue without room costs a call next to nothing.
function refusedByHttp(shared, t, jobId) {
	if (core.lane || core.http === null || shared.console !== 'off' ||
	    !core.http.full(t.level, t.jobEnd) || laneWanted())
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
	if (laneWanted()) {
		if (core.words[W_MOVED] !== core.moved)
			laneMoved();
		if (core.lane)
			r = packInto(t, long);
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
		core.lost[t.level]++;
		return;
	}
	core.waiting.push([shared, t, long]);
}

function emitWaiting() {
	for (const [shared, t, long] of core.waiting.splice(0)) {
		const r = core.lane ? packInto(t, long) : undefined;
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

// Publishes what place() wrote.
function publish(t, n) {
	const w = core.words;
	const notes = placing.notes;
	w[W_BYTES] = n;
	w[W_LEVEL] = t.level;
	w[W_END] = t.jobEnd ? 1 : 0;
	w[W_SHORTENED] = 0;
	w[W_REDACTED] = notes.redacted;
	if (t.event > 0 && notes.idLength > 0) {
		w[W_EVENT] = t.event;
		w[W_ID_AT] = notes.idAt - w[W_AT];
		w[W_ID_LEN] = notes.idLength;
		w[W_FILL] = notes.timed ? 0 : 1;
	} else {
		w[W_EVENT] = 0;
	}
	return published(t);
}

/*
 * 0 or -errno, or 1: not this way.  Refused at once when there is next to no
 * room, so that a full lane costs a call no more than a free one.
 */
function emitShort(t, message, who, jobId, data, extra) {
	const w = core.words;
	if (w[W_MOVED] !== core.moved) {	// an overflowing stack kept us from it
		laneMoved();
		return 1;
	}
	let room = roomFor(t);
	if (room < w[W_RECORD_MAX]) {
		if (room < LEAST && refuse(t, LEAST) !== 1)
			return EAGAIN;
		room = roomFor(t);
	}
	const n = place(w[W_AT], room, w[W_RECORD_MAX], t, message, who, jobId, data, extra,
		t.fieldOf);
	return n < 0 ? 1 : publish(t, n);
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
	if (core.depth === 1 && core.lane) {
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
		core.lost[t.level]++;
		return;
	}
	core.depth++;
	try {
		emitIn(shared, t, message, who, jobId, data, extra);
		if (core.depth === 1 && core.waiting.length > 0)
			emitWaiting();
	} catch {
		core.lost[t.level]++;
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
	if (core.lane)
		return `lane ${core.path}${core.madeRing ? ' (the directory was missing: made ' +
			'0700 for this user only)' : ''}`;
	if (!core.conf.http.on)
		return `console: ${core.why}`;
	const circuit = core.http === null ? 'closed' : core.http.circuit;
	const error = core.http !== null && core.http.error !== '' ? `, ${core.http.error}` : '';
	return `http ${httpName().slice(7)} (${core.why}), circuit ${circuit}${error}`;
}

function stats() {
	const lane = core.addon !== null ? core.addon.stats() : { written: 0, refused: 0,
		oversize: 0, shortened: 0, redacted: 0, lanes: 0 };
	return {
		written: lane.written,
		refused: lane.refused,
		oversize: lane.oversize + core.oversize,
		shortened: lane.shortened + core.shortened,
		redacted: lane.redacted + core.redacted,
		lanes: lane.lanes,
		lost: core.lost.reduce((a, b) => a + b, 0),
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
	core.addon?.close();
	if (core.lane)
		laneLost(ENOSYS, '');
	core.http?.close();
	return all;
}

module.exports = { core, open, emit, template, state, stats, flush, close, text };
