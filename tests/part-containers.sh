#!/bin/bash
# SPDX-License-Identifier: ISC
# part-containers.sh - what a container does to a process, without an engine
#
# The Dockerfiles are read; the rest is tried in namespaces, see
# deploy/containers-claims.sh.  Skipped, with the reason, where there are none.
set -u
. "$SRC_DIR/tests/claim.sh"

compose_is_good() {
	docker compose -f "$SRC_DIR/contrib/docker/compose.yaml" config -q
}

claim "the Dockerfiles are in order" \
    python3 "$SRC_DIR/tests/deploy/dockerfiles.py" "$SRC_DIR"
claim "the entrypoint is shell" sh -n "$SRC_DIR/contrib/docker/entrypoint.sh"
if docker compose version >/dev/null 2>&1; then
	claim "the compose file is in order" compose_is_good
else
	echo "skipped: the compose file: no docker compose"
fi
if [ "$(id -u)" != 0 ] || ! unshare --mount --net --pid --fork true; then
	echo "skipped: containers: wants root and namespaces"
else
	make -C "$BUILD_DIR" portable MAKEFLAGS= >"$WORK_DIR/make" 2>&1
	dir=$WORK_DIR/containers
	mkdir -p "$dir"
	timeout -k 5 120 unshare --mount --net --uts --ipc \
	    bash "$SRC_DIR/tests/deploy/containers-claims.sh" "$dir" \
	    </dev/null >"$dir/said" 2>&1
	counts=$(tail -1 "$dir/said")
	grep -v '^[0-9]* passed, ' "$dir/said"
	if [[ $counts =~ ^[0-9]+\ passed,\ [0-9]+\ failed$ ]]; then
		passed=$((passed + ${counts%% *}))
		counts=${counts#*, }
		failed=$((failed + ${counts%% *}))
	else
		echo "not ok the claims of containers ended"
		failed=$((failed + 1))
	fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
