#!/bin/sh
# SPDX-License-Identifier: ISC
# t0005-readme.sh - the README's tour leads to places that are there
#
# Claims: every file, folder and page it names exists, every page there is has
# its line, and its commands are scripts that can be run.
set -eu
export LC_ALL=C
cd "${srcdir:-.}"
bad=0 n=0

fault() {
	echo "README: $*"
	bad=1
}

for word in $(tr -s ' \t,;()' '\n' <README |
    grep -E '^[a-z0-9_/]+(/|\.(c|h|sh))$'); do
	n=$((n + 1))
	case $word in
	*/*) [ -e "$word" ] || fault "$word is not there" ;;
	# next to the one named before it on its line
	*) [ -n "$(find shm src roles -name "$word")" ] ||
	    fault "$word is nowhere" ;;
	esac
done
[ "$n" -gt 20 ] || fault "only $n names were looked at"

for page in man/*.[1-8]; do
	name=$(basename "$page")
	grep -q "^	${name%.*}(${name##*.}) " README ||
	    fault "$name has no line"
done
for page in $(grep -oE '^	[a-z.-]+\([1-8]\)' README | tr '()' '. '); do
	[ -s "man/${page%.}" ] || fault "${page%.} is no page"
done
for script in $(grep -oE '^	contrib/[a-z]+\.sh$' README); do
	[ -x "$script" ] || fault "$script cannot be run"
done
exit $bad
