// SPDX-License-Identifier: ISC
/*
 * websocket.ts - the client's side of RFC 6455, where Node has none
 *
 *   byte 0   FIN 1, RSV 3, opcode 4     byte 1   MASK 1, length 7
 *   then 2 or 8 bytes of length when it is 126 or 127, 4 of mask when a client
 *   sends, and the payload.
 *
 * Tells its listener of texts, binaries, and once of the end, after which
 * nothing comes.  Whatever a server sends, the worst is an end.
 */

import { createHash, randomBytes } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';

import { ServiceError, networkError } from './http';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const CONTINUED = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const MESSAGE_MAX = 64 << 20;

interface Frame { fin: boolean; opcode: number; payload: Buffer }

/** Cuts a stream of bytes into frames; throws when they are none of a server's. */
class Frames {
	private parts: Buffer[] = [];
	private held = 0;

	push(bytes: Buffer): void {
		this.parts.push(bytes);
		this.held += bytes.length;
	}

	/** The first n bytes, still held; undefined: not all there yet. */
	private peek(n: number): Buffer | undefined {
		if (this.held < n)
			return undefined;
		if (this.parts[0]!.length < n)
			this.parts = [Buffer.concat(this.parts)];
		return this.parts[0]!;
	}

	next(): Frame | undefined {
		const head = this.peek(2);
		if (head === undefined)
			return undefined;
		if ((head[0]! & 0x70) !== 0 || (head[1]! & 0x80) !== 0)
			throw new Error('a frame with a mask, or with an extension nobody asked for');
		const short = head[1]! & 0x7f;
		const at = short < 126 ? 2 : short === 126 ? 4 : 10;
		const long = this.peek(at);
		if (long === undefined)
			return undefined;
		const length = short < 126 ? short : short === 126 ? long.readUInt16BE(2) :
			Number(long.readBigUInt64BE(2));
		if (length > MESSAGE_MAX)
			throw new Error(`a frame of ${length} bytes`);
		const all = this.peek(at + length);
		if (all === undefined)
			return undefined;
		this.parts[0] = all.subarray(at + length);
		this.held -= at + length;
		return { fin: (all[0]! & 0x80) !== 0, opcode: all[0]! & 15,
			payload: Buffer.from(all.subarray(at, at + length)) };
	}
}

function encode(opcode: number, payload: Buffer): Buffer {
	const n = payload.length;
	const head = n < 126 ? Buffer.of(0x80 | opcode, 0x80 | n) : n < 65536 ?
		Buffer.of(0x80 | opcode, 0xfe, n >> 8, n & 255) : Buffer.alloc(10);
	if (n >= 65536) {
		head.set([0x80 | opcode, 0xff]);
		head.writeBigUInt64BE(BigInt(n), 2);
	}
	const mask = randomBytes(4);
	const masked = Buffer.from(payload);
	for (let i = 0; i < n; i++)
		masked[i]! ^= mask[i & 3]!;
	return Buffer.concat([head, mask, masked]);
}

export interface Listener {
	text(message: string): void;
	binary?(message: Buffer): void;
	closed?(why: string): void;
}

export class WebSocketClient {
	private readonly frames = new Frames();
	private begun: Buffer[] = [];	// of a message in several frames
	private bytes = 0;
	private opcode = 0;
	private over = false;

	private constructor(private readonly socket: Duplex, private readonly to: Listener) {
		socket.on('data', (bytes: Buffer) => this.take(bytes));
		socket.on('error', (e) => this.end(e.message));
		socket.on('close', () => this.end('the connection is gone'));
		socket.on('end', () => this.end('the connection was closed'));
	}

	/** ws:// or wss://; rejects when that is no websocket, or not within ms. */
	static connect(url: string, ms: number, to: Listener): Promise<WebSocketClient> {
		return new Promise((resolve, reject) => {
			const key = randomBytes(16).toString('base64');
			const accept = createHash('sha1').update(key + GUID).digest('base64');
			const req = (url.startsWith('wss:') ? https : http).request(
				url.replace(/^ws/, 'http'), { agent: false, headers: {
					connection: 'Upgrade', upgrade: 'websocket',
					'sec-websocket-key': key, 'sec-websocket-version': '13' } });
			const timer = setTimeout(() => req.destroy(new ServiceError(
				`timeout: no websocket at ${url} after ${ms} ms`, 'timeout')), ms);
			const fail = (e: Error): void => {
				clearTimeout(timer);
				reject(networkError(url, e));
			};
			req.on('error', fail);
			req.on('response', (res) => {
				res.destroy();
				fail(new ServiceError(`no websocket at ${url}: status ${res.statusCode}`,
					'service'));
			});
			req.on('upgrade', (res, socket, first) => {
				clearTimeout(timer);
				if (res.headers['sec-websocket-accept'] !== accept) {
					socket.destroy();
					fail(new ServiceError(`no websocket at ${url}: it does not know its key`,
						'service'));
					return;
				}
				socket.unshift(first);
				resolve(new WebSocketClient(socket, to));
			});
			req.end();
		});
	}

	send(text: string): void {
		if (!this.over)
			this.socket.write(encode(TEXT, Buffer.from(text)));
	}

	/** Nothing comes any more but the listener's closed(). */
	close(): void {
		if (!this.over)
			this.socket.end(encode(CLOSE, Buffer.of(1000 >> 8, 1000 & 255)));
		this.end('closed here');
	}

	get closed(): boolean {
		return this.over;
	}

	private end(why: string): void {
		if (this.over)
			return;
		this.over = true;
		this.to.closed?.(why);
		setTimeout(() => this.socket.destroy(), 100).unref();
	}

	private take(bytes: Buffer): void {
		try {
			this.frames.push(bytes);
			let f: Frame | undefined;
			while (!this.over && (f = this.frames.next()) !== undefined)
				this.frame(f);
		} catch (e) {
			this.end((e as Error).message);
		}
	}

	private frame({ fin, opcode, payload }: Frame): void {
		if (opcode >= CLOSE && (!fin || payload.length > 125))
			throw new Error('a control frame that is too long');
		switch (opcode) {
		case CLOSE:
			this.socket.end(encode(CLOSE, payload.subarray(0, 2)));
			this.end(payload.length < 2 ? 'closed' : `closed: ${payload.readUInt16BE(0)} ` +
				payload.toString('utf8', 2));
			return;
		case PING:
			this.socket.write(encode(PONG, payload));
			return;
		case PONG:
			return;
		case CONTINUED: case TEXT: case BINARY:
			this.piece(fin, opcode, payload);
			return;
		default:
			throw new Error(`a frame of kind ${opcode}`);
		}
	}

	private piece(fin: boolean, opcode: number, payload: Buffer): void {
		if ((opcode === CONTINUED) !== (this.opcode !== 0))
			throw new Error('pieces of two messages');
		if (opcode !== CONTINUED)
			this.opcode = opcode;
		this.begun.push(payload);
		this.bytes += payload.length;
		if (this.bytes > MESSAGE_MAX)
			throw new Error(`a message of more than ${MESSAGE_MAX} bytes`);
		if (!fin)
			return;
		const whole = Buffer.concat(this.begun);
		const text = this.opcode === TEXT;
		this.begun = [];
		this.bytes = 0;
		this.opcode = 0;
		if (text)
			this.to.text(whole.toString());
		else
			this.to.binary?.(whole);
	}
}
