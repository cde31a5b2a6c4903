#!/bin/sh
# SPDX-License-Identifier: ISC
# make.sh - the tarball of "make portable", out of what the build made
#
# usage: make.sh SRC_DIR VERSION BINARY EXAMPLE   in the build directory
set -eu
src=$1 name=emplogd-$2-linux-$(uname -m)
rm -rf "$name"
mkdir -p "$name/bin" "$name/lib/pkgconfig" "$name/include" \
    "$name/share/emplogd"
install -s -m 755 "$3" "$name/bin/emplogd"
install -s -m 755 "$4" "$name/bin/emplog-example"
cp -P .libs/libemplog.so.*.*.* .libs/libemplog.so.? .libs/libemplog.so \
    "$name/lib/"
strip --strip-unneeded "$name"/lib/libemplog.so.*.*.*
install -m 644 .libs/libemplog.a "$name/lib/"
strip --strip-debug "$name/lib/libemplog.a"
sed -e 's,^prefix=.*,prefix=${pcfiledir}/../..,' \
    -e 's,^exec_prefix=.*,exec_prefix=${prefix},' \
    -e 's,^libdir=.*,libdir=${prefix}/lib,' \
    -e 's,^includedir=.*,includedir=${prefix}/include,' \
    shm/emplog.pc >"$name/lib/pkgconfig/emplog.pc"
install -m 644 "$src/shm/emplog.h" "$name/include/"
for page in "$src"/man/*.[1-8]; do
	mkdir -p "$name/share/man/man${page##*.}"
	install -m 644 "$page" "$name/share/man/man${page##*.}/"
done
install -m 644 "$src/contrib/emplogd.conf" \
    "$src/contrib/pm2/ecosystem.config.js" "$name/share/emplogd/"
install -m 644 "$src/COPYING" "$src/contrib/portable/README" "$name/"
tar -c --owner=0 --group=0 --sort=name "$name" | gzip -9n >"$name.tar.gz"
rm -rf "$name"
echo "$name.tar.gz"
