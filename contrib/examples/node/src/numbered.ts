// SPDX-License-Identifier: ISC
/*
 * numbered.ts - a logger that numbers its records, so that somebody can count
 *
 * What:     demo_seq in each record, and a note of it in a side file before
 *           the record is written: 16 bytes, little endian: u64 number, u64
 *           wall ns.  contrib/examples/count.c compares both ends.
 * Used by:  the demo and the tests; a connector of your own has no such thing.
 */

import { openSync, writeSync } from 'node:fs';

import type { ConnectorLogger, JobLogData } from 'emplog';

import type { Logger } from './connector';

class Notes {
	private seq = 0n;
	private readonly fd: number;

	constructor(path: string) {
		this.fd = openSync(path, 'w');
	}

	next(): number {
		const note = Buffer.alloc(16);
		note.writeBigUInt64LE(this.seq, 0);
		note.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 8);
		writeSync(this.fd, note);
		return Number(this.seq++);
	}
}

type Failure = Parameters<ConnectorLogger['jobFailed']>[0];

class Numbered implements Logger {
	constructor(private readonly to: ConnectorLogger, private readonly notes: Notes) {}

	private add<T extends object>(fields?: T): T & { demo_seq: number } {
		return { ...(fields as T), demo_seq: this.notes.next() };
	}

	withJobContext(id: string, session?: string, options?: { traceparent?: string }): Logger {
		return new Numbered(this.to.withJobContext(id, session, options), this.notes);
	}

	debug(message: string, meta?: object): void {
		this.to.debug(message, this.add(meta));
	}

	info(message: string, meta?: object): void {
		this.to.info(message, this.add(meta));
	}

	warn(message: string, meta?: object): void {
		this.to.warn(message, this.add(meta));
	}

	error(message: string, error?: unknown, meta?: object): void {
		this.to.error(message, error, this.add(meta));
	}

	jobReceived(data: JobLogData): void {
		this.to.jobReceived(this.add(data));
	}

	jobStarted(data: JobLogData): void {
		this.to.jobStarted(this.add(data));
	}

	jobProgress(data: JobLogData): void {
		this.to.jobProgress(this.add(data));
	}

	jobCompleted(data: JobLogData): void {
		this.to.jobCompleted(this.add(data));
	}

	jobFailed(data: Failure): void {
		this.to.jobFailed(this.add(data));
	}

	healthCheck(status: 'healthy' | 'unhealthy' | boolean, details?: object): void {
		this.to.healthCheck(status, this.add(details));
	}

	serviceEvent(event: string, message?: string, meta?: object): void {
		this.to.serviceEvent(event, message, this.add(meta));
	}
}

export function numbered(path: string): (logger: ConnectorLogger) => Logger {
	const notes = new Notes(path);
	return (logger) => new Numbered(logger, notes);
}
