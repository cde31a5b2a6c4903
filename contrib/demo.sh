#!/bin/sh
# SPDX-License-Identifier: ISC
#
# demo.sh - emplogd at work on this machine, in 20 seconds
#
# Installs what the build needs (as root), builds, runs agent, relay and
# exporter in one process, starts five example connectors, shows records
# arriving, and counts what arrived against what the connectors noted.
#
#   --break   one delivered record is taken away on purpose: must print lost 1
#   --stay    goes on until ^C, instead of 20 seconds
#
# Records go to files under a temporary directory; to Dash0 as well when
# DASH0_AUTH_TOKEN and DASH0_ENDPOINT are set (then nothing is counted here).
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/contrib/packages.sh"

seconds=20 broken= stay=
for arg in "$@"; do
	case $arg in
	--break) broken=1 ;;
	--stay) stay=1 ;;
	--seconds=*) seconds=${arg#*=} ;;
	*) echo "usage: $0 [--break] [--stay] [--seconds=N]" >&2; exit 2 ;;
	esac
done

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

dir=$(mktemp -d "${TMPDIR:-/tmp}/emplogd-demo.XXXXXX")
ring=$(mktemp -d /dev/shm/emplogd-demo.XXXXXX)
daemon= workers=

cleanup() {
	for p in $workers $daemon; do
		kill "$p" 2>/dev/null || :
	done
	wait 2>/dev/null || :
	rm -rf "$dir" "$ring"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$dir/side"
env -u PORT -u DASH0_ENDPOINT -u DASH0_LOGS_ENDPOINT \
    -u OTEL_EXPORTER_OTLP_ENDPOINT \
    ${DASH0_AUTH_TOKEN:+${DASH0_ENDPOINT:+"EMPLOGD_EXPORTER_ENDPOINT=$DASH0_ENDPOINT"}} \
    "$build/emplogd" --role=agent,relay,exporter \
    --set common.ring_dir="$ring/ring" --set common.state_dir="$dir/state" \
    --set relay.listen=127.0.0.1:24924 --set relay.http_listen= \
    --set agent.relay=127.0.0.1:24924 --set agent.http_listen= \
    2>"$dir/emplogd.log" &
daemon=$!
tries=0
until grep -q '^emplogd: ready' "$dir/emplogd.log"; do
	tries=$((tries + 1))
	if [ $tries -gt 100 ] || ! kill -0 $daemon 2>/dev/null; then
		cat "$dir/emplogd.log" >&2
		echo "emplogd did not become ready" >&2
		exit 1
	fi
	sleep 0.1
done
cat "$dir/emplogd.log"

run=$((seconds - 3))
[ -n "$stay" ] && run=1000000000
pairs=
for c in comfyui:comfyui-gpu0 openai:openai-image-0 a1111:a1111-gpu1 \
    simulation:simulation-3 rest:rest-webhook; do
	name=${c%%:*}
	EMPLOG_RING_DIR="$ring/ring" EMPLOGD_COMMON_STATE_DIR="$dir/state" \
	    "$build/contrib/examples/$name" "$dir/side/$name" $run &
	workers="$workers $!"
	pairs="$pairs $dir/side/$name=${c#*:}"
done
echo "five connectors run for $run s; their first records as they arrive:"

(
	for p in $workers; do
		while kill -0 "$p" 2>/dev/null; do sleep 0.05; done
	done
	: >"$dir/done"
) &

status=0
export_dir="$dir/state/relay/export"
if [ -n "$broken" ]; then
	# Give the counter a copy in which one record is no longer there.
	for p in $workers; do wait "$p" || :; done
	"$build/contrib/examples/count" "$export_dir" 5 $pairs >/dev/null || :
	mkdir -p "$dir/broken/relay/export"
	: >"$dir/broken/done"
	cat "$export_dir"/logs*.jsonl | sed \
	    '0,/"demo_seq","value":{"intValue":"5"}/s/"demo_seq","value":{"intValue":"5"}/"demo_gone","value":{"intValue":"5"}/' \
	    >"$dir/broken/relay/export/logs.jsonl"
	"$build/contrib/examples/count" "$dir/broken/relay/export" 0 $pairs ||
	    status=$?
elif [ -n "$stay" ]; then
	echo "records are written to $export_dir; ^C ends the demo"
	wait $daemon || :
else
	"$build/contrib/examples/count" "$export_dir" "$seconds" $pairs ||
	    status=$?
fi
exit $status
