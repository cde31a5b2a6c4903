/* SPDX-License-Identifier: ISC */
/* comfyui.c - an example connector: a ComfyUI workflow with its node steps */

#include "contrib/examples/connector.h"

static const char *const steps[] = {
	"CheckpointLoader", "CLIPTextEncode", "KSampler", "VAEDecode", "SaveImage"
};

static void
websocket(struct connector *c, const char *job, const char *prompt,
    const char *step, unsigned node)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", node);
	emplog_debug(c->log, "WebSocket message received",
	    EMPLOG_STR("event_type", "websocket_message"),
	    EMPLOG_STR("job_id", job), EMPLOG_STR("prompt_id", prompt),
	    EMPLOG_STR("client_id", "demo-gpu0"),
	    EMPLOG_STR("websocket_message_type", "executing"),
	    EMPLOG_STR("execution_step", step), EMPLOG_STR("node_id", id),
	    EMPLOG_UINT("queue_remaining", connector_random(c, 4)),
	    EMPLOG_STR("model_name", "sdxl_base_1.0.safetensors"),
	    EMPLOG_UINT("vram_usage", 9000 + connector_random(c, 4000)),
	    connector_seq(c));
}

static void
run_job(struct connector *c)
{
	struct emplog_job job;
	struct emplog_field f;
	char id[48], prompt[48];
	unsigned i;

	snprintf(id, sizeof(id), "job-comfy-%u", c->jobs++);
	snprintf(prompt, sizeof(prompt), "8d7c2a5e-%08x",
	    (unsigned)connector_random(c, UINT32_MAX));
	job = EMPLOG_JOB(id);
	job.model = "sdxl-base-1.0";
	job.input_size = 18342;
	f = connector_seq(c);
	emplog_job_received(c->log, &job, &f, 1);
	connector_work(c, 5);
	f = connector_seq(c);
	emplog_job_started(c->log, &job, &f, 1);
	for (i = 0; i < 5; i++) {
		websocket(c, id, prompt, steps[i], i + 1);
		job.progress = 20.0 * (i + 1);
		f = connector_seq(c);
		emplog_job_progress(c->log, &job, &f, 1);
		connector_work(c, 15);
	}
	job.output_size = 912;
	f = connector_seq(c);
	emplog_job_completed(c->log, &job, &f, 1);
}

int
main(int argc, char **argv)
{
	struct emplog_field health[4];
	struct connector c;

	connector_open(&c, argc, argv, "comfyui", "comfyui-gpu0");
	while (connector_more(&c)) {
		run_job(&c);
		health[0] = EMPLOG_BOOL("api_available", true);
		health[1] = EMPLOG_INT("models_loaded", 3);
		health[2] = EMPLOG_INT("queue_size", 1);
		health[3] = connector_seq(&c);
		emplog_health_check(c.log, true, health, 4);
	}
	return connector_close(&c);
}
