#!/bin/bash
# SPDX-License-Identifier: ISC
# computes: yes
# part-model.sh - the protocols' models, checked by spin
#
# Each claim holds in all states, which are counted; each fault built in by
# -DBUG_x is found, so that the claims can fail.
. "$SRC_DIR/tests/claim.sh"
export SRC_DIR WORK_DIR

# check NAME MODEL CLAIM PAN-OPTION|- DEFINES...: holds in every state.
check() {
	local dir="$WORK_DIR/$1" model=$2 claim=$3 opts=$4
	shift 4
	run "$dir" "$model" "$claim" "$opts" "$@" || return 1
	echo "$(basename "$dir"): $(sed -n \
	    's/^ *\([0-9]*\) states, stored.*/\1/p' "$dir/out") states"
	grep -q 'errors: 0$' "$dir/out" && ! grep -q 'not completed\|too small' \
	    "$dir/out" || { cat "$dir/out"; return 1; }
}

# refute NAME MODEL CLAIM DEFINES...: a counterexample is found.
refute() {
	local dir="$WORK_DIR/$1" model=$2 claim=$3
	shift 3
	run "$dir" "$model" "$claim" - "$@" || return 1
	grep -q 'errors: 1$' "$dir/out" || { cat "$dir/out"; return 1; }
	echo "$(basename "$dir"): refuted: $(sed -n \
	    's/^pan:1: \(.\{1,40\}\).*/\1/p' "$dir/out")"
}

run() {
	local dir=$1 model=$2 claim=$3 opts=$4
	shift 4
	mkdir "$dir" && cd "$dir" &&
	spin -a "$@" "$SRC_DIR/tests/model/$model.pml" >spin.out 2>&1 &&
	gcc -O1 -w -DMEMLIM=2048 -DNFAIR=3 -o pan pan.c || {
		cat spin.out
		return 1
	}
	[ "$opts" = - ] && opts=
	timeout 100 ./pan -a -N "$claim" $opts -m100000 >out 2>&1
}
export -f check refute run

# Two at a time; the longest first.  xargs says when one has failed.
jobs() {
	cat <<-'END'
	check lane-awake lane awake - -DFAULTS=2
	check hop-kept hop kept -
	check lane-safe lane safe -f -DFAIR -DFAULTS=1
	check hop-arrives hop arrives -f -DFAULTS=1
	refute acknowledged-before-durable lane awake -DBUG_ACK_EARLY
	refute freed-on-send lane awake -DBUG_FREE_ON_SEND
	refute head-before-record lane awake -DBUG_HEAD_FIRST
	refute slept-without-second-look lane awake -DBUG_NO_SHORT_TICK
	refute second-look-too-soon lane awake -DBUG_TICK_SHARED
	refute knocked-once-for-ever lane awake -DBUG_KNOCK_ONCE
	refute buried-without-last-look lane awake -DBUG_NO_LAST_LOOK
	refute buried-without-leave-time lane awake -DBUG_NO_LEAVE_TIME
	refute relay-answers-before-durable hop kept -DBUG_ACK_EARLY
	refute duplicate-answered-at-once hop kept -DBUG_DUP_NO_BARRIER
	refute high-water-mark hop kept -DBUG_HIGH_WATER
	refute overlap-not-cut hop kept -DBUG_NO_CUT
	refute checkpoint-of-what-is-staged hop kept -DBUG_CKPT_STAGED
	refute ranges-go-with-segment hop kept -DBUG_FORGET_DELETED
	refute failed-group-answered hop kept -DBUG_FAILED_IS_DONE
	refute stream-ended-before-commit hop kept -DBUG_END_EARLY
	END
}

one() {
	if "$@"; then
		echo "ok $2"
	else
		echo "not ok $2"
	fi
}
export -f one

jobs | xargs -P 2 -I{} bash -c 'one {}' >"$WORK_DIR/all" 2>&1
grep -v '^ok ' "$WORK_DIR/all"
passed=$(grep -c '^ok ' "$WORK_DIR/all")
total=$(jobs | grep -c .)
echo "$passed passed, $((total - passed)) failed"
[ "$passed" -eq "$total" ]
