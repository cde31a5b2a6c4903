// SPDX-License-Identifier: ISC
/*
 * comfyui.ts - a connector for ComfyUI: HTTP to ask, a websocket to be told
 *
 *   POST /prompt       the workflow, with our client id: its prompt id
 *   GET /ws            status, execution_start, executing, progress, executed,
 *                      execution_success | _error | _interrupted
 *   GET /history/ID    how it ended; asked when the websocket was lost or is
 *                      silent, so that a message missed is no job that hangs
 *   GET /view          the images
 *   POST /queue, /interrupt   a job that is given up
 *   GET /system_stats, /queue  health
 *
 * COMFYUI_URL, else http://127.0.0.1:8188.  Payload: {workflow, model?}.
 */

import { createHash } from 'node:crypto';

import { Connector, type Logger, type Outcome, type Running } from './connector';
import { ServiceError, call, getJson, pause, type Call, type ErrorType } from './http';
import { main } from './main';
import { WebSocketClient } from './websocket';

const URL_BASE = process.env.COMFYUI_URL ?? 'http://127.0.0.1:8188';
const QUIET_MS = Number(process.env.COMFYUI_QUIET_MS ?? 10_000);
const CONNECT_MS = 5000;
const TRIES = 5;		// to have the websocket again
const INBOX_MAX = 10_000;
const STEP = 5;		// percent between two progress records of a node

interface Node { class_type: string; inputs: Record<string, unknown> }
type Workflow = Record<string, Node>;
interface Message { type: string; data: Record<string, unknown> }
interface Image { filename: string; subfolder: string; type: string }
type Outputs = Record<string, { images?: Image[] }>;
interface History {
	outputs: Outputs;
	status?: { status_str: string; completed: boolean; messages: [string, Message['data']][] };
}
interface Refused {
	error?: { type: string; message: string; details?: string };
	node_errors?: Record<string, { class_type: string;
		errors: { message: string; details: string }[] }>;
}
interface SystemStats {
	system: { comfyui_version?: string; python_version: string };
	devices: { name: string; vram_total: number; vram_free: number }[];
}
type Fields = Record<string, unknown>;
interface Queue { queue_running: unknown[][]; queue_pending: unknown[][] }

function workflowOf(payload: Record<string, unknown>): Workflow {
	const w = payload.workflow as Workflow | undefined;
	if (typeof w !== 'object' || w === null || Object.keys(w).length === 0)
		throw new ServiceError('invalid payload: there is no workflow', 'validation');
	return w;
}

function checkpointOf(payload: Record<string, unknown>): string | undefined {
	const w = payload.workflow;
	const nodes = typeof w === 'object' && w !== null ? Object.values(w as Workflow) : [];
	const name = nodes.find((n) => n?.inputs?.ckpt_name !== undefined)?.inputs.ckpt_name;
	return typeof name === 'string' ? name : undefined;
}

/** What is wrong with a workflow, as ComfyUI says it. */
function refusal(status: number, body: Refused, promptFields: Fields): ServiceError {
	const nodes = Object.entries(body.node_errors ?? {});
	const details = nodes.flatMap(([id, n]) => n.errors.map((e) =>
		`${n.class_type} (${id}): ${e.message}: ${e.details}`));
	const message = body.error?.message ?? `status ${status}`;
	return new ServiceError(`ComfyUI refused the prompt: ${message}`,
		status === 400 ? 'validation' : 'service',
		new Error(details.join('; ') || body.error?.details || `status ${status}`),
		{ ...promptFields, status_code: status, node_id: nodes[0]?.[0] });
}

/** An execution_error: Python's exception becomes the cause. */
function executionError(d: Message['data'], fields: Fields): ServiceError {
	const kind = String(d.exception_type);
	const cause = new Error(String(d.exception_message).trim());
	cause.name = kind;
	const trace = d.traceback;
	if (Array.isArray(trace))
		cause.stack = trace.join('');
	const type: ErrorType = /OutOfMemory|MemoryError/.test(kind) ? 'memory' : 'model';
	return new ServiceError(`${String(d.node_type)} failed: ${cause.message}`, type, cause,
		{ ...fields, node_id: d.node_id, execution_step: d.node_type });
}

/** How far a prompt is: nodes done, and of the one that runs its own steps. */
class Progress {
	private readonly done = new Set<string>();
	private node = '';
	private told = -1;

	constructor(private readonly workflow: Workflow) {}

	get step(): string {
		return this.workflow[this.node]?.class_type ?? this.node;
	}

	enter(node: string): void {
		if (this.node !== '' && this.node !== node)
			this.done.add(this.node);
		this.node = node;
	}

	cached(nodes: unknown): void {
		for (const n of Array.isArray(nodes) ? nodes : [])
			this.done.add(String(n));
	}

	/** Percent, when there is enough news in it for a record. */
	news(part: number): number | undefined {
		const total = Object.keys(this.workflow).length;
		const percent = Math.min(100, 100 * (this.done.size + part) / total);
		if (part > 0 && percent - this.told < STEP)
			return undefined;
		this.told = percent;
		return Math.round(percent * 10) / 10;
	}
}

class ComfyUIConnector extends Connector {
	private readonly clientId = `emp-${this.connectorId}`;
	private socket: WebSocketClient | undefined;
	private inbox: Message[] = [];
	private wake: (() => void) | undefined;
	private queueRemaining = 0;
	private previews = 0;

	// ---- the websocket ----

	private took(text: string): void {
		let m: Message;
		try {
			m = JSON.parse(text) as Message;
		} catch {
			return;		// other programs' nodes send what they like
		}
		if (typeof m?.data !== 'object' || m.data === null)
			return;
		if (m.type === 'status') {
			const s = m.data.status as { exec_info?: { queue_remaining?: number } };
			this.queueRemaining = s?.exec_info?.queue_remaining ?? this.queueRemaining;
		}
		if (this.inbox.length < INBOX_MAX)
			this.inbox.push(m);
		this.wake?.();
	}

	private async connected(): Promise<void> {
		if (this.socket !== undefined && !this.socket.closed)
			return;
		const url = `${URL_BASE.replace(/^http/, 'ws')}/ws?clientId=${this.clientId}`;
		this.socket = await WebSocketClient.connect(url, CONNECT_MS, {
			text: (t) => this.took(t),
			binary: () => { this.previews++; },
			closed: () => this.wake?.(),
		});
	}

	private async again(log: Logger, signal: AbortSignal): Promise<void> {
		for (let n = 1; ; n++) {
			try {
				await this.connected();
				return;
			} catch (e) {
				if (n >= TRIES)
					throw e;
				log.warn('ComfyUI websocket not there yet', { event_type:
					'service_reconnect', retry_count: n, error: (e as Error).message });
				await pause(100 * 2 ** n, signal);
			}
		}
	}

	/** The next message; undefined: it was silent for too long, or is lost. */
	private async next(signal: AbortSignal): Promise<Message | undefined> {
		if (this.inbox.length === 0 && !this.socket!.closed && !signal.aborted) {
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, QUIET_MS);
				this.wake = (): void => {
					clearTimeout(timer);
					resolve();
				};
				signal.addEventListener('abort', this.wake, { once: true });
			});
			signal.removeEventListener('abort', this.wake!);
			this.wake = undefined;
		}
		signal.throwIfAborted();
		return this.inbox.shift();
	}

	// ---- a prompt ----

	private async submit(workflow: Workflow, { job, signal }: Running): Promise<string> {
		const c: Call = { url: `${URL_BASE}/prompt`, method: 'POST', signal,
			traceparent: job.traceparent,
			json: { prompt: workflow, client_id: this.clientId } };
		const a = await call(c);
		let body: Refused & { prompt_id?: string } = {};
		try {
			body = JSON.parse(a.body.toString()) as typeof body;
		} catch {
			// an error 500 is plain text
		}
		if (a.status !== 200 || body.prompt_id === undefined)
			throw refusal(a.status, body, { client_id: this.clientId });
		return body.prompt_id;
	}

	/** How the prompt ended, or undefined: not yet. */
	private async ended(promptId: string, fields: Fields, signal: AbortSignal):
		Promise<Outputs | undefined> {
		const all = await getJson<Record<string, History>>({ signal,
			url: `${URL_BASE}/history/${promptId}` });
		const h = all[promptId];
		if (h === undefined)
			return undefined;
		for (const [type, data] of h.status?.messages ?? []) {
			if (type === 'execution_error')
				throw executionError(data, fields);
			if (type === 'execution_interrupted')
				throw new ServiceError('interrupted by somebody else', 'cancelled',
					undefined, fields);
		}
		return h.outputs;
	}

	private async isQueued(promptId: string, signal: AbortSignal): Promise<boolean> {
		const q = await getJson<Queue>({ url: `${URL_BASE}/queue`, signal });
		return [...q.queue_running, ...q.queue_pending].some((e) => e[1] === promptId);
	}

	/** The socket told nothing or is gone: asks, and has it again. */
	private async lookAfter(promptId: string, fields: Fields, r: Running):
		Promise<Outputs | undefined> {
		if (this.socket!.closed) {
			r.log.warn('ComfyUI websocket lost', { event_type: 'service_reconnect',
				...fields });
			await this.again(r.log, r.signal);
		}
		const outputs = await this.ended(promptId, fields, r.signal);
		if (outputs !== undefined || await this.isQueued(promptId, r.signal))
			return outputs;
		// it may have ended between the two questions
		const late = await this.ended(promptId, fields, r.signal);
		if (late === undefined)
			throw new ServiceError('ComfyUI does not know the prompt any more: restarted?',
				'service', undefined, fields);
		return late;
	}

	private tell(m: Message, progress: Progress, fields: Fields, { job, log }: Running): void {
		if (m.type !== 'progress')
			log.debug('WebSocket message received', { event_type: 'websocket_message',
				websocket_message_type: m.type, ...fields, node_id: m.data.node,
				queue_remaining: this.queueRemaining });
		if (m.type === 'execution_cached')
			progress.cached(m.data.nodes);
		if (m.type === 'executing' && typeof m.data.node === 'string')
			progress.enter(m.data.node);
		else if (m.type !== 'progress')
			return;
		const part = m.type === 'progress' ? Number(m.data.value) / Number(m.data.max) : 0;
		const percent = progress.news(part);
		if (percent !== undefined)
			log.jobProgress({ jobId: job.id, progress: percent, execution_step: progress.step,
				node_id: m.data.node, queue_remaining: this.queueRemaining, ...fields });
	}

	/** Follows a prompt to its end. */
	private async follow(promptId: string, workflow: Workflow, fields: Fields, r: Running):
		Promise<Outputs> {
		const progress = new Progress(workflow);
		const outputs: Outputs = {};
		for (;;) {
			const m = await this.next(r.signal);
			if (m === undefined) {
				const all = await this.lookAfter(promptId, fields, r);
				if (all !== undefined)
					return all;
				continue;
			}
			if (m.type === 'status' || m.data.prompt_id !== promptId)
				continue;
			this.tell(m, progress, fields, r);
			if (m.type === 'executed')
				outputs[String(m.data.node)] = m.data.output as Outputs[string];
			else if (m.type === 'execution_error')
				throw executionError(m.data, fields);
			else if (m.type === 'execution_interrupted')
				throw new ServiceError('interrupted by somebody else', 'cancelled',
					undefined, fields);
			// before there was execution_success, an executing without a node was it
			else if (m.type === 'execution_success' ||
			    (m.type === 'executing' && m.data.node === null))
				return outputs;
		}
	}

	private async giveUp(promptId: string): Promise<void> {
		const queued = await getJson<Queue>({ url: `${URL_BASE}/queue`, timeoutMs: 1000 });
		if (queued.queue_running.some((e) => e[1] === promptId))
			await call({ url: `${URL_BASE}/interrupt`, method: 'POST',
				json: { prompt_id: promptId }, timeoutMs: 1000 });
		else
			await call({ url: `${URL_BASE}/queue`, method: 'POST',
				json: { delete: [promptId] }, timeoutMs: 1000 });
	}

	private async fetchImages(outputs: Outputs, signal: AbortSignal): Promise<number> {
		let bytes = 0;
		for (const image of Object.values(outputs).flatMap((o) => o.images ?? [])) {
			const query = new URLSearchParams({ filename: image.filename,
				subfolder: image.subfolder, type: image.type });
			const a = await call({ url: `${URL_BASE}/view?${query}`, signal });
			if (a.status !== 200)
				throw new ServiceError(`image ${image.filename}: status ${a.status}`,
					'service');
			bytes += a.body.length;
		}
		return bytes;
	}

	// ---- what a connector has ----

	protected override modelOf(payload: Record<string, unknown>): string | undefined {
		return super.modelOf(payload) ?? checkpointOf(payload);
	}

	protected override describe(payload: Record<string, unknown>): Record<string, unknown> {
		const text = JSON.stringify(workflowOf(payload));
		return { client_id: this.clientId, model_name: checkpointOf(payload),
			workflow_hash: createHash('sha256').update(text).digest('hex').slice(0, 16) };
	}

	protected async run(r: Running): Promise<Outcome> {
		const workflow = workflowOf(r.job.payload);
		this.inbox = [];
		this.previews = 0;
		await this.connected();	// before the prompt: what is told first counts too
		const promptId = await this.submit(workflow, r);
		const fields = { prompt_id: promptId, client_id: this.clientId };
		let outputs: Outputs;
		try {
			outputs = await this.follow(promptId, workflow, fields, r);
		} catch (e) {
			if (r.signal.aborted)
				await this.giveUp(promptId).catch((why) => r.log.warn(
					'the prompt could not be interrupted', { ...fields,
						error: (why as Error).message }));
			throw e;
		}
		return { outputSize: await this.fetchImages(outputs, r.signal), ...fields,
			images: Object.values(outputs).flatMap((o) => o.images ?? []).length,
			previews: this.previews };
	}

	protected async health(): Promise<Record<string, unknown>> {
		const s = await getJson<SystemStats>({ url: `${URL_BASE}/system_stats`,
			timeoutMs: CONNECT_MS });
		const q = await getJson<Queue>({ url: `${URL_BASE}/queue`, timeoutMs: CONNECT_MS });
		const device = s.devices[0];
		return { queue_size: q.queue_running.length + q.queue_pending.length,
			vram_usage: device === undefined ? undefined :
				Math.round((device.vram_total - device.vram_free) / 2 ** 20),
			version: s.system.comfyui_version };
	}

	override close(): void {
		this.socket?.close();
	}
}

// ---- made-up jobs ----

function workflow(n: number): Workflow {
	return {
		4: { class_type: 'CheckpointLoaderSimple', inputs: {
			ckpt_name: 'sdxl_base_1.0.safetensors' } },
		5: { class_type: 'EmptyLatentImage', inputs: { width: 1024, height: 1024,
			batch_size: 1 } },
		6: { class_type: 'CLIPTextEncode', inputs: { text: 'a lighthouse', clip: ['4', 1] } },
		7: { class_type: 'CLIPTextEncode', inputs: { text: 'blurred', clip: ['4', 1] } },
		3: { class_type: 'KSampler', inputs: { seed: n, steps: 20, cfg: 7, denoise: 1,
			sampler_name: 'euler', scheduler: 'normal', model: ['4', 0],
			positive: ['6', 0], negative: ['7', 0], latent_image: ['5', 0] } },
		8: { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
		9: { class_type: 'SaveImage', inputs: { filename_prefix: 'demo', images: ['8', 0] } },
	};
}

void main((wrap) => new ComfyUIConnector('comfyui', process.env.CONNECTOR_ID ?? 'comfyui-gpu0',
	wrap), (n) => ({ workflow: workflow(n) }));
