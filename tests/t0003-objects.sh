#!/bin/sh
# SPDX-License-Identifier: ISC
# t0003-objects.sh - what the compiler made of it
#
# Claims: no object of src/ and roles/ has data that can change; nothing of
# glibc after 2.34 is asked for; libemplog.so gives out emplog_* and nothing
# else; the binary is linked with what a plain Debian 12 has.
set -eu
export LC_ALL=C
if grep -q '^OWN_CFLAGS.*-fsanitize' Makefile; then
	echo "sanitizers add data of their own"
	exit 77
fi
if grep -q '^OWN_CFLAGS.*-DEMPLOG_PLANTED' Makefile; then
	echo "planted bugs remember what was chosen"
	exit 77
fi
bad=0

fault() {
	echo "$*"
	bad=1
}

# In a symbol table of objdump: flags, section, size, name.  A table of
# pointers lies in .data.rel.ro: read only once the program runs.
objdump -t libparts.a >objects.tmp
grep -q 'libparts_a-queue.o' objects.tmp || fault "no objects in libparts.a"
awk '/^[^ ]*\.o:/ { of = $1 }
	/ O / || /\*COM\*/ {
	for (i = 2; i <= NF; i++)
		if ($i ~ /^\.(data|bss|tdata|tbss)/ || $i == "*COM*") {
			if ($i !~ /^\.data\.rel\.ro/)
				print of, $i, $NF
			break
		} }' objects.tmp >mutable.tmp
test ! -s mutable.tmp || fault "data that changes: $(cat mutable.tmp)"
rm -f objects.tmp mutable.tmp

lib=.libs/libemplog.so
for f in emplogd $lib; do
	late=$(objdump -T "$f" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu |
	    awk -F'[_.]' '$2 > 2 || $3 > 34')
	[ -z "$late" ] || fault "$f needs $late"
	objdump -T "$f" | grep -q 'GLIBC_2' || fault "$f: no symbols of glibc"
done
names=$(nm -D --defined-only $lib | awk '$2 != "A" { print $3 }')
echo "$names" | grep -q '^emplog_open' || fault "emplog_open is missing"
other=$(echo "$names" | grep -v '^emplog_' || :)
[ -z "$other" ] || fault "$lib gives out $other"
exit $bad
