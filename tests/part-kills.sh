#!/bin/bash
# SPDX-License-Identifier: ISC
# part-kills.sh - 200 kills of each role under load; see e2e/kills.py
kills=${KILLS:-200}
failed=0
for role in producer agent relay exporter; do
	/usr/bin/python3 "$SRC_DIR/tests/e2e/kills.py" $role "$kills" ||
	    failed=1
done
exit $failed
