// SPDX-License-Identifier: ISC
'use strict';
/*
 * pino.js - pino's lines into the lane
 *
 *	pino({ level: 'info' }, require('emplog/pino').stream())
 *	pino({ transport: { target: 'emplog/pino', options } })
 */

const { Writable } = require('node:stream');
const { StringDecoder } = require('node:string_decoder');
const core = require('./core');
const { settle, levelOf, get, asText } = require('./settle');
const { anyField } = require('./names');

const KINDS = [0, 1, 2, 3, 4, 5].map((level) => ({ level, message: null, event: 0,
	fieldOf: anyField }));
const NOBODY = { sessionId: '', traceId: '', spanId: '' };
const LINE_MAX = 16 << 20;

// 10 trace .. 60 fatal, or a name.
function levelFrom(v) {
	return typeof v === 'number' ? Math.min(5, Math.max(0, Math.floor(v / 10) - 1)) :
	    levelOf(v, 2);
}

class PinoStream extends Writable {
	#shared;
	#templates = [];
	#generation = 0;
	#name;
	#messageKey;
	#rest = '';
	#decoder = new StringDecoder('utf8');

	constructor(options) {
		super({ decodeStrings: false });
		const s = settle(options);
		core.open(options);
		const console = get(options, 'console') === undefined &&
		    !process.env.EMPLOG_CONSOLE && s.console === 'on' ? 'fallback' : s.console;
		this.#shared = { identity: s.identity, level: s.level === 6 ? 6 : 0, console,
			json: s.json };
		this.#name = s.loggerName || 'pino';
		this.#messageKey = asText(get(options, 'messageKey')) || 'msg';
	}

	#template(level) {
		if (this.#generation !== core.lane.generation) {
			this.#generation = core.lane.generation;
			const values = {};
			for (const key of Object.keys(this.#shared.identity)) {
				if (core.lane.identity[key] !== this.#shared.identity[key])
					values[key] = this.#shared.identity[key];
			}
			values.source = 'pino';
			values.logger_name = this.#name;
			this.#templates = KINDS.map((k) => core.template(k, values));
		}
		return this.#templates[level];
	}

	#line(line) {
		let o;
		try {
			o = JSON.parse(line);
		} catch {
			o = null;
		}
		if (typeof o !== 'object' || o === null) {
			core.emit(this.#shared, this.#template(2), line, NOBODY, '', undefined, null);
			return;
		}
		const { level, [this.#messageKey]: message, ...data } = o;
		if (typeof data.time === 'number') {
			data.timestamp = new Date(data.time).toISOString();
			delete data.time;
		}
		core.emit(this.#shared, this.#template(levelFrom(level)), message, NOBODY, '', data,
			null);
	}

	_write(chunk, _encoding, callback) {
		try {
			const all = this.#rest + (typeof chunk === 'string' ? chunk :
			    this.#decoder.write(chunk));
			const lines = all.split('\n');
			this.#rest = lines.pop();
			for (const line of lines) {
				if (line !== '')
					this.#line(line);
			}
			if (this.#rest.length > LINE_MAX) {
				this.#line(this.#rest);
				this.#rest = '';
			}
		} catch {
			core.lane.lost[2]++;
		}
		callback(null);
	}

	_final(callback) {
		if (this.#rest !== '')
			this.#line(this.#rest);
		core.flush(1000).then(() => callback(null), () => callback(null));
	}
}

function stream(options) {
	return new PinoStream(options);
}

// What pino.transport() calls in its thread.
module.exports = stream;
module.exports.default = stream;
module.exports.stream = stream;
module.exports.PinoStream = PinoStream;
