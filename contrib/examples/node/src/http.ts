// SPDX-License-Identifier: ISC
/*
 * http.ts - one HTTP request, with an end
 *
 * What:     node:http alone: fetch() gives up on an answer whose head takes
 *           five minutes, and txt2img answers when the picture is there.
 * Never:    waits without a limit, keeps more than it was told, or leaves a
 *           caller without the reason: what it throws is a ServiceError that
 *           says what kind it is, with the system's own error as its cause.
 */

import * as http from 'node:http';
import * as https from 'node:https';

export type ErrorType = 'timeout' | 'memory' | 'network' | 'model' | 'validation' |
	'authorization' | 'rate_limit' | 'service' | 'cancelled' | 'unknown';

/** What went wrong at the other side, or on the way there. */
export class ServiceError extends Error {
	override readonly name = 'ServiceError';
	readonly type: ErrorType;
	/** What the job_failed record says beside the error: request_id, node_id, ... */
	readonly fields: Record<string, unknown>;

	constructor(message: string, type: ErrorType, cause?: unknown,
		fields: Record<string, unknown> = {}) {
		super(message, cause === undefined ? undefined : { cause });
		this.type = type;
		this.fields = fields;
	}
}

export interface Call {
	url: string;
	method?: string;
	headers?: Record<string, string>;
	/** Sent as JSON. */
	json?: unknown;
	traceparent?: string;
	/** Most ms until the answer is complete; for a stream: between two pieces. */
	timeoutMs?: number;
	signal?: AbortSignal;
	maxBytes?: number;
}

export interface Answer {
	status: number;
	headers: http.IncomingHttpHeaders;
	body: Buffer;
}

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 64 << 20;

function headersOf(c: Call, body: Buffer | undefined): Record<string, string | number> {
	return {
		accept: 'application/json',
		...(body === undefined ? {} : { 'content-type': 'application/json',
			'content-length': body.length }),
		...(c.traceparent === undefined ? {} : { traceparent: c.traceparent }),
		...c.headers,
	};
}

function placeOf(url: string): string {
	const u = new URL(url);
	return `${u.protocol}//${u.host}`;
}

/** Why there was no answer, in words. */
export function networkError(url: string, e: unknown): ServiceError {
	if (e instanceof ServiceError)
		return e;
	const code = (e as NodeJS.ErrnoException).code ?? (e as Error).message;
	return new ServiceError(`connection to ${placeOf(url)} failed: ${code}`, 'network', e);
}

/** The head of an answer; its body is read by the caller, who may stop at any time. */
export function open(c: Call): Promise<http.IncomingMessage> {
	return new Promise((resolve, reject) => {
		const body = c.json === undefined ? undefined : Buffer.from(JSON.stringify(c.json));
		const ms = c.timeoutMs ?? TIMEOUT_MS;
		const module = c.url.startsWith('https:') ? https : http;
		const req = module.request(c.url, { method: c.method ?? 'GET', signal: c.signal,
			headers: headersOf(c, body), timeout: ms });
		req.on('timeout', () => req.destroy(new ServiceError(
			`timeout: no answer of ${placeOf(c.url)} for ${ms} ms`, 'timeout')));
		req.on('error', (e) => reject(networkError(c.url, e)));
		req.on('response', resolve);
		req.end(body);
	});
}

async function collect(res: http.IncomingMessage, c: Call): Promise<Buffer> {
	const parts: Buffer[] = [];
	let bytes = 0;
	for await (const part of res as AsyncIterable<Buffer>) {
		bytes += part.length;
		if (bytes > (c.maxBytes ?? MAX_BYTES))
			throw new ServiceError(`${c.url}: the answer is longer than ${bytes} bytes`,
				'service');
		parts.push(part);
	}
	return Buffer.concat(parts);
}

/** The whole answer, whatever its status. */
export async function call(c: Call): Promise<Answer> {
	const limit = new AbortController();
	const ms = c.timeoutMs ?? TIMEOUT_MS;
	const timer = setTimeout(() => limit.abort(), ms);
	const stop = (): void => limit.abort();
	c.signal?.addEventListener('abort', stop, { once: true });
	if (c.signal?.aborted)
		stop();
	try {
		const res = await open({ ...c, signal: limit.signal, timeoutMs: ms + 1000 });
		return { status: res.statusCode ?? 0, headers: res.headers,
			body: await collect(res, c) };
	} catch (e) {
		if (limit.signal.aborted && !c.signal?.aborted)
			throw new ServiceError(`timeout after ${ms} ms: ${c.method ?? 'GET'} ${c.url}`,
				'timeout', e);
		throw networkError(c.url, e);
	} finally {
		clearTimeout(timer);
		c.signal?.removeEventListener('abort', stop);
	}
}

/** Of an answer that should be JSON. */
export function parse<T>(c: Call, a: Answer): T {
	try {
		return JSON.parse(a.body.toString()) as T;
	} catch (e) {
		throw new ServiceError(`${c.url}: status ${a.status} without JSON: ` +
			a.body.toString('utf8', 0, 200), 'service', e);
	}
}

/** JSON of an answer with 2xx; other ones are an error that says what the body says. */
export async function getJson<T>(c: Call): Promise<T> {
	const a = await call(c);
	if (a.status < 200 || a.status > 299)
		throw new ServiceError(`${c.method ?? 'GET'} ${c.url}: status ${a.status}: ` +
			a.body.toString('utf8', 0, 200), statusType(a.status), undefined,
		{ status_code: a.status });
	return parse<T>(c, a);
}

export function statusType(status: number): ErrorType {
	if (status === 401 || status === 403)
		return 'authorization';
	if (status === 408 || status === 504)
		return 'timeout';
	if (status === 429)
		return 'rate_limit';
	return status >= 400 && status < 500 ? 'validation' : 'service';
}

/** How long the other side wants us to wait, or undefined: it did not say. */
export function retryAfterMs(headers: http.IncomingHttpHeaders): number | undefined {
	const exact = Number(headers['retry-after-ms']);
	if (exact > 0)
		return exact;
	const text = headers['retry-after'];
	if (text === undefined)
		return undefined;
	const s = Number(text);
	const ms = Number.isFinite(s) ? s * 1000 : Date.parse(text) - Date.now();
	return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** Sleeps, unless and until the signal says stop; then throws its reason. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		const stop = (): void => {
			clearTimeout(timer);
			reject(signal.reason as Error);
		};
		const timer = setTimeout(() => {
			signal.removeEventListener('abort', stop);
			resolve();
		}, ms);
		if (signal.aborted)
			stop();
		else
			signal.addEventListener('abort', stop, { once: true });
	});
}
