// SPDX-License-Identifier: ISC
'use strict';
/*
 * logger.js - ConnectorLogger: a connector's jobs, health and messages
 *
 * The events, fields and method names of the logger that emplog replaces.  A
 * logger is a few words that share templates with the one it was made from:
 * withJobContext() costs an object, no transport.
 */

const core = require('./core');
const { settle, get, asText } = require('./settle');
const { connectorField } = require('./names');
const trace = require('./trace');

const DEBUG = 1, INFO = 2, WARN = 3, ERROR = 4, FATAL = 5;

// What a template is made from; the numbers are places in Shared.templates.
const KINDS = [];
function kind(level, message, eventType, status, event) {
	KINDS.push({ level, message, eventType, status, event, fieldOf: connectorField });
	return KINDS.length - 1;
}
const K_DEBUG = kind(DEBUG, null, '', '', 0);
const K_INFO = kind(INFO, null, '', '', 0);
const K_WARN = kind(WARN, null, '', '', 0);
const K_ERROR = kind(ERROR, null, '', '', 0);
const K_FATAL = kind(FATAL, null, '', '', 0);
const K_RECEIVED = kind(INFO, 'Job received', 'job_received', 'received', 1);
const K_STARTED = kind(INFO, 'Job processing started', 'job_started', 'processing', 2);
const K_PROGRESS = kind(INFO, 'Job progress update', 'job_progress', 'processing', 0);
const K_COMPLETED = kind(INFO, 'Job completed successfully', 'job_completed', 'completed', 3);
const K_FAILED = kind(ERROR, 'Job failed', 'job_failed', 'failed', 3);
const K_HEALTHY = kind(INFO, 'Health check: healthy', 'health_check', '', 0);
const K_UNHEALTHY = kind(WARN, 'Health check: unhealthy', 'health_check', '', 0);

// The first that matches; upper and lower case differ.
const ERROR_TYPES = [['timeout', 'timeout'], ['memory', 'memory'], ['OOM', 'memory'],
	['connection', 'network'], ['network', 'network'], ['model', 'model'], ['load', 'model'],
	['validation', 'validation'], ['invalid', 'validation']];

function errorType(error) {
	for (const [part, type] of ERROR_TYPES) {
		if (error.includes(part))
			return type;
	}
	return 'unknown';
}

function errorText(e) {
	if (typeof e === 'string')
		return e;
	try {
		if (e instanceof Error)
			return String(e.message);
		return typeof e === 'object' && e !== null ? '' : String(e);
	} catch {
		return '';
	}
}

// Of an Error what a person needs; anything else as it is.
function errorFields(e) {
	if (e === undefined || e === null)
		return null;
	if (!(e instanceof Error))
		return ['error', e];
	const fields = ['error', errorText(e)];
	for (const [key, name] of [['name', 'error_name'], ['code', 'error_code'],
		['stack', 'stack'], ['cause', 'error_cause']]) {
		const v = get(e, key);
		if (v !== undefined && v !== null && v !== 'Error')
			fields.push(name, v);
	}
	return fields;
}

// What a family of loggers has in common.
class Shared {
	constructor(context, options) {
		const given = Object.assign({}, options, context);
		const s = settle(given);
		core.open(given);
		this.identity = s.identity;
		this.level = s.level;
		this.console = s.console;
		this.json = s.json;
		this.loggerName = s.loggerName || 'emp-redis-js';
		this.source = asText(get(options, 'source')) || 'winston-logger';
		this.generation = 0;
		this.templates = [];
	}

	// The fields in which this logger differs from its lane, and its marks.
	values(k) {
		const values = {};
		if (k.eventType !== '')
			values.event_type = k.eventType;
		if (k.status !== '')
			values.job_status = k.status;
		values.component = 'connector';
		for (const key of Object.keys(this.identity)) {
			if (core.lane.identity[key] !== this.identity[key])
				values[key] = this.identity[key];
		}
		values.source = this.source;
		values.logger_name = this.loggerName;
		return values;
	}

	template(n) {
		if (this.generation !== core.lane.generation) {
			this.generation = core.lane.generation;
			this.templates = KINDS.map((k) => core.template(k, this.values(k)));
		}
		return this.templates[n];
	}
}

const MADE = Symbol('made from another');

class ConnectorLogger {
	#shared;

	/*
	 * context: {machineId, workerId, serviceType, connectorId, jobId?, sessionId?}.
	 * options: see README.md; a boolean, as the old one took, changes nothing.
	 */
	constructor(context, options, ids) {
		if (options === MADE) {
			this.#shared = context;
			this.jobId = ids.jobId;
			this.sessionId = ids.sessionId;
			this.traceId = ids.traceId;
			this.spanId = ids.spanId;
			return;
		}
		let span = null;
		try {
			this.#shared = new Shared(context, typeof options === 'object' ? options : null);
			span = trace.parse(get(context, 'traceparent'));
		} catch {
			this.#shared = new Shared(null, null);	// from the environment alone
		}
		this.jobId = asText(get(context, 'jobId'));
		this.sessionId = asText(get(context, 'sessionId'));
		this.traceId = span === null ? '' : span.traceId;
		this.spanId = span === null ? '' : span.spanId;
	}

	// A logger whose records carry the job; options: {traceparent}.
	withJobContext(jobId, sessionId, options) {
		const span = options === undefined ? null : trace.parse(get(options, 'traceparent'));
		return new ConnectorLogger(this.#shared, MADE, {
			jobId: typeof jobId === 'string' ? jobId : asText(jobId),
			sessionId: sessionId === undefined ? this.sessionId : asText(sessionId),
			traceId: span === null ? this.traceId : span.traceId,
			spanId: span === null ? this.spanId : span.spanId,
		});
	}

	#emit(n, message, data, extra) {
		const shared = this.#shared;
		core.emit(shared, shared.template(n), message, this, this.jobId, data, extra);
	}

	#job(n, data, extra) {
		const shared = this.#shared;
		let id = this.jobId;
		if (id === '')
			id = asText(get(data, 'jobId') ?? get(data, 'job_id'));
		core.emit(shared, shared.template(n), undefined, this, id, data, extra);
	}

	debug(message, meta) {
		this.#emit(K_DEBUG, message, meta, null);
	}

	info(message, meta) {
		this.#emit(K_INFO, message, meta, null);
	}

	warn(message, meta) {
		this.#emit(K_WARN, message, meta, null);
	}

	error(message, error, meta) {
		this.#emit(K_ERROR, message, meta, errorFields(error));
	}

	jobReceived(data) {
		this.#job(K_RECEIVED, data, null);
	}

	jobStarted(data) {
		this.#job(K_STARTED, data, null);
	}

	jobProgress(data) {
		this.#job(K_PROGRESS, data, null);
	}

	jobCompleted(data) {
		this.#job(K_COMPLETED, data, null);
	}

	jobFailed(data) {
		const error = get(data, 'error');
		const type = get(data, 'error_type') === undefined ?
		    ['error_type', errorType(errorText(error))] : [];
		if (!(error instanceof Error)) {
			this.#job(K_FAILED, data, type.length > 0 ? type : null);
			return;
		}
		const rest = {};
		for (const key of Object.keys(data)) {
			if (key !== 'error')
				rest[key] = get(data, key);
		}
		this.#job(K_FAILED, rest, [...errorFields(error), ...type]);
	}

	// status: 'healthy', 'unhealthy' or a boolean.
	healthCheck(status, details) {
		const healthy = status === true || status === 'healthy';
		const extra = ['health_status', healthy ? 'healthy' : 'unhealthy'];
		if (details !== undefined)
			extra.push('health_details', details);
		this.#emit(healthy ? K_HEALTHY : K_UNHEALTHY, undefined, undefined, extra);
	}

	serviceEvent(event, message, meta) {
		this.#emit(K_INFO, message ?? `service_${asText(event)}`, meta,
			['event_type', `service_${asText(event)}`]);
	}

	// Resolves to whether nothing is on its way any more (HTTP; a lane needs none).
	flush(ms) {
		return core.flush(ms);
	}

	// For all loggers of this thread: the lane is closed cleanly.
	close(ms) {
		return core.close(ms);
	}

	// Where records go now, for people.
	get state() {
		return core.state();
	}

	get stats() {
		return core.stats();
	}
}

// The process dies of an exception: its last record says which.
core.onUncaught = (error) => {
	const shared = new Shared(null, null);
	core.emit(shared, shared.template(K_FATAL), 'uncaught exception',
		{ sessionId: '', traceId: '', spanId: '' }, '', undefined,
		['event_type', 'uncaught_exception', ...(errorFields(error) ?? [])]);
};

module.exports = { ConnectorLogger, errorType };
