#!/bin/sh
# SPDX-License-Identifier: ISC
# t0007-bench-says-of-what.sh - a figure is of a commit and of a machine
#
# Claims: the first line of make bench names the commit that is checked out and
# whether anything was changed since, or says that it knows none; the version
# of the program measured; processor, cores, memory, kernel and disk.
set -eu
export LC_ALL=C
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
top=$(cd "${srcdir:-.}" && pwd)
line=$(BUILD_DIR=$PWD python3 "$top/tests/bench/bench.py" about)
echo "$line"
commit=$(git -C "$top" rev-parse --short=12 HEAD 2>/dev/null || :)
version=$(./emplogd --version)
echo "$line" | python3 -c '
import json, sys
commit, version = sys.argv[1:]
x = json.loads(sys.stdin.read())
assert x["row"] == "about" and x["commit"] == (commit or None), x
assert (x["changed"] is None) == (commit == ""), x
assert x["version"] == version.strip() != "", x
m = x["machine"]
assert m["cpu"] and m["kernel"] and m["disk"], m
assert m["cores"] >= 1 and m["memory_GiB"] > 0, m
' "$commit" "$version"
