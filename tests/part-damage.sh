#!/bin/bash
# SPDX-License-Identifier: ISC
# part-damage.sh - a queue spoilt in every way, and a power loss at every
# instant: the long runs of tests/test_damage and tests/test_crashpoints
#
# QUEUE_FLIPS=100000 makes it flip all of them, however long that takes.
set -u
. "$SRC_DIR/tests/claim.sh"

told() {
	local log=$WORK_DIR/$1.log
	shift
	"$@" >"$log" 2>&1
	local rc=$?
	grep -a -e '^damage: ' -e '^crash points: ' "$log"
	[ $rc -eq 0 ] || tail -20 "$log"
	return $rc
}

make -C "$BUILD_DIR" tests/test_damage tests/test_crashpoints MAKEFLAGS= \
    >"$WORK_DIR/make" 2>&1 || tail -20 "$WORK_DIR/make"
claim "a spoilt queue opens and loses only what was hit" \
    told damage env DAMAGE=full QUEUE_FLIPS="${QUEUE_FLIPS:-20000}" "$BUILD_DIR/tests/test_damage"
claim "nothing acknowledged is lost wherever the power goes" \
    told crashpoints env SEEDS=4 "$BUILD_DIR/tests/test_crashpoints"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
