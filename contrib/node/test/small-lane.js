// SPDX-License-Identifier: ISC
'use strict';
/* small-lane.js - loaded first: lanes of the least size */

const path = require('node:path');
const settling = require(path.join(process.env.EMPLOG_PACKAGE, 'lib/settle.js'));
const { settle } = settling;

settling.settle = (options) => {
	const s = settle(options);
	s.lane.laneBytes = 65536;
	return s;
};
