// SPDX-License-Identifier: ISC
// pino.d.ts - pino(options, stream()) or transport: { target: 'emplog/pino' }

import { Writable } from 'stream';

export interface PinoStreamOptions {
	messageKey?: string;
	loggerName?: string;
	console?: 'on' | 'fallback' | 'off' | boolean;
	[key: string]: any;
}
export function stream(options?: PinoStreamOptions): Writable;
export default stream;
