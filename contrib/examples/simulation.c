/* SPDX-License-Identifier: ISC */
/* simulation.c - an example connector: an iteration that converges */

#include "contrib/examples/connector.h"

static void
run_job(struct connector *c)
{
	struct emplog_field p[] = {
		EMPLOG_INT("seed", 7), EMPLOG_DOUBLE("noise", 0.2),
	};
	struct emplog_field f[6];
	struct emplog_job job;
	double error = 1.0;
	char id[48];
	int i;

	snprintf(id, sizeof(id), "job-sim-%u", c->jobs++);
	job = EMPLOG_JOB(id);
	f[0] = connector_seq(c);
	emplog_job_received(c->log, &job, f, 1);
	f[0] = connector_seq(c);
	emplog_job_started(c->log, &job, f, 1);
	for (i = 1; i <= 10; i++) {
		error *= 0.6;
		job.progress = i * 10;
		f[0] = EMPLOG_STR("simulation_type", "image");
		f[1] = EMPLOG_INT("iteration", i);
		f[2] = EMPLOG_INT("total_iterations", 10);
		f[3] = EMPLOG_DOUBLE("convergence", error);
		f[4] = EMPLOG_MAP("parameters", p, 2);
		f[5] = connector_seq(c);
		emplog_job_progress(c->log, &job, f, 6);
		connector_work(c, 6);
	}
	f[0] = connector_seq(c);
	emplog_job_completed(c->log, &job, f, 1);
}

int
main(int argc, char **argv)
{
	struct connector c;

	connector_open(&c, argc, argv, "simulation", "simulation-3");
	while (connector_more(&c))
		run_job(&c);
	return connector_close(&c);
}
