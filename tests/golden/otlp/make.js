// SPDX-License-Identifier: ISC
// make.js - the records of the golden files: every event type of the five
// connectors, as old and new clients write them
//
//   node make.js <directory>		writes <connector>.json there
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const connectors = {
	comfyui: {
		ids: ['railway-comfy-7f3a', 'comfyui', 'comfyui-gpu0'],
		fields: {
			prompt_id: '8d7c2a5e-1f2b', client_id: 'emp-gpu0',
			websocket_message_type: 'executing',
			queue_remaining: 1, execution_step: 'KSampler',
			node_id: '13', workflow_hash: '-1839204411',
			model_name: 'sdxl_base_1.0.safetensors',
			vram_usage: 11264,
		},
	},
	openai: {
		ids: ['railway-oai-01', 'openai-image', 'openai-image-0'],
		fields: {
			model: 'gpt-image-1', request_id: 'req_01J5ZK',
			token_usage: {
				prompt_tokens: 41, completion_tokens: 1056,
				total_tokens: 1097,
			},
			response_time_ms: 21480, request_size_bytes: 1932,
			response_size_bytes: 2214433,
		},
	},
	a1111: {
		ids: ['salad-a1-19', 'a1111', 'a1111-gpu1'],
		fields: {
			sampler: 'DPM++ 2M Karras', steps: 28, cfg_scale: 6.5,
			seed: 3190221456, width: 832, height: 1216,
			batch_size: 2,
			model_checkpoint: 'juggernautXL.safetensors',
			vae: 'sdxl_vae',
		},
	},
	simulation: {
		ids: ['sim-local-dev', 'simulation', 'simulation-3'],
		fields: {
			simulation_type: 'image', iteration: 120,
			total_iterations: 500, convergence: 0.0031,
			parameters: { seed: 7, noise: 0.2 },
		},
	},
	rest: {
		ids: ['railway-rest-02', 'rest', 'rest-webhook'],
		fields: {
			http_method: 'POST', endpoint: '/v1/render',
			status_code: 502,
			request_headers: { 'content-type': 'application/json' },
			response_headers: { 'retry-after': '2' },
			retry_count: 1, timeout_ms: 30000,
		},
	},
};

const job = (status, more) => ({
	job_id: 'job-5b0c1b1e-0d3f', job_status: status, jobId:
	    'job-5b0c1b1e-0d3f', ...more,
});

// event_type: [level, message, fields]
const events = {
	job_received: ['info', 'Job received',
	    job('received', { model: 'sdxl-base-1.0', input_size: 18342,
		inputSize: 18342 })],
	job_started: ['info', 'Job processing started',
	    job('processing', { model: 'sdxl-base-1.0', queue_ms: 12.5 })],
	job_progress: ['info', 'Job progress update',
	    job('processing', { progress: 45 })],
	job_completed: ['info', 'Job completed successfully',
	    job('completed', { duration: 17784, output_size: 912,
		outputSize: 912 })],
	job_failed: ['error', 'Job failed',
	    job('failed', { error: 'Request timeout after 60000ms',
		error_type: 'timeout', duration: 60021 })],
	health_check: ['warn', 'Health check: unhealthy',
	    { health_status: 'unhealthy', health_details: {
		api_available: false, models_loaded: 0,
		error: 'connect ECONNREFUSED 127.0.0.1:8189',
		error_type: 'connection' } }],
	service_api_call: ['info', 'call finished', { session_id: 's-1' }],
	connector_initialized: ['info', 'ready',
	    { connector_version: '1.2.0' }],
	websocket_message: ['debug', 'WebSocket message received', {}],
	model_loaded: ['info', 'Model loaded', { load_time_ms: 8412 }],
	queue_update: ['debug', 'Queue status updated',
	    { is_processing: true }],
	model_download_start: ['info', 'Model download started',
	    { model_url: 'https://models.example/a.safetensors' }],
	model_download_progress: ['debug', 'Model download progress',
	    { progress: 12.5, bytes_downloaded: 5368709120 }],
	model_download_complete: ['info', 'Model download complete',
	    { duration: 91000, file_size: 6938040714 }],
	model_download_failed: ['error', 'Model download failed',
	    { error: 'socket hang up', error_type: 'network' }],
	system_stats: ['info', 'System statistics',
	    { memory_usage: { rss: 123456789, heapUsed: 45678901 },
		uptime: 3600.25, cpu_usage: { user: 12, system: 3 },
		node_version: 'v20.20.2' }],
	operational_message: ['info', 'disk is filling',
	    { message_source: 'worker', message_pattern: 'resource_event',
		message_level: 'warn', workflow_triggers: ['cleanup'],
		suggested_actions: ['free space'], pattern_confidence: 0.8 }],
	workflow_routing: ['debug', 'routed',
	    { trace_id: '0af7651916cd43dd8448eb211c80319c',
		span_id: 'b7ad6b7169203331', pattern_confidence: 0.71 }],
	worker_died: ['error', 'worker ended without a clean close',
	    { jobs: ['job-5b0c1b1e-0d3f'] }],
	emplog_gap: ['warn', 'records refused: the lane was full',
	    { refused: 1207, refused_debug: 1200, refused_info: 7,
		first_ms: 1754920951000, last_ms: 1754920953250 }],
};

// Old clients write identity, time and logger into each record.
function legacy(ids, at, level) {
	return {
		timestamp: new Date(at).toISOString(), level,
		service: 'emp-redis-js', version: '1.0.0',
		component: 'connector', machine_id: ids[0],
		worker_id: `${ids[0]}-worker-0`, service_type: ids[1],
		connector_id: ids[2], source: 'winston-logger',
		logger_name: 'emp-redis-js',
	};
}

function records(c) {
	const out = [];
	let at = Date.parse('2025-08-11T14:02:07.118Z');
	for (const [type, [level, message, fields]] of Object.entries(events)) {
		const event = { message, event_type: type, ...fields,
		    ...c.fields };
		out.push({ $time: at * 1e6 + 1024, level, ...event });
		out.push({ $time: at * 1e6, ...legacy(c.ids, at, level),
		    ...event });
		at += 1522;
	}
	return out;
}

const dir = process.argv[2];
for (const [name, c] of Object.entries(connectors)) {
	const chunk = {
		identity: {
			machine_id: c.ids[0], worker_id: `${c.ids[0]}-worker-0`,
			service_type: c.ids[1], connector_id: c.ids[2],
			service_version: '2.0.0', deployment_env: 'production',
			region: 'us-west2', logger_name: 'connector',
		},
		stream: '5eed5eed5eed5eed5eed5eed5eed5eed', from: 4096,
		taken: 1754920992000000000, now: 1754920993000000000,
		window: 21600000000000, limits: 'dash0', records: records(c),
	};
	fs.writeFileSync(path.join(dir, `${name}.json`),
	    JSON.stringify(chunk, null, 1) + '\n');
}
