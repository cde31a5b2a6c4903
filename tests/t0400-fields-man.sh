#!/bin/sh
# SPDX-License-Identifier: ISC
# t0400-fields-man.sh - emplog-fields(7) and fields.def say the same
#
# Claims: the lists between the page's two marks are those made of the table,
# in both directions; the page lints clean; no name stands in the table twice.
set -eu
top=${srcdir:-.}
page=$top/man/emplog-fields.7
table=$top/src/otlp/fields.def
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

LC_ALL=C awk -f "$top/man/emplog-fields.awk" "$table" >"$tmp/table"
sed -n '/^\.\\" table$/,/^\.\\" end of table$/p' "$page" | sed '1d;$d' \
    >"$tmp/page"
test -s "$tmp/page" || { echo "$page has no marks"; exit 1; }
if ! diff -u "$tmp/page" "$tmp/table"; then
	echo "made anew by: awk -f man/emplog-fields.awk src/otlp/fields.def"
	exit 1
fi

# A row the awk scripts cannot read would be missing from both.
rows=$(grep -c '^FIELD(' "$table")
items=$(grep -c '^\.It Va ' "$tmp/page")
test "$rows" -eq "$items" || { echo "$rows rows, $items items"; exit 1; }

twice=$(awk -F'"' '/^FIELD\(/ {
	n = split($2 " " $6, name, " ")
	for (i = 1; i <= n; i++)
		if (seen[name[i]]++)
			print name[i]
}' "$table")
test -z "$twice" || { echo "twice in the table: $twice"; exit 1; }

if command -v mandoc >/dev/null; then
	mandoc -T lint "$page" | grep -v 'referenced manual not found' \
	    >"$tmp/lint" || :
	test ! -s "$tmp/lint" || { cat "$tmp/lint"; exit 1; }
fi
