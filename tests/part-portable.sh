#!/bin/bash
# SPDX-License-Identifier: ISC
# part-portable.sh - make portable: what it asks of a machine, and how long it
# takes from the unpacked tarball to the first record
set -u
. "$SRC_DIR/tests/claim.sh"

builds() {
	make -C "$BUILD_DIR" portable MAKEFLAGS= >"$WORK_DIR/make" 2>&1 ||
	    { tail -20 "$WORK_DIR/make"; return 1; }
	ball=$BUILD_DIR/$(tail -2 "$WORK_DIR/make" | grep '\.tar\.gz$') &&
	[ -f "$ball" ] && tar -xzf "$ball" -C "$WORK_DIR" --no-same-owner &&
	dir=$(echo "$WORK_DIR"/emplogd-*-linux-*/) && dir=${dir%/} &&
	[ -d "$dir" ] && chmod -R go+rX "$WORK_DIR"
}

# Ubuntu 22.04 has glibc 2.35.
glibc_is_old_enough() {
	local f late
	for f in "$dir"/bin/* "$dir"/lib/libemplog.so; do
		late=$(objdump -T "$f" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu |
		    awk -F'[_.]' '$2 > 2 || $3 > 35')
		[ -z "$late" ] || { echo "$f needs $late"; return 1; }
	done
}

libc_is_all() {
	local f other
	for f in "$dir"/bin/* "$dir"/lib/libemplog.so; do
		other=$(readelf -d "$f" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		    grep -vx 'libc\.so\.6\|ld-linux.*')
		[ -z "$other" ] || { echo "$f needs $other"; return 1; }
	done
}

is_whole() {
	local f
	for f in COPYING README include/emplog.h lib/libemplog.a \
	    lib/libemplog.so.0 lib/pkgconfig/emplog.pc \
	    share/emplogd/emplogd.conf share/emplogd/ecosystem.config.js; do
		[ -s "$dir/$f" ] || { echo "$f is not there"; return 1; }
	done
	[ "$(find "$dir/share/man" -type f | wc -l)" = \
	    "$(ls "$SRC_DIR"/man/*.[1-8] | wc -l)" ]
}

a_program_finds_it() {
	echo '#include <emplog.h>
	int main(void) { struct emplog *l = 0; emplog_close(&l); return 0; }' \
	    >"$WORK_DIR/p.c"
	export PKG_CONFIG_LIBDIR=$dir/lib/pkgconfig
	cc $(pkg-config --cflags emplog) -o "$WORK_DIR/p" "$WORK_DIR/p.c" \
	    $(pkg-config --libs emplog) &&
	LD_LIBRARY_PATH=$dir/lib "$WORK_DIR/p"
}

# In a place of its own where this may be made: /dev/shm and its ports.
first_record() {
	if [ "$(id -u)" = 0 ] && unshare --mount --net true 2>/dev/null; then
		unshare --mount --net --pid --fork --kill-child \
		    bash "$SRC_DIR/tests/deploy/portable-claims.sh" "$dir"
	else
		echo "skipped: the first record: wants namespaces"
	fi
}

claim "make portable" builds
if [ "$failed" -eq 0 ]; then
	claim "it is whole" is_whole
	claim "no glibc after 2.35" glibc_is_old_enough
	claim "libc and nothing else" libc_is_all
	claim "a program finds header and library" a_program_finds_it
	claim "three commands, as nobody, with nothing in the environment" \
	    first_record
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
