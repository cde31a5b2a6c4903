#!/bin/sh
# SPDX-License-Identifier: ISC
#
# demo.sh - emplogd at work on this machine, in 20 seconds
#
# Installs what the build needs (as root), builds, runs agent, relay and
# exporter in one process, starts five example connectors, shows records
# arriving, and counts what arrived against what the connectors noted.
#
#   --node    the connectors in TypeScript, each with a fake of the service it
#             is for, instead of the pretended ones in C; wants npm
#   --break   one delivered record is taken away on purpose: must print lost 1
#   --stay    goes on until ^C, instead of 20 seconds, and counts then
#
# Records go to files under a temporary directory; to Dash0 instead when
# DASH0_AUTH_TOKEN and DASH0_ENDPOINT (or DASH0_LOGS_ENDPOINT) are set: then
# emplogd's own counters tell what the backend accepted.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/contrib/packages.sh"

seconds=20 node= broken= stay=
for arg in "$@"; do
	case $arg in
	--node) node=1 ;;
	--break) broken=1 ;;
	--stay) stay=1 ;;
	--seconds=*) seconds=${arg#*=} ;;
	*) echo "usage: $0 [--node] [--break] [--stay] [--seconds=N]" >&2; exit 2 ;;
	esac
done
[ "$seconds" -ge 5 ] 2>/dev/null && [ "$seconds" -lt 100000 ] || {
	echo "$0: --seconds=$seconds is not a number from 5 to 99999" >&2
	exit 2
}

build=${BUILD_DIR:-$top/build}
if [ ! -x "$build/emplogd" ] || [ ! -x "$build/contrib/examples/count" ]; then
	need_packages $build_packages
	echo "building in $build (a minute or two)"
	mkdir -p "$build"
	(
		[ -x "$top/configure" ] || "$top/autogen.sh"
		cd "$build"
		[ -f Makefile ] || "$top/configure"
		make -j"$(nproc)"
	) >"$build/demo-build.log" 2>&1 || {
		tail -20 "$build/demo-build.log" >&2
		echo "the build failed: $build/demo-build.log" >&2
		exit 1
	}
fi

# The package comes without a network; tsc and the types do not.
examples="$build/examples-node"
if [ -n "$node" ] && [ ! -e "$examples/build/src/rest.js" ]; then
	need_packages nodejs npm libnode-dev
	echo "compiling the examples in $examples"
	make -C "$build" examples-node >"$build/demo-node.log" 2>&1 || {
		rm -rf "$examples"
		tail -20 "$build/demo-node.log" >&2
		echo "the examples could not be made: $build/demo-node.log" >&2
		exit 1
	}
fi

# Whatever emplogd this shell is set up for, it is not the demo's.
for v in $(env | sed -n 's/^\([A-Z_0-9]*\)=.*/\1/p'); do
	case $v in
	EMPLOG* | OTEL_* | FLUENT* | RAILWAY_* | PORT | LOG_LEVEL | *_ID | \
	COMFYUI_* | OPENAI_* | A1111_* | REST_* | *_MS | SERVICE_TYPE) unset "$v" ;;
	esac
done
dash0=
if [ -n "${DASH0_AUTH_TOKEN:-}" ] &&
    [ -n "${DASH0_ENDPOINT:-}${DASH0_LOGS_ENDPOINT:-}" ] &&
    [ -z "$broken" ]; then
	dash0=1
else
	unset DASH0_AUTH_TOKEN DASH0_API_KEY DASH0_ENDPOINT \
	    DASH0_LOGS_ENDPOINT DASH0_OTLP_URL
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/emplogd-demo.XXXXXX")
ring=$(mktemp -d /dev/shm/emplogd-demo.XXXXXX)
daemon= workers= fakes=

cleanup() {
	for p in $workers $fakes $daemon; do
		kill "$p" 2>/dev/null || :
	done
	wait 2>/dev/null || :
	rm -rf "$dir" "$ring"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

emplogd() {
	"$build/emplogd" --config=/dev/null \
	    --set common.ring_dir="$ring/ring" \
	    --set common.state_dir="$dir/state" "$@"
}

# Another demo on this machine may have the port: 1 says so.
start() {
	# Not of this shell's group: ^C is for the connectors first.
	setsid "$build/emplogd" --config=/dev/null \
	    --role=agent,relay,exporter \
	    --set common.ring_dir="$ring/ring" \
	    --set common.state_dir="$dir/state" \
	    --set relay.listen=127.0.0.1:$1 --set relay.http_listen= \
	    --set agent.relay=127.0.0.1:$1 --set agent.http_listen= \
	    2>"$dir/emplogd.log" &
	daemon=$!
	tries=0
	until grep -q '^emplogd: ready' "$dir/emplogd.log"; do
		tries=$((tries + 1))
		if ! kill -0 $daemon 2>/dev/null; then
			wait $daemon || :
			grep -q 'cannot listen' "$dir/emplogd.log" && return 1
			tries=1000
		fi
		if [ $tries -gt 100 ]; then
			cat "$dir/emplogd.log" >&2
			echo "emplogd did not become ready" >&2
			exit 1
		fi
		sleep 0.1
	done
}

port=24924
until start $port; do
	port=$((port + 1))
	[ $port -lt 24944 ] || {
		echo "every port from 24924 on is taken" >&2
		exit 1
	}
done
cat "$dir/emplogd.log"

run=$((seconds - 1))
[ -n "$stay" ] && run=1000000000
mkdir "$dir/side"

# Of this shell's group a fake would hear of ^C before its connector.
start_fake() {	# start_fake NAME SWITCH...
	name=$1
	shift
	setsid node "$examples/build/fakes/$name.js" "$@" \
	    </dev/null >"$dir/fake-$name" &
	fakes="$fakes $!"
}

# Each fails now and then, as those it stands for do.
start_fakes() {
	start_fake comfyui --ms=150 --fail=execution_error:7 --fail=drop:5
	start_fake openai --ms=120 --fail=429:4 --fail=500:9
	start_fake a1111 --ms=150 --fail=oom:8
	start_fake rest --ms=120 --fail=502:9 --fail=failed:6
	for name in comfyui openai a1111 rest; do
		tries=0
		until grep -q '^ready ' "$dir/fake-$name"; do
			tries=$((tries + 1))
			[ $tries -lt 100 ] || {
				echo "the fake of $name did not become ready" >&2
				exit 1
			}
			sleep 0.1
		done
	done
}

fake_url() {
	sed -n 's/^ready //p' "$dir/fake-$1"
}

start_connector() {	# start_connector NAME ID
	if [ -n "$node" ]; then
		set -- "$@" node "$examples/build/src/$1.js" \
		    --side="$dir/side/$1" --seconds=$run
	else
		set -- "$@" "$build/contrib/examples/$1" "$dir/side/$1" $run
	fi
	name=$1 id=$2
	shift 2
	"$@" &
	workers="$workers $!"
	pairs="$pairs $dir/side/$name=$id"
}

pairs=
export EMPLOG_RING_DIR="$ring/ring" EMPLOGD_COMMON_STATE_DIR="$dir/state"
if [ -n "$node" ]; then
	start_fakes
	export MACHINE_ID=demo-machine EMPLOG_CONSOLE=off \
	    COMFYUI_URL="$(fake_url comfyui)" A1111_URL="$(fake_url a1111)" \
	    OPENAI_BASE_URL="$(fake_url openai)/v1" REST_URL="$(fake_url rest)" \
	    OPENAI_API_KEY=sk-demo-not-a-real-secret \
	    REST_TOKEN=demo-not-a-real-secret A1111_POLL_MS=40 REST_POLL_MS=40
fi
for c in comfyui:comfyui-gpu0 openai:openai-image-0 a1111:a1111-gpu1 \
    simulation:simulation-3 rest:rest-webhook; do
	export WORKER_ID=demo-worker-${c%%:*}
	start_connector "${c%%:*}" "${c#*:}"
done
if [ -n "$stay" ]; then
	echo "five connectors run until ^C; their first records as they arrive:"
else
	echo "five connectors run for $run s; their first records as they arrive:"
fi

# Tells the counter that nothing more is written.
(
	for p in $workers; do
		while kill -0 "$p" 2>/dev/null; do sleep 0.05; done
	done
	: >"$dir/state/done"
) &

export_dir="$dir/state/relay/export"

# Waits for a program that a ^C does not reach; the connectors end by it.
await() {
	if [ -n "$stay" ]; then
		trap 'kill $workers 2>/dev/null || :' INT
	fi
	status=0
	while wait "$1" || status=$?; [ $status -gt 128 ] &&
	    kill -0 "$1" 2>/dev/null; do
		status=0
	done
}

# Give the counter a copy in which one record is no longer there.
count_broken() {
	for p in $workers; do wait "$p" || :; done
	"$build/contrib/examples/count" "$export_dir" 5 $pairs >/dev/null || :
	mkdir -p "$dir/broken/relay/export"
	: >"$dir/broken/done"
	cat "$export_dir"/logs*.jsonl | sed \
	    '0,/"demo_seq","value":{"intValue":"5"}/s/"demo_seq","value":{"intValue":"5"}/"demo_gone","value":{"intValue":"5"}/' \
	    >"$dir/broken/relay/export/logs.jsonl"
	"$build/contrib/examples/count" "$dir/broken/relay/export" 0 $pairs
}

# What the backend did not accept is kept, and counted as kept.
count_accepted() {
	emplogd tail -n 20
	while [ ! -e "$dir/state/done" ]; do sleep 0.1; done
	tries=0
	until emplogd status >"$dir/status" &&
	    grep -q '^kept: 0 records on disk, 0 B in lanes' "$dir/status"; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || break
		sleep 0.1
	done
	cat "$dir/status"
	[ $tries -lt 100 ]
}

status=0
if [ -n "$broken" ]; then
	count_broken || status=$?
elif [ -n "$dash0" ]; then
	sleep 2
	count_accepted &
	await $!
elif [ -n "$stay" ]; then
	"$build/contrib/examples/count" "$export_dir" 1000000000 $pairs &
	await $!
else
	# It ends when all has come; a slow machine gets ten seconds more.
	"$build/contrib/examples/count" "$export_dir" $((seconds + 10)) \
	    $pairs || status=$?
fi
exit $status
