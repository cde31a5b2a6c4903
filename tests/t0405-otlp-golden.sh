#!/bin/sh
# SPDX-License-Identifier: ISC
# t0405-otlp-golden.sh - known records become the known OTLP/JSON
#
# Claim: every event type of the five connectors, written as old and as new
# clients do, and the edges of each type, become exactly the lines that were
# looked at and kept.  GOLDEN_UPDATE=1 writes them anew.
set -eu
dir=${srcdir:-.}/tests/golden/otlp
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

for in in "$dir"/*.json; do
	out=${in%.json}.out
	tests/otlp_make json <"$in" >"$tmp/out"
	echo >>"$tmp/out"
	if [ -n "${GOLDEN_UPDATE:-}" ]; then
		cp "$tmp/out" "$out"
	elif ! cmp "$out" "$tmp/out"; then
		failed=1
	fi
done
exit $failed
