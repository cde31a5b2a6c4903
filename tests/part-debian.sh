#!/bin/bash
# SPDX-License-Identifier: ISC
# part-debian.sh - make deb, lintian, and the packages' whole life
#
# The last in a root of its own over this one, which goes with its namespace:
# see deploy/debian-claims.sh.
set -u
. "$SRC_DIR/tests/claim.sh"

builds() {
	mkdir -p "$WORK_DIR/deb" &&
	sh "$SRC_DIR/contrib/debian/make.sh" "$SRC_DIR" "$WORK_DIR/deb" \
	    >"$WORK_DIR/build" 2>&1 || { tail -20 "$WORK_DIR/build"; return 1; }
	[ "$(ls "$WORK_DIR"/deb/*.deb | wc -l)" = 3 ]
}

no_errors() {
	lintian --allow-root --fail-on error "$WORK_DIR"/deb/*.deb
}

same_version() {
	local made
	made=$(dpkg-deb -f "$WORK_DIR"/deb/emplogd_*.deb Version)
	[ "$("$BUILD_DIR/emplogd" --version)" = "emplogd $made" ]
}

claim "dpkg-buildpackage" builds
if [ "$failed" -eq 0 ]; then
	claim "lintian finds no error" no_errors
	claim "package and binary are of one version" same_version
	if [ "$(id -u)" = 0 ] && unshare --mount --pid --fork true; then
		unshare --mount --net --pid --fork --kill-child \
		    bash "$SRC_DIR/tests/deploy/debian-claims.sh" \
		    "$WORK_DIR" </dev/null >"$WORK_DIR/said" 2>&1
		counts=$(tail -1 "$WORK_DIR/said")
		if [[ $counts =~ ^[0-9]+\ passed,\ [0-9]+\ failed$ ]]; then
			grep '^not ok' "$WORK_DIR/said"
			passed=$((passed + ${counts%% *}))
			counts=${counts#*, }
			failed=$((failed + ${counts%% *}))
		else
			failed=$((failed + 1))
		fi
		[ "$failed" -eq 0 ] || tail -30 "$WORK_DIR/said"
	else
		echo "skipped: installing: wants root and namespaces"
	fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
