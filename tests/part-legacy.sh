#!/bin/bash
# SPDX-License-Identifier: ISC
# part-legacy.sh - npm's winston in the old shape; see e2e/legacy_load.py
#
# A minute; LEGACY_SECONDS=600 for ten.  winston and node-fetch come from npm
# in the versions of legacy-winston/package.json; without them, or without
# mount namespaces, it is skipped and says so.
set -u
app=$WORK_DIR/legacy
mkdir -p "$app" && cp "$SRC_DIR"/tests/e2e/legacy-winston/* "$app" || exit 1
if ! unshare -m true 2>/dev/null; then
	echo "skipped: legacy: no mount namespaces here"
	echo "0 passed, 0 failed"
	exit 0
fi
if ! timeout 60 npm install --ignore-scripts --no-audit --no-fund \
    --prefix "$app" >"$WORK_DIR/npm.log" 2>&1; then
	echo "skipped: legacy: npm has not all packages: $(tail -1 "$WORK_DIR/npm.log")"
	echo "0 passed, 0 failed"
	exit 0
fi
exec /usr/bin/python3 "$SRC_DIR/tests/e2e/legacy_load.py" \
    "${LEGACY_SECONDS:-60}" "$app/connector.js"
