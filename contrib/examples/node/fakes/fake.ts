// SPDX-License-Identifier: ISC
/*
 * fake.ts - what the fakes share: a small HTTP server that fails when told to
 *
 * usage: FAKE [--port=N] [--ms=N] [--fail=KIND[:N]]...
 *
 *   --port=N        where to listen on 127.0.0.1; else any
 *   --ms=N          how long a job takes, about (100)
 *   --fail=KIND:N   of what can fail so, each Nth time does (each, without N)
 *
 * On stdout: "ready URL", then one line of JSON for each request.  Ends at
 * SIGTERM, or when its stdin does (a pipe of whoever started it).
 */

import { fstatSync } from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Request {
	method: string;
	path: string;
	query: URLSearchParams;
	headers: http.IncomingHttpHeaders;
	/** Of JSON; undefined: there was none, or it was none. */
	body: any;
	raw: http.IncomingMessage;
}

export type Handler = (req: Request, res: http.ServerResponse) => void | Promise<void>;

export class Fake {
	readonly server: http.Server;
	readonly ms: number;
	private readonly port: number;
	private readonly failing = new Map<string, { every: number; asked: number }>();
	private readonly routes: { method: string; path: RegExp; handler: Handler }[] = [];

	constructor(private readonly name: string, kinds: string[]) {
		const args = process.argv.slice(2);
		const value = (key: string): number | undefined => {
			const arg = args.find((a) => a.startsWith(`--${key}=`));
			return arg === undefined ? undefined : Number(arg.slice(key.length + 3));
		};
		this.port = value('port') ?? 0;
		this.ms = value('ms') ?? 100;
		for (const arg of args) {
			const m = /^--fail=(\w+)(?::([1-9]\d*))?$/.exec(arg);
			if (m !== null && kinds.includes(m[1]!))
				this.failing.set(m[1]!, { every: Number(m[2] ?? 1), asked: 0 });
			else if (!/^--(port|ms)=\d+$/.test(arg))
				this.usage(kinds);
		}
		this.server = http.createServer((req, res) => void this.answer(req, res));
	}

	private usage(kinds: string[]): never {
		process.stderr.write(`usage: ${this.name} [--port=N] [--ms=N] ` +
			`[--fail=${kinds.join('|')}[:N]]...\n`);
		process.exit(2);
	}

	on(method: string, path: RegExp, handler: Handler): void {
		this.routes.push({ method, path, handler });
	}

	/** Does it fail in this way, this time? */
	fails(kind: string): boolean {
		const f = this.failing.get(kind);
		return f !== undefined && ++f.asked % f.every === 0;
	}

	private say(req: Request, status: number): void {
		process.stdout.write(`${JSON.stringify({ method: req.method, path: req.path, status,
			headers: req.headers, body: req.body })}\n`);
	}

	private async answer(raw: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
		const url = new URL(raw.url ?? '/', 'http://fake');
		let text = '';
		for await (const part of raw)
			text += part;
		let body: unknown;
		try {
			body = text === '' ? undefined : JSON.parse(text);
		} catch {
			// the handler sees that there is none
		}
		const req: Request = { method: raw.method ?? '', path: url.pathname,
			query: url.searchParams, headers: raw.headers, body, raw };
		const route = this.routes.find((r) => r.method === req.method &&
			r.path.test(req.path));
		if (route === undefined)
			res.writeHead(404, { 'content-type': 'text/plain' }).end('404: Not Found');
		else
			await route.handler(req, res);
		this.say(req, res.statusCode);
	}

	listen(): void {
		this.server.listen(this.port, '127.0.0.1', () => {
			const { port } = this.server.address() as AddressInfo;
			process.stdout.write(`ready http://127.0.0.1:${port}\n`);
		});
		process.on('SIGTERM', () => process.exit(0));
		process.stdout.on('error', () => process.exit(0));
		const stdin = fstatSync(0);
		if (stdin.isFIFO() || stdin.isSocket())
			process.stdin.on('end', () => process.exit(0)).on('error', () => {}).resume();
	}
}

export function json(res: http.ServerResponse, status: number, body: unknown,
	headers: http.OutgoingHttpHeaders = {}): void {
	const text = JSON.stringify(body);
	res.writeHead(status, { 'content-type': 'application/json',
		'content-length': Buffer.byteLength(text), ...headers }).end(text);
}

export function wait(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A picture of one point, in base64. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA' +
	'WjR9awAAAABJRU5ErkJggg==';
