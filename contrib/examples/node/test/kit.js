// SPDX-License-Identifier: ISC
'use strict';
/*
 * kit.js - what the tests share: fakes and connectors as processes
 *
 * EXAMPLES_DIR: where make.sh compiled them, else examples-node of BUILD_DIR.
 */

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { spawn } = require('node:child_process');
const kit = require('../../../node/test/kit');

const APP = process.env.EXAMPLES_DIR ?? path.join(kit.BUILD, 'examples-node');
const skip = fs.existsSync(path.join(APP, 'build/src/rest.js')) ? false :
    'the examples are not compiled: make examples-node';

// A fake: {url, requests, stop()}; it ends with the test at the latest.
async function fake(t, name, ...args) {
	const p = spawn(process.execPath, [path.join(APP, 'build/fakes', `${name}.js`), ...args],
		{ env: kit.envOf({}), stdio: ['pipe', 'pipe', 'inherit'] });
	t.after(() => p.kill());
	const requests = [];
	let url;
	readline.createInterface({ input: p.stdout }).on('line', (line) => {
		if (line.startsWith('ready '))
			url = line.slice(6);
		else
			requests.push(JSON.parse(line));
	});
	await kit.waitFor(`${name} is ready`, () => url);
	return { url, requests, stop: () => p.kill() };
}

// A connector: {process, ended}; its jobs are what give() writes.
function start(name, env, args = []) {
	const p = spawn(process.execPath, [path.join(APP, 'build/src', `${name}.js`), ...args],
		{ env: kit.envOf({ MACHINE_ID: 'm', WORKER_ID: 'w', ...env }),
			stdio: ['pipe', 'pipe', 'pipe'] });
	let out = '';
	let err = '';
	p.stdout.on('data', (d) => { out += d; });
	p.stderr.on('data', (d) => { err += d; });
	p.stdin.on('error', () => {});
	const ended = new Promise((resolve) => p.on('close', (code, signal) =>
		resolve({ code, signal, out, err })));
	const timer = setTimeout(() => p.kill('SIGKILL'), 60000);
	ended.then(() => clearTimeout(timer));
	return { process: p, ended,
		give: (...jobs) => p.stdin.write(jobs.map((j) => `${JSON.stringify(j)}\n`).join('')) };
}

// A connector with these jobs, to its end.
function run(name, env, jobs) {
	const c = start(name, env);
	c.give(...jobs);
	c.process.stdin.end();
	return c.ended;
}

module.exports = { ...kit, command: kit.run, APP, skip, fake, start, run };
