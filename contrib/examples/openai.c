/* SPDX-License-Identifier: ISC */
/* openai.c - an example connector: API calls with token usage and time-outs */

#include "contrib/examples/connector.h"

static void
api_call(struct connector *c, const char *job, const char *request)
{
	uint64_t in = 20 + connector_random(c, 80);
	uint64_t out = 500 + connector_random(c, 900);
	struct emplog_field usage[] = {
		EMPLOG_UINT("prompt_tokens", in),
		EMPLOG_UINT("completion_tokens", out),
		EMPLOG_UINT("total_tokens", in + out),
	};

	emplog_info(c->log, "OpenAI call finished",
	    EMPLOG_STR("event_type", "service_api_call"),
	    EMPLOG_STR("job_id", job), EMPLOG_STR("model", "gpt-image-1"),
	    EMPLOG_STR("request_id", request),
	    EMPLOG_MAP("token_usage", usage, 3),
	    EMPLOG_UINT("response_time_ms", 200 + connector_random(c, 9000)),
	    EMPLOG_INT("request_size_bytes", 1932),
	    EMPLOG_INT("response_size_bytes", 2214433), connector_seq(c));
}

static void
run_job(struct connector *c)
{
	bool fails = connector_random(c, 5) == 0;
	struct emplog_job job;
	struct emplog_field f;
	char id[48], request[48];

	snprintf(id, sizeof(id), "job-openai-%u", c->jobs++);
	snprintf(request, sizeof(request), "req_%012llx",
	    (unsigned long long)connector_random(c, UINT64_C(1) << 48));
	job = EMPLOG_JOB(id);
	job.model = "gpt-image-1";
	job.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
	job.span_id = "00f067aa0ba902b7";
	f = connector_seq(c);
	emplog_job_received(c->log, &job, &f, 1);
	f = connector_seq(c);
	emplog_job_started(c->log, &job, &f, 1);
	connector_work(c, 25);
	if (fails) {
		job.error = "Request timeout after 60000ms";
		f = connector_seq(c);
		emplog_job_failed(c->log, &job, &f, 1);
		return;
	}
	api_call(c, id, request);
	job.output_size = 2214433;
	f = connector_seq(c);
	emplog_job_completed(c->log, &job, &f, 1);
}

int
main(int argc, char **argv)
{
	struct connector c;

	connector_open(&c, argc, argv, "openai-image", "openai-image-0");
	while (connector_more(&c))
		run_job(&c);
	return connector_close(&c);
}
