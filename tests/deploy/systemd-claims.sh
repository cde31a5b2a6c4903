#!/bin/bash
# SPDX-License-Identifier: ISC
# systemd-claims.sh - what must hold of the units under a real systemd
#
# Run as a service by systemd-boot.sh; relay and agent are not started yet.
set -u
. "$(dirname "$0")/claim.sh"

# until_ok SECONDS COMMAND...: polls; no claim hangs on luck with a sleep
until_ok() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || { echo "never: $*"; return 1; }
		sleep 0.05
	done
}

prop() {
	systemctl show -P "$2" "emplogd-$1.service"
}

starts() {
	systemctl start emplogd-relay emplogd-agent &&
	[ "$(prop relay ActiveState)" = active ] &&
	[ "$(prop agent ActiveState)" = active ]
}

same_io() {
	local want=epoll
	/out/io_here && want=uring
	TEST_IO=uring /out/io_here || want=epoll
	emplogd status --json >/tmp/status
	[ "$(grep -c "\"io\": \"$want\"" /tmp/status)" = 2 ] || {
		grep '"io"' /tmp/status
		return 1
	}
}

ring_is_for_all() {
	[ "$(stat -c '%a %U %G' /dev/shm/emplog)" = "3777 emplogd emplog" ] &&
	[ "$(stat -c '%a %U %G' /var/lib/emplogd/ring)" = \
	    "3777 emplogd emplog" ]
}

exported() {
	cat /var/lib/emplogd/relay/export/logs*.jsonl 2>/dev/null |
	    grep -o '"payload"' | wc -l
}

all_exported() {
	[ "$(exported)" -ge "$1" ]
}

another_user_logs() {
	touch /tmp/side && chmod 666 /tmp/side &&
	setpriv --reuid=65534 --regid=65534 --clear-groups \
	    issuer /tmp/side 1 10 1 10 &&
	until_ok 20 all_exported 100
}

no_drop() {
	emplogd status >/tmp/status
	[ "$(grep -c 'dropped    nothing' /tmp/status)" = 2 ] ||
	    { cat /tmp/status; return 1; }
}

fed() {
	[ "$(prop "$1" WatchdogTimestampMonotonic)" != "$2" ]
}

# WatchdogSec is a second here: three changes, and nobody is started anew.
watchdog_is_fed() {
	local unit i was
	for unit in relay agent; do
		for i in 1 2 3; do
			was=$(prop $unit WatchdogTimestampMonotonic)
			until_ok 5 fed $unit "$was" || return 1
		done
		[ "$(prop $unit NRestarts)" = 0 ] || return 1
	done
}

was_restarted() {
	[ "$(prop relay NRestarts)" = 1 ] &&
	[ "$(prop relay ActiveState)" = active ]
}

hung_is_restarted() {
	kill -STOP "$(prop relay MainPID)"
	until_ok 15 was_restarted
}

reloads() {
	systemctl reload emplogd-relay &&
	until_ok 5 grep -q 'configuration read anew' /out/relay.log
}

# A lane nobody has emptied outlives a stop of its agent.
ring_outlives_a_stop() {
	local before after
	systemctl stop emplogd-relay &&
	issuer /tmp/side2 2 5 1 1 &&
	systemctl stop emplogd-agent &&
	[ "$(prop agent Result)" = success ] &&
	[ "$(ls /dev/shm/emplog/*.lane | wc -l)" -ge 1 ] &&
	[ -e /dev/shm/emplog/knock ] && [ -e /dev/shm/emplog/agent.lock ] &&
	systemctl start emplogd-relay emplogd-agent &&
	until_ok 20 all_exported 105
}

# 201 for a record by HTTP, however long nobody was there to take it.
posts() {
	python3 -c '
import http.client
c = http.client.HTTPConnection("127.0.0.1", 9880, timeout=20)
c.request("POST", "/", "{\"message\": \"by the socket\"}",
    {"Connection": "close"})
raise SystemExit(c.getresponse().status != 201)'
}

socket_outlives_its_agent() {
	systemctl stop emplogd-agent &&
	systemctl start emplogd-agent.socket &&
	systemctl start emplogd-agent && posts || return 1
	kill -KILL "$(prop agent MainPID)"
	posts && systemctl stop emplogd-agent && posts &&
	[ "$(prop agent ActiveState)" = active ]
}

is_failed() {
	[ "$(prop exporter ActiveState)" = failed ]
}

bad_configuration_is_not_retried() {
	echo EMPLOGD_COMMON_IO=wrong >/etc/emplogd/environment
	systemctl start emplogd-exporter 2>/dev/null
	until_ok 5 is_failed
	rm /etc/emplogd/environment
	[ "$(prop exporter ExecMainStatus)" = 78 ] &&
	[ "$(prop exporter NRestarts)" = 0 ]
}

without_a_token_it_starts() {
	mv /etc/emplogd/exporter.token /etc/emplogd/other &&
	systemctl reset-failed emplogd-exporter &&
	systemctl start emplogd-exporter &&
	[ "$(prop exporter ActiveState)" = active ] &&
	systemctl stop emplogd-exporter &&
	mv /etc/emplogd/other /etc/emplogd/exporter.token
}

# Some kernels have a tmpfs without access lists, and then credentials are
# of no use to anybody but root, whatever the program.
credentials_work() {
	cat >/run/systemd/system/look.service <<-'END'
		[Service]
		Type=oneshot
		User=emplogd
		LoadCredential=x:/etc/emplogd/exporter.token
		ExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/x'
	END
	systemctl daemon-reload && systemctl start look 2>/dev/null
}

# Dash0's host is refused without a token: one was there to be read.
token_comes_as_a_credential() {
	echo EMPLOGD_EXPORTER_ENDPOINT=https://ingress.eu-west-1.aws.dash0.com \
	    >/etc/emplogd/environment
	systemctl start emplogd-exporter &&
	[ "$(prop exporter ActiveState)" = active ] &&
	systemctl stop emplogd-exporter
}

claim "relay and agent start, and say that they are ready" starts
claim "io_uring works in the sandbox where the kernel allows it" same_io
claim "the rings are for all users, and of the agent's group" ring_is_for_all
claim "records of another user come through" another_user_logs
claim "nothing was dropped" no_drop
claim "the watchdog is fed" watchdog_is_fed
claim "a relay that hangs is started anew" hung_is_restarted
claim "a reload is a SIGHUP" reloads
claim "a stop leaves the ring as it is" ring_outlives_a_stop
claim "the socket refuses nobody while the agent is away" \
    socket_outlives_its_agent
claim "a fault of the configuration is not tried again" \
    bad_configuration_is_not_retried
claim "an exporter starts without a token's file" without_a_token_it_starts
if credentials_work; then
	claim "the token comes as a credential" token_comes_as_a_credential
else
	echo "skipped: credentials: systemd cannot give them out here"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
