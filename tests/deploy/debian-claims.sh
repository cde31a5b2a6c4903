#!/bin/bash
# SPDX-License-Identifier: ISC
# debian-claims.sh - install, upgrade, remove and purge the packages
#
# usage: unshare --mount --net --pid --fork bash debian-claims.sh DIR
set -u
passed=0 failed=0
. "$SRC_DIR/tests/deploy/root.sh"

claim() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		echo "not ok $name"
		failed=$((failed + 1))
	fi
}

in_root() {
	env -i PATH="$PATH" HOME=/root DEBIAN_FRONTEND=noninteractive \
	    chroot "$root" "$@"
}

# The same package, a version later.
later() {
	dpkg-deb -R "$1"/deb/emplogd_*.deb "$root/tmp/later" &&
	sed -i 's/^Version: .*/Version: 99.0/' "$root/tmp/later/DEBIAN/control" &&
	dpkg-deb -b "$root/tmp/later" "$root/tmp/later.deb"
}

installs() {
	in_root dpkg -i $(cd "$root/tmp" && ls *_*.deb | sed 's,^,/tmp/,') &&
	in_root emplogd --version &&
	in_root id -nG emplogd | grep -qw emplog &&
	[ "$(in_root stat -c '%a %U %G' /dev/shm/emplog)" = \
	    "3777 emplogd emplog" ] &&
	[ "$(in_root stat -c '%a %U %G' /etc/emplogd/emplogd.conf)" = \
	    "640 root emplogd" ] &&
	[ -f "$root/lib/systemd/system/emplogd-relay.service" ] &&
	[ -s "$root/usr/share/man/man8/emplogd.8.gz" ]
}

compiles() {
	printf '%s\n' '#include <emplog.h>' \
	    'int main(void) { struct emplog *l = 0; emplog_close(&l);' \
	    'return 0; }' >"$root/tmp/p.c" &&
	in_root sh -c 'cc -o /tmp/p /tmp/p.c $(pkg-config --cflags --libs emplog) &&
	    /tmp/p'
}

# As the user of the unit; what it keeps must outlive an upgrade.
starts() {
	in_root setpriv --reuid=emplogd --regid=emplogd --init-groups \
	    env XDG_STATE_HOME=/var/lib emplogd --role=agent --check
}

upgrades() {
	echo kept >"$root/var/lib/emplogd/kept" &&
	sed -i 's/^#region = .*/region = mine/' \
	    "$root/etc/emplogd/emplogd.conf" &&
	in_root dpkg -i /tmp/later.deb &&
	grep -qx 'region = mine' "$root/etc/emplogd/emplogd.conf" &&
	[ -f "$root/var/lib/emplogd/kept" ]
}

removes() {
	in_root dpkg -r emplogd libemplog-dev libemplog0 &&
	[ ! -e "$root/usr/bin/emplogd" ] &&
	[ -f "$root/var/lib/emplogd/kept" ] &&
	[ -f "$root/etc/emplogd/emplogd.conf" ]
}

purges() {
	in_root dpkg -P emplogd &&
	[ ! -e "$root/var/lib/emplogd" ] && [ ! -e "$root/etc/emplogd" ] &&
	[ ! -e "$root/dev/shm/emplog" ]
}

mkdir -p "$1/debian"
overlay_root "$1/debian" && root=$1/debian/root && ip link set lo up &&
cp "$1"/deb/*.deb "$root/tmp/" || exit 1
claim "a later one can be made" later "$1"
claim "they install" installs
claim "a program is compiled with what is installed" compiles
claim "an agent starts as the unit's user" starts
claim "an upgrade keeps configuration and records" upgrades
claim "a removal keeps configuration and records" removes
claim "a purge leaves nothing" purges
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
