// SPDX-License-Identifier: ISC
'use strict';
/*
 * console.js - records as lines, for pm2 logs
 *
 * Lines are gathered and written at the end of the turn, at exit at the
 * latest.  A reader that does not keep up loses lines, counted, and never
 * holds the worker up: the addon looks before it writes, and without it the
 * descriptor must be one that does not block.  Not through process.stdout,
 * whose error event would end a worker whose reader is gone.
 */

const fs = require('node:fs');

const LINES_MAX = 256 << 10;	// bytes waiting for a reader
const AT_ONCE = 32 << 10;
const AGAIN_MS = 20;
const LEVEL_NAMES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];

const out = [null, { text: '', rest: null }, { text: '', rest: null }];	// by descriptor
const stats = { lines: 0, dropped: 0 };
let addon = null;
let planned = false;

// Control characters would let a record draw on the terminal.
function clean(s) {
	return s.replace(/[\x00-\x1f\x7f]/g, (c) =>
	    `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function word(v) {
	if (typeof v !== 'string')
		return typeof v === 'object' && v !== null ? clean(JSON.stringify(v)) : String(v);
	return /^[^\s"=\x00-\x1f\x7f]+$/.test(v) ? v : clean(JSON.stringify(v));
}

// object: {timestamp, level, message, ...}, its secrets replaced.
function lineOf(object, level, json) {
	if (json)
		return `${JSON.stringify(object)}\n`;
	let line = `${object.timestamp} ${LEVEL_NAMES[level]} ${clean(object.message)}`;
	for (const key of Object.keys(object)) {
		if (key !== 'timestamp' && key !== 'level' && key !== 'message')
			line += ` ${clean(key)}=${word(object[key])}`;
	}
	return `${line}\n`;
}

function writeSome(fd, bytes) {
	if (addon !== null)
		return addon.write(fd, bytes);
	try {
		// Once there, Node's stream has made a pipe or socket non-blocking; for
		// threads that of the main one has, which is there from the first of them.
		void (fd === 1 ? process.stdout : process.stderr);
		return fs.writeSync(fd, bytes);
	} catch (e) {
		// A full pipe; else nobody is there, and never will be.
		return e.code === 'EAGAIN' ? 0 : bytes.length;
	}
}

function countLines(bytes) {
	let n = 0;
	for (let i = bytes.indexOf(10); i >= 0; i = bytes.indexOf(10, i + 1))
		n++;
	return n;
}

// What a full pipe did not take waits, up to LINES_MAX.
function flushOne(fd) {
	const o = out[fd];
	let bytes = Buffer.from(o.text);
	o.text = '';
	if (o.rest !== null)
		bytes = Buffer.concat([o.rest, bytes]);
	o.rest = null;
	if (bytes.length === 0)
		return;
	const done = writeSome(fd, bytes);
	if (done >= bytes.length)
		return;
	const left = bytes.subarray(done);
	if (left.length > LINES_MAX) {
		// Whole lines go; the one that was begun is finished.
		const end = left.indexOf(10) + 1;
		const kept = done > 0 && bytes[done - 1] !== 10 ? left.subarray(0, end) : null;
		stats.dropped += countLines(left.subarray(kept === null ? 0 : end));
		o.rest = kept;
	} else {
		o.rest = left;
	}
	plan(AGAIN_MS);
}

function flush() {
	try {
		flushOne(1);
		flushOne(2);
	} catch {
		// a stream that is gone: its lines are as well
	}
}

function plan(ms) {
	if (planned)
		return;
	planned = true;
	const run = () => {
		planned = false;
		flush();
	};
	if (ms > 0)
		setTimeout(run, ms).unref();
	else
		setImmediate(run).unref();
}

function print(fd, line) {
	const o = out[fd];
	if (o.rest !== null && o.text.length > LINES_MAX) {
		stats.dropped++;
		return;
	}
	stats.lines++;
	o.text += line;
	if (o.text.length >= AT_ONCE && o.rest === null)
		flush();
	else
		plan(0);
}

function use(theAddon) {
	addon = theAddon;
}

// One line about this package itself.
function say(text) {
	print(2, `emplog: ${text}\n`);
}

module.exports = { print, say, flush, lineOf, use, stats };
