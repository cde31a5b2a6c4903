// SPDX-License-Identifier: ISC
/*
 * main.ts - a connector as a program: where jobs come from, and how it ends
 *
 * usage: CONNECTOR [--seconds=N] [--side=FILE]
 *
 *   Jobs are lines of JSON on stdin: {"id", "payload", "sessionId"?,
 *   "traceparent"?}; with --seconds=N they are made up here for so long.
 *   Your own would come from your queue.
 *   --side=FILE   numbers the records and notes them there: numbered.ts
 *
 * SIGTERM and SIGINT (PM2 sends it): no further job; the one that runs has
 * GRACE_MS to end, then it is given up and recorded as failed, so that nobody
 * has to guess.  Exit status: 0, jobs that failed or not; 1 when a record was
 * not taken; 2 for a wrong usage.
 */

import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { stats, close } from 'emplog';
import type { ConnectorLogger } from 'emplog';

import type { Connector, Job, Logger } from './connector';
import { ServiceError } from './http';
import { numbered } from './numbered';
import { childOf } from './trace';

const GRACE_MS = Number(process.env.GRACE_MS ?? 1000);
const BETWEEN_MS = 25;		// two jobs that are made up
const HEALTH_MS = Number(process.env.HEALTH_MS ?? 10_000);

export type Make = (wrap: (logger: ConnectorLogger) => Logger) => Connector;
/** The payload of the n-th job that is made up. */
export type MakeUp = (n: number) => Record<string, unknown>;

interface Source extends AsyncIterable<Job> {
	stop(): void;
}

function usage(): never {
	process.stderr.write('usage: CONNECTOR [--seconds=N] [--side=FILE]\n');
	process.exit(2);
}

function options(): { seconds?: number; side?: string } {
	const given: { seconds?: number; side?: string } = {};
	for (const arg of process.argv.slice(2)) {
		const [, key, value] = /^--(seconds|side)=(.+)$/.exec(arg) ?? usage();
		if (key === 'seconds')
			given.seconds = Number(value);
		else
			given.side = value;
	}
	if (given.seconds !== undefined && !(given.seconds >= 0))
		usage();
	return given;
}

// ---- jobs ----

class MadeUp implements Source {
	private stopped = false;
	private readonly until: number;

	constructor(private readonly name: string, private readonly makeUp: MakeUp, seconds: number) {
		this.until = performance.now() + seconds * 1000;
	}

	stop(): void {
		this.stopped = true;
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<Job> {
		for (let n = 0; !this.stopped && performance.now() < this.until; n++) {
			yield { id: `job-${this.name}-${n}`, payload: this.makeUp(n),
				sessionId: 'demo-session', traceparent: childOf() };
			await sleep(BETWEEN_MS);
		}
	}
}

function jobOf(line: string): Job {
	const o = JSON.parse(line) as Partial<Job> | null;
	if (typeof o?.id !== 'string' || typeof o.payload !== 'object' || o.payload === null)
		throw new Error('a job is {"id": text, "payload": object}');
	return { id: o.id, payload: o.payload, sessionId: o.sessionId,
		traceparent: o.traceparent };
}

class FromStdin implements Source {
	private stopped = false;
	private lines: Interface | undefined;

	constructor(private readonly refuse: (line: string, e: unknown) => void) {}

	stop(): void {
		this.stopped = true;
		this.lines?.close();
		process.stdin.destroy();
	}

	// Lines that come before somebody iterates would be gone: made only here.
	async *[Symbol.asyncIterator](): AsyncGenerator<Job> {
		if (this.stopped)
			return;
		this.lines = createInterface({ input: process.stdin });
		for await (const line of this.lines) {
			let job: Job;
			try {
				job = jobOf(line);
			} catch (e) {
				this.refuse(line, e);
				continue;
			}
			yield job;
		}
	}
}

// ---- the program ----

function onSignal(source: Source, give: AbortController): void {
	const end = (signal: NodeJS.Signals): void => {
		source.stop();
		setTimeout(() => give.abort(new ServiceError(
			`the worker has to end: ${signal}`, 'cancelled')), GRACE_MS).unref();
	};
	process.on('SIGTERM', end);
	process.on('SIGINT', end);
}

async function work(connector: Connector, source: Source, given: AbortSignal): Promise<void> {
	let jobs = 0;
	let failed = 0;
	let looked = performance.now();
	await connector.start();
	for await (const job of source) {
		const good = await connector.processJob(job, given);
		jobs++;
		failed += good ? 0 : 1;
		if (!good || performance.now() - looked >= HEALTH_MS) {
			looked = performance.now();
			await connector.checkHealth();
		}
	}
	connector.stop(jobs, failed);
}

export async function main(make: Make, makeUp: MakeUp): Promise<void> {
	const { seconds, side } = options();
	let own: Logger | undefined;
	const wrap = side === undefined ? (l: ConnectorLogger): Logger => l : numbered(side);
	const connector = make((logger) => own = wrap(logger));
	const source = seconds !== undefined ?
		new MadeUp(connector.serviceType, makeUp, seconds) :
		new FromStdin((line, e) => own?.error('not a job', e, { line: line.slice(0, 200) }));
	const give = new AbortController();
	onSignal(source, give);
	await work(connector, source, give.signal);
	await close();
	const s = stats();
	if (s.refused + s.oversize + s.lost + (s.http?.dropped ?? 0) > 0)
		process.exitCode = 1;
	process.exit();
}
