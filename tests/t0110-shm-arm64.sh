#!/bin/sh
# SPDX-License-Identifier: ISC
# t0110-shm-arm64.sh - shm/ builds for arm64 and works there, under qemu
#
# Claims: every file of shm/ compiles for arm64 without a warning; a producer
# and a consumer meet; the suites of writer and reader pass.
set -eu
srcdir=$(cd "${srcdir:-.}" && pwd)
cc=aarch64-linux-gnu-gcc
command -v $cc >/dev/null || { echo "no $cc"; exit 77; }
command -v qemu-aarch64 >/dev/null || { echo "no qemu-aarch64"; exit 77; }
ulimit -c 0		# what dies of a signal here is meant to
tmp=$(mktemp -d "${TMPDIR:-/tmp}/emplog-arm64.XXXXXX")
ring=$(mktemp -d /dev/shm/emplog-arm64.XXXXXX)
trap 'rm -rf "$tmp" "$ring"' EXIT INT TERM

flags="-std=gnu17 -O2 -Wall -Wextra -Wno-unused-parameter -Werror
    -fno-strict-aliasing -fvisibility=hidden -D_GNU_SOURCE -static
    -I$srcdir/tests/lone -I$srcdir -I$srcdir/src"

# program NAME SOURCE...: with all of shm/
program() {
	name=$1
	shift
	# shellcheck disable=SC2086
	$cc $flags -o "$tmp/$name" "$@" "$srcdir"/shm/[a-z]*.c
}

program round "$srcdir/tests/shm_round.c"
qemu-aarch64 "$tmp/round" "$ring/a"
# qemu-user keeps MADV_DONTFORK to itself: there a child has the mapping too.
export CHECK_SKIP=the_lock_ends_with_its_process_though_a_child_lives_on
for suite in writer reader; do
	program $suite "$srcdir/tests/test_$suite.c"
	qemu-aarch64 "$tmp/$suite"
done
