#!/bin/bash
# SPDX-License-Identifier: ISC
# part-node.sh - the Node package, packed, installed and used
#
# The package is made by make dist-node and installed without a network; its
# tests run against what was installed.  winston, pino and the rest come from
# npm in the versions below; without them their tests are skipped and say so.
set -u
modules=$WORK_DIR/modules

export SRC_DIR BUILD_DIR WORK_DIR
export EMPLOG_TGZ=$WORK_DIR/emplog.tgz
export EMPLOG_PACKAGE=$WORK_DIR/app/node_modules/emplog

bring() {
	mkdir -p "$modules" &&
	timeout 60 npm install --ignore-scripts --no-audit --no-fund --save-exact \
	    --prefix "$modules" winston@3.19.0 pino@10.4.0 typescript@5.9.3 \
	    @types/node@20.19.0 @opentelemetry/api@1.9.0 \
	    @opentelemetry/context-async-hooks@2.0.1 >"$WORK_DIR/npm.log" 2>&1
}

pack() {
	make -C "$BUILD_DIR" dist-node MAKEFLAGS= >/dev/null &&
	mv "$BUILD_DIR"/emplog-*.tgz "$EMPLOG_TGZ" &&
	mkdir -p "$WORK_DIR/app" && cd "$WORK_DIR/app" &&
	echo '{"name":"app","version":"1.0.0","private":true}' >package.json &&
	npm install --offline --no-audit --no-fund --foreground-scripts \
	    "$EMPLOG_TGZ" </dev/null
}

pack || { echo "0 passed, 1 failed"; exit 1; }
if bring; then
	export EMPLOG_MODULES=$modules
else
	echo "skipped: node: npm has not all packages: $(tail -1 "$WORK_DIR/npm.log")"
fi
node --test --test-concurrency=2 --test-reporter=tap \
    "$SRC_DIR"/contrib/node/test/*.test.js >"$WORK_DIR/tap" 2>&1
rc=$?
grep -aE '^ *not ok|^# [^ ]+.*(SEED|ms|runs|skipped)|# SKIP' "$WORK_DIR/tap"
[ $rc -eq 0 ] || cat "$WORK_DIR/tap"
passed=$(sed -n 's/^# pass //p' "$WORK_DIR/tap")
failed=$(sed -n 's/^# \(fail\|cancelled\) //p' "$WORK_DIR/tap" | awk "{ n += \$1 } END { print n + 0 }")
[ $rc -eq 0 ] || [ "${failed:-0}" -gt 0 ] || failed=1
echo "${passed:-0} passed, ${failed:-1} failed"
[ $rc -eq 0 ]
