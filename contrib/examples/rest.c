/* SPDX-License-Identifier: ISC */
/*
 * rest.c - an example connector: upstream calls with retries; its headers hold
 * a credential, which never leaves the process
 */

#include "contrib/examples/connector.h"

static void
retry(struct connector *c, const char *job, int n)
{
	struct emplog_field sent[] = {
		EMPLOG_STR("content-type", "application/json"),
		EMPLOG_STR("authorization", "Bearer demo-not-a-real-secret"),
	};
	struct emplog_field got[] = { EMPLOG_STR("retry-after", "2") };

	emplog_warn(c->log, "Retrying upstream",
	    EMPLOG_STR("event_type", "service_retry"),
	    EMPLOG_STR("job_id", job), EMPLOG_STR("http_method", "POST"),
	    EMPLOG_STR("endpoint", "/v1/render"),
	    EMPLOG_INT("status_code", 502),
	    EMPLOG_MAP("request_headers", sent, 2),
	    EMPLOG_MAP("response_headers", got, 1),
	    EMPLOG_INT("retry_count", n), EMPLOG_INT("timeout_ms", 30000),
	    connector_seq(c));
}

static void
run_job(struct connector *c)
{
	struct emplog_field f;
	struct emplog_job job;
	char id[48];
	int i, n;

	snprintf(id, sizeof(id), "job-rest-%u", c->jobs++);
	job = EMPLOG_JOB(id);
	f = connector_seq(c);
	emplog_job_received(c->log, &job, &f, 1);
	f = connector_seq(c);
	emplog_job_started(c->log, &job, &f, 1);
	n = (int)connector_random(c, 3);
	for (i = 1; i <= n; i++) {
		connector_work(c, 10);
		retry(c, id, i);
	}
	connector_work(c, 15);
	f = connector_seq(c);
	emplog_job_completed(c->log, &job, &f, 1);
}

int
main(int argc, char **argv)
{
	struct connector c;

	connector_open(&c, argc, argv, "rest", "rest-webhook");
	while (connector_more(&c))
		run_job(&c);
	return connector_close(&c);
}
