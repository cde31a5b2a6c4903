// SPDX-License-Identifier: ISC
/*
 * a1111.ts - a connector for Stable Diffusion WebUI (AUTOMATIC1111, --api)
 *
 *   POST /sdapi/v1/txt2img    answers when the pictures are there; meanwhile
 *   GET  /sdapi/v1/progress   says how far it is
 *   POST /sdapi/v1/options    another checkpoint than the loaded one
 *   POST /sdapi/v1/interrupt  a job that is given up
 *   GET  /sdapi/v1/options, /sdapi/v1/sd-models, /sdapi/v1/memory  health
 *
 * A1111_URL, else http://127.0.0.1:7860.  Payload: {prompt, sampler?, steps?,
 * cfg_scale?, seed?, width?, height?, batch_size?, model?, vae?}.
 */

import { Connector, needed, optional, type Outcome, type Running } from './connector';
import { ServiceError, call, getJson, parse, pause, statusType, type Answer, type Call,
	type ErrorType } from './http';
import { main } from './main';

const API = `${process.env.A1111_URL ?? 'http://127.0.0.1:7860'}/sdapi/v1`;
const POLL_MS = Number(process.env.A1111_POLL_MS ?? 500);
const TIMEOUT_MS = 600_000;
const ASK_MS = 5000;

interface Settings {
	sampler: string;
	steps: number;
	cfg_scale: number;
	seed: number;
	width: number;
	height: number;
	batch_size: number;
}
interface Made { images: string[]; info: string }
interface Progress {
	progress: number;
	eta_relative: number;
	state: { sampling_step: number; sampling_steps: number; job_no: number };
}
interface Options { sd_model_checkpoint?: string; sd_vae?: string }
interface Failure { error?: string; detail?: unknown; errors?: string }

function settingsOf(p: Record<string, unknown>): Settings {
	return { sampler: p.sampler === undefined ? 'Euler a' : needed(p, 'sampler', 'string'),
		steps: optional(p, 'steps', 20), cfg_scale: optional(p, 'cfg_scale', 7),
		seed: optional(p, 'seed', -1), width: optional(p, 'width', 512),
		height: optional(p, 'height', 512), batch_size: optional(p, 'batch_size', 1) };
}

/** The WebUI's two shapes of an error: FastAPI's, and that of its own exceptions. */
function failure(a: Answer): ServiceError {
	let f: Failure = {};
	try {
		f = JSON.parse(a.body.toString()) as Failure;
	} catch {
		// plain text
	}
	const detail = typeof f.detail === 'string' ? f.detail : JSON.stringify(f.detail ?? '');
	const memory = /out of memory|OutOfMemory/i.test(`${f.error} ${f.errors}`);
	const type: ErrorType = memory ? 'memory' : statusType(a.status);
	const cause = f.error === undefined ? undefined : new Error(f.errors);
	if (cause !== undefined)
		cause.name = f.error!;
	return new ServiceError(f.error === undefined ? `txt2img: status ${a.status}: ${detail}` :
		`txt2img failed: ${f.error}`, type, cause, { status_code: a.status });
}

class A1111Connector extends Connector {
	private checkpoint = '';
	private vae: string | undefined;

	private async load(model: string, { job, signal, log }: Running): Promise<void> {
		const begun = performance.now();
		await getJson({ url: `${API}/options`, method: 'POST', signal,
			traceparent: job.traceparent, timeoutMs: TIMEOUT_MS,
			json: { sd_model_checkpoint: model } });
		this.checkpoint = model;
		log.info('Model loaded', { event_type: 'model_loaded', model_name: model,
			load_time_ms: Math.round(performance.now() - begun) });
	}

	/** Tells how far it is until somebody says that it is over. */
	private async watch({ job, log }: Running, over: AbortSignal): Promise<void> {
		let told = -1;
		try {
			for (;;) {
				await pause(POLL_MS, over);
				const p = await getJson<Progress>({ timeoutMs: ASK_MS, signal: over,
					url: `${API}/progress?skip_current_image=true` });
				if (p.state.sampling_step === told || p.progress === 0)
					continue;
				told = p.state.sampling_step;
				log.jobProgress({ jobId: job.id, progress: Math.round(p.progress * 1000) / 10,
					execution_step: 'sampling', iteration: told,
					total_iterations: p.state.sampling_steps,
					eta_ms: Math.round(p.eta_relative * 1000) });
			}
		} catch (e) {
			if (!over.aborted)
				log.warn('no progress from the WebUI', { error: (e as Error).message });
		}
	}

	private async txt2img(c: Call, r: Running): Promise<Answer> {
		const over = new AbortController();
		const watching = this.watch(r, over.signal);
		try {
			return await call(c);
		} catch (e) {
			if (r.signal.aborted)
				await call({ url: `${API}/interrupt`, method: 'POST', timeoutMs: 1000 })
					.catch((why) => r.log.warn('the WebUI could not be interrupted',
						{ error: (why as Error).message }));
			throw e;
		} finally {
			over.abort();
			await watching;
		}
	}

	private async options(): Promise<void> {
		const o = await getJson<Options>({ url: `${API}/options`, timeoutMs: ASK_MS });
		this.checkpoint = o.sd_model_checkpoint ?? '';
		this.vae = o.sd_vae;
	}

	protected override describe(payload: Record<string, unknown>): Record<string, unknown> {
		return { ...settingsOf(payload), model_checkpoint: this.modelOf(payload) ??
			(this.checkpoint || undefined), vae: this.vae };
	}

	protected async run(r: Running): Promise<Outcome> {
		const s = settingsOf(r.job.payload);
		const model = this.modelOf(r.job.payload);
		const c: Call = { url: `${API}/txt2img`, method: 'POST', signal: r.signal,
			traceparent: r.job.traceparent, timeoutMs: TIMEOUT_MS,
			json: { prompt: needed(r.job.payload, 'prompt', 'string'), steps: s.steps,
				sampler_name: s.sampler, cfg_scale: s.cfg_scale, seed: s.seed,
				width: s.width, height: s.height, batch_size: s.batch_size } };
		if (this.checkpoint === '')
			await this.options();
		if (model !== undefined && model !== this.checkpoint)
			await this.load(model, r);
		const a = await this.txt2img(c, r);
		if (a.status !== 200)
			throw failure(a);
		const made = parse<Made>(c, a);
		const info = JSON.parse(made.info) as { seed: number };
		return { outputSize: made.images.reduce((n, i) => n + i.length, 0),
			images: made.images.length, ...s, seed: info.seed,
			model_checkpoint: this.checkpoint };
	}

	protected async health(): Promise<Record<string, unknown>> {
		await this.options();
		const models = await getJson<unknown[]>({ url: `${API}/sd-models`,
			timeoutMs: ASK_MS });
		const memory = await getJson<{ cuda?: { system?: { used: number } } }>({
			url: `${API}/memory`, timeoutMs: ASK_MS });
		const used = memory.cuda?.system?.used;
		return { models_loaded: models.length, model_checkpoint: this.checkpoint,
			vram_usage: used === undefined ? undefined : Math.round(used / 2 ** 20) };
	}
}

void main((wrap) => new A1111Connector('a1111', process.env.CONNECTOR_ID ?? 'a1111-gpu1', wrap),
	(n) => ({ prompt: 'a lighthouse in fog', sampler: 'DPM++ 2M', steps: 28, cfg_scale: 6.5,
		seed: n, width: 832, height: 1216, model: n % 5 === 4 ? 'dreamshaper_8' :
			'juggernautXL' }));
