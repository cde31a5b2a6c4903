// SPDX-License-Identifier: ISC
/*
 * openai.ts - a fake of OpenAI's API: images, streamed chat, models
 *
 * Wants a key that begins with sk-, has the limits' headers and request ids of
 * the real one, and its errors' shape.
 *
 *   --fail=429      rate_limit_exceeded, with retry-after-ms and retry-after
 *   --fail=quota    insufficient_quota, which no retry helps
 *   --fail=500      server_error
 *   --fail=cut      a stream whose connection breaks
 *   --fail=short    a stream that ends without [DONE]
 *   --fail=stream   an error as an event of a stream
 */

import { randomBytes } from 'node:crypto';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

import { Fake, PNG, json, wait, type Request } from './fake';

const MODELS = ['gpt-4o-mini', 'gpt-image-1'];
const WORDS = ('The light turns slowly behind the fog and nobody on the water can tell ' +
	'whether it is near or far').split(' ');
const RETRY_MS = 20;

const fake = new Fake('openai', ['429', 'quota', '500', 'cut', 'short', 'stream']);

function headers(more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
	return { 'x-request-id': `req_${randomBytes(16).toString('hex')}`,
		'openai-version': '2020-10-01', 'openai-processing-ms': String(fake.ms),
		'x-ratelimit-limit-requests': '500', 'x-ratelimit-remaining-requests': '499',
		...more };
}

function fail(res: ServerResponse, status: number, type: string, code: string | null,
	message: string, more: OutgoingHttpHeaders = {}): void {
	json(res, status, { error: { message, type, param: null, code } }, headers(more));
}

/** Answers what no model would be asked for; true: it did. */
function refused(req: Request, res: ServerResponse): boolean {
	const key = req.headers.authorization ?? '';
	if (!key.startsWith('Bearer sk-'))
		fail(res, 401, 'invalid_request_error', 'invalid_api_key',
			`Incorrect API key provided: ${key.slice(7, 10)}***.`);
	else if (fake.fails('429'))
		fail(res, 429, 'requests', 'rate_limit_exceeded', 'Rate limit reached for ' +
			'gpt-4o-mini in organization org-demo on requests per min (RPM): Limit 500, ' +
			'Used 500. Please try again in 20ms.', { 'retry-after': '1',
			'retry-after-ms': String(RETRY_MS) });
	else if (fake.fails('quota'))
		fail(res, 429, 'insufficient_quota', 'insufficient_quota', 'You exceeded your ' +
			'current quota, please check your plan and billing details.',
		{ 'x-should-retry': 'false' });
	else if (fake.fails('500'))
		fail(res, 500, 'server_error', null, 'The server had an error while processing ' +
			'your request. Sorry about that!', { 'retry-after-ms': '20' });
	else if (req.body !== undefined && !MODELS.includes(req.body.model))
		fail(res, 404, 'invalid_request_error', 'model_not_found',
			`The model '${req.body.model}' does not exist or you do not have access to it.`);
	else
		return false;
	return true;
}

fake.on('POST', /^\/v1\/images\/generations$/, async (req, res) => {
	if (refused(req, res))
		return;
	await wait(fake.ms);
	json(res, 200, { created: Math.floor(Date.now() / 1000), background: 'opaque',
		output_format: 'png', quality: 'medium', size: req.body.size ?? '1024x1024',
		data: [{ b64_json: PNG }], usage: { total_tokens: 1068, input_tokens: 12,
			output_tokens: 1056, input_tokens_details: { text_tokens: 12, image_tokens: 0 } } },
	headers());
});

function chunk(id: string, model: string, rest: object): object {
	return { id, object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000),
		model: `${model}-2024-07-18`, service_tier: 'default',
		system_fingerprint: 'fp_demo', ...rest };
}

function choice(delta: object, reason: string | null = null): object {
	return { choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
		usage: null };
}

async function stream(req: Request, res: ServerResponse): Promise<void> {
	const id = `chatcmpl-${randomBytes(12).toString('hex')}`;
	const model = String(req.body.model);
	const send = (o: object | string): void => {
		res.write(`data: ${typeof o === 'string' ? o : JSON.stringify(o)}\n\n`);
	};
	const cut = fake.fails('cut');
	const short = fake.fails('short');
	const broken = fake.fails('stream');
	res.writeHead(200, headers({ 'content-type': 'text/event-stream; charset=utf-8' }));
	send(chunk(id, model, choice({ role: 'assistant', content: '', refusal: null })));
	for (const [i, word] of WORDS.entries()) {
		await wait(fake.ms / WORDS.length);
		send(chunk(id, model, choice({ content: `${i === 0 ? '' : ' '}${word}` })));
		if (cut && i === 5) {
			res.destroy();
			return;
		}
		if (short && i === 5) {
			res.end();
			return;
		}
		if (broken && i === 5) {
			send({ error: { message: 'The server had an error while processing your ' +
				'request. Sorry about that!', type: 'server_error', param: null,
			code: null } });
			res.end();
			return;
		}
	}
	send(chunk(id, model, choice({}, 'stop')));
	if (req.body.stream_options?.include_usage === true)
		send(chunk(id, model, { choices: [], usage: { prompt_tokens: 14,
			completion_tokens: WORDS.length, total_tokens: 14 + WORDS.length } }));
	send('[DONE]');
	res.end();
}

fake.on('POST', /^\/v1\/chat\/completions$/, async (req, res) => {
	if (refused(req, res))
		return;
	if (req.body.stream === true) {
		await stream(req, res);
		return;
	}
	fail(res, 400, 'invalid_request_error', null, 'This fake streams: stream must be true.');
});
fake.on('GET', /^\/v1\/models$/, (req, res) => {
	if (!refused({ ...req, body: undefined }, res))
		json(res, 200, { object: 'list', data: MODELS.map((id) => ({ id, object: 'model',
			created: 1721172741, owned_by: 'system' })) }, headers());
});
fake.listen();
