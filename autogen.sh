#!/bin/sh
# SPDX-License-Identifier: ISC
# autogen.sh - makes ./configure from configure.ac; needed in a git clone only
set -eu
cd "$(dirname "$0")"
exec autoreconf -fi
