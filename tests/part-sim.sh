#!/bin/bash
# SPDX-License-Identifier: ISC
# computes: yes
# part-sim.sh - the simulator: many seeds, the same by two compilers, and the
# bugs planted to see that it finds them
#
# Runs what is built in BUILD_DIR and makes nothing there, others do; what it
# makes it makes in CLANG_DIR, or in a tree of its own.
set -u
. "$SRC_DIR/tests/claim.sh"
sim=tests/sim/sim
bugged=planted/tests/sim/sim
seeds=300 traces=12
bugs='ack_before_fsync ack_duplicate_early export_before_fsync
    high_water_mark forget_overlap_cut forget_ranges read_past_torn_frame
    free_lane_on_send reuse_failed_fsync accept_older_epoch lose_gap_record
    wall_clock_timer drop_on_503'

# A tree to make things in.
own_tree() {
	clang=${CLANG_DIR:-}
	[ -z "$clang" ] || [ ! -e "$clang/Makefile" ] || return 0
	clang=$WORK_DIR/clang
	mkdir -p "$clang" && cd "$clang" &&
	CC=$1 "$SRC_DIR/configure" -q --enable-developer >"$WORK_DIR/log" 2>&1 &&
	make MAKEFLAGS= -j2 $(sed -n 's/^BUILT_SOURCES = //p' Makefile) \
	    >>"$WORK_DIR/log" 2>&1 || { tail -20 "$WORK_DIR/log"; return 1; }
}

# What runs, and make sim, which runs it.
made() {
	cd "$clang" && make MAKEFLAGS= -j2 $sim planted >"$WORK_DIR/made" 2>&1 &&
	make MAKEFLAGS= sim SEEDS=2 SEED=301 >>"$WORK_DIR/made" 2>&1 &&
	grep -q '^2 seeds, ' "$WORK_DIR/made" || {
		tail -20 "$WORK_DIR/made"
		return 1
	}
}

# At most 3 minutes of two processors, whoever else has the machine.
many_seeds() {
	local t cpu rc
	TIMEFORMAT='%U %S %R'
	t=$({ time SIM_SEEDS=1 "$BUILD_DIR/$sim" -s 1 -n $seeds -j 2 \
	    >"$WORK_DIR/seeds" 2>&1; } 2>&1)
	rc=$?
	grep -a -v '^seed .* trace ' "$WORK_DIR/seeds"
	echo "$seeds seeds: user, system, real seconds: $t"
	cpu=$(echo "$t" | awk '{ print int($1 + $2) }')
	[ $rc -eq 0 ] && grep -q "^$seeds seeds, " "$WORK_DIR/seeds" &&
	    [ "$cpu" -le $((2 * 180)) ]
}

same_twice() {
	"$BUILD_DIR/$sim" -s 1 -n 6 -j 2 -t >"$WORK_DIR/twice" 2>&1 ||
	    { tail "$WORK_DIR/twice"; return 1; }
}

# Those of the first seeds.
same_by_clang() {
	SIM_SEEDS=1 "$clang/$sim" -s 1 -n $traces -j 2 |
	    grep '^seed .* trace ' | sort >"$WORK_DIR/clang.traces"
	grep '^seed .* trace ' "$WORK_DIR/seeds" |
	    sort | grep -F -x -f "$WORK_DIR/clang.traces" >"$WORK_DIR/gcc.traces"
	[ "$(wc -l <"$WORK_DIR/clang.traces")" = $traces ] &&
	    cmp "$WORK_DIR/gcc.traces" "$WORK_DIR/clang.traces"
}

# Stops at the first seed that finds it.
finds() {
	"$clang/$bugged" -s 1 -n 300 -j 2 -b "$1" >"$WORK_DIR/bug.$1" 2>&1
	local rc=$?
	grep -a '^seed .* at\|^bug' "$WORK_DIR/bug.$1" | tail -2
	[ $rc -eq 0 ] && grep -q '^bug .*: found' "$WORK_DIR/bug.$1"
}

cc=clang
command -v clang >/dev/null || cc=gcc
claim "a tree to make it in" own_tree $cc
claim "make sim" made
claim "$seeds seeds lose nothing" many_seeds
claim "a seed is one world" same_twice
if [ $cc = clang ]; then
	claim "a seed is one world, by gcc and by clang" same_by_clang
else
	echo "skipped: the same by clang: there is none"
fi
for bug in $bugs; do
	claim "finds $bug" finds "$bug"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
