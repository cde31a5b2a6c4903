#!/bin/bash
# SPDX-License-Identifier: ISC
# part-internet.sh - hops over lines and peers that fail; see e2e/internet.py
#
# Half of it needs network namespaces, and is skipped without, saying so.
# Most of it waits for time-outs: more at once than elsewhere.
AT_ONCE=7 exec /usr/bin/python3 "$SRC_DIR/tests/e2e/run.py" internet
