#!/bin/sh
# SPDX-License-Identifier: ISC
# t0006-nothing-planted.sh - bugs are planted in builds for tests alone
#
# Claims: there is one switch, and planted.h and planted.c alone read it; each
# bug named in planted.def is planted somewhere, and none that is not named;
# what users get has no symbol and no string of any.  In a build that was
# configured with --enable-planted the same look finds them all.
set -eu
export LC_ALL=C
top=${srcdir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

fault() {
	echo "$*"
	bad=1
}

others=$(grep -rlE --include='*.[ch]' --include='*.mk' 'EMPLOG_PLANTED|^ *#.*if.*PLANT' \
    "$top/shm" "$top/src" "$top/roles" "$top/tests" |
    grep -v '/base/planted\.[ch]$' || :)
[ -z "$others" ] || fault "the switch is read in $others"

sed -n 's/^PLANT(\([a-z_0-9]*\),.*/\1/p' "$top/src/base/planted.def" |
    sort >"$tmp/named"
grep -rhoE --include='*.[ch]' 'PLANTED\([a-z_0-9]+\)' \
    "$top/shm" "$top/src" "$top/roles" | grep -v '(name)' |
    sed 's/PLANTED(\(.*\))/\1/' | sort -u >"$tmp/planted"
cmp "$tmp/named" "$tmp/planted" ||
    fault "planted.def and the code differ: $(diff "$tmp/named" "$tmp/planted")"
[ "$(wc -l <"$tmp/named")" -ge 21 ] || fault "only $(wc -l <"$tmp/named") bugs"

# Names of functions and files for a debugger are not part of the program.
for f in emplogd .libs/libemplog.so; do
	objcopy --strip-debug "$f" "$tmp/plain"
	{ nm -a "$tmp/plain" | awk '{ print $NF }'
	  strings -a "$tmp/plain"; } >"$tmp/in"
	grep -q emplog "$tmp/in" || fault "nothing was read of $f"
	grep -i 'planted' "$tmp/in" >"$tmp/found.$(basename "$f")" || :
	grep -oxFf "$tmp/named" "$tmp/in" | sort -u \
	    >>"$tmp/found.$(basename "$f")" || :
done
if grep -q '^OWN_CFLAGS.*-DEMPLOG_PLANTED' Makefile; then
	missed=$(sort -u "$tmp/found.emplogd" |
	    comm -23 "$tmp/named" - | tr '\n' ' ')
	[ -z "$missed" ] || fault "a planted build without $missed"
	grep -q planted_now "$tmp/found.emplogd" || fault "no planted_now"
else
	cat "$tmp"/found.*
	[ ! -s "$tmp/found.emplogd" ] || fault "emplogd has bugs planted in it"
	[ ! -s "$tmp/found.libemplog.so" ] || fault "libemplog.so has"
fi
exit $bad
