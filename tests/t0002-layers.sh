#!/bin/sh
# SPDX-License-Identifier: ISC
# t0002-layers.sh - includes go one way: roles/ to src/ to shm/ to libc
#
# Claims: shm/ includes nothing but shm/ and the system; src/ nothing of
# roles/; no role includes another's header; connectors' examples see
# shm/emplog.h alone; each header compiles alone.
set -eu
export LC_ALL=C
dir=${srcdir:-.}
build=$PWD
CC=${CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

# includes WHERE ALLOWED-REGEX: each "..." include of WHERE is one of those
includes() {
	found=$(cd "$dir" && grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' \
	    --include='*.[ch]' "$1" || :)
	test -n "$found" || { echo "no include in $1"; bad=1; }
	wrong=$(echo "$found" | grep -vE "include[[:space:]]*\"($2)\"" || :)
	[ -z "$wrong" ] || { echo "$wrong"; bad=1; }
}

includes shm 'shm/[a-z_]+\.h'
includes src '(shm|base|loop|sim|queue|forward|hop|drain|otlp|http|export|config|counters|admin)/[a-z_]+\.(h|def)|banned\.h|config\.h|src/otlp/fields_index\.h'
includes roles '(shm|base|loop|queue|forward|hop|drain|otlp|http|export|config|counters|admin)/[a-z_]+\.h|banned\.h|config\.h|roles/(keep|options|role|secure|station)\.h'
includes contrib/examples 'shm/emplog\.h|emplog\.h|(contrib/examples/)?connector\.h'

# A library's headers are found by pkg-config's flags, in CPPFLAGS of all.
n=0
for h in $(cd "$dir" && find shm src roles -name '*.h'); do
	n=$((n + 1))
	echo "#include \"$h\"" >"$tmp/h.c"
	# shellcheck disable=SC2046
	$CC -std=gnu17 -D_GNU_SOURCE -fsyntax-only -Wall -Werror \
	    -I"$build" -I"$build/src" -I"$dir" -I"$dir/src" \
	    $(pkg-config --cflags msgpack libcurl inih jansson) \
	    "$tmp/h.c" || { echo "$h does not compile alone"; bad=1; }
done
[ "$n" -gt 60 ] || { echo "only $n headers were found"; bad=1; }
exit $bad
