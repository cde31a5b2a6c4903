// SPDX-License-Identifier: ISC
'use strict';
/*
 * winston.js - EmplogTransport: winston's records into the lane
 *
 * A stream as winston wants one, without needing winston-transport: winston
 * is an optional peer.  It never emits 'error', and calls back at once, for
 * the record is safe or counted when emit() returns.
 */

const { Writable } = require('node:stream');
const core = require('./core');
const { settle, levelOf, get, asText } = require('./settle');
const { anyField } = require('./names');

const LEVEL = Symbol.for('level');
const KINDS = [0, 1, 2, 3, 4, 5].map((level) => ({ level, message: null, event: 0,
	fieldOf: anyField }));
const NOBODY = { sessionId: '', traceId: '', spanId: '' };
const IDS = ['machine_id', 'worker_id', 'service_type', 'connector_id'];

// "\u001b[32minfo\u001b[39m" where a format has coloured it.
function levelName(info) {
	const v = get(info, LEVEL) ?? get(info, 'level');
	return typeof v === 'string' ? v.replace(/\u001b\[[0-9;]*m/g, '') : '';
}

class EmplogTransport extends Writable {
	#shared;
	#generation = 0;
	#names = new Map();

	constructor(options) {
		super({ objectMode: true });
		const s = settle(options);
		core.open(options);
		this.name = 'emplog';
		this.level = get(options, 'level');
		this.format = get(options, 'format');
		this.silent = get(options, 'silent') === true;
		this.handleExceptions = get(options, 'handleExceptions') === true;
		this.handleRejections = get(options, 'handleRejections') === true;
		// winston has a console of its own: this one speaks when nobody else takes it
		const console = get(options, 'console') === undefined &&
		    !process.env.EMPLOG_CONSOLE && s.console === 'on' ? 'fallback' : s.console;
		this.#shared = { identity: s.identity, level: s.level === 6 ? 6 : 0, console,
			json: s.json };
		this.loggerName = asText(get(options, 'loggerName'));
		this.once('pipe', (logger) => {
			this.levels = logger.levels;
			this.parent = logger;
		});
		this.once('unpipe', (logger) => {
			if (logger === this.parent)
				this.parent = null;
		});
	}

	#template(level, loggerName) {
		if (this.#generation !== core.lane.generation) {
			this.#generation = core.lane.generation;
			this.#names.clear();
		}
		let list = this.#names.get(loggerName);
		if (list === undefined) {
			const values = {};
			for (const key of Object.keys(this.#shared.identity)) {
				if (core.lane.identity[key] !== this.#shared.identity[key])
					values[key] = this.#shared.identity[key];
			}
			values.source = 'winston-logger';
			values.logger_name = loggerName;
			list = KINDS.map((k) => core.template(k, values));
			if (this.#names.size < 64)
				this.#names.set(loggerName, list);
		}
		return list[level];
	}

	// Is it for us?  As winston-transport decides it.
	#wanted(info) {
		if (this.silent || (get(info, 'exception') === true && !this.handleExceptions))
			return false;
		const level = this.level ?? this.parent?.level;
		if (!level || !this.levels)
			return true;
		const own = this.levels[level];
		const its = this.levels[get(info, LEVEL)];
		return own === undefined || its === undefined || own >= its;
	}

	#take(given) {
		let info = given;
		if (this.format)
			info = this.format.transform(Object.assign({}, info), this.format.options);
		if (!info)
			return;
		const level = levelOf(levelName(info), 2);
		const data = {};
		for (const key of Object.keys(info)) {
			if (key === 'level' || key === 'message')
				continue;
			const v = get(info, key);
			if (v !== undefined && !(v === '' && IDS.includes(key)))
				data[key] = v;
		}
		delete data.source;
		const name = this.loggerName || (typeof data.service === 'string' && data.service) ||
		    'emp-worker';
		core.emit(this.#shared, this.#template(level, name), get(info, 'message'), NOBODY, '',
			data, null);
	}

	_write(info, _encoding, callback) {
		this.log(info, callback);
	}

	_writev(chunks, callback) {
		for (const { chunk } of chunks)
			this.log(chunk, null);
		callback(null);
	}

	log(info, callback) {
		try {
			if (this.#wanted(info))
				this.#take(info);
		} catch {
			core.lane.lost[2]++;	// somebody's format threw
		}
		if (callback)
			callback(null);
		return true;
	}

	close() {
		// the lane is the thread's, not this transport's
	}

	get state() {
		return core.state();
	}

	get stats() {
		return core.stats();
	}
}

module.exports = { EmplogTransport, FluentBitTransport: EmplogTransport };
