// SPDX-License-Identifier: ISC
'use strict';
/*
 * daemon.js - agent, relay and exporter in one process, and what they exported
 *
 * BUILD_DIR: emplogd's build; without it the tests that want this are skipped.
 */

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const kit = require('./kit');

const EMPLOGD = path.join(kit.BUILD, 'emplogd');
const skip = kit.BUILD !== '' && fs.existsSync(EMPLOGD) ? false : 'no emplogd: BUILD_DIR';

function freePort() {
	return new Promise((resolve) => {
		const s = net.createServer().listen(0, '127.0.0.1', () => {
			const { port } = s.address();
			s.close(() => resolve(port));
		});
	});
}

// OTLP's values as JavaScript's.
function plainValue(v) {
	if (v.kvlistValue !== undefined)
		return plain(v.kvlistValue.values ?? []);
	if (v.arrayValue !== undefined)
		return (v.arrayValue.values ?? []).map(plainValue);
	return v.intValue !== undefined ? Number(v.intValue) : v.stringValue ?? v.doubleValue ??
	    v.boolValue ?? null;
}

function plain(list) {
	return Object.fromEntries(list.map(({ key, value }) => [key, plainValue(value)]));
}

class Daemon {
	constructor(dir, ring, ports) {
		this.log = path.join(dir, 'log');
		this.state = path.join(dir, 'state');
		this.http = ports[1];
		this.args = ['--role=agent,relay,exporter', ...Object.entries({
			'common.ring_dir': ring, 'common.state_dir': this.state,
			'agent.relay': `127.0.0.1:${ports[0]}`, 'relay.listen': `127.0.0.1:${ports[0]}`,
			'agent.http_listen': `127.0.0.1:${ports[1]}`,
			'relay.http_listen': `127.0.0.1:${ports[2]}` }).map(([k, v]) => `--set=${k}=${v}`)];
		this.relayHttp = ports[2];
	}

	async start() {
		const from = fs.existsSync(this.log) ? fs.statSync(this.log).size : 0;
		const log = fs.openSync(this.log, 'a');
		this.process = spawn(EMPLOGD, this.args, { stdio: ['ignore', 'ignore', log],
			env: kit.envOf({}) });
		fs.closeSync(log);
		await kit.waitFor('ready', () => fs.readFileSync(this.log, 'utf8').slice(from)
			.includes('emplogd: ready'));
		return this;
	}

	async stop(signal = 'SIGTERM') {
		if (this.process.exitCode !== null || this.process.signalCode !== null)
			return;
		const end = new Promise((resolve) => this.process.on('exit', resolve));
		this.process.kill(signal);
		await end;
	}

	// Log records as exported: {text, body, resource, record, fields}; fields
	// are attributes of both, as plain values.
	exported() {
		const out = [];
		for (const f of fs.readdirSync(this.state, { recursive: true })) {
			if (!String(f).includes('export/'))
				continue;
			const file = path.join(this.state, String(f));
			if (!fs.statSync(file).isFile())
				continue;
			for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
				let o;
				try {
					o = JSON.parse(line);
				} catch {
					continue;
				}
				for (const r of o.resourceLogs ?? [])
					for (const s of r.scopeLogs)
						out.push(...s.logRecords.map((x) => ({ text: JSON.stringify(x),
							body: x.body?.stringValue, resource: JSON.stringify(r.resource),
							record: x, fields: plain([...r.resource.attributes,
								...(x.attributes ?? [])]) })));
			}
		}
		return out;
	}
}

async function daemon(t) {
	const ring = kit.ring();
	const d = new Daemon(kit.scratch(), ring, await Promise.all([freePort(), freePort(),
		freePort()]));
	await d.start();
	t.after(() => d.stop());
	return { d, env: { EMPLOG_RING_DIR: ring, FLUENT_BIT_HOST: '127.0.0.1',
		FLUENT_BIT_PORT: d.http }, ring };
}

module.exports = { EMPLOGD, skip, daemon };
