#!/bin/bash
# SPDX-License-Identifier: ISC
# part-chaos.sh - real processes among everything that goes wrong; see chaos/
#
# Small disks and other users need root, and are skipped without, saying so.
exec /usr/bin/python3 "$SRC_DIR/tests/chaos/run.py" "$@"
