// SPDX-License-Identifier: ISC
// otlp-decode.js - OpenTelemetry's own decoder over the bodies we made
//
//   node otlp-decode.js [--logs|--traces|--metrics] [--equal=json] file...
//
// Each file is one request body in protobuf, gzipped or not.  Prints it as
// OTLP/JSON, one object a line.  Exits 1 if a body does not decode, if
// encoding what was decoded gives other bytes, or if it is not deeply equal
// to the OTLP/JSON in the file given; 2 when it cannot run.
//
// The module is looked for in $OTLP_MODULES/node_modules, then as usual.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

const GENERATED = '@opentelemetry/otlp-transformer/build/src/generated/root';

function load() {
	const dir = process.env.OTLP_MODULES;
	const from = dir ? [path.resolve(dir), __dirname] : [__dirname];
	try {
		return require(require.resolve(GENERATED, { paths: from }));
	} catch (e) {
		console.error(`otlp-decode: ${GENERATED} is not installed`);
		process.exit(2);
	}
}

function types(root) {
	const { logs, trace, metrics } = root.opentelemetry.proto.collector;
	return {
		logs: logs.v1.ExportLogsServiceRequest,
		traces: trace.v1.ExportTraceServiceRequest,
		metrics: metrics.v1.ExportMetricsServiceRequest,
	};
}

const IDS = new Set(['traceId', 'spanId', 'parentSpanId']);

// toObject()'s result as OTLP/JSON: ids in hexadecimal, other bytes in
// Base64, what is no JSON number as its name; nothing that is empty.
function json(value, key) {
	if (value instanceof Uint8Array)
		return Buffer.from(value).toString(IDS.has(key) ? 'hex' :
		    'base64');
	if (Array.isArray(value))
		return value.map((v) => json(v));
	if (typeof value === 'number' && !Number.isFinite(value))
		return String(value);
	if (value === null || typeof value !== 'object')
		return value;
	const out = {};
	for (const [k, v] of Object.entries(value))
		if (!(Array.isArray(v) && v.length === 0))
			out[k] = json(v, k);
	return out;
}

function decode(type, body) {
	const message = type.decode(body);
	const again = Buffer.from(type.encode(message).finish());
	return {
		strict: again.equals(body),
		object: json(type.toObject(message, { longs: String })),
	};
}

function plain(file) {
	const body = fs.readFileSync(file);
	return body[0] === 0x1f && body[1] === 0x8b ? zlib.gunzipSync(body) :
	    body;
}

function main(args) {
	const known = types(load());
	let type = known.logs, equal = null, bad = 0;
	for (const arg of args) {
		if (arg.startsWith('--equal=')) {
			equal = arg.slice('--equal='.length);
			continue;
		}
		if (arg.startsWith('--')) {
			type = known[arg.slice(2)];
			if (!type)
				throw new Error(`what is ${arg}`);
			continue;
		}
		try {
			const { strict, object } = decode(type, plain(arg));
			console.log(JSON.stringify(object));
			assert.ok(strict, 'its re-encoding has other bytes');
			if (equal)
				assert.deepStrictEqual(object, json(JSON.parse(
				    fs.readFileSync(equal, 'utf8'))));
		} catch (e) {
			console.error(`otlp-decode: ${arg}: ${e.message}`);
			bad = 1;
		}
	}
	return bad;
}

if (require.main === module)
	process.exitCode = main(process.argv.slice(2));
module.exports = { load, types, decode, json };
