#!/bin/bash
# SPDX-License-Identifier: ISC
# quick: yes
# part-install.sh - what is installed is whole, and a program finds it
set -u
. "$SRC_DIR/tests/claim.sh"

root=$WORK_DIR/root
export PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$root/usr/local/lib/pkgconfig
lib=$root/usr/local/lib

# program NAME LINKED-WITH...
program() {
	local name=$1
	shift
	cat >"$WORK_DIR/program.c" <<-'END'
	#include <emplog.h>

	int
	main(void)
	{
		struct emplog *log;

		if (emplog_open(&log, NULL) < 0)
			return 1;
		if (emplog_info(log, "installed", EMPLOG_UINT("n", 1)) < 0)
			return 2;
		emplog_close(&log);
		return 0;
	}
	END
	cc -std=c99 -Wall -Wextra -Werror $(pkg-config --cflags emplog) \
	    -o "$WORK_DIR/$name" "$WORK_DIR/program.c" "$@"
}

shared() {
	program shared $(pkg-config --libs emplog) &&
	EMPLOG_RING_DIR=$WORK_DIR/ring LD_LIBRARY_PATH=$lib "$WORK_DIR/shared" &&
	[ "$(find "$WORK_DIR/ring" -name '*.lane' | wc -l)" = 1 ]
}

archive() {
	program archive "$lib/libemplog.a" -lpthread &&
	EMPLOG_RING_DIR=$WORK_DIR/ring "$WORK_DIR/archive" &&
	[ "$(find "$WORK_DIR/ring" -name '*.lane' | wc -l)" = 2 ]
}

binary() {
	"$root/usr/local/bin/emplogd" --version
}

pages() {
	local p
	for p in "$SRC_DIR"/man/*.[1-8]; do
		p=$(basename "$p")
		[ -s "$root/usr/local/share/man/man${p##*.}/$p" ] || {
			echo "$p is not installed"
			return 1
		}
	done
}

headers() {
	[ "$(find "$root" -name '*.h')" = \
	    "$root/usr/local/include/emplog.h" ]
}

# As systemd reads them, with the binary where it is installed here.
units() {
	local u said
	command -v systemd-analyze >/dev/null || return 0
	mkdir "$WORK_DIR/units" || return 1
	for u in "$SRC_DIR"/contrib/systemd/*.service; do
		sed "s,/usr/bin/emplogd,$root/usr/local/bin/emplogd," "$u" \
		    >"$WORK_DIR/units/$(basename "$u")"
	done
	said=$(systemd-analyze verify "$WORK_DIR"/units/*.service 2>&1 |
	    grep -v "Command 'man ")
	[ -z "$said" ] || { echo "$said"; return 1; }
}

# PM2 kills after kill_timeout, and loads what has an interpreter.
pm2() {
	node -e '
		const a = require(process.argv[1]).apps[0];
		process.exit(a.interpreter === "none" && a.exec_mode === "fork" &&
		    a.kill_timeout > 1200 && a.stop_exit_codes.includes(78) ?
		    0 : 1);' "$SRC_DIR/contrib/pm2/ecosystem.config.js"
}

# A file as it is shipped does no harm.
example() {
	"$root/usr/local/bin/emplogd" --role=agent,relay,exporter --check \
	    --config="$SRC_DIR/contrib/emplogd.conf" \
	    --set common.ring_dir="$WORK_DIR/ring-example" \
	    --set common.state_dir="$WORK_DIR/state" \
	    --set relay.listen=127.0.0.1:0 --set relay.http_listen= \
	    --set agent.http_listen= --set agent.relay=127.0.0.1:1
}

gone() {
	make -C "$BUILD_DIR" uninstall DESTDIR="$root" >/dev/null &&
	[ -z "$(find "$root" ! -type d)" ]
}

claim "make install" \
    make -C "$BUILD_DIR" install DESTDIR="$root" MAKEFLAGS=
claim "the binary says what it is" binary
claim "every page is there" pages
claim "one header and no other" headers
claim "a program with the shared library" shared
claim "a program with the archive" archive
claim "systemd finds no fault in the units" units
claim "PM2 runs a binary, and waits for it" pm2
claim "the example of a configuration starts" example
claim "make uninstall leaves nothing" gone
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
