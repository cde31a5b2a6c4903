#!/bin/bash
# SPDX-License-Identifier: ISC
# part-demo.sh - the README's first command, in a tree as a clone has it; that
# its count would see a loss; and that ^C ends what stays: with the connectors
# in C, and with those in TypeScript, which have tests of their own
#
# tsc comes from npm; without it all of TypeScript is skipped and says so.
set -u
passed=0 failed=0
cd "$CLONE_DIR" || exit 1

# The README names it so.
grep -q '^[[:space:]]*contrib/demo.sh$' README &&
grep -q '^[[:space:]]*contrib/check.sh$' README || {
	echo "the README has other commands"
	failed=$((failed + 1))
}
if contrib/demo.sh >"$WORK_DIR/demo" 2>&1; then
	tail -3 "$WORK_DIR/demo"
	passed=$((passed + 1))
else
	tail -40 "$WORK_DIR/demo"
	failed=$((failed + 1))
fi

# breaks NAME SWITCH...: one record that was taken away is missed
breaks() {
	local log=$WORK_DIR/$1-broken
	shift
	if contrib/demo.sh --break "$@" >"$log" 2>&1; then
		echo "a record was taken away and it did not tell"
		failed=$((failed + 1))
	elif grep -q 'lost 1\b' "$log"; then
		passed=$((passed + 1))
	else
		tail -20 "$log"
		failed=$((failed + 1))
	fi
}

# stays NAME SWITCH...: ^C ends it, and then it counts
stays() {
	local log=$WORK_DIR/$1-stay tries=0
	shift
	: >"$log"
	# A group of its own, as a terminal's ^C goes to one; and whoever runs
	# this in the background has it ignored.
	set -m
	env --default-signal=INT contrib/demo.sh --stay "$@" >"$log" 2>&1 &
	demo=$!
	set +m
	until grep -q 'job_\(completed\|received\)' "$log" ||
	    [ $tries -gt 300 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	kill -INT -- -$demo
	if wait $demo && grep -q ', lost 0, twice 0' "$log"; then
		passed=$((passed + 1))
	else
		echo "--stay $* does not count at its end:"
		tail -20 "$log"
		failed=$((failed + 1))
	fi
}

breaks c --seconds=6
stays c

if ! make -C "$BUILD_DIR" examples-node MAKEFLAGS= >"$WORK_DIR/make" 2>&1 &&
    grep -q '^npm cannot install' "$WORK_DIR/make"; then
	echo "skipped: demo: TypeScript: $(grep 'npm error' "$WORK_DIR/make" | tail -1)"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
fi
if contrib/demo.sh --node --seconds=6 >"$WORK_DIR/node" 2>&1; then
	tail -3 "$WORK_DIR/node"
	passed=$((passed + 1))
else
	tail -40 "$WORK_DIR/node" "$WORK_DIR/make"
	failed=$((failed + 1))
fi
breaks node --node --seconds=5
stays node --node
node --test --test-concurrency=2 --test-reporter=tap \
    "$SRC_DIR"/contrib/examples/node/test/*.test.js >"$WORK_DIR/tap" 2>&1
rc=$?
grep -aE '^ *not ok|# SKIP' "$WORK_DIR/tap"
[ $rc -eq 0 ] || cat "$WORK_DIR/tap"
told() {
	sed -n "s/^# \($1\) //p" "$WORK_DIR/tap" | awk '{ n += $1 } END { print n + 0 }'
}
bad=$(told 'fail\|cancelled')
[ $rc -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
passed=$((passed + $(told pass)))
failed=$((failed + bad))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
