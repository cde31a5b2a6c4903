#!/bin/sh
# SPDX-License-Identifier: ISC
# t0004-manual.sh - mandoc and groff find no fault in any page, and what is
# asked for by HTTP stands in emplogd(8)
set -eu
export LC_ALL=C
command -v mandoc >/dev/null && command -v groff >/dev/null || {
	echo "no mandoc, no groff"
	exit 77
}
n=0
for page in "${srcdir:-.}"/man/*.[1-8]; do
	n=$((n + 1))
	said=$(mandoc -T lint -W warning "$page" 2>&1) || :
	[ -z "$said" ] || { echo "$said"; exit 1; }
	said=$(groff -mdoc -ww -z -Tascii "$page" 2>&1) || :
	[ -z "$said" ] || { echo "$page: $said"; exit 1; }
done
cd "${srcdir:-.}"
for word in Emplog-Ack $(grep -oh '"/[a-z]*"' src/http/probe.c | tr -d '"'); do
	grep -qF -- "$word" man/emplogd.8 || {
		echo "not in emplogd(8): $word"
		exit 1
	}
done
[ "$n" -ge 6 ] || { echo "only $n pages"; exit 1; }
