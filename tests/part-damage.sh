#!/bin/bash
# SPDX-License-Identifier: ISC
# part-damage.sh - a queue spoilt in every way, and a power loss at every
# instant: the long runs of tests/test_damage and tests/test_crashpoints
#
# computes: yes
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

claim "a spoilt queue opens and loses only what was hit" \
    told damage env DAMAGE=full JOBS="$(nproc)" \
    "$BUILD_DIR/tests/test_damage"
claim "nothing acknowledged is lost wherever the power goes" \
    told crashpoints env SEEDS=4 "$BUILD_DIR/tests/test_crashpoints"
claim "nor where more is pending than all subsets can be tried of" \
    told drawn env SEED=16 SEEDS=1 "$BUILD_DIR/tests/test_crashpoints"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
