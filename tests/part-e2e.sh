#!/bin/bash
# SPDX-License-Identifier: ISC
# quick: yes
# part-e2e.sh - real processes, one claim at a time; see e2e/run.py
exec /usr/bin/python3 "$SRC_DIR/tests/e2e/run.py"
