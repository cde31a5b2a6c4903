#!/bin/bash
# SPDX-License-Identifier: ISC
# part-audit.sh - a record is dropped at each hop in turn, and audit names it
#
# In a build of its own: what users have cannot drop on purpose.
set -u
build=$WORK_DIR/planted
mkdir -p "$build" && cd "$build" &&
"$SRC_DIR/configure" -q --enable-developer --enable-planted CFLAGS=-O0 &&
make -s -j2 emplogd tests/e2e/caller tests/e2e/issuer >make.log 2>&1 || {
	tail -20 make.log
	exit 1
}
BUILD_DIR=$build exec /usr/bin/python3 "$SRC_DIR/tests/e2e/run.py" planted
