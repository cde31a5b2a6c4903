#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""run.py - real processes among everything that goes wrong, and nothing lost

usage: run.py [WORD...]        with BUILD_DIR in the environment
"""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, '../e2e')]
os.environ.setdefault('AT_ONCE', '2')
import claims
import flips
import ends
import limits
import lines
import stops

if __name__ == '__main__':
    mine = [m.__name__ for m in (ends, flips, limits, lines, stops)]
    claims.CLAIMS[:] = [c for c in claims.CLAIMS if c[0].__module__ in mine]
    sys.exit(claims.main())
