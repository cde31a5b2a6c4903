// SPDX-License-Identifier: ISC
import emplog from './index.js';

export default emplog;
export const { ConnectorLogger, EmplogTransport, FluentBitTransport, schemas, schemaOf, validate,
	normalize, state, stats, flush, close } = emplog;
