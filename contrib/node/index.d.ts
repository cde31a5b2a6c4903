// SPDX-License-Identifier: ISC
// index.d.ts - see README.md

import { EmplogTransport, FluentBitTransport, EmplogTransportOptions } from './winston';

export { EmplogTransport, FluentBitTransport, EmplogTransportOptions };

export type ConsoleMode = 'on' | 'fallback' | 'off';
export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** Who logs. What is absent or empty is taken from the environment. */
export interface ConnectorLogContext {
	machineId?: string;
	workerId?: string;
	serviceType?: string;
	connectorId?: string;
	jobId?: string;
	sessionId?: string;
	/** W3C trace context of all records of this logger. */
	traceparent?: string;
}

export interface EmplogOptions {
	/** Print records too: LOG_FORMAT says how. EMPLOG_CONSOLE, else on. */
	console?: ConsoleMode | boolean;
	/** Least level written. LOG_LEVEL, else all. */
	level?: Level | string;
	loggerName?: string;
	source?: string;
	serviceName?: string;
	serviceVersion?: string;
	deployment?: string;
	ringDir?: string;
	stateDir?: string;
	laneBytes?: number;
	/** Where records go without a lane; false: to the console alone. */
	http?: boolean;
	host?: string;
	port?: number | string;
	endpoint?: string;
	/** Most bytes that wait for HTTP. */
	httpMaxBytes?: number;
}

export type JobStatus = 'received' | 'processing' | 'completed' | 'failed' | 'cancelled';

export interface JobLogData {
	jobId: string;
	status?: JobStatus;
	progress?: number;
	error?: string;
	/** Milliseconds; filled in from a monotonic clock when absent. */
	duration?: number;
	inputSize?: number;
	outputSize?: number;
	model?: string;
	traceparent?: string;
	[key: string]: any;
}

export interface Stats {
	written: number;
	refused: number;
	oversize: number;
	shortened: number;
	redacted: number;
	lanes: number;
	lost: number;
	http: null | {
		circuit: 'closed' | 'open' | 'half-open';
		queued: number;
		queuedBytes: number;
		sent: number;
		rejected: number;
		dropped: number;
		droppedByLevel: Record<Level, number>;
		failures: number;
		error: string;
	};
	console: { lines: number; dropped: number };
}

export class ConnectorLogger {
	/** A boolean, as the second argument once was, changes nothing. */
	constructor(context?: ConnectorLogContext, options?: EmplogOptions | boolean);
	withJobContext(jobId: string, sessionId?: string,
		options?: { traceparent?: string }): ConnectorLogger;

	debug(message: string, meta?: any): void;
	info(message: string, meta?: any): void;
	warn(message: string, meta?: any): void;
	error(message: string, error?: Error | any, meta?: any): void;

	jobReceived(data: JobLogData): void;
	jobStarted(data: JobLogData): void;
	jobProgress(data: JobLogData): void;
	jobCompleted(data: JobLogData): void;
	jobFailed(data: Omit<JobLogData, 'error'> & { jobId: string; error: string | Error }): void;
	healthCheck(status: 'healthy' | 'unhealthy' | boolean, details?: any): void;
	serviceEvent(event: string, message?: string, meta?: any): void;

	/** True when nothing waits for HTTP any more. */
	flush(ms?: number): Promise<boolean>;
	/** Closes this thread's lane cleanly. */
	close(ms?: number): Promise<boolean>;
	/** Where records go now, for people. */
	readonly state: string;
	readonly stats: Stats;
}

// ---- the five schemas ----

export interface BaseConnectorLog {
	timestamp: string;
	level: 'debug' | 'info' | 'warn' | 'error';
	message: string;
	event_type: string;
	machine_id: string;
	worker_id: string;
	service_type: string;
	connector_id: string;
	source: string;
	job_id?: string;
	session_id?: string;
}

export interface ComfyUILog extends BaseConnectorLog {
	prompt_id: string;
	client_id: string;
	websocket_message_type?: string;
	queue_remaining?: number;
	execution_step?: string;
	node_id?: string;
	workflow_hash?: string;
	model_name?: string;
	vram_usage?: number;
}

export interface OpenAILog extends BaseConnectorLog {
	model: string;
	request_id: string;
	token_usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
	response_time_ms?: number;
	request_size_bytes?: number;
	response_size_bytes?: number;
}

export interface A1111Log extends BaseConnectorLog {
	sampler: string;
	steps: number;
	cfg_scale?: number;
	seed?: number;
	width?: number;
	height?: number;
	batch_size?: number;
	model_checkpoint?: string;
	vae?: string;
}

export interface SimulationLog extends BaseConnectorLog {
	simulation_type: string;
	iteration?: number;
	total_iterations?: number;
	convergence?: number;
	parameters?: Record<string, any>;
}

export interface RestLog extends BaseConnectorLog {
	endpoint: string;
	http_method?: string;
	status_code?: number;
	request_headers?: Record<string, string>;
	response_headers?: Record<string, string>;
	retry_count?: number;
	timeout_ms?: number;
}

export type ConnectorLog = ComfyUILog | OpenAILog | A1111Log | SimulationLog | RestLog;
export type SchemaName = 'comfyui' | 'openai' | 'a1111' | 'simulation' | 'rest';

export const schemas: Record<SchemaName, { fields: Record<string, any>; required: string[] }>;
export function schemaOf(serviceType?: string): SchemaName;
export function validate(record: unknown, serviceType?: string):
	{ valid: boolean; schema: SchemaName; errors: string[] };
export function normalize<T extends object>(record: T): T & BaseConnectorLog;

/** Of this thread, whichever logger. */
export function state(): string;
export function stats(): Stats;
export function flush(ms?: number): Promise<boolean>;
export function close(ms?: number): Promise<boolean>;
