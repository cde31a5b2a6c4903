// SPDX-License-Identifier: ISC
/*
 * simulation.ts - a connector whose work is done in this process
 *
 * The temperature of a square plate, of which the upper edge is hot: Jacobi's
 * iteration, until nothing changes by more than the tolerance.  Payload:
 * {size?, tolerance?, iterations?, edge?}.
 */

import { setImmediate } from 'node:timers/promises';

import { Connector, optional, type Outcome, type Running } from './connector';
import { ServiceError } from './http';
import { main } from './main';

const REPORTS = 10;

interface Settings { size: number; tolerance: number; iterations: number; edge: number }

class Plate {
	private now: Float64Array;
	private next: Float64Array;

	constructor(private readonly size: number, edge: number) {
		this.now = new Float64Array(size * size);
		this.now.fill(edge, 0, size);
		this.next = this.now.slice();
	}

	/** One iteration; by how much the most changed point did. */
	step(): number {
		const n = this.size;
		let most = 0;
		for (let y = 1; y < n - 1; y++) {
			for (let x = 1; x < n - 1; x++) {
				const i = y * n + x;
				const v = (this.now[i - 1]! + this.now[i + 1]! + this.now[i - n]! +
					this.now[i + n]!) / 4;
				most = Math.max(most, Math.abs(v - this.now[i]!));
				this.next[i] = v;
			}
		}
		[this.now, this.next] = [this.next, this.now];
		return most;
	}

	middle(): number {
		const half = this.size >> 1;
		return this.now[half * this.size + half]!;
	}
}

function settings(payload: Record<string, unknown>): Settings {
	const s = { size: optional(payload, 'size', 24), edge: optional(payload, 'edge', 100),
		tolerance: optional(payload, 'tolerance', 0.01),
		iterations: optional(payload, 'iterations', 2000) };
	if (!(s.size >= 3 && s.size <= 512 && s.iterations >= 1))
		throw new ServiceError('invalid payload: size is 3 to 512, iterations 1 or more',
			'validation');
	return s;
}

class SimulationConnector extends Connector {
	protected override describe(payload: Record<string, unknown>): Record<string, unknown> {
		const { iterations, ...parameters } = settings(payload);
		return { simulation_type: 'heat', total_iterations: iterations, parameters };
	}

	protected async health(): Promise<Record<string, unknown>> {
		return { queue_size: 0, models_loaded: 0 };
	}

	protected async run({ job, log, signal }: Running): Promise<Outcome> {
		const s = settings(job.payload);
		const plate = new Plate(s.size, s.edge);
		const every = Math.ceil(s.iterations / REPORTS);
		let change = Infinity;
		let i = 0;
		while (change > s.tolerance && i < s.iterations) {
			change = plate.step();
			if (++i % every === 0)
				log.jobProgress({ jobId: job.id, progress: 100 * i / s.iterations,
					simulation_type: 'heat', iteration: i, convergence: change,
					total_iterations: s.iterations });
			if (i % 16 === 0)
				await setImmediate();	// signals and timers come in between
			signal.throwIfAborted();
		}
		if (change > s.tolerance)
			throw new ServiceError(`no convergence within ${s.iterations} iterations`,
				'unknown', new Error(`the last change was ${change}, more than ${s.tolerance}`),
				{ simulation_type: 'heat', iteration: i });
		const result = JSON.stringify({ middle: plate.middle() });
		return { outputSize: result.length, simulation_type: 'heat', iteration: i,
			total_iterations: s.iterations, convergence: change };
	}
}

void main((wrap) => new SimulationConnector('simulation',
	process.env.CONNECTOR_ID ?? 'simulation-3', wrap),
// Each fourth has no chance.
(n) => ({ size: 24 + 8 * (n % 3), tolerance: 0.01, iterations: n % 4 === 3 ? 40 : 2000 }));
