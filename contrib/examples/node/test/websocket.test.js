// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: the websocket client takes messages however a server cuts them, and
 * answers pings; whatever else a server sends ends the connection and nothing
 * more.  The fake of ComfyUI is understood by Node's own client, too.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const kit = require('./kit');

const { skip } = kit;
const { WebSocketClient } = skip ? {} : require(path.join(kit.APP, 'build/src/websocket.js'));
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function frame(first, payload, mask = 0) {
	const b = Buffer.from(payload);
	if (b.length < 126)
		return Buffer.concat([Buffer.of(first, mask | b.length), b]);
	if (b.length < 65536)
		return Buffer.concat([Buffer.of(first, mask | 126, b.length >> 8, b.length & 255), b]);
	const head = Buffer.alloc(10);
	head.set([first, mask | 127]);
	head.writeBigUInt64BE(BigInt(b.length), 2);
	return Buffer.concat([head, b]);
}

// A server that says hello in answer(key, socket), and keeps what it is sent.
async function server(t, answer) {
	const got = [];
	const s = net.createServer((socket) => {
		socket.on('error', () => {});
		socket.once('data', (d) => {
			const key = /sec-websocket-key: (.*)\r\n/i.exec(d.toString())[1];
			socket.on('data', (bytes) => got.push(bytes));
			answer(crypto.createHash('sha1').update(key + GUID).digest('base64'), socket);
		});
	});
	await new Promise((resolve) => s.listen(0, '127.0.0.1', resolve));
	t.after(() => s.close());
	return { url: `ws://127.0.0.1:${s.address().port}/ws`, got: () => Buffer.concat(got) };
}

function hello(accept) {
	return Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
		`Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
}

// Connects and collects; over resolves to why it ended.
async function listen(url) {
	const heard = [];
	let end;
	const over = new Promise((resolve) => { end = resolve; });
	const client = await WebSocketClient.connect(url, 5000, { text: (m) => heard.push(m),
		binary: (m) => heard.push(m), closed: end });
	return { client, heard, over };
}

// In one piece with the hello, and byte by byte.
for (const slow of [false, true]) {
	test(`messages of all lengths and cuts${slow ? ', byte by byte' : ''}`, { skip }, async (t) => {
		const sizes = slow ? [0, 1, 125, 126] : [0, 1, 125, 126, 65535, 65536, 200000];
		const all = [...sizes.map((n) => frame(0x81, 'x'.repeat(n))),
			frame(0x01, 'in '), frame(0x89, 'are you there'), frame(0x00, 'three '),
			frame(0x80, 'pieces'), frame(0x82, Buffer.of(0, 255)),
			frame(0x81, 'caf\u00e9'), frame(0x88, Buffer.of(3, 232, 98, 121, 101))];
		const { url, got } = await server(t, (accept, socket) => {
			const bytes = Buffer.concat([hello(accept), ...all]);
			socket.setNoDelay(true);
			if (!slow)
				socket.write(bytes);
			for (let i = 0; slow && i < bytes.length; i++)
				setImmediate(() => socket.write(bytes.subarray(i, i + 1)));
		});
		const { heard, over } = await listen(url);
		assert.strictEqual(await over, 'closed: 1000 bye');
		assert.deepStrictEqual(heard, [...sizes.map((n) => 'x'.repeat(n)), 'in three pieces',
			Buffer.of(0, 255), 'caf\u00e9']);
		await kit.waitFor('the pong and the close', () => got().length >= 6 + 13 + 6 + 2);
		const b = got();
		assert.deepStrictEqual([b[0], b[1]], [0x8a, 0x80 | 13]);
		const said = b.subarray(6, 19).map((c, i) => c ^ b[2 + (i & 3)]);
		assert.strictEqual(Buffer.from(said).toString(), 'are you there');
	});
}

for (const [what, bytes] of Object.entries({
	'a frame with a mask': frame(0x81, 'abcdefgh', 0x80),
	'an extension nobody asked for': frame(0xc1, 'x'),
	'a frame of an unknown kind': frame(0x83, 'x'),
	'a second message inside of one': Buffer.concat([frame(0x01, 'a'), frame(0x81, 'b')]),
	'a piece of nothing': frame(0x80, 'x'),
	'a ping that is too long': frame(0x89, 'x'.repeat(126)),
	'a ping in pieces': frame(0x09, 'x'),
	'a frame of 2^63 bytes': Buffer.of(0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0),
})) {
	test(`${what} is the end`, { skip }, async (t) => {
		const { url } = await server(t, (accept, socket) => socket.write(Buffer.concat([
			hello(accept), frame(0x81, 'before'), bytes, frame(0x81, 'after')])));
		const { client, heard, over } = await listen(url);
		await over;
		assert.deepStrictEqual(heard, ['before']);
		assert.ok(client.closed);
		client.send('nothing happens');
		client.close();
	});
}

test('a connection that breaks is the end', { skip }, async (t) => {
	const { url } = await server(t, (accept, socket) => socket.write(hello(accept), () =>
		socket.resetAndDestroy()));
	await (await listen(url)).over;
});

test('what is no websocket is refused, with the reason', { skip }, async (t) => {
	const no = async (answer, why, ms = 5000) => {
		const { url } = await server(t, answer);
		await assert.rejects(WebSocketClient.connect(url, ms, { text() {} }), why);
	};
	await no((_, socket) => socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'),
		/status 404/);
	await no((_, socket) => socket.write(hello('wrong')), /does not know its key/);
	await no((_, socket) => socket.destroy(), /connection to ws:.* failed/);
	await no(() => {}, { type: 'timeout' }, 50);
});

const major = Number(process.versions.node.split('.')[0]);
test('Node\'s own client understands the fake', { skip: skip || (major < 20 &&
	'no client in this Node') }, async (t) => {
	const f = await kit.fake(t, 'comfyui', '--ms=20');
	const flags = major < 22 ? ['--experimental-websocket', '--no-warnings'] : [];
	const r = await kit.command(process.execPath, [...flags, '-e', `
		const s = new WebSocket(process.argv[1].replace('http', 'ws') + '/ws?clientId=c');
		s.binaryType = 'arraybuffer';
		let binary = 0;
		s.onmessage = ({ data }) => {
			if (typeof data !== 'string') { binary++; return; }
			const m = JSON.parse(data);
			console.log(m.type);
			if (m.type === 'execution_success') { console.log(binary); s.close(); }
			if (m.type === 'status' && m.data.sid === 'c')
				fetch(process.argv[1] + '/prompt', { method: 'POST', body: JSON.stringify({
					client_id: 'c', prompt: { 1: { class_type: 'KSampler', inputs: {} },
						2: { class_type: 'SaveImage', inputs: { images: ['1', 0] } } } }) });
		};
		s.onerror = () => process.exit(1);`, f.url], {}, 20000);
	assert.strictEqual(r.code, 0, r.err);
	const lines = r.out.trim().split('\n');
	for (const type of ['execution_start', 'executing', 'progress', 'executed'])
		assert.ok(lines.includes(type), type);
	assert.strictEqual(lines.at(-1), '10');
});
