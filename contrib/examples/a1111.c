/* SPDX-License-Identifier: ISC */
/* a1111.c - an example connector: txt2img with its settings and progress */

#include "contrib/examples/connector.h"

static void
run_job(struct connector *c)
{
	struct emplog_job job;
	struct emplog_field f[10];
	char id[48];
	unsigned i;

	snprintf(id, sizeof(id), "job-a1111-%u", c->jobs++);
	job = EMPLOG_JOB(id);
	job.session_id = "demo-session";
	job.model = "juggernautXL";
	f[0] = connector_seq(c);
	emplog_job_received(c->log, &job, f, 1);
	f[0] = EMPLOG_STR("sampler", "DPM++ 2M Karras");
	f[1] = EMPLOG_INT("steps", 28);
	f[2] = EMPLOG_DOUBLE("cfg_scale", 6.5);
	f[3] = EMPLOG_UINT("seed", connector_random(c, UINT32_MAX));
	f[4] = EMPLOG_INT("width", 832);
	f[5] = EMPLOG_INT("height", 1216);
	f[6] = EMPLOG_INT("batch_size", 2);
	f[7] = EMPLOG_STR("model_checkpoint", "juggernautXL.safetensors");
	f[8] = EMPLOG_STR("vae", "sdxl_vae");
	f[9] = connector_seq(c);
	emplog_job_started(c->log, &job, f, 10);
	for (i = 1; i <= 4; i++) {
		connector_work(c, 12);
		job.progress = 25.0 * i;
		f[0] = connector_seq(c);
		emplog_job_progress(c->log, &job, f, 1);
	}
	f[0] = connector_seq(c);
	emplog_job_completed(c->log, &job, f, 1);
}

int
main(int argc, char **argv)
{
	struct connector c;

	connector_open(&c, argc, argv, "a1111", "a1111-gpu1");
	while (connector_more(&c))
		run_job(&c);
	return connector_close(&c);
}
