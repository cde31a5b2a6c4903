// SPDX-License-Identifier: ISC
// connector.ts - the guide's connector; only the import's name was changed
import { ConnectorLogger } from 'emplog';

interface JobData { id: string; payload: unknown }
interface JobResult { ok: boolean }

abstract class BaseConnector {
	abstract service_type: string;
	connector_id: string;

	constructor(connectorId: string) {
		this.connector_id = connectorId;
	}
}

export class YourConnector extends BaseConnector {
	service_type = 'comfyui';
	private logger: ConnectorLogger;

	constructor(connectorId: string) {
		super(connectorId);

		this.logger = new ConnectorLogger({
			machineId: process.env.MACHINE_ID,
			workerId: process.env.WORKER_ID,
			serviceType: this.service_type,
			connectorId: this.connector_id,
		});
	}

	private extractModel(_payload: unknown): string {
		return 'sdxl-base';
	}

	async processJob(jobData: JobData): Promise<JobResult> {
		const jobLogger = this.logger.withJobContext(jobData.id);

		jobLogger.jobReceived({
			jobId: jobData.id,
			model: this.extractModel(jobData.payload),
			inputSize: JSON.stringify(jobData.payload).length,
		});
		jobLogger.jobStarted({ jobId: jobData.id });
		jobLogger.jobProgress({ jobId: jobData.id, progress: 50, execution_step: 'KSampler' });
		jobLogger.jobCompleted({ jobId: jobData.id, duration: 15000, outputSize: 3 });
		jobLogger.jobFailed({ jobId: jobData.id, error: 'Request timeout', duration: 1 });
		this.logger.healthCheck('healthy', { api_available: true });
		this.logger.serviceEvent('api_call', 'done', { status: 200 });
		this.logger.info('m', { a: 1 });
		this.logger.warn('m');
		this.logger.debug('m');
		this.logger.error('m', new Error('e'), { b: 2 });
		return { ok: true };
	}
}

// The other names of the package, and what must not compile.
import winston = require('winston');
import emplog, { FluentBitTransport, EmplogTransport, JobLogData, ConnectorLogContext, validate,
	ComfyUILog, OpenAILog, A1111Log, SimulationLog, RestLog } from 'emplog';
import { stream } from 'emplog/pino';

winston.createLogger({ transports: [new FluentBitTransport({ machineId: 'm' }),
	new EmplogTransport()] });
const context: ConnectorLogContext = { machineId: 'm', workerId: 'w', serviceType: 's',
	connectorId: 'c', jobId: 'j', sessionId: 's' };
const data: JobLogData = { jobId: 'j', status: 'completed', custom: { x: 1 } };
new ConnectorLogger(context, true).withJobContext('j', 's').jobCompleted(data);
stream().end();
export const valid: boolean = validate({}).valid;
export type All = ComfyUILog | OpenAILog | A1111Log | SimulationLog | RestLog;
// @ts-expect-error a job has an id
new ConnectorLogger(context).jobStarted({ model: 'm' });
// @ts-expect-error there is no such console
new ConnectorLogger(context, { console: 'loud' });
export { emplog };
