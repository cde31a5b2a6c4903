// SPDX-License-Identifier: ISC
'use strict';
/* index.js - the names of this package; README.md says how they are used */

const core = require('./lib/core');
const { ConnectorLogger } = require('./lib/logger');
const { EmplogTransport, FluentBitTransport } = require('./lib/winston');
const schemas = require('./lib/schemas');

module.exports = {
	ConnectorLogger,
	EmplogTransport,
	FluentBitTransport,
	schemas: schemas.schemas,
	schemaOf: schemas.schemaOf,
	validate: schemas.validate,
	normalize: schemas.normalize,
	state: core.state,
	stats: core.stats,
	flush: core.flush,
	close: core.close,
};
