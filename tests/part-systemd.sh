#!/bin/bash
# SPDX-License-Identifier: ISC
# part-systemd.sh - the units: as systemd reads them, and as it runs them
#
# The second in a namespace whose process 1 is systemd; skipped, with the
# reason, where that cannot be had.
set -u
passed=0 failed=0
units=$SRC_DIR/contrib/systemd

claim() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		echo "not ok $name"
		failed=$((failed + 1))
	fi
}

# With the binary that was built: the real one need not be installed.
verifies() {
	sed "s,^ExecStart=/usr/bin/emplogd,ExecStart=$BUILD_DIR/emplogd," \
	    "$units/emplogd-$1.service" >"$WORK_DIR/emplogd-$1.service"
	said=$(systemd-analyze verify --man=no \
	    "$WORK_DIR/emplogd-$1.service" 2>&1) && [ -z "$said" ] ||
	    { echo "$said"; return 1; }
}

# "→ Overall exposure level for …: 1.3 OK"
is_tight() {
	systemd-analyze security --offline=true "$units/emplogd-$1.service" |
	    awk '/Overall exposure level/ {
		for (i = 1; i < NF; i++) if ($i ~ /:$/) { n = $(i + 1); break }
		print "'"$1"' is exposed: " n
		ok = n ~ /^[0-9.]+$/ && n <= 2.0 }
		END { exit !ok }'
}

# What yes would do to the ring at each stop; see the unit.
agent_keeps_the_ring() {
	grep -qx 'RemoveIPC=no' "$units/emplogd-agent.service" &&
	! grep -q '^DynamicUser' "$units"/*.service
}

socket_verifies() {
	cp "$units/emplogd-agent.socket" "$WORK_DIR" &&
	said=$(systemd-analyze verify --man=no \
	    "$WORK_DIR/emplogd-agent.socket" 2>&1) && [ -z "$said" ] ||
	    { echo "$said"; return 1; }
}

for unit in agent relay exporter; do
	claim "systemd finds no fault in emplogd-$unit" verifies $unit
	claim "emplogd-$unit is exposed by 2.0 at most" is_tight $unit
done
claim "systemd finds no fault in the agent's socket" socket_verifies
claim "no stop removes the ring" agent_keeps_the_ring

space="unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --net"
if ! $space mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>"$WORK_DIR/why"; then
	echo "skipped: systemd in a namespace: $(head -1 "$WORK_DIR/why")"
else
	dir=$WORK_DIR/systemd
	mkdir -p "$dir/out"
	cp "$BUILD_DIR/tests/io_here" "$dir/out/"
	timeout -k 5 90 $space sh "$SRC_DIR/tests/deploy/systemd-boot.sh" \
	    "$dir" </dev/null >"$WORK_DIR/boot" 2>&1
	counts=$(tail -1 "$dir/out/said")
	if [[ $counts =~ ^[0-9]+\ passed,\ [0-9]+\ failed$ ]]; then
		grep -v ' passed, ' "$dir/out/said"
		passed=$((passed + ${counts%% *}))
		counts=${counts#*, }
		failed=$((failed + ${counts%% *}))
		case $counts in
		0*) ;;
		*) tail -n 20 "$dir"/out/*.log ;;
		esac
	else
		echo "not ok systemd runs the units"
		cat "$dir/out/said"
		tail -20 "$WORK_DIR/boot" "$dir/console"
		failed=$((failed + 1))
	fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
