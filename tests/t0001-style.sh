#!/bin/sh
# SPDX-License-Identifier: ISC
# t0001-style.sh - what a reader may rely on in every file
#
# Claims: every file says its licence; a file of the code has at most 700
# lines; every source of src/ and roles/ includes banned.h.
set -eu
export LC_ALL=C
cd "${srcdir:-.}"
bad=0

fault() {
	echo "$*"
	bad=1
}

# Of a made tree only what was written by hand.
written() {
	find Makefile.am configure.ac autogen.sh shm src roles man contrib \
	    tests -type f ! -path '*/golden/*' ! -path '*/corpus/*' \
	    ! -path '*/otlp-modules/*' \
	    \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.js' \
	    -o -name '*.ts' -o -name '*.awk' -o -name '*.mk' -o -name '*.def' \
	    -o -name '*.map' -o -name '*.am' -o -name '*.ac' \
	    -o -name '*.[1-8]' -o -name '*.in' -o -name '*.conf' \
	    -o -name '*.service' -o -name '*.socket' -o -name '*.tmpfiles' -o -name '*.sysusers' \)
}

files=$(written)
n=0
for f in $files; do
	n=$((n + 1))
	head -3 "$f" | grep -q 'SPDX-License-Identifier: ISC' ||
	    fault "$f: no SPDX line in its first three"
done
[ "$n" -gt 150 ] || fault "only $n files were looked at"

for f in $(echo "$files" | grep '^\(shm\|src\|roles\)/.*\.c$'); do
	lines=$(wc -l <"$f")
	if [ "$lines" -gt 700 ]; then
		fault "$f: $lines lines, at most 700"
	elif [ "$lines" -gt 600 ]; then
		echo "note: $f: $lines lines"
	fi
	case $f in
	shm/*) ;;
	*) grep -q '^#include "banned.h"$' "$f" || fault "$f: no banned.h" ;;
	esac
done

# A counter that nobody counts says that nothing happened.
code=$(echo "$files" | grep '^\(src\|roles\)/.*\.[ch]$')
n=0
for c in $(sed -n 's/^COUNTER([a-z]*, \([a-z_0-9]*\),.*/\1/p' \
    src/counters/counters.def); do
	n=$((n + 1))
	grep -qw "CTR_$c" $code || fault "counter $c is never counted"
done
[ "$n" -gt 80 ] || fault "only $n counters were looked at"

# Poison does not reach shm/, which includes nothing of src/.  With the number
# of its page behind it, it is only talked about.
grep -nE '\b(strcpy|strcat|v?sprintf|strtok|atoi|atol|gmtime|localtime|gets)[ ]*\(' \
    $(echo "$files" | grep '^\(shm\|src\|roles\)/.*\.[ch]$') |
    grep -v '([1-8])' &&
    fault "banned functions are called"
exit $bad
