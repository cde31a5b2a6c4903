#!/bin/bash
# SPDX-License-Identifier: ISC
# part-start.sh - how long a queue of some size takes to open
#
# QUEUE_MIB=1024 measures a whole GiB; else a quarter of one, and what is said
# of a GiB is four times that.
set -u
. "$SRC_DIR/tests/claim.sh"

make -C "$BUILD_DIR" tests/queue_start MAKEFLAGS= >"$WORK_DIR/make" 2>&1 ||
    tail -20 "$WORK_DIR/make"
claim "a spoilt queue opens in two seconds a GiB" \
    "$BUILD_DIR/tests/queue_start" "$WORK_DIR/queue" "${QUEUE_MIB:-256}"
rm -rf "$WORK_DIR/queue"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
