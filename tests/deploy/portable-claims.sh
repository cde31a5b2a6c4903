#!/bin/bash
# SPDX-License-Identifier: ISC
# portable-claims.sh - the README's three commands, as uid 65534
#
# usage: unshare --mount --net --pid --fork bash portable-claims.sh DIRECTORY
set -u
# This machine's /tmp will be hidden, and the directory may lie there.
exec 9<"$1" && mount --make-rprivate / && mount -t tmpfs -o size=64m tmpfs /dev/shm &&
chmod 1777 /dev/shm && mount -t tmpfs tmpfs /tmp && chmod 1777 /tmp &&
mount -t proc proc /proc && ip link set lo up || exit 1
cp -r /proc/self/fd/9/. /tmp/unpacked || exit 1
start=$SECONDS
grep -q 'set common.state_dir=/tmp/emplogd &$' /tmp/unpacked/README || exit 1
cat >/tmp/try <<'END'
cd /tmp/unpacked || exit 1
bin/emplogd --role=agent,relay,exporter \
    --set common.state_dir=/tmp/emplogd 2>/tmp/log &
bin/emplog-example /dev/null 10 >/dev/null 2>&1 &
bin/emplogd tail -f >/tmp/tail 2>&1 &
until [ -s /tmp/tail ]; do [ $SECONDS -lt 60 ] || exit 1; sleep 0.05; done
until [ -s /tmp/emplogd/relay/export/logs.jsonl ] ||
    ls /tmp/emplogd/relay/export/logs*.jsonl >/dev/null 2>&1; do
	[ $SECONDS -lt 60 ] || exit 1
	sleep 0.05
done
END
env -i setpriv --reuid=65534 --regid=65534 --clear-groups \
    /bin/bash /tmp/try
rc=$?
head -1 /tmp/tail
[ $rc -eq 0 ] || cat /tmp/log
echo "first record after $((SECONDS - start)) s"
exit $rc
