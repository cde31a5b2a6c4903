# SPDX-License-Identifier: ISC
# root.sh - a root directory of its own, for the tests of deployment
#
# Sourced inside "unshare --mount": what is made here goes with the namespace,
# and nothing is written to this machine.  Wants root.
#
# overlay_root DIR    DIR/root is this machine's root, writes go to memory
# plain_dev DIR       a /dev with what a container has, /dev/shm of 64 MiB

overlay_root() {
	mount --make-rprivate / &&
	mkdir -p "$1/memory" &&
	mount -t tmpfs -o mode=755 tmpfs "$1/memory" &&
	mkdir "$1/memory/upper" "$1/memory/work" &&
	mkdir -p "$1/root" &&
	mount -t overlay overlay -o \
	    "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" \
	    "$1/root" &&
	mount -t proc proc "$1/root/proc" &&
	mount -t tmpfs -o mode=755 tmpfs "$1/root/run" &&
	mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp" &&
	plain_dev "$1/root/dev"
}

plain_dev() {
	mount -t tmpfs -o mode=755 tmpfs "$1" || return 1
	for node in null zero full random urandom tty; do
		touch "$1/$node" && mount --bind "/dev/$node" "$1/$node" ||
		    return 1
	done
	mkdir "$1/shm" "$1/pts" "$1/mqueue" &&
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/pts" &&
	ln -s pts/ptmx "$1/ptmx" &&
	mount -t tmpfs -o size=64m,mode=1777 tmpfs "$1/shm" &&
	ln -s /proc/self/fd "$1/fd"
}
