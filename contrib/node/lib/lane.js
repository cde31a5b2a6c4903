// SPDX-License-Identifier: ISC
'use strict';
/*
 * lane.js - this thread's lane: got, lost, moved, written to
 *
 * What:     the words it shares with src/addon.c, one lane per JavaScript
 *           environment, and the last step of either way a record takes: what
 *           lib/place.js wrote, or what lib/encode.js packed, is published.
 * Never:    throws for want of a lane; on says whether there is one, why says
 *           why not, and a lane is tried for again once a second.
 */

const { setMemory, placeBytes, notes } = require('./place');
const { keyOf, pack } = require('./encode');

// The addon's words; src/addon.c has the same list.
const W_BYTES = 0, W_LEVEL = 1, W_EVENT = 2, W_ID_AT = 3, W_ID_LEN = 4, W_FILL = 5, W_END = 6,
	W_SHORTENED = 7, W_REDACTED = 8, W_AT = 9, W_ROOM_INFO = 10, W_ROOM_WARN = 11,
	W_ROOM_END = 12, W_MOVED = 13, W_RESULT = 14, W_RECORD_MAX = 15;

const WARN = 3;
const RETRY_MS = 1000;		// between tries to get a lane

const EAGAIN = -11, EINVAL = -22, ENOSYS = -38, E2BIG = -7;
const WHY = { '-28': 'no room for a lane', '-40': 'is a symbolic link',
	'-20': 'is not a directory', '-13': 'permission denied', '-1': 'belongs to another ' +
	'user, or others may write to it without the sticky bit', '-27': 'the file size limit ' +
	'(ulimit -f) is below a lane\'s size', '-2': 'its parent is missing',
	'-30': 'read-only file system', '-24': 'too many threads have lanes',
	'-38': 'the lane is gone', '-12': 'out of memory',
	'-95': 'this runtime maps no outside memory' };

const lane = {
	addon: null,
	words: new Int32Array(16),
	conf: null,		// for the addon
	on: false,
	identity: {},		// what need not be said in each record
	generation: 1,		// of what templates depend on
	why: '',
	path: '',
	madeRing: false,
	moved: 0,
	tried: 0,
	lost: [0, 0, 0, 0, 0, 0],	// by severity: what no lane counts
};

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

function opened(r) {
	setMemory(r.data);
	lane.on = true;
	lane.path = r.path;
	lane.madeRing = r.madeRing !== 0;
	lane.moved = lane.words[W_MOVED];
	lane.why = '';
	lane.identity = identityOf(Buffer.from(r.identity));
	lane.generation++;
}

function none(why) {
	lane.on = false;
	lane.why = why;
	lane.identity = {};
	lane.generation++;
}

function missed(error, dir) {
	none(`${dir || 'the ring'}: ${WHY[error] ?? `error ${-error}`}`);
}

function tryOpen(now) {
	lane.tried = now;
	const r = lane.addon.open(lane.conf);
	if (typeof r === 'number')
		missed(r, lane.conf.ringDirUsed);
	else
		opened(r);
	return lane.on;
}

// The addon, or null and why there is none; conf is settle()'s.
function start(addon, error, conf) {
	lane.addon = addon;
	lane.conf = conf;
	if (addon === null) {
		none(error);
		return;
	}
	lane.words = addon.words;
	tryOpen(Date.now());
}

// Whether there is one; one is tried for now and then.
function wanted() {
	if (lane.on || lane.addon === null)
		return lane.on;
	const now = Date.now();
	return now - lane.tried >= RETRY_MS || now < lane.tried ? tryOpen(now) : false;
}

function follow() {
	const r = lane.addon.view();
	lane.moved = lane.words[W_MOVED];
	if (r === undefined) {
		missed(ENOSYS, '');
		return;
	}
	setMemory(r.data);
	lane.path = r.path;
}

// The data is elsewhere since: an overflowing stack kept us from following.
function hasMoved() {
	if (lane.words[W_MOVED] === lane.moved)
		return false;
	follow();
	return true;
}

function close() {
	lane.addon?.close();
	if (lane.on)
		missed(ENOSYS, '');
}

// ---- records ----

function at() {
	return lane.words[W_AT];
}

function recordMax() {
	return lane.words[W_RECORD_MAX];
}

function published(t) {
	const w = lane.words;
	lane.addon.publish();
	if (w[W_MOVED] !== lane.moved)
		follow();
	if (w[W_RESULT] === EINVAL)
		lane.lost[t.level]++;
	return w[W_RESULT];
}

function publishPacked(t, packed, jobId, timed) {
	const w = lane.words;
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
	return t.jobEnd ? lane.words[W_ROOM_END] :
	    t.level >= WARN ? lane.words[W_ROOM_WARN] : lane.words[W_ROOM_INFO];
}

// No room for so many bytes: counted, unless there is meanwhile.
function refuse(t, bytes) {
	const w = lane.words;
	w[W_BYTES] = bytes;
	w[W_LEVEL] = t.level;
	w[W_END] = t.jobEnd ? 1 : 0;
	lane.addon.refuse();
	return w[W_RESULT];
}

function packInto(t, long) {
	const packed = pack(long.rec, lane.words[W_RECORD_MAX]);
	if (packed === undefined) {
		lane.addon.oversize();
		return E2BIG;
	}
	const need = packed.worst + 64;
	if (roomFor(t) < Math.min(need, lane.words[W_RECORD_MAX]) && refuse(t, need) !== 1)
		return EAGAIN;
	return publishPacked(t, packed, long.jobId, long.timed);
}

// Publishes what place() wrote.
function publish(t, n) {
	const w = lane.words;
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

module.exports = { lane, start, wanted, hasMoved, close, at, recordMax, roomFor, refuse, packInto,
	publish };
