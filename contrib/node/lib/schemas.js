// SPDX-License-Identifier: ISC
'use strict';
/* schemas.js - the fields of the five kinds of connector, and a validator */

const S = 'string', N = 'number', O = 'object';

const base = {
	fields: { timestamp: S, level: S, message: S, event_type: S, machine_id: S, worker_id: S,
		service_type: S, connector_id: S, source: S, job_id: S, session_id: S },
	required: ['timestamp', 'level', 'message', 'event_type', 'service_type', 'connector_id'],
};
const LEVELS = ['debug', 'info', 'warn', 'error'];

const schemas = {
	comfyui: {
		fields: { prompt_id: S, client_id: S, websocket_message_type: S, queue_remaining: N,
			execution_step: S, node_id: S, workflow_hash: S, model_name: S, vram_usage: N },
		required: ['prompt_id', 'client_id'],
	},
	openai: {
		fields: { model: S, request_id: S, token_usage: { prompt_tokens: N,
			completion_tokens: N, total_tokens: N }, response_time_ms: N,
		request_size_bytes: N, response_size_bytes: N },
		required: ['model', 'request_id'],
	},
	a1111: {
		fields: { sampler: S, steps: N, cfg_scale: N, seed: N, width: N, height: N,
			batch_size: N, model_checkpoint: S, vae: S },
		required: ['sampler', 'steps'],
	},
	simulation: {
		fields: { simulation_type: S, iteration: N, total_iterations: N, convergence: N,
			parameters: O },
		required: ['simulation_type'],
	},
	rest: {
		fields: { http_method: S, endpoint: S, status_code: N, request_headers: O,
			response_headers: O, retry_count: N, timeout_ms: N },
		required: ['endpoint'],
	},
};

// Which of the five a service_type is; what none else is, is rest.
function schemaOf(serviceType) {
	const s = String(serviceType ?? '');
	if (s.startsWith('openai'))
		return 'openai';
	if (s.startsWith('comfyui'))
		return 'comfyui';
	if (s.startsWith('simulation'))
		return 'simulation';
	return s === 'a1111' ? 'a1111' : 'rest';
}

function fits(v, type) {
	if (typeof type === 'object')
		return typeof v === 'object' && v !== null && !Array.isArray(v) &&
		    Object.keys(type).every((k) => v[k] === undefined || fits(v[k], type[k]));
	if (type === O)
		return typeof v === 'object' && v !== null && !Array.isArray(v);
	return typeof v === type && !(type === N && Number.isNaN(v));
}

function nameOf(type) {
	return typeof type === 'object' ? `{${Object.keys(type).join(', ')}}` : type;
}

// {valid, schema, errors}: what a record of a connector lacks or has wrong.
function validate(record, serviceType) {
	if (typeof record !== 'object' || record === null)
		return { valid: false, schema: 'rest', errors: ['a record is an object'] };
	const schema = schemaOf(serviceType ?? record.service_type);
	const own = schemas[schema];
	const errors = [];
	for (const key of [...base.required, ...own.required]) {
		if (record[key] === undefined || record[key] === null || record[key] === '')
			errors.push(`'${key}' is missing`);
	}
	for (const [key, type] of Object.entries({ ...base.fields, ...own.fields })) {
		if (record[key] !== undefined && record[key] !== null && !fits(record[key], type))
			errors.push(`'${key}' is not a ${nameOf(type)}`);
	}
	if (typeof record.level === 'string' && !LEVELS.includes(record.level))
		errors.push(`'level' is not one of ${LEVELS.join(', ')}`);
	return { valid: errors.length === 0, schema, errors };
}

// The record with the defaults of the base schema where it lacks something.
function normalize(record) {
	return { timestamp: new Date().toISOString(), level: 'info', message: '',
		event_type: 'unknown', machine_id: 'unknown', worker_id: 'unknown',
		service_type: 'unknown', connector_id: 'unknown', source: 'connector', ...record };
}

module.exports = { base, schemas, schemaOf, validate, normalize };
