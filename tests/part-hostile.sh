#!/bin/bash
# SPDX-License-Identifier: ISC
# part-hostile.sh - the table of attacks, tests/hostile.tsv; see e2e/hostile.py
# quick: yes
exec /usr/bin/python3 "$SRC_DIR/tests/e2e/hostile.py" \
    "$SRC_DIR/tests/hostile.tsv"
