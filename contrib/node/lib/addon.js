// SPDX-License-Identifier: ISC
'use strict';
/*
 * addon.js - the compiled part, if npm install could make it
 *
 * EMPLOG_ADDON=0 does without.
 */

const path = require('node:path');

// {addon, error}: one of them is of use.
function loadAddon() {
	if (process.env.EMPLOG_ADDON === '0')
		return { addon: null, error: 'EMPLOG_ADDON is 0' };
	if (process.platform !== 'linux')
		return { addon: null, error: `there are no lanes on ${process.platform}` };
	try {
		const addon = require(path.join(__dirname, '..', 'build', 'Release', 'emplog.node'));
		return { addon, error: '' };
	} catch (e) {
		return { addon: null, error: e.code === 'MODULE_NOT_FOUND' ?
		    'the addon was not built: npm install found no compiler, or ran no scripts' :
		    `the addon does not load: ${String(e.message).split('\n')[0]}` };
	}
}

module.exports = { loadAddon };
