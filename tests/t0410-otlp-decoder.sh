#!/bin/sh
# SPDX-License-Identifier: ISC
# t0410-otlp-decoder.sh - OpenTelemetry's decoder reads what we write
#
# Claims: every body decodes; encoding what was decoded gives the same bytes,
# so the bytes are canonical; the protobuf and the JSON form say the same; a
# body that is not canonical is told.  The decoder comes from npm, in the one
# version that has all signals.
set -eu
dir=${srcdir:-.}
cache=$PWD/tests/otlp-modules
package=@opentelemetry/otlp-transformer
version=0.214.0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

command -v node >/dev/null && command -v npm >/dev/null || {
	echo "no node, no npm"
	exit 77
}
if ! grep -qs "\"version\": \"$version\"" \
    "$cache/node_modules/$package/package.json"; then
	mkdir -p "$cache"
	npm install --ignore-scripts --no-audit --no-fund --save-exact \
	    --prefix "$cache" "$package@$version" >"$tmp/npm" 2>&1 || {
		echo "npm has no $package@$version:"
		tail -3 "$tmp/npm"
		exit 77
	}
fi
OTLP_MODULES=$cache
export OTLP_MODULES

n=0
for in in "$dir"/tests/golden/otlp/*.json; do
	tests/otlp_make pb <"$in" >"$tmp/body"
	tests/otlp_make json <"$in" >"$tmp/json"
	test -s "$tmp/body"
	node "$dir/tests/otlp-decode.js" "--equal=$tmp/json" "$tmp/body" \
	    >"$tmp/decoded"
	test "$(wc -l <"$tmp/decoded")" -eq 1
	gzip <"$tmp/body" >"$tmp/gz"
	node "$dir/tests/otlp-decode.js" "$tmp/gz" | cmp - "$tmp/decoded"
	n=$((n + 1))
done
test $n -ge 6

# The checker can fail: a body with a length of two bytes where one is
# enough, one that is cut off, and another record's JSON.
printf '\n\000' >"$tmp/good"
printf '\n\200\000' >"$tmp/long"
printf '\n\005\n' >"$tmp/short"
node "$dir/tests/otlp-decode.js" "$tmp/good" >/dev/null
for bad in "$tmp/long" "$tmp/short"; do
	if node "$dir/tests/otlp-decode.js" "$bad" >/dev/null 2>&1; then
		echo "accepted $bad"
		exit 1
	fi
done
if node "$dir/tests/otlp-decode.js" "--equal=$tmp/json" "$tmp/good" \
    >/dev/null 2>&1; then
	echo "took two bodies for equal"
	exit 1
fi
