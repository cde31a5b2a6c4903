#!/bin/bash
# SPDX-License-Identifier: ISC
# part-musl.sh - the Node package on a JavaScript runtime made for musl
#
# npm has no Node for musl, but another runtime with Node-API that asks for
# musl's loader.  Its libstdc++ is Debian's, with what that misses in musl
# from contrib/node/test/musl_bridge.c.  The addon is made as on an Alpine
# image: install.js, run by that runtime, with a compiler for musl.
set -u
runtime=@oven/bun-linux-x64-musl@1.4.5
modules=$WORK_DIR/modules
libs=$WORK_DIR/libs
node=$WORK_DIR/node
export EMPLOG_PACKAGE=$WORK_DIR/package-musl

skip() {
	echo "skipped: musl: $1"
	echo "0 passed, 0 failed"
	exit 0
}

bring() {
	mkdir -p "$modules" &&
	timeout 120 npm install --ignore-scripts --no-audit --no-fund --force \
	    --save-exact --prefix "$modules" $runtime >"$WORK_DIR/npm.log" 2>&1
}

shared_object() {
	cp -L "$(gcc -print-file-name="$1")" "$libs/"
}

bridge() {
	mkdir -p "$libs" && shared_object libstdc++.so.6 &&
	shared_object libgcc_s.so.1 &&
	musl-gcc -O1 -Wall -Wextra -Werror -shared -fPIC \
	    -Wl,-soname,ld-linux-x86-64.so.2 -o "$libs/ld-linux-x86-64.so.2" \
	    "$SRC_DIR/contrib/node/test/musl_bridge.c" &&
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libs" \
	    "$modules/node_modules/${runtime%@*}/bin/bun" >"$node" &&
	chmod 755 "$node" && "$node" -e 'process.version' &&
	# The runtime's, and its children's: not what gcc is run with.
	printf '#!/bin/sh\nunset LD_LIBRARY_PATH\nexec musl-gcc "$@"\n' \
	    >"$WORK_DIR/cc" && chmod 755 "$WORK_DIR/cc"
}

# One that links musl's C library, and no other.
pack() {
	mkdir -p "$WORK_DIR/dist" &&
	make -C "$BUILD_DIR" dist-node MAKEFLAGS= >/dev/null &&
	tar -xzf "$BUILD_DIR"/emplog-*.tgz -C "$WORK_DIR/dist" &&
	mv "$WORK_DIR/dist/package" "$EMPLOG_PACKAGE" &&
	cd "$EMPLOG_PACKAGE" && CC=$WORK_DIR/cc "$node" install.js &&
	readelf -d build/Release/emplog.node | grep NEEDED >"$WORK_DIR/needed" &&
	grep -q 'libc\.so\]' "$WORK_DIR/needed" &&
	[ "$(wc -l <"$WORK_DIR/needed")" = 1 ]
}

command -v musl-gcc >/dev/null || skip "there is no musl-gcc"
[ "$(uname -m)" = x86_64 ] || skip "the runtime is for x86_64"
bring || skip "npm has no $runtime: $(tail -1 "$WORK_DIR/npm.log")"
bridge && pack || { echo "0 passed, 1 failed"; exit 1; }

cd "$SRC_DIR/contrib/node/test" || exit 1
EMPLOG_NODE=$node EMPLOG_RUNS=${EMPLOG_MUSL_RUNS:-20} \
    node --test --test-concurrency=2 --test-reporter=tap agent.test.js \
    ends.test.js http.test.js lane.test.js loggers.test.js >"$WORK_DIR/tap" 2>&1
rc=$?
echo "musl: $("$node" -e 'console.log("bun", process.versions.bun,
    "(" + process.version + "), Node-API", process.versions.napi)')"
grep -aE '^ *not ok|^# [^ ]+.*(ms|runs)|# SKIP of' "$WORK_DIR/tap"
[ $rc -eq 0 ] || cat "$WORK_DIR/tap"
passed=$(sed -n 's/^# pass //p' "$WORK_DIR/tap")
failed=$(sed -n 's/^# \(fail\|cancelled\) //p' "$WORK_DIR/tap" | awk "{ n += \$1 } END { print n + 0 }")
[ $rc -eq 0 ] || [ "${failed:-0}" -gt 0 ] || failed=1
echo "${passed:-0} passed, ${failed:-1} failed"
[ $rc -eq 0 ]
