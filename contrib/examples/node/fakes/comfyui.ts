// SPDX-License-Identifier: ISC
/*
 * comfyui.ts - a fake of ComfyUI's server: a queue, one prompt at a time
 *
 * Speaks what ComfyUI 0.3 does, so far as a connector hears it: the checks of
 * /prompt with their words, the messages of an execution to the client that
 * asked for it, status to all, previews as binary frames.
 *
 *   --fail=execution_error   KSampler raises
 *   --fail=oom               KSampler has no memory left
 *   --fail=drop              the websocket breaks in the middle; work goes on
 *   --fail=silent            the last messages of a prompt are not sent
 *   --fail=500               /prompt has an error of its own
 */

import { createHash, randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';

import { Fake, PNG, json, wait } from './fake';

interface Node { class_type: string; inputs: Record<string, unknown> }
interface Prompt { number: number; id: string; nodes: Record<string, Node>; client: string;
	messages: [string, object][]; stop: boolean; outputs: Record<string, object> }
interface Invalid { type: string; message: string; details: string; extra_info: object }

const CHECKPOINTS = ['sdxl_base_1.0.safetensors', 'v1-5-pruned-emaonly.safetensors'];
const CLASSES = ['CheckpointLoaderSimple', 'CLIPTextEncode', 'EmptyLatentImage', 'KSampler',
	'VAEDecode', 'SaveImage'];
const STEPS_TOLD = 10;

const fake = new Fake('comfyui', ['execution_error', 'oom', 'drop', 'silent', '500']);
const clients = new Map<string, Duplex>();
const pending: Prompt[] = [];
const history = new Map<string, object>();
let running: Prompt | undefined;
let numbers = 0;

// ---- the websocket, the server's side ----

function frame(opcode: number, payload: Buffer): Buffer {
	if (payload.length < 126)
		return Buffer.concat([Buffer.of(0x80 | opcode, payload.length), payload]);
	return Buffer.concat([Buffer.of(0x80 | opcode, 126, payload.length >> 8,
		payload.length & 255), payload]);
}

function send(client: string, type: string, data: object): void {
	clients.get(client)?.write(frame(1, Buffer.from(JSON.stringify({ type, data }))));
}

function remaining(): object {
	return { exec_info: { queue_remaining: pending.length + (running === undefined ? 0 : 1) } };
}

function sendStatus(): void {
	for (const client of clients.keys())
		send(client, 'status', { status: remaining() });
}

// Of a client only the end is of interest.
function heard(bytes: Buffer, socket: Duplex): void {
	if ((bytes[0]! & 15) === 8)
		socket.end(frame(8, Buffer.alloc(0)));
}

fake.server.on('upgrade', (req, socket: Duplex) => {
	const url = new URL(req.url ?? '/', 'http://fake');
	const key = req.headers['sec-websocket-key'];
	if (url.pathname !== '/ws' || key === undefined) {
		socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
		return;
	}
	const client = url.searchParams.get('clientId') ?? randomUUID().replaceAll('-', '');
	const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
		.digest('base64');
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
		`Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
	clients.set(client, socket);
	socket.on('data', (bytes: Buffer) => heard(bytes, socket));
	socket.on('error', () => {});
	socket.on('close', () => {
		if (clients.get(client) === socket)
			clients.delete(client);
	});
	send(client, 'status', { status: remaining(), sid: client });
});

// ---- an execution ----

function tell(p: Prompt, type: string, data: object): void {
	const all = { ...data, prompt_id: p.id, timestamp: Date.now() };
	if (type.startsWith('execution_'))
		p.messages.push([type, all]);
	send(p.client, type, type.startsWith('execution_') ? all : { ...data, prompt_id: p.id });
}

function preview(p: Prompt): void {
	clients.get(p.client)?.write(frame(2, Buffer.concat([Buffer.of(0, 0, 0, 1, 0, 0, 0, 2),
		Buffer.from(PNG, 'base64')])));
}

function raise(p: Prompt, id: string, done: string[], type: string, message: string): void {
	const node = p.nodes[id]!;
	tell(p, 'execution_error', { node_id: id, node_type: node.class_type, executed: done,
		exception_message: `${message}\n`, exception_type: type,
		traceback: ['  File "/app/execution.py", line 496, in execute\n    output_data = ' +
			'get_output_data(obj, input_data_all)\n',
		'  File "/app/nodes.py", line 1515, in sample\n    return common_ksampler(model)\n'],
		current_inputs: Object.fromEntries(Object.entries(node.inputs).map(([k, v]) =>
			[k, [String(v)]])), current_outputs: done });
}

// One node; false: the prompt ends here.
async function sample(p: Prompt, id: string, done: string[]): Promise<boolean> {
	if (fake.fails('oom')) {
		raise(p, id, done, 'torch.OutOfMemoryError', 'Allocation on device 0 would exceed ' +
			'allowed memory. (out of memory)');
		return false;
	}
	const broken = fake.fails('execution_error');
	const dropped = fake.fails('drop');
	for (let i = 1; i <= STEPS_TOLD && !p.stop; i++) {
		await wait(fake.ms / STEPS_TOLD);
		tell(p, 'progress', { value: i, max: STEPS_TOLD, node: id });
		preview(p);
		if (dropped && i === STEPS_TOLD / 2)
			clients.get(p.client)?.destroy();
		if (broken && i === STEPS_TOLD / 2) {
			raise(p, id, done, 'RuntimeError', 'mat1 and mat2 shapes cannot be ' +
				'multiplied (77x2048 and 768x320)');
			return false;
		}
	}
	return true;
}

function order(nodes: Record<string, Node>): string[] {
	const out: string[] = [];
	const visit = (id: string): void => {
		for (const v of Object.values(nodes[id]?.inputs ?? {}))
			if (Array.isArray(v) && !out.includes(String(v[0])))
				visit(String(v[0]));
		if (nodes[id] !== undefined && !out.includes(id))
			out.push(id);
	};
	Object.keys(nodes).forEach(visit);
	return out;
}

async function nodes(p: Prompt): Promise<void> {
	const done: string[] = [];
	const silent = fake.fails('silent');
	tell(p, 'execution_start', {});
	tell(p, 'execution_cached', { nodes: [] });
	for (const id of order(p.nodes)) {
		if (p.stop) {
			tell(p, 'execution_interrupted', { node_id: id,
				node_type: p.nodes[id]!.class_type, executed: done });
			return;
		}
		tell(p, 'executing', { node: id, display_node: id });
		if (p.nodes[id]!.class_type === 'KSampler' && !await sample(p, id, done))
			return;
		if (p.nodes[id]!.class_type === 'SaveImage') {
			const output = { images: [{ filename: `demo_${p.number}_.png`, subfolder: '',
				type: 'output' }] };
			p.outputs[id] = output;
			if (silent)
				clients.delete(p.client);
			tell(p, 'executed', { node: id, display_node: id, output });
		}
		done.push(id);
	}
	tell(p, 'execution_success', {});
}

async function work(): Promise<void> {
	while (running === undefined && pending.length > 0) {
		running = pending.shift()!;
		await nodes(running);
		const good = running.messages.at(-1)?.[0] === 'execution_success';
		history.set(running.id, { prompt: [running.number, running.id, running.nodes,
			{ client_id: running.client }, Object.keys(running.outputs)],
		outputs: running.outputs, meta: {}, status: { completed: good,
			status_str: good ? 'success' : 'error', messages: running.messages } });
		tell(running, 'executing', { node: null });
		running = undefined;
		sendStatus();
	}
}

// ---- HTTP ----

function check(nodes: Record<string, Node>): Record<string, object> {
	const wrong: Record<string, object> = {};
	for (const [id, node] of Object.entries(nodes)) {
		const name = node.inputs?.ckpt_name;
		if (node.class_type !== 'CheckpointLoaderSimple' || CHECKPOINTS.includes(String(name)))
			continue;
		const errors: Invalid[] = [{ type: 'value_not_in_list', message: 'Value not in list',
			details: `ckpt_name: '${String(name)}' not in ${JSON.stringify(CHECKPOINTS)}`,
			extra_info: { input_name: 'ckpt_name', received_value: name } }];
		wrong[id] = { errors, dependent_outputs: ['9'], class_type: node.class_type };
	}
	return wrong;
}

function invalid(nodes: Record<string, Node> | undefined):
	{ error: Invalid; node_errors: object } | undefined {
	const say = (type: string, message: string, details = '', node_errors = {}):
		{ error: Invalid; node_errors: object } =>
		({ error: { type, message, details, extra_info: {} }, node_errors });
	if (nodes === undefined)
		return say('no_prompt', 'No prompt provided');
	for (const [id, node] of Object.entries(nodes)) {
		if (!CLASSES.includes(node.class_type))
			return say('invalid_prompt', 'Cannot execute because node ' +
				`${node.class_type} does not exist.`, `Node ID '#${id}'`);
	}
	if (!Object.values(nodes).some((n) => n.class_type === 'SaveImage'))
		return say('prompt_no_outputs', 'Prompt has no outputs');
	const wrong = check(nodes);
	return Object.keys(wrong).length === 0 ? undefined :
		say('prompt_outputs_failed_validation', 'Prompt outputs failed validation', '', wrong);
}

fake.on('POST', /^\/prompt$/, (req, res) => {
	if (fake.fails('500')) {
		res.writeHead(500, { 'content-type': 'text/plain' })
			.end('500 Internal Server Error\n\nServer got itself in trouble');
		return;
	}
	const wrong = invalid(req.body?.prompt);
	if (wrong !== undefined) {
		json(res, 400, wrong);
		return;
	}
	const p: Prompt = { number: numbers++, id: randomUUID(), nodes: req.body.prompt,
		client: String(req.body.client_id ?? ''), messages: [], stop: false, outputs: {} };
	pending.push(p);
	json(res, 200, { prompt_id: p.id, number: p.number, node_errors: {} });
	sendStatus();
	void work();
});
fake.on('GET', /^\/prompt$/, (_req, res) => json(res, 200, remaining()));
fake.on('GET', /^\/history\/[\w-]+$/, (req, res) => {
	const id = req.path.slice('/history/'.length);
	json(res, 200, history.has(id) ? { [id]: history.get(id) } : {});
});
fake.on('GET', /^\/queue$/, (_req, res) => {
	const entry = (p: Prompt): unknown[] => [p.number, p.id, p.nodes,
		{ client_id: p.client }, ['9']];
	json(res, 200, { queue_running: running === undefined ? [] : [entry(running)],
		queue_pending: pending.map(entry) });
});
fake.on('POST', /^\/queue$/, (req, res) => {
	for (const id of req.body?.delete ?? []) {
		const at = pending.findIndex((p) => p.id === id);
		if (at >= 0)
			pending.splice(at, 1);
	}
	res.writeHead(200).end();
});
fake.on('POST', /^\/interrupt$/, (req, res) => {
	const id = req.body?.prompt_id;
	if (running !== undefined && (id === undefined || id === running.id))
		running.stop = true;
	res.writeHead(200).end();
});
fake.on('GET', /^\/view$/, (req, res) => {
	if (!/^demo_\d+_\.png$/.test(req.query.get('filename') ?? '')) {
		res.writeHead(404).end();
		return;
	}
	res.writeHead(200, { 'content-type': 'image/png' }).end(Buffer.from(PNG, 'base64'));
});
fake.on('GET', /^\/system_stats$/, (_req, res) => json(res, 200, {
	system: { os: 'posix', ram_total: 67108864000, ram_free: 33554432000,
		comfyui_version: '0.3.49', python_version: '3.12.3 (main)',
		pytorch_version: '2.7.1+cu128', embedded_python: false, argv: ['main.py'] },
	devices: [{ name: 'cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync', type: 'cuda', index: 0,
		vram_total: 25757220864, vram_free: 13945012224, torch_vram_total: 11811160064,
		torch_vram_free: 33554432 }] }));
fake.listen();
