// SPDX-License-Identifier: ISC
'use strict';
/*
 * settle.js - who logs and where to: options, else environment, else defaults
 *
 * The same variables as shm/ident.c reads.  A stray value is no reason for a
 * worker not to start: what is none is ignored, what is too long is cut.
 */

const TEXT_MAX = 255;
const LEVELS = { trace: 0, silly: 0, debug: 1, verbose: 1, http: 1, info: 2, warn: 3,
	warning: 3, error: 4, fatal: 5, critical: 5 };
const OFF = 6;			// no level is written

const IDENTITY = [		// option, field, variables
	['machineId', 'machine_id', 'MACHINE_ID'],
	['workerId', 'worker_id', 'WORKER_ID'],
	['serviceType', 'service_type', 'SERVICE_TYPE'],
	['connectorId', 'connector_id', 'CONNECTOR_ID'],
	['serviceName', 'service_name', 'SERVICE_NAME', 'OTEL_SERVICE_NAME'],
	['serviceVersion', 'service_version', 'SERVICE_VERSION'],
	['deployment', 'deployment', 'DEPLOYMENT_ENV', 'RAILWAY_ENVIRONMENT'],
];

function get(o, key) {
	try {
		return o === undefined || o === null ? undefined : o[key];
	} catch {
		return undefined;
	}
}

// At most TEXT_MAX bytes, between characters.
function cut(s) {
	if (s.length * 3 <= TEXT_MAX)
		return s;
	let b = Buffer.from(s);
	if (b.length <= TEXT_MAX)
		return s;
	b = b.subarray(0, TEXT_MAX);
	return b.toString().replace(/\ufffd+$/, '');
}

function asText(v) {
	if (typeof v === 'string')
		return cut(v);
	return typeof v === 'number' || typeof v === 'bigint' ? String(v) : '';
}

function settleText(options, name, ...variables) {
	const given = asText(get(options, name));
	if (given !== '')
		return given;
	for (const v of variables) {
		const value = process.env[v];
		if (value !== undefined && value !== '')
			return cut(value);
	}
	return '';
}

function levelOf(s, otherwise) {
	const low = typeof s === 'string' ? s.toLowerCase() : '';
	return Object.hasOwn(LEVELS, low) ? LEVELS[low] : otherwise;
}

function disabled() {
	const v = process.env.EMPLOG_DISABLED;
	return v !== undefined && v !== '' && !['0', 'no', 'false'].includes(v.toLowerCase());
}

// As today everything is printed too, unless somebody says else.
function consoleOf(options) {
	for (const v of [get(options, 'console'), process.env.EMPLOG_CONSOLE]) {
		const word = typeof v === 'boolean' ? (v ? 'on' : 'off') :
		    typeof v === 'string' ? v.toLowerCase() : '';
		if (['on', 'fallback', 'off'].includes(word))
			return word;
	}
	return 'on';
}

function portOf(options) {
	const n = Number(get(options, 'port') ?? process.env.FLUENT_BIT_PORT ?? 9880);
	return Number.isInteger(n) && n > 0 && n < 65536 ? n : 9880;
}

function pathOf(options) {
	const s = asText(get(options, 'endpoint'));
	return s.startsWith('/') && !/[\s\x00-\x1f]/.test(s) ? s : '/';
}

function sizeOf(v, least, most, otherwise) {
	const n = Number(v);
	return Number.isFinite(n) && n > 0 ? Math.min(Math.max(Math.floor(n), least), most) :
	    otherwise;
}

// {identity: {machine_id: ...}, options for the addon, level, console, ...}
function settle(options) {
	const identity = {};
	const given = {};
	for (const [name, field, ...variables] of IDENTITY) {
		const v = settleText(options, name, ...variables);
		given[name] = v;
		if (v !== '')
			identity[field] = v;
	}
	return {
		identity,
		lane: {
			...given,
			ringDir: settleText(options, 'ringDir', 'EMPLOG_RING_DIR',
				'EMPLOGD_COMMON_RING_DIR'),
			stateDir: settleText(options, 'stateDir', 'EMPLOGD_COMMON_STATE_DIR'),
			laneBytes: sizeOf(get(options, 'laneBytes'), 65536, 4 << 20, 0),
		},
		loggerName: asText(get(options, 'loggerName')),
		level: disabled() ? OFF : levelOf(get(options, 'level'),
			levelOf(process.env.LOG_LEVEL, 0)),
		console: disabled() ? 'off' : consoleOf(options),
		json: (process.env.LOG_FORMAT ?? '').toLowerCase() === 'json',
		http: {
			on: get(options, 'http') !== false,
			host: settleText(options, 'host', 'FLUENT_BIT_HOST') || 'localhost',
			port: portOf(options),
			path: pathOf(options),
			maxBytes: sizeOf(get(options, 'httpMaxBytes'), 65536, 64 << 20, 4 << 20),
		},
	};
}

module.exports = { OFF, settle, levelOf, disabled, get, asText };
