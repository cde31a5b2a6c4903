// SPDX-License-Identifier: ISC
// winston.d.ts - a transport for winston, which need not be installed

import { Writable } from 'stream';

export interface EmplogTransportOptions {
	level?: string;
	silent?: boolean;
	format?: any;
	handleExceptions?: boolean;
	handleRejections?: boolean;
	machineId?: string;
	workerId?: string;
	serviceType?: string;
	connectorId?: string;
	loggerName?: string;
	console?: 'on' | 'fallback' | 'off' | boolean;
	host?: string;
	port?: number | string;
	endpoint?: string;
	[key: string]: any;
}

export class EmplogTransport extends Writable {
	constructor(options?: EmplogTransportOptions);
	level?: string;
	silent?: boolean;
	format?: any;
	handleExceptions?: boolean;
	handleRejections?: boolean;
	log(info: any, next: () => void): any;
	close(): void;
	readonly state: string;
	readonly stats: object;
}
export class FluentBitTransport extends EmplogTransport {}
