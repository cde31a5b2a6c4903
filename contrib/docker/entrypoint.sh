#!/bin/sh
# SPDX-License-Identifier: ISC
# entrypoint.sh - makes ring and state directory, then becomes emplogd
#
# As root: the ring is for every user of the container, and a volume that
# belongs to root works as it is.  As another user: what that user may make.
# EMPLOGD_RUN_AS=UID:GID lets root step down, where setpriv is (util-linux).
set -eu
ring=${EMPLOGD_COMMON_RING_DIR:-/dev/shm/emplog}
state=${EMPLOGD_COMMON_STATE_DIR:-${RAILWAY_VOLUME_MOUNT_PATH:-/var/lib/emplogd}}
as=${EMPLOGD_RUN_AS:-}

# A volume where the platform says it is, whatever the image thought.
if [ -n "${RAILWAY_VOLUME_MOUNT_PATH:-}" ]; then
	state=$RAILWAY_VOLUME_MOUNT_PATH
	export EMPLOGD_COMMON_STATE_DIR="$state"
fi
export EMPLOGD_COMMON_RING_DIR="$ring"
if [ "$(id -u)" = 0 ]; then
	[ -d "$ring" ] || mkdir -m 3777 "$ring"
	mkdir -p "$state" 2>/dev/null || :
	if [ -n "$as" ]; then
		chown "$as" "$ring" "$state"
		chmod 3777 "$ring"
		set -- setpriv --reuid="${as%%:*}" --regid="${as##*:}" \
		    --clear-groups -- emplogd "$@"
		exec "$@"
	fi
fi
exec emplogd "$@"
