#!/bin/sh
# SPDX-License-Identifier: ISC
# systemd-boot.sh - process 1 of a namespace: systemd, with emplogd's units
#
# usage: unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --net
#            sh systemd-boot.sh DIR
#
# Runs systemd-claims.sh as a service and ends with its exit status; what it
# said is in DIR/out/said.  SRC_DIR and BUILD_DIR are in the environment.
set -eu
dir=$1
. "$SRC_DIR/tests/deploy/root.sh"
overlay_root "$dir"
root=$dir/root
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
touch "$root/dev/console" "$dir/console"
mount --bind "$dir/console" "$root/dev/console"
mkdir -p "$dir/out" "$root/out"
mount --bind "$dir/out" "$root/out"
ip link set lo up

units=$root/etc/systemd/system
cp "$SRC_DIR"/contrib/systemd/*.service "$SRC_DIR"/contrib/systemd/*.socket \
    "$units/"
for unit in agent relay exporter; do
	mkdir "$units/emplogd-$unit.service.d"
	# a second, so that the test need not wait thirty
	printf '[Service]\nWatchdogSec=1\nStandardError=append:/out/%s.log\n' \
	    "$unit" >"$units/emplogd-$unit.service.d/test.conf"
done
install -m 755 "$BUILD_DIR/emplogd" "$root/usr/bin/emplogd"
install -m 755 "$BUILD_DIR/tests/e2e/issuer" "$root/usr/bin/issuer" \
    2>/dev/null
install -m 755 "$SRC_DIR/tests/deploy/systemd-claims.sh" "$root/usr/bin/claims"
install -m 644 "$SRC_DIR/tests/claim.sh" "$root/usr/bin/claim.sh"
install -m 644 "$SRC_DIR/contrib/systemd/emplogd.sysusers" \
    "$root/usr/lib/sysusers.d/emplogd.conf"
install -m 644 "$SRC_DIR/contrib/systemd/emplogd.tmpfiles" \
    "$root/usr/lib/tmpfiles.d/emplogd.conf"
mkdir -p "$root/etc/emplogd"
printf 'auth_of_a_test\n' >"$root/etc/emplogd/exporter.token"
chmod 600 "$root/etc/emplogd/exporter.token"
cat >"$units/claims.service" <<-'END'
	[Unit]
	DefaultDependencies=no
	[Service]
	Type=oneshot
	TimeoutStartSec=60
	ExecStart=/bin/sh -c 'claims >/out/said 2>&1; systemctl exit $?'
END
cat >"$units/claims.target" <<-'END'
	[Unit]
	Requires=claims.service
END
chroot "$root" systemd-sysusers emplogd.conf
chroot "$root" systemd-tmpfiles --create emplogd.conf
# A chroot may not make user namespaces, which PrivateUsers= does.
cd "$root"
mkdir old
pivot_root . old
umount -l /old
exec env -i container=test PATH="$PATH" \
    /lib/systemd/systemd --system --unit=claims.target --show-status=no
