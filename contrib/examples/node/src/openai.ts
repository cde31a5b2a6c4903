// SPDX-License-Identifier: ISC
/*
 * openai.ts - a connector for OpenAI's API, without its SDK
 *
 *   POST /v1/images/generations   {kind: 'image', model, prompt, size?}
 *   POST /v1/chat/completions     {kind: 'text', model, prompt}, streamed
 *   GET  /v1/models               health
 *
 * OPENAI_BASE_URL, else https://api.openai.com/v1; OPENAI_API_KEY.  429 and
 * 5xx are tried again as retry-after says; the picture's base64 goes to who
 * asked for it, not into a record.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

import { Connector, needed, type Outcome, type Running } from './connector';
import { ServiceError, call, getJson, networkError, open, parse, statusType, type Answer,
	type Call } from './http';
import { main } from './main';
import { retrying } from './retry';

const URL_BASE = process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1';
const TRIES = 3;
const TIMEOUT_MS = Number(process.env.OPENAI_TIMEOUT_MS ?? 600_000);
const LINE_MAX = 4 << 20;
const CHUNKS_TOLD = 20;		// a progress record for so many

interface Failure {
	error?: { message: string; type: string; param: string | null; code: string | null };
}
interface Images {
	data: { b64_json?: string; url?: string }[];
	usage?: { input_tokens: number; output_tokens: number; total_tokens: number };
}
interface Chunk extends Failure {
	id: string;
	model: string;
	choices: { delta: { content?: string | null }; finish_reason: string | null }[];
	usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
}
type Usage = NonNullable<Chunk['usage']>;

function headers(): Record<string, string> {
	return { authorization: `Bearer ${process.env.OPENAI_API_KEY ?? ''}` };
}

function requestId(h: IncomingHttpHeaders): string | undefined {
	const id = h['x-request-id'];
	return typeof id === 'string' ? id : undefined;
}

/** OpenAI's shape of an error, as one of ours. */
function failure(a: Answer, model: string): ServiceError {
	let e: Failure['error'];
	try {
		e = (JSON.parse(a.body.toString()) as Failure).error;
	} catch {
		// a proxy's page
	}
	const cause = new Error(`${e?.type ?? 'no JSON'}${e?.code ? `: ${e.code}` : ''}`);
	return new ServiceError(e?.message ?? `status ${a.status}`, statusType(a.status), cause,
		{ status_code: a.status, request_id: requestId(a.headers), model });
}

/** The data of server-sent events. */
async function* events(res: IncomingMessage): AsyncGenerator<string> {
	let rest = '';
	res.setEncoding('utf8');
	for await (const part of res as AsyncIterable<string>) {
		const lines = (rest + part).split(/\r?\n/);
		rest = lines.pop()!;
		if (rest.length > LINE_MAX)
			throw new ServiceError('an event that does not end', 'service');
		for (const line of lines)
			if (line.startsWith('data:'))
				yield line.slice(5).trimStart();
	}
}

/** What a stream has told so far. */
class Completion {
	text = '';
	chunks = 0;
	bytes = 0;
	finished: string | undefined;
	usage: Usage | undefined;

	take(data: string): void {
		const c = JSON.parse(data) as Chunk;
		if (c.error !== undefined)
			throw new ServiceError(c.error.message, 'service', new Error(c.error.type));
		this.chunks++;
		this.bytes += data.length;
		this.text += c.choices[0]?.delta.content ?? '';
		this.finished = c.choices[0]?.finish_reason ?? this.finished;
		this.usage = c.usage ?? this.usage;
	}
}

class OpenAIConnector extends Connector {
	private call(path: string, body: object, { job, signal }: Running): Call {
		return { url: URL_BASE + path, method: 'POST', headers: headers(), json: body, signal,
			traceparent: job.traceparent, timeoutMs: TIMEOUT_MS };
	}

	private told(r: Running, begun: number, c: Call, fields: Record<string, unknown>): void {
		r.log.info('OpenAI call finished', { event_type: 'service_api_call',
			endpoint: new URL(c.url).pathname,
			request_size_bytes: JSON.stringify(c.json).length,
			response_time_ms: Math.round(performance.now() - begun), ...fields });
	}

	private async image(r: Running, model: string, prompt: string): Promise<Outcome> {
		const c = this.call('/images/generations', { model, prompt, n: 1,
			size: r.job.payload.size ?? '1024x1024' }, r);
		const begun = performance.now();
		const a = await retrying(r, c, TRIES, () => call(c));
		if (a.status !== 200)
			throw failure(a, model);
		const images = parse<Images>(c, a);
		const bytes = Buffer.from(images.data[0]?.b64_json ?? '', 'base64').length;
		if (bytes === 0)
			throw new ServiceError('an answer without an image', 'service', undefined,
				{ request_id: requestId(a.headers), model });
		const u = images.usage;
		const fields = { model, request_id: requestId(a.headers) };
		this.told(r, begun, c, { ...fields, response_size_bytes: a.body.length,
			token_usage: u && { prompt_tokens: u.input_tokens,
				completion_tokens: u.output_tokens, total_tokens: u.total_tokens } });
		return { outputSize: bytes, ...fields };
	}

	private async follow(r: Running, res: IncomingMessage, done: Completion, begun: number):
		Promise<void> {
		for await (const data of events(res)) {
			if (data === '[DONE]')
				return;
			done.take(data);
			if (done.chunks % CHUNKS_TOLD === 1)
				r.log.jobProgress({ jobId: r.job.id, execution_step: 'streaming',
					chunks: done.chunks, characters: done.text.length,
					elapsed_ms: Math.round(performance.now() - begun) });
		}
		throw new ServiceError('the connection ended in the middle of the stream', 'network');
	}

	// A stream that has begun is not asked for again: its text may be in use.
	private async text(r: Running, model: string, prompt: string): Promise<Outcome> {
		const c = this.call('/chat/completions', { model, stream: true,
			stream_options: { include_usage: true },
			messages: [{ role: 'user', content: prompt }] }, r);
		const begun = performance.now();
		let res: IncomingMessage | undefined;
		const head = await retrying(r, c, TRIES, async () => {
			res = await open(c);
			const body: Buffer[] = [];
			if (res.statusCode !== 200)
				for await (const part of res as AsyncIterable<Buffer>)
					body.push(part);
			return { status: res.statusCode ?? 0, headers: res.headers,
				body: Buffer.concat(body) };
		});
		if (head.status !== 200)
			throw failure(head, model);
		const fields = { model, request_id: requestId(head.headers) };
		const done = new Completion();
		try {
			await this.follow(r, res!, done, begun);
		} catch (e) {
			const why = e instanceof SyntaxError ? new ServiceError('an event that is not JSON',
				'service', e) : networkError(c.url, e);
			throw new ServiceError(why.message, why.type, why.cause, { ...fields,
				chunks: done.chunks });
		} finally {
			res!.destroy();
		}
		this.told(r, begun, c, { ...fields, response_size_bytes: done.bytes,
			token_usage: done.usage });
		return { outputSize: done.text.length, finish_reason: done.finished, ...fields };
	}

	protected run(r: Running): Promise<Outcome> {
		const model = needed(r.job.payload, 'model', 'string');
		const prompt = needed(r.job.payload, 'prompt', 'string');
		return r.job.payload.kind === 'text' ? this.text(r, model, prompt) :
			this.image(r, model, prompt);
	}

	protected async health(): Promise<Record<string, unknown>> {
		const models = await getJson<{ data: unknown[] }>({ url: `${URL_BASE}/models`,
			headers: headers(), timeoutMs: 5000 });
		return { models_loaded: models.data.length };
	}
}

void main((wrap) => new OpenAIConnector('openai-image', process.env.CONNECTOR_ID ??
	'openai-image-0', wrap), (n) => n % 2 === 0 ?
	{ kind: 'image', model: 'gpt-image-1', prompt: 'a lighthouse in fog' } :
	{ kind: 'text', model: 'gpt-4o-mini', prompt: 'Describe a lighthouse in fog.' });
