#!/bin/sh
# SPDX-License-Identifier: ISC
# t0100-shm-musl.sh - shm/ builds with musl and works there (node:20-alpine)
#
# Claims: every file of shm/ compiles with musl-gcc without a warning; a
# producer and a consumer of it meet, as one static program and with libemplog
# as a shared library; the suites of shm/ pass (tests/lone/check.h stands in for
# libcheck); the header alone compiles as C99 and C++.
set -eu
srcdir=$(cd "${srcdir:-.}" && pwd)
command -v musl-gcc >/dev/null || { echo "no musl-gcc"; exit 77; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/emplog-musl.XXXXXX")
ring=$(mktemp -d /dev/shm/emplog-musl.XXXXXX)
trap 'rm -rf "$tmp" "$ring"' EXIT INT TERM

flags="-std=gnu17 -O2 -Wall -Wextra -Wno-unused-parameter -Werror
    -fno-strict-aliasing -fvisibility=hidden -D_GNU_SOURCE -I$srcdir"
lib="$srcdir/shm/[a-z]*.c"

# shellcheck disable=SC2086
musl-gcc $flags -static -o "$tmp/static" "$srcdir/tests/shm_round.c" $lib
"$tmp/static" "$ring/a"

# shellcheck disable=SC2086
musl-gcc $flags -fPIC -shared -Wl,-z,nodelete \
    -Wl,--version-script="$srcdir/shm/emplog.map" -o "$tmp/libemplog.so" $lib
# The consumer's side is no part of the library: it comes along.
# shellcheck disable=SC2086
musl-gcc $flags -o "$tmp/shared" "$srcdir/tests/shm_round.c" \
    "$srcdir/shm/reader.c" "$srcdir/shm/reader_said.c" \
    "$srcdir/shm/guard.c" "$srcdir/shm/sys_os.c" \
    -L"$tmp" -lemplog
LD_LIBRARY_PATH="$tmp" "$tmp/shared" "$ring/b"

# The headers of msgpack-c, and no other of the system's; its static library
# asks for nothing that musl has not.
mkdir "$tmp/include"
for h in msgpack msgpack.h; do
	[ ! -e "/usr/include/$h" ] || ln -s "/usr/include/$h" "$tmp/include/$h"
done
suite() {
	name=$1
	shift
	# shellcheck disable=SC2086
	musl-gcc $flags -static -I"$srcdir/tests/lone" \
	    -I"$srcdir/tests/musl" \
	    -idirafter "$tmp/include" -o "$tmp/$name" \
	    "$srcdir/tests/$name.c" $lib "$@"
	"$tmp/$name"
}
heap=-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
suite test_writer
suite test_reader
suite test_race
suite test_unharmed
msgpack=$(find /usr/lib -name libmsgpackc.a 2>/dev/null | head -n 1)
if [ -n "$msgpack" ] && [ -e "$tmp/include/msgpack.h" ]; then
	suite test_encode "$msgpack"
	suite test_emplog "$heap" "$msgpack"
else
	echo "no static msgpack-c: test_encode, test_emplog left out"
fi

echo '#include "shm/emplog.h"
int main(void) { return emplog_len("a") - 1; }' >"$tmp/header.c"
cp "$tmp/header.c" "$tmp/header.cc"
cc -std=c99 -pedantic -Wall -Wextra -Werror -I"$srcdir" \
    -c -o "$tmp/header.o" "$tmp/header.c"
if command -v c++ >/dev/null; then
	c++ -Wall -Wextra -Werror -I"$srcdir" -c -o "$tmp/header.o" \
	    "$tmp/header.cc"
fi
