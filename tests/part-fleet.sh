#!/bin/bash
# SPDX-License-Identifier: ISC
# part-fleet.sh - lanes and real producers; see e2e/lanes.py
exec /usr/bin/python3 "$SRC_DIR/tests/e2e/lanes.py" "$@"
