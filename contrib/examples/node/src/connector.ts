// SPDX-License-Identifier: ISC
/*
 * connector.ts - what the five connectors share: the life of a job, in records
 *
 *   processJob()   job_received, job_started, run(), job_completed or job_failed
 *   checkHealth()  health_check
 *   run()          each connector's own; it may throw whatever it likes
 *
 * A job that fails is a record, not a crash; logging can fail neither.
 */

import { ConnectorLogger } from 'emplog';

import { ServiceError, type ErrorType } from './http';
import { childOf } from './trace';

export interface Job {
	id: string;
	payload: Record<string, unknown>;
	sessionId?: string;
	/** Of whoever submitted the job. */
	traceparent?: string;
}

/** What the job_completed record says; outputSize in characters of JSON, or bytes. */
export interface Outcome {
	outputSize: number;
	[field: string]: unknown;
}

/** The part of ConnectorLogger that connectors use. */
export type Logger = Pick<ConnectorLogger, 'debug' | 'info' | 'warn' | 'error' | 'jobReceived' |
	'jobStarted' | 'jobProgress' | 'jobCompleted' | 'jobFailed' | 'healthCheck' |
	'serviceEvent'> & {
	withJobContext(jobId: string, sessionId?: string,
		options?: { traceparent?: string }): Logger;
};

export interface Running {
	job: Job & { traceparent: string };
	log: Logger;
	/** Aborted when the worker has to end or the job takes too long. */
	signal: AbortSignal;
}

const JOB_TIMEOUT_MS = Number(process.env.JOB_TIMEOUT_MS ?? 600_000);

export abstract class Connector {
	protected readonly logger: Logger;

	constructor(readonly serviceType: string, readonly connectorId: string,
		wrap: (logger: ConnectorLogger) => Logger) {
		this.logger = wrap(new ConnectorLogger({
			machineId: process.env.MACHINE_ID,
			workerId: process.env.WORKER_ID,
			serviceType,
			connectorId,
		}));
	}

	/** The work. Throws when it cannot be done. */
	protected abstract run(running: Running): Promise<Outcome>;

	/** What a health_check says; throws when the service is not there. */
	protected abstract health(): Promise<Record<string, unknown>>;

	/** What the job_started record says of a payload; throws when it makes no sense. */
	protected describe(_payload: Record<string, unknown>): Record<string, unknown> {
		return {};
	}

	protected modelOf(payload: Record<string, unknown>): string | undefined {
		return typeof payload.model === 'string' ? payload.model : undefined;
	}

	/** Lets go of what it keeps open. */
	close(): void {}

	async start(): Promise<void> {
		this.logger.serviceEvent('started', `${this.serviceType} connector started`,
			{ connector_version: '0.1.0', node_version: process.version });
		await this.checkHealth();
	}

	stop(jobs: number, failed: number): void {
		this.logger.serviceEvent('stopped', `${this.serviceType} connector stopped`,
			{ jobs, failed });
		this.close();
	}

	async checkHealth(): Promise<boolean> {
		try {
			this.logger.healthCheck('healthy', { api_available: true,
				...await this.health() });
			return true;
		} catch (e) {
			this.logger.healthCheck('unhealthy', { api_available: false,
				error: errorOf(e).message, error_type: typeOf(errorOf(e)) });
			return false;
		}
	}

	/** To its end, good or bad; true: good. */
	async processJob(job: Job, stopping: AbortSignal): Promise<boolean> {
		const traceparent = childOf(job.traceparent);
		const log = this.logger.withJobContext(job.id, job.sessionId, { traceparent });
		log.jobReceived({ jobId: job.id, model: this.modelOf(job.payload),
			inputSize: JSON.stringify(job.payload).length });
		const limit = new Limit(stopping, JOB_TIMEOUT_MS);
		try {
			log.jobStarted({ jobId: job.id, model: this.modelOf(job.payload),
				...this.describe(job.payload) });
			const outcome = await this.run({ job: { ...job, traceparent }, log,
				signal: limit.signal });
			log.jobCompleted({ jobId: job.id, ...outcome });
			return true;
		} catch (e) {
			// Whatever broke: when the job had to end, that is why.
			const error = errorOf(limit.signal.aborted ? limit.signal.reason : e);
			log.jobFailed({ jobId: job.id, error, error_type: typeOf(error),
				...(error instanceof ServiceError ? error.fields : {}) });
			return false;
		} finally {
			limit.end();
		}
	}
}

/** Aborted by another signal, or after a time; its reason says by which. */
class Limit {
	private readonly own = new AbortController();
	private readonly timer: NodeJS.Timeout;
	private readonly stop = (): void => this.own.abort(this.outer.reason);

	constructor(private readonly outer: AbortSignal, ms: number) {
		this.timer = setTimeout(() => this.own.abort(new ServiceError(
			`timeout: the job took more than ${ms} ms`, 'timeout')), ms);
		outer.addEventListener('abort', this.stop, { once: true });
		if (outer.aborted)
			this.stop();
	}

	get signal(): AbortSignal {
		return this.own.signal;
	}

	end(): void {
		clearTimeout(this.timer);
		this.outer.removeEventListener('abort', this.stop);
	}
}

export function errorOf(e: unknown): Error {
	return e instanceof Error ? e : new Error(String(e));
}

export function typeOf(e: Error): ErrorType {
	return e instanceof ServiceError ? e.type : 'unknown';
}

/** A field of a payload that must be there, and of that type. */
export function needed(payload: Record<string, unknown>, key: string, type: 'string'): string;
export function needed(payload: Record<string, unknown>, key: string, type: 'number'): number;
export function needed(payload: Record<string, unknown>, key: string, type: string): unknown {
	const v = payload[key];
	if (typeof v !== type)
		throw new ServiceError(`invalid payload: '${key}' is not a ${type}`, 'validation');
	return v;
}

export function optional(payload: Record<string, unknown>, key: string, other: number): number {
	return payload[key] === undefined ? other : needed(payload, key, 'number');
}
