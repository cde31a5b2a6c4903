// SPDX-License-Identifier: ISC
/*
 * a1111.ts - a fake of Stable Diffusion WebUI's API: txt2img and what goes with it
 *
 *   --fail=oom   txt2img has no memory left
 *   --fail=500   txt2img dies of something without JSON
 *
 * A sampler it does not have is 404, a wrong type 422, as FastAPI says them.
 */

import { Fake, PNG, json, wait, type Request } from './fake';

const SAMPLERS = ['Euler a', 'Euler', 'DPM++ 2M', 'DPM++ SDE'];
const MODELS = ['juggernautXL', 'dreamshaper_8'];
const TICKS = 8;		// of the samplers' steps, which are told together

const fake = new Fake('a1111', ['oom', '500']);
const options = { sd_model_checkpoint: 'juggernautXL', sd_vae: 'sdxl_vae',
	samples_format: 'png' };
let job: { step: number; steps: number; stop: boolean } | undefined;

/** FastAPI's list of what is wrong with a body. */
function wrong(body: Record<string, unknown>): object[] {
	const out: object[] = [];
	for (const key of ['steps', 'width', 'height', 'seed', 'batch_size'])
		if (body[key] !== undefined && !Number.isInteger(body[key]))
			out.push({ loc: ['body', key], msg: 'value is not a valid integer',
				type: 'type_error.integer' });
	return out;
}

async function sample(steps: number): Promise<void> {
	job = { step: 0, steps, stop: false };
	for (let i = 1; i <= TICKS && !job.stop; i++) {
		await wait(fake.ms / TICKS);
		job.step = Math.round(steps * i / TICKS);
	}
	job = undefined;
}

fake.on('POST', /^\/sdapi\/v1\/txt2img$/, async (req, res) => {
	const b = req.body ?? {};
	const errors = wrong(b);
	if (errors.length > 0) {
		json(res, 422, { detail: errors });
		return;
	}
	if (!SAMPLERS.includes(b.sampler_name)) {
		json(res, 404, { detail: 'Sampler not found' });
		return;
	}
	await sample(b.steps ?? 50);
	if (fake.fails('500')) {
		res.writeHead(500, { 'content-type': 'text/plain' }).end('Internal Server Error');
		return;
	}
	if (fake.fails('oom')) {
		json(res, 500, { error: 'OutOfMemoryError', detail: '', body: '', errors:
			'CUDA out of memory. Tried to allocate 1.20 GiB (GPU 0; 23.99 GiB total ' +
			'capacity; 22.10 GiB already allocated)' });
		return;
	}
	const seed = b.seed === -1 ? Math.floor(Math.random() * 2 ** 32) : b.seed;
	const images = Array.from({ length: b.batch_size ?? 1 }, () => PNG);
	json(res, 200, { images, parameters: b, info: JSON.stringify({ prompt: b.prompt,
		all_prompts: [b.prompt], seed, all_seeds: images.map((_, i) => seed + i),
		width: b.width, height: b.height, sampler_name: b.sampler_name,
		cfg_scale: b.cfg_scale, steps: b.steps, batch_size: images.length,
		sd_model_name: options.sd_model_checkpoint, infotexts: [b.prompt] }) });
});
fake.on('GET', /^\/sdapi\/v1\/progress$/, (_req, res) => {
	const part = job === undefined ? 0 : Math.max(0.01, job.step / job.steps);
	json(res, 200, { progress: part, eta_relative: job === undefined ? 0 :
		fake.ms / 1000 * (1 - part), state: { skipped: false, interrupted: false,
		stopping_generation: false, job: job === undefined ? '' : 'scripts_txt2img',
		job_count: job === undefined ? 0 : 1, job_timestamp: '20250811140405', job_no: 0,
		sampling_step: job?.step ?? 0, sampling_steps: job?.steps ?? 0 },
	current_image: null, textinfo: null });
});
fake.on('POST', /^\/sdapi\/v1\/interrupt$/, (_req, res) => {
	if (job !== undefined)
		job.stop = true;
	json(res, 200, {});
});
fake.on('GET', /^\/sdapi\/v1\/options$/, (_req, res) => json(res, 200, options));
fake.on('POST', /^\/sdapi\/v1\/options$/, async (req: Request, res) => {
	const name = req.body?.sd_model_checkpoint;
	if (name !== undefined && !MODELS.includes(name)) {
		json(res, 500, { error: 'RuntimeError', detail: '', body: '',
			errors: `model '${name}' not found` });
		return;
	}
	await wait(fake.ms / 4);
	Object.assign(options, req.body);
	json(res, 200, null);
});
fake.on('GET', /^\/sdapi\/v1\/sd-models$/, (_req, res) => json(res, 200, MODELS.map((name) => ({
	title: `${name}.safetensors [d91d35736d]`, model_name: name, hash: 'd91d35736d',
	sha256: null, filename: `/models/Stable-diffusion/${name}.safetensors`, config: null }))));
fake.on('GET', /^\/sdapi\/v1\/memory$/, (_req, res) => json(res, 200, {
	ram: { free: 48318382080, used: 4294967296, total: 67108864000 },
	cuda: { system: { free: 13945012224, used: 11812208640, total: 25757220864 },
		events: { retries: 0, oom: 0 } } }));
fake.listen();
