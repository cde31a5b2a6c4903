#!/bin/bash
# SPDX-License-Identifier: ISC
# part-pm2.sh - contrib/pm2 under npm's real pm2; see e2e/pm2.py
#
# PM2 is this version of it, in a directory of its own, and ends with the test.
set -u
version=7.0.4
cd "$WORK_DIR" || exit 1
if ! npm install --no-audit --no-fund --ignore-scripts --prefix "$WORK_DIR" \
    "pm2@$version" >npm.log 2>&1; then
	echo "skipped: pm2: npm cannot install it: $(tail -1 npm.log)"
	echo "0 passed, 0 failed"
	exit 0
fi
if BUILD_DIR=$BUILD_DIR /usr/bin/python3 "$SRC_DIR/tests/e2e/pm2.py" \
    "$WORK_DIR/node_modules/.bin/pm2" \
    "$SRC_DIR/contrib/pm2/ecosystem.config.js"; then
	echo "1 passed, 0 failed"
else
	echo "not ok nothing accepted is missing under pm2"
	echo "0 passed, 1 failed"
	exit 1
fi
