#!/bin/sh
# SPDX-License-Identifier: ISC
# t0010-man-matches-tables.sh - pages, keys.def, foreign.def and counters.def
# say the same
#
# Claims: each list between a page's marks is the one made of its table, so
# every key, variable and counter has its item and every item its row; the
# rest of the pages names no key or counter that is not there; the pages are
# without fault for mandoc and groff.
set -eu
top=${srcdir:-.}
print=${PRINT_TABLES:-tests/print_tables}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C

fail() {
	echo "$*"
	exit 1
}

# page, table
compare() {
	page=$top/man/$1
	"$print" "$2" >"$tmp/table"
	test -s "$tmp/table" || fail "no list of $2"
	sed -n "/^\\.\\\\\" table of $2\$/,/^\\.\\\\\" end of table\$/p" "$page" |
	    sed '1d;$d' >"$tmp/page"
	diff -u "$tmp/page" "$tmp/table" ||
	    fail "$page: the list of $2 is old; make man-tables"
}

compare emplogd.conf.5 keys
compare emplogd.conf.5 variables
compare emplogd-counters.7 counters

# Names outside of the lists: '.Ic section.key' and '.Va counter'.
"$print" keys | sed -n 's/^\.It Ic \([^ ]*\).*/\1/p' | sort >"$tmp/keys"
"$print" counters | sed -n 's/^\.It Va \([^ ]*\).*/\1/p' | sort \
    >"$tmp/counters"
test -s "$tmp/keys" && test -s "$tmp/counters"
for page in emplogd.8 emplogd.conf.5 emplogd-counters.7; do
	tr ' ' '\n' <"$top/man/$page" |
	    sed -n 's/^\(\(common\|agent\|relay\|exporter\)\.[a-z_]\{1,\}\)$/\1/p' |
	    sort -u | comm -23 - "$tmp/keys" >"$tmp/unknown"
	test ! -s "$tmp/unknown" ||
	    fail "$page names keys that are not there: $(cat "$tmp/unknown")"
	sed -n 's/^\.\(It \)\{0,1\}Va //p' "$top/man/$page" |
	    sed 's/ Pq gauge//' | tr -d ' .' | tr ',' '\n' | sort -u |
	    comm -23 - "$tmp/counters" >"$tmp/unknown"
	test ! -s "$tmp/unknown" ||
	    fail "$page names counters that are not there: $(cat \
	    "$tmp/unknown")"
done

for page in emplogd.8 emplogd.conf.5 emplogd-counters.7; do
	if command -v mandoc >/dev/null; then
		mandoc -T lint "$top/man/$page" 2>&1 |
		    grep -v -e 'referenced manual not found' \
		    -e 'lacks .* entry, run makewhatis' >"$tmp/lint" || :
		test ! -s "$tmp/lint" || fail "$(cat "$tmp/lint")"
	fi
	if command -v groff >/dev/null; then
		groff -mdoc -ww -Tascii "$top/man/$page" 2>"$tmp/lint" \
		    >/dev/null
		test ! -s "$tmp/lint" || fail "$(cat "$tmp/lint")"
	fi
done
