// SPDX-License-Identifier: ISC
/*
 * retry.ts - a call that may be made again, told each time
 *
 * Again after 408, 429, 5xx, and when there was no answer: as long as the
 * other side asks for, else twice as long each time with jitter.  Each new
 * attempt is a service_retry record.  Only for what may happen twice, or has
 * an idempotency key.
 */

import type { IncomingHttpHeaders } from 'node:http';

import type { Running } from './connector';
import { ServiceError, pause, retryAfterMs, type Call } from './http';

const FIRST_MS = 250;
const WAIT_MAX_MS = 60_000;

export interface Result {
	status: number;
	headers: IncomingHttpHeaders;
}

/** The headers a record may show; emplog replaces the secrets among them. */
function shown(headers: IncomingHttpHeaders): Record<string, string> {
	const out: Record<string, string> = {};
	for (const [k, v] of Object.entries(headers))
		if (/^(retry-after|x-request-id|x-ratelimit-|content-type)/.test(k))
			out[k] = String(v);
	return out;
}

function mayRetry(r: Result | ServiceError): boolean {
	if (r instanceof ServiceError)
		return r.type === 'network' || r.type === 'timeout';
	if (r.headers['x-should-retry'] === 'false')
		return false;
	return r.status === 408 || r.status === 429 || r.status >= 500;
}

function waitMs(r: Result | ServiceError, n: number): number {
	const asked = r instanceof ServiceError ? undefined : retryAfterMs(r.headers);
	return Math.min(asked ?? FIRST_MS * 2 ** n * (0.5 + Math.random() / 2), WAIT_MAX_MS);
}

function tell({ log }: Running, c: Call, r: Result | ServiceError, n: number, ms: number): void {
	log.warn('Retrying upstream', { event_type: 'service_retry', http_method: c.method ?? 'GET',
		endpoint: new URL(c.url).pathname, retry_count: n, wait_ms: Math.round(ms),
		timeout_ms: c.timeoutMs, request_headers: c.headers,
		...(r instanceof ServiceError ? { error: r.message, error_type: r.type } :
			{ status_code: r.status, response_headers: shown(r.headers) }) });
}

/** The last answer, whatever it is; throws when there was none at all. */
export async function retrying<T extends Result>(running: Running, c: Call, tries: number,
	attempt: () => Promise<T>): Promise<T> {
	for (let n = 1; ; n++) {
		const r = await attempt().catch((e: unknown) => {
			if (e instanceof ServiceError && !running.signal.aborted)
				return e;
			throw e;
		});
		if (n >= tries || !mayRetry(r)) {
			if (r instanceof ServiceError)
				throw r;
			return r;
		}
		const ms = waitMs(r, n - 1);
		tell(running, c, r, n, ms);
		await pause(ms, running.signal);
	}
}
