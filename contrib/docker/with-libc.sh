#!/bin/sh
# SPDX-License-Identifier: ISC
# with-libc.sh - the portable binary for a root without glibc
#
# usage: with-libc.sh BINARY DESTDIR
#
# DESTDIR/usr/lib/emplogd has binary, loader and libc; /usr/bin/emplogd calls
# the one by the other.
set -eu
binary=$1 dest=$2
lib=$dest/usr/lib/emplogd
mkdir -p "$lib" "$dest/usr/bin"
install -m 755 "$binary" "$lib/emplogd"
ldd "$binary" | sed -n 's,.*[[:space:]]\(/[^ ]*\) (.*,\1,p' |
while read -r file; do
	install -m 755 "$file" "$lib/$(basename "$file")"
done
loader=$(cd "$lib" && ls ld-linux-*)
cat >"$dest/usr/bin/emplogd" <<END
#!/bin/sh
exec /usr/lib/emplogd/$loader --library-path /usr/lib/emplogd \\
    /usr/lib/emplogd/emplogd "\$@"
END
chmod 755 "$dest/usr/bin/emplogd"
