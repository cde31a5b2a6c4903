// SPDX-License-Identifier: ISC
'use strict';
/*
 * Claims: the package carries the lane's sources as they are in shm/; npm
 * install works without a network, with a compiler and with none, without
 * headers, without its scripts, as root and not, and what it installed works;
 * node-gyp makes the addon as well.
 * EMPLOG_TGZ: the package as make dist-node made it.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { execFileSync } = require('node:child_process');
const kit = require('./kit');

const TGZ = process.env.EMPLOG_TGZ;
const skip = TGZ ? false : 'there is no package: EMPLOG_TGZ';
const NPM = [fs.realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' })
	.trim())][0];

function unpacked() {
	const dir = kit.scratch();
	execFileSync('tar', ['-xzf', TGZ, '-C', dir]);
	return path.join(dir, 'package');
}

// A directory where only node can be found.
function onlyNode() {
	const dir = kit.scratch();
	fs.symlinkSync(process.execPath, path.join(dir, 'node'));
	return dir;
}

// more: of npm; inside: of unshare, before anything runs; user: not root.
async function install(env, { more = [], inside = '', user } = {}) {
	const dir = kit.scratch();
	fs.writeFileSync(path.join(dir, 'package.json'), '{"name":"app","version":"1.0.0"}');
	const tgz = path.join(dir, 'emplog.tgz');	// where a user may read it
	fs.copyFileSync(TGZ, tgz);
	const npm = [NPM, 'install', '--offline', '--no-audit', '--no-fund',
		'--foreground-scripts', ...more, tgz];
	const command = inside === '' ? [process.execPath, ...npm] :
	    ['unshare', '-mn', 'sh', '-ec', `${inside}; exec "$@"`, 'sh', process.execPath, ...npm];
	const id = user === undefined ? {} : { uid: user, gid: user };
	for (const f of user === undefined ? [] : [dir, path.join(dir, 'package.json'), tgz])
		fs.chownSync(f, user, user);
	const r = await kit.run(command[0], command.slice(1), { npm_config_cache:
		path.join(dir, 'cache'), ...env }, 120000, { cwd: dir, ...id });
	assert.strictEqual(r.code, 0, `${r.out}\n${r.err}`);
	return { ...r, dir, package: path.join(dir, 'node_modules/emplog') };
}

test('the lane\'s sources in it are those of shm/', { skip }, () => {
	const dir = unpacked();
	const files = fs.readdirSync(path.join(dir, 'shm'));
	assert.ok(files.length > 20);
	for (const f of files)
		assert.ok(fs.readFileSync(path.join(dir, 'shm', f)).equals(fs.readFileSync(
			path.join(kit.SRC, 'shm', f))), f);
	const { files: listed, dependencies } = JSON.parse(fs.readFileSync(path.join(dir,
		'package.json')));
	assert.strictEqual(dependencies, undefined);
	for (const f of listed)
		assert.ok(fs.existsSync(path.join(dir, f)), f);
	const version = /EMPLOG_VERSION "(.*)"/.exec(fs.readFileSync(path.join(dir,
		'shm/emplog.h'), 'utf8'))[1];
	assert.strictEqual(JSON.parse(fs.readFileSync(path.join(dir, 'package.json'))).version,
		version);
});

test('both builders compile the same sources', () => {
	const gyp = fs.readFileSync(path.join(kit.PACKAGE, 'binding.gyp'), 'utf8');
	const js = fs.readFileSync(path.join(kit.PACKAGE, 'install.js'), 'utf8');
	const ofGyp = [...gyp.matchAll(/shm\/(\w+)\.c"/g)].map((m) => m[1]).sort();
	const list = /SOURCES = \[([^\]]*)\]/.exec(js)[1];
	assert.deepStrictEqual([...list.matchAll(/'(\w+)'/g)].map((m) => m[1]).sort(), ofGyp);
});

test('installed with a compiler: a lane', { skip }, async () => {
	const r = await install({});
	assert.match(r.said + r.out, /emplog: made build\/Release\/emplog\.node/);
	const c = await kit.child('process.stdout.write(logger.state);', { EMPLOG_PACKAGE: r.package,
		EMPLOG_RING_DIR: kit.ring() });
	assert.match(c.out, /^lane /);
});

test('installed without a compiler: HTTP, said once and in the state', { skip }, async (t) => {
	const r = await install({ PATH: onlyNode(), npm_config_script_shell: '/bin/sh' });
	assert.match(r.said + r.out, /emplog: no addon, records go by HTTP/);
	const bodies = [];
	const server = http.createServer((req, res) => {
		let text = '';
		req.on('data', (d) => { text += d; });
		req.on('end', () => { bodies.push(...JSON.parse(text)); res.writeHead(201).end(); });
	}).listen(0, '127.0.0.1');
	await new Promise((resolve) => server.on('listening', resolve));
	t.after(() => server.close());
	const c = await kit.child(`process.stdout.write(logger.state);
		new emplog.ConnectorLogger({}).info('by HTTP');
		logger.flush(); setTimeout(() => {}, 300);`, { EMPLOG_PACKAGE: r.package,
		FLUENT_BIT_HOST: '127.0.0.1', FLUENT_BIT_PORT: server.address().port });
	assert.strictEqual(c.code, 0, c.err);
	assert.match(c.out, /^http .*the addon was not built: npm install found no compiler/);
	assert.strictEqual(c.said.match(/emplog: no lane/g).length, 1);
	assert.strictEqual(bodies[0].message, 'by HTTP');
	server.closeAllConnections();
});

// What stands in for the addon says so itself.
async function stateOf(pkg, more = {}) {
	const c = await kit.child('process.stdout.write(logger.state);', { EMPLOG_PACKAGE: pkg,
		EMPLOG_RING_DIR: kit.ring(), FLUENT_BIT_PORT: '9', ...more });
	assert.strictEqual(c.code, 0, c.err);
	return c.out;
}

test('a compiler that fails: it installs all the same', { skip }, async () => {
	const bad = kit.scratch();
	fs.writeFileSync(path.join(bad, 'cc'), '#!/bin/sh\necho broken >&2\nexit 1\n', { mode: 0o755 });
	const r = await install({ CC: path.join(bad, 'cc') });
	assert.match(r.said + r.out, /no addon, records go by HTTP/);
	assert.ok(!fs.existsSync(path.join(r.package, 'build/Release/emplog.node')));
	assert.match(await stateOf(r.package), /^http /);
});

test('scripts not run: HTTP, until npm rebuild', { skip }, async () => {
	const r = await install({}, { more: ['--ignore-scripts'] });
	assert.doesNotMatch(r.said + r.out, /emplog: /);
	assert.match(await stateOf(r.package), /^http .*the addon was not built: .*ran no scripts\)/);
	const again = await kit.run(process.execPath, [NPM, 'rebuild', '--foreground-scripts', 'emplog'],
		{ npm_config_cache: path.join(r.dir, 'cache') }, 120000, { cwd: r.dir });
	assert.strictEqual(again.code, 0, again.err);
	assert.match(await stateOf(r.package), /^lane /);
});

const root = process.getuid() === 0 ? false : 'needs to be root';

test('without Node\'s headers and a network: HTTP', { skip: skip || root }, async () => {
	const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
	const dirs = [path.join(prefix, 'include/node'), '/usr/include/node',
		'/usr/local/include/node', '/usr/include/nodejs'].filter((d) => fs.existsSync(d));
	const hide = [...new Set(dirs)].map((d) => `mount -t tmpfs none ${d}`).join('; ');
	const r = await install({}, { inside: hide || ':' });
	assert.match(r.said + r.out, /emplog: no addon, records go by HTTP/);
	assert.match(await stateOf(r.package), /^http /);
});

test('installed by somebody who is not root: a lane', { skip: skip || root }, async () => {
	const user = 65534;
	const r = await install({ HOME: '/nonexistent' }, { user });
	assert.match(r.said + r.out, /emplog: made build\/Release\/emplog\.node/);
	assert.strictEqual(fs.statSync(path.join(r.package, 'build/Release/emplog.node')).uid, user);
	assert.match(await stateOf(r.package), /^lane /);
});

test('node-gyp makes it as well', { skip }, async (t) => {
	const gyp = path.join(path.dirname(path.dirname(NPM)), 'node_modules/node-gyp/bin/node-gyp.js');
	const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
	if (!fs.existsSync(gyp) || !fs.existsSync(path.join(prefix, 'include/node/node_api.h'))) {
		t.skip('no node-gyp, or no headers');
		return;
	}
	const dir = unpacked();
	const r = await kit.run(process.execPath, [gyp, 'rebuild', `--nodedir=${prefix}`], {}, 120000,
		{ cwd: dir });
	assert.strictEqual(r.code, 0, r.err);
	const c = await kit.child('process.stdout.write(logger.state);', { EMPLOG_PACKAGE: dir,
		EMPLOG_RING_DIR: kit.ring() });
	assert.match(c.out, /^lane /);
});

test('the C parts compile for musl without a warning', (t) => {
	let musl;
	try {
		musl = execFileSync('sh', ['-c', 'command -v musl-gcc'], { encoding: 'utf8' }).trim();
	} catch {
		t.skip('no musl-gcc');
		return;
	}
	const headers = ['/usr/include/node', path.join(path.dirname(path.dirname(
		fs.realpathSync(process.execPath))), 'include/node')].find((d) =>
		fs.existsSync(path.join(d, 'node_api.h')));
	if (headers === undefined) {
		t.skip('no headers of Node');
		return;
	}
	for (const f of [path.join(kit.PACKAGE, 'src/addon.c'), path.join(kit.SRC, 'shm/loan.c')])
		execFileSync(musl, ['-std=gnu17', '-O2', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE',
			`-I${kit.SRC}`, '-isystem', headers, '-fPIC', '-c', '-o', '/dev/null', f],
		{ stdio: ['ignore', 'inherit', 'inherit'] });
});
