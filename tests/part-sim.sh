#!/bin/bash
# SPDX-License-Identifier: ISC
# computes: yes
# part-sim.sh - the simulator: many seeds, and the bugs planted to see that it
# finds them; SIM=full: 300 seeds, and the same by two compilers
set -u
. "$SRC_DIR/tests/claim.sh"
cd "$BUILD_DIR" || exit 1
sim=tests/sim/sim
bugs='ack_before_fsync ack_duplicate_early export_before_fsync
    high_water_mark forget_overlap_cut forget_ranges read_past_torn_frame
    free_lane_on_send reuse_failed_fsync accept_older_epoch lose_gap_record
    wall_clock_timer drop_on_503'

seeds=80
[ "${SIM:-}" != full ] || seeds=300

# At most 3 minutes of two cores for 300, whoever else has the machine.
many_seeds() {
	local t cpu
	TIMEFORMAT='%U %S %R'
	t=$({ time make MAKEFLAGS= sim SEEDS=$seeds JOBS=2 \
	    >"$WORK_DIR/seeds" 2>&1; } 2>&1)
	tail -60 "$WORK_DIR/seeds"
	echo "$seeds seeds: user, system, real seconds: $t"
	cpu=$(echo "$t" | awk '{ print int($1 + $2) }')
	grep -q "^$seeds seeds, " "$WORK_DIR/seeds" &&
	! grep -q 'see it again\|never fired' "$WORK_DIR/seeds" &&
	[ "$cpu" -le $((seeds * 6 / 5)) ]
}

same_twice() {
	"$sim" -s 1 -n 6 -j 2 -t >"$WORK_DIR/twice" 2>&1 ||
	    { tail "$WORK_DIR/twice"; return 1; }
}

traces() {
	SIM_SEEDS=1 "$1" -s 1 -n 12 -j 2 | grep 'trace' | grep '^seed' | sort
}

same_by_clang() {
	mkdir -p "$WORK_DIR/clang" && cd "$WORK_DIR/clang" &&
	CC=clang "$SRC_DIR/configure" -q --enable-developer >log 2>&1 &&
	make MAKEFLAGS= -j2 $(sed -n 's/^BUILT_SOURCES = //p' Makefile) \
	    >>log 2>&1 && make MAKEFLAGS= -j2 "$sim" >>log 2>&1 ||
	    { tail -20 log; return 1; }
	traces "$BUILD_DIR/$sim" >gcc.traces
	traces "$WORK_DIR/clang/$sim" >clang.traces
	[ "$(wc -l <gcc.traces)" = 12 ] && cmp gcc.traces clang.traces
}

# Stops at the first seed that finds it.
finds() {
	make MAKEFLAGS= sim SEEDS=300 JOBS=2 BUG="$1" \
	    >"$WORK_DIR/bug.$1" 2>&1
	local rc=$?
	grep -a '^seed .* at\|bug' "$WORK_DIR/bug.$1" | tail -2
	[ $rc -eq 0 ] && grep -q '^bug .*: found' "$WORK_DIR/bug.$1"
}

claim "$seeds seeds lose nothing" many_seeds
claim "a seed is one world" same_twice
if [ "${SIM:-}" != full ]; then
	echo "the same by clang: only with SIM=full"
elif command -v clang >/dev/null; then
	claim "a seed is one world, by gcc and by clang" same_by_clang
else
	echo "skipped: the same by clang: there is none"
fi
make MAKEFLAGS= -j2 planted >"$WORK_DIR/planted" 2>&1 ||
    tail -20 "$WORK_DIR/planted"
for bug in $bugs; do
	claim "finds $bug" finds "$bug"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
