#!/bin/sh
# SPDX-License-Identifier: ISC
# tables.sh - puts the lists made of the tables between the pages' marks
#
#   man/tables.sh tests/print_tables man     (make man-tables does it)
#
# The lists stand between '.\" table of <name>' and '.\" end of table'.
set -eu
print=$1
man=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for page in "$man"/emplogd.conf.5 "$man"/emplogd-counters.7; do
	cp "$page" "$tmp/page"
	for name in keys variables counters; do
		"$print" $name >"$tmp/list"
		awk -v mark=".\\\\\" table of $name" -v list="$tmp/list" '
		inside && /^\.\\" end of table/ { inside = 0 }
		!inside { print }
		$0 == mark {
			while ((getline line <list) > 0)
				print line
			inside = 1
		}' "$tmp/page" >"$tmp/next"
		mv "$tmp/next" "$tmp/page"
	done
	cmp -s "$tmp/page" "$page" || cp "$tmp/page" "$page"
done
