#!/bin/bash
# SPDX-License-Identifier: ISC
# part-kills.sh - 200 kills of each role under load; see e2e/kills.py
#
# All four at once: most of their time they wait for something to be under way.
kills=${KILLS:-200}
failed=0
roles='producer agent relay exporter'
for role in $roles; do
	/usr/bin/python3 "$SRC_DIR/tests/e2e/kills.py" $role "$kills" \
	    >"$WORK_DIR/$role" 2>&1 &
	eval "pid_$role=$!"
done
for role in $roles; do
	eval "wait \$pid_$role" || failed=1
	cat "$WORK_DIR/$role"
done
exit $failed
