// SPDX-License-Identifier: ISC
/*
 * rest.ts - a fake of a service that takes jobs: see src/rest.ts
 *
 *   --fail=502      posting a job is a bad gateway's, and says when to retry;
 *                   the job is taken all the same, as gateways do
 *   --fail=failed   the job fails
 *   --fail=lost     the job is forgotten
 */

import { randomUUID } from 'node:crypto';

import { Fake, json } from './fake';

interface Job { id: string; begun: number; input: unknown; failed: boolean; lost: boolean;
	gone: boolean }

const fake = new Fake('rest', ['502', 'failed', 'lost']);
const jobs = new Map<string, Job>();
const byKey = new Map<string, Job>();

function view(j: Job): object {
	const part = Math.min(1, (Date.now() - j.begun) / fake.ms);
	if (part < 0.2)
		return { id: j.id, status: 'queued', progress: 0 };
	if (part < 1)
		return { id: j.id, status: 'running', progress: Math.floor(part * 5) / 5 };
	return j.failed ? { id: j.id, status: 'failed', error: { code: 'template_missing',
		message: 'there is no such template' } } :
		{ id: j.id, status: 'succeeded', progress: 1, output: { url: `/files/${j.id}.png` } };
}

fake.on('POST', /^\/v1\/jobs$/, (req, res) => {
	const key = String(req.headers['idempotency-key'] ?? randomUUID());
	if (req.body?.input === undefined) {
		json(res, 422, { error: { code: 'no_input', message: 'input is missing' } });
		return;
	}
	let j = byKey.get(key);
	if (j === undefined) {
		j = { id: randomUUID(), begun: Date.now(), input: req.body.input, gone: false,
			failed: fake.fails('failed'), lost: fake.fails('lost') };
		byKey.set(key, j);
		jobs.set(j.id, j);
	}
	if (fake.fails('502'))
		res.writeHead(502, { 'content-type': 'text/html', 'retry-after': '1',
			'set-cookie': 'session=of-the-gateway' }).end('<h1>502 Bad Gateway</h1>');
	else
		json(res, 202, view(j), { location: `/v1/jobs/${j.id}` });
});
fake.on('GET', /^\/v1\/jobs\/[\w-]+$/, (req, res) => {
	const j = jobs.get(req.path.slice('/v1/jobs/'.length));
	if (j === undefined || j.lost || j.gone)
		json(res, 404, { error: { code: 'not_found', message: 'there is no such job' } });
	else
		json(res, 200, view(j));
});
fake.on('DELETE', /^\/v1\/jobs\/[\w-]+$/, (req, res) => {
	const j = jobs.get(req.path.slice('/v1/jobs/'.length));
	if (j !== undefined)
		j.gone = true;
	res.writeHead(204).end();
});
fake.on('GET', /^\/health$/, (_req, res) => json(res, 200, { status: 'ok',
	queue: [...jobs.values()].filter((j) => Date.now() - j.begun < fake.ms).length }));
fake.listen();
