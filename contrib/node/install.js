// SPDX-License-Identifier: ISC
'use strict';
/*
 * install.js - makes the addon, or says why not; never fails
 *
 * The C compiler and the headers of the Node that runs this are all it needs:
 * so it compiles by itself, and asks node-gyp (which needs Python, and may
 * want to download) only where there are no headers.
 */

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const top = __dirname;
const out = path.join(top, 'build', 'Release', 'emplog.node');
const SOURCES = ['console', 'encode', 'ident', 'jobs', 'loan', 'log', 'pool', 'pool_lane', 'ring',
	'sys_os', 'text', 'writer'];
const FLAGS = ['-std=gnu17', '-O2', '-fPIC', '-fvisibility=hidden', '-fno-strict-aliasing',
	'-D_GNU_SOURCE'];
const LINK = ['-shared', '-Wl,-z,nodelete', '-Wl,-z,now', '-pthread'];

function exists(...parts) {
	return fs.existsSync(path.join(...parts));
}

// The lane's sources: in the package, or two levels up in emplogd's tree.
function sourcesTop() {
	for (const dir of [top, path.join(top, '..', '..')]) {
		if (exists(dir, 'shm', 'lane.h'))
			return dir;
	}
	return null;
}

function headersDir() {
	const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
	const own = process.env.npm_config_nodedir;
	for (const dir of [own && path.join(own, 'include', 'node'), own && path.join(own, 'src'),
		path.join(prefix, 'include', 'node'), '/usr/include/node',
		'/usr/local/include/node', '/usr/include/nodejs/src']) {
		if (dir && exists(dir, 'node_api.h'))
			return dir;
	}
	return null;
}

function run(command, args, options) {
	execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 300000,
		...options });
}

function compilers() {
	return process.env.CC ? [process.env.CC] : ['cc', 'gcc', 'clang'];
}

function compile() {
	const src = sourcesTop();
	const headers = headersDir();
	if (src === null)
		throw new Error('the lane\'s sources are not here');
	if (headers === null)
		throw new Error('there are no headers of Node');
	fs.mkdirSync(path.dirname(out), { recursive: true });
	const made = `${out}.${process.pid}`;
	const args = [...FLAGS, `-I${src}`, `-I${headers}`, ...LINK, '-o', made,
		path.join(top, 'src', 'addon.c'),
		...SOURCES.map((s) => path.join(src, 'shm', `${s}.c`))];
	let error = new Error('there is no C compiler');
	for (const cc of compilers()) {
		const [command, ...first] = cc.split(/\s+/);
		try {
			run(command, [...first, ...args]);
			fs.renameSync(made, out);
			return;
		} catch (e) {
			if (e.code !== 'ENOENT')
				error = new Error(`${cc}: ${String(e.stderr ?? e.message).slice(0, 2000)}`);
		}
	}
	throw error;
}

function gypPath() {
	const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
	const npm = path.join('node_modules', 'npm', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
	return [process.env.npm_config_node_gyp, path.join(prefix, 'lib', npm),
		path.join('/usr/share/nodejs/node-gyp/bin/node-gyp.js')].find((p) =>
		p && fs.existsSync(p));
}

function gyp() {
	const js = gypPath();
	if (js === undefined)
		throw new Error('there is no node-gyp');
	run(process.execPath, [js, 'rebuild'], { cwd: top, timeout: 120000 });
}

// In a process of its own: an addon that crashes must not be kept.
function works() {
	run(process.execPath, ['-e', 'require(process.argv[1]).stats()', out], { timeout: 20000 });
}

function attempt() {
	try {
		compile();
	} catch (e) {
		if (headersDir() !== null)
			throw e;
		gyp();
	}
	works();
}

function main() {
	if (process.platform !== 'linux' || process.env.EMPLOG_ADDON === '0') {
		console.log('emplog: no addon is made here: records go by HTTP');
		return;
	}
	try {
		attempt();
		console.log(`emplog: made ${path.relative(top, out)}`);
	} catch (e) {
		fs.rmSync(out, { force: true });
		console.log(`emplog: no addon, records go by HTTP (${String(e.message).trim()})`);
	}
}

try {
	main();
} catch (e) {
	console.log(`emplog: no addon, records go by HTTP (${e.message})`);
}
