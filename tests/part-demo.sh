#!/bin/bash
# SPDX-License-Identifier: ISC
# part-demo.sh - the README's first command, in a tree as a clone has it; that
# its count would see a loss; and that ^C ends what stays
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
if contrib/demo.sh --break --seconds=6 >"$WORK_DIR/broken" 2>&1; then
	echo "a record was taken away and it did not tell"
	failed=$((failed + 1))
elif grep -q 'lost 1\b' "$WORK_DIR/broken"; then
	passed=$((passed + 1))
else
	tail -20 "$WORK_DIR/broken"
	failed=$((failed + 1))
fi
# A group of its own, as a terminal's ^C goes to one.
set -m
contrib/demo.sh --stay >"$WORK_DIR/stay" 2>&1 &
demo=$!
set +m
tries=0
until grep -q 'job_completed' "$WORK_DIR/stay" || [ $tries -gt 300 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -INT -- -$demo
if wait $demo && grep -q ', lost 0, twice 0' "$WORK_DIR/stay"; then
	passed=$((passed + 1))
else
	echo "--stay does not count at its end:"
	tail -20 "$WORK_DIR/stay"
	failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
