// SPDX-License-Identifier: ISC
/*
 * rest.ts - a connector for a service that takes jobs: posted, then polled
 *
 *   POST   /v1/jobs      {input} with an Idempotency-Key: 202 {id, status},
 *                        where to look in Location
 *   GET    /v1/jobs/ID   {id, status, progress, output | error}
 *   DELETE /v1/jobs/ID   a job that is given up
 *   GET    /health
 *
 * status: queued, running, succeeded, failed.  REST_URL, else
 * http://127.0.0.1:8080; REST_TOKEN.  Payload: {input}.
 */

import { Connector, type Outcome, type Running } from './connector';
import { ServiceError, call, getJson, parse, pause, statusType, type Answer, type Call } from './http';
import { main } from './main';
import { retrying } from './retry';

const URL_BASE = process.env.REST_URL ?? 'http://127.0.0.1:8080';
const POLL_MS = Number(process.env.REST_POLL_MS ?? 1000);
const TIMEOUT_MS = 30_000;
const TRIES = 4;

interface Remote {
	id: string;
	status: 'queued' | 'running' | 'succeeded' | 'failed';
	progress?: number;
	output?: unknown;
	error?: { code: string; message: string };
}

function headers(): Record<string, string> {
	const key = process.env.REST_TOKEN;
	return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

class RestConnector extends Connector {
	/** One call of the job, again where that helps; its answer is 2xx. */
	private async ask(c: Call, r: Running): Promise<Answer> {
		const all: Call = { ...c, headers: { ...headers(), ...c.headers }, signal: r.signal,
			traceparent: r.job.traceparent, timeoutMs: TIMEOUT_MS };
		const a = await retrying(r, all, TRIES, () => call(all));
		if (a.status >= 200 && a.status <= 299)
			return a;
		throw new ServiceError(`${c.method ?? 'GET'} ${new URL(c.url).pathname}: ` +
			`status ${a.status}`, statusType(a.status),
		new Error(a.body.toString('utf8', 0, 200)), { status_code: a.status,
			http_method: c.method ?? 'GET', endpoint: new URL(c.url).pathname });
	}

	private async poll(url: string, r: Running): Promise<Remote> {
		const c: Call = { url };
		let told = '';
		for (;;) {
			const remote = parse<Remote>(c, await this.ask(c, r));
			if (remote.status === 'succeeded' || remote.status === 'failed')
				return remote;
			const progress = Math.round((remote.progress ?? 0) * 100);
			const news = `${remote.status} ${progress}`;
			if (news !== told)
				r.log.jobProgress({ jobId: r.job.id, progress,
					execution_step: remote.status, endpoint: new URL(url).pathname });
			told = news;
			await pause(POLL_MS, r.signal);
		}
	}

	protected override describe(): Record<string, unknown> {
		return { endpoint: '/v1/jobs', http_method: 'POST', timeout_ms: TIMEOUT_MS };
	}

	protected async run(r: Running): Promise<Outcome> {
		const c: Call = { url: `${URL_BASE}/v1/jobs`, method: 'POST',
			headers: { 'idempotency-key': r.job.id }, json: { input: r.job.payload.input } };
		const a = await this.ask(c, r);
		const { id } = parse<Remote>(c, a);
		const url = new URL(a.headers.location ?? `/v1/jobs/${id}`, c.url).href;
		const fields = { endpoint: new URL(url).pathname, remote_id: id };
		let remote: Remote;
		try {
			remote = await this.poll(url, r);
		} catch (e) {
			if (r.signal.aborted)
				await call({ url, method: 'DELETE', headers: headers(), timeoutMs: 1000 })
					.catch((why) => r.log.warn('the job could not be taken back',
						{ ...fields, error: (why as Error).message }));
			throw e;
		}
		if (remote.status === 'failed')
			throw new ServiceError(`the service failed: ${remote.error?.message}`, 'service',
				new Error(remote.error?.code), fields);
		return { outputSize: JSON.stringify(remote.output ?? null).length, ...fields };
	}

	protected async health(): Promise<Record<string, unknown>> {
		const h = await getJson<{ queue?: number }>({ url: `${URL_BASE}/health`,
			timeoutMs: 5000 });
		return { queue_size: h.queue };
	}
}

void main((wrap) => new RestConnector('rest', process.env.CONNECTOR_ID ?? 'rest-webhook', wrap),
	(n) => ({ input: { template: 'poster', text: `number ${n}` } }));
