#!/bin/bash
# SPDX-License-Identifier: ISC
# containers-claims.sh - emplogd as process 1, as uid 65534, on a root that is
# read only, in a network without IPv4, with 64 MiB of /dev/shm
#
# usage: unshare --mount --net --uts --ipc bash containers-claims.sh DIR
#
# DIR is on a disk of this machine: the volume.
set -u
passed=0 failed=0
dir=$1
. "$SRC_DIR/tests/deploy/root.sh"

claim() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		echo "not ok $name"
		[ ! -f "$dir/relay.log" ] || tail -n 5 "$dir"/*.log
		failed=$((failed + 1))
	fi
	stop_all
}

until_ok() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || { echo "never: $*"; return 1; }
		sleep 0.02
	done
}

# container NAME ROOT UID VARIABLE... -- ARGUMENT...: the entrypoint as process 1
declare -A started
container() {
	local name=$1 in=$2 uid=$3 env=()
	shift 3
	while [ "$1" != -- ]; do
		env+=("$1")
		shift
	done
	shift
	: >"$dir/$name.log"	# what the last one said is not of this one
	env -i PATH=/usr/bin:/bin "${env[@]}" \
	    unshare --pid --fork --kill-child --mount-proc="$in/proc" \
	    "$BUILD_DIR/tests/e2e/no_uring" eperm \
	    /usr/sbin/chroot --userspec="$uid:$uid" --groups= "$in" \
	    /bin/sh /usr/bin/emplogd-entrypoint "$@" \
	    >"$dir/$name.log" 2>&1 &
	started[$name]=$!
}

first_of() {
	pgrep -P "${started[$1]}"
}

said() {
	grep -q -- "$2" "$dir/$1.log"
}

ends() {
	local pid=${started[$1]}
	unset "started[$1]"
	wait "$pid"
}

stop_all() {
	local name first
	for name in "${!started[@]}"; do
		first=$(first_of "$name")
		kill -TERM "$first" 2>/dev/null
		until_ok 5 said "$name" 'emplogd: ended' >/dev/null ||
		    kill -KILL "$first" "${started[$name]}" 2>/dev/null
		ends "$name"
	done
}

# ---- the two roots ----

make_roots() {
	overlay_root "$dir" && root=$dir/root &&
	install -m 755 "$BUILD_DIR/contrib/portable/emplogd" \
	    "$root/usr/bin/emplogd" &&
	install -m 755 "$BUILD_DIR/tests/e2e/issuer" "$root/usr/bin/issuer" &&
	install -m 755 "$SRC_DIR/contrib/docker/entrypoint.sh" \
	    "$root/usr/bin/emplogd-entrypoint" &&
	mkdir -p "$root/data" "$root/fleeting" &&
	mkdir -p "$dir/volume" && chmod 755 "$dir/volume" &&
	mount --bind "$dir/volume" "$root/data" &&
	mount -t tmpfs -o mode=777 tmpfs "$root/fleeting" &&
	mount -o remount,ro "$root" &&
	make_alpine
}

# No glibc in it: busybox, and a connector made with musl.
make_alpine() {
	alpine=$dir/alpine
	mkdir -p "$alpine" && mount -t tmpfs tmpfs "$alpine" &&
	mkdir -p "$alpine"/{bin,usr/bin,dev,proc,tmp,workspace} &&
	sh "$SRC_DIR/contrib/docker/with-libc.sh" \
	    "$BUILD_DIR/contrib/portable/emplogd" "$alpine" &&
	cp "$root/usr/bin/emplogd-entrypoint" "$alpine/usr/bin/" &&
	cp /bin/busybox "$alpine/bin/" &&
	for c in sh id mkdir chmod chown; do
		ln -s busybox "$alpine/bin/$c"
	done &&
	musl-gcc -std=gnu17 -O2 -D_GNU_SOURCE -fno-strict-aliasing -static \
	    -I"$SRC_DIR" -o "$alpine/usr/bin/worker" \
	    "$SRC_DIR/contrib/examples/rest.c" \
	    "$SRC_DIR/contrib/examples/connector.c" \
	    $(ls "$SRC_DIR"/shm/*.c | grep -v 'reader\|guard') &&
	chmod 777 "$alpine/workspace" && plain_dev "$alpine/dev" &&
	mount -o remount,ro "$alpine" &&
	mount -t tmpfs -o mode=1777 tmpfs "$alpine/tmp" &&
	mount -t tmpfs -o mode=1777 tmpfs "$alpine/workspace"
}

ipv6_alone() {
	ip link set lo up && ip addr del 127.0.0.1/8 dev lo &&
	ip addr add fd00::1/128 dev lo nodad && [ -z "$(ip -4 -o addr)" ]
}

relay() {
	container relay "$root" 65534 PORT=8080 \
	    EMPLOGD_COMMON_INSECURE_LISTEN=yes 'EMPLOGD_RELAY_LISTEN=[::]:24224' \
	    "$@" -- --role=relay,exporter
	until_ok 10 said relay 'emplogd: ready'
}

get() {
	curl -s -g "http://[fd00::1]:8080$1"
}

status_of() {
	/usr/sbin/chroot "$root" emplogd \
	    --set common.state_dir="$1" status
}

# ---- claims ----

no_volume_is_told() {
	relay EMPLOGD_COMMON_STATE_DIR=/fleeting &&
	said relay "'/fleeting' is on no volume" &&
	said relay 'epoll: io_uring is refused' &&
	said relay 'listening on \[::\]:8080' &&
	get /ready | grep -q '"ready":true.*"warning":"common.state_dir is on' &&
	get /health | grep -q '"healthy":true' &&
	status_of /fleeting | grep -q 'WARNING    common.state_dir is on no' &&
	status_of /fleeting >/dev/null
}

railway_without_volume_is_told() {
	relay EMPLOGD_COMMON_STATE_DIR=/fleeting \
	    RAILWAY_ENVIRONMENT_NAME=production &&
	said relay 'attach a volume to this service'
}

volume_of_root_is_told() {
	chown 0:0 "$dir/volume"
	container relay "$root" 65534 RAILWAY_VOLUME_MOUNT_PATH=/data -- \
	    --role=relay,exporter
	! ends relay &&
	said relay "cannot use '/data/relay': Permission denied" &&
	said relay 'RAILWAY_RUN_UID=0'
}

volume_is_quiet() {
	local kind
	chown 65534:65534 "$dir/volume"
	kind=$(stat -f -c %T "$dir/volume")
	case $kind in
	tmpfs|overlay*) echo "skipped: a volume: $dir is on $kind"; return 0 ;;
	esac
	relay RAILWAY_VOLUME_MOUNT_PATH=/data RAILWAY_ENVIRONMENT_NAME=p &&
	! said relay 'no volume' && ! said relay 'warning' &&
	! get /ready | grep -q warning &&
	! status_of /data | grep -q WARNING
}

exported() {
	[ "$(cat "$dir"/volume/relay/export/logs*.jsonl | grep -c "$1")" -gt 0 ]
}

# Ring of 3777 as the entrypoint of root makes it would do; here one user's.
sidecar_over_ipv6() {
	relay RAILWAY_VOLUME_MOUNT_PATH=/data &&
	container agent "$root" 65534 'EMPLOGD_AGENT_RELAY=[fd00::1]:24224' \
	    EMPLOGD_COMMON_STATE_DIR=/fleeting \
	    'EMPLOGD_AGENT_HTTP_LISTEN=[::1]:9880' -- --role=agent &&
	until_ok 10 said agent 'emplogd: ready' &&
	/usr/sbin/chroot --userspec=65534:65534 --groups= "$root" \
	    issuer /tmp/side 7 10 1 10 &&
	until_ok 20 exported '"payload"' &&
	! said agent 'lost the relay'
}

alpine_sends() {
	relay RAILWAY_VOLUME_MOUNT_PATH=/data &&
	container alpine "$alpine" 0 'EMPLOGD_AGENT_RELAY=[fd00::1]:24224' \
	    EMPLOGD_COMMON_STATE_DIR=/workspace/emplogd \
	    'EMPLOGD_AGENT_HTTP_LISTEN=[::1]:9880' -- --role=agent &&
	until_ok 10 said alpine 'emplogd: ready' &&
	[ "$(stat -c %a "$alpine/dev/shm/emplog")" = 3777 ] &&
	/usr/sbin/chroot --userspec=1000:1000 --groups= "$alpine" \
	    /usr/bin/worker /tmp/side 1 >/dev/null 2>&1 &&
	until_ok 20 exported demo-worker-rest
}

zombies_of() {
	ps -o stat= --ppid "$1" | grep -c '^Z'
}

process_1_reaps_and_ends() {
	local first start
	relay RAILWAY_VOLUME_MOUNT_PATH=/data || return 1
	first=$(first_of relay)
	[ "$(awk '/^NSpid/ { print $NF }' "/proc/$first/status")" = 1 ] ||
	    return 1
	# the shell leaves a child to process 1, and that one ends
	nsenter --target "$first" --pid -- sh -c '(exec sleep 0.2) & exit'
	until_ok 5 eval '! ps -o comm= --ppid '"$first"' | grep -q sleep' ||
	    return 1
	[ "$(zombies_of "$first")" = 0 ] || { echo "zombies"; return 1; }
	start=$(date +%s%N)
	kill -TERM "$first"
	ends relay || return 1
	[ $((($(date +%s%N) - start) / 1000000)) -le 1500 ] &&
	said relay 'emplogd: ended'
}

claim "the roots are made" make_roots
claim "a network without IPv4" ipv6_alone
[ "$failed" -eq 0 ] || { echo "$passed passed, $failed failed"; exit 1; }
claim "no volume: start, status and /ready say so" no_volume_is_told
claim "Railway without a volume has its own words" railway_without_volume_is_told
claim "a volume of root's: the remedy is told" volume_of_root_is_told
claim "a volume: nothing to be told" volume_is_quiet
claim "an agent beside a worker, over IPv6" sidecar_over_ipv6
claim "an image without glibc: agent, and a worker of musl" alpine_sends
claim "process 1 reaps what it inherits and ends in time" \
    process_1_reaps_and_ends
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
