# SPDX-License-Identifier: ISC
# contrib.mk - what contrib/ adds to the build

EXTRA_DIST += contrib/emplogd.conf contrib/pm2/ecosystem.config.js \
	contrib/systemd/emplogd-agent.service \
	contrib/systemd/emplogd-relay.service \
	contrib/systemd/emplogd-exporter.service \
	contrib/systemd/emplogd.tmpfiles contrib/systemd/emplogd.sysusers
