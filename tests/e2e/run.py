#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""run.py - the claims of the end to end tests, or those whose name has a word

Those of internet.py are run when asked for: by the word internet, or a name.

usage: run.py [WORD...]        with BUILD_DIR in the environment
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import claims
import answers      # noqa: F401
import audit        # noqa: F401
import decoded      # noqa: F401
import edge         # noqa: F401
import endpoints    # noqa: F401
import internet     # noqa: F401
import legacy       # noqa: F401
import letters      # noqa: F401
import kept         # noqa: F401
import life         # noqa: F401
import middle       # noqa: F401
import moving       # noqa: F401
import outage       # noqa: F401
import queues       # noqa: F401
import service      # noqa: F401
import vanish       # noqa: F401
import verbs        # noqa: F401

if __name__ == '__main__':
    sys.exit(claims.main())
