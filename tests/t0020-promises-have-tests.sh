#!/bin/sh
# SPDX-License-Identifier: ISC
# t0020-promises-have-tests.sh - emplogd-delivery(7) promises nothing untested
#
# Claims: between WHAT IS KEPT and SEE ALSO each sentence is followed by a
# comment, held by: names; each name is that of a test that is run: a
# START_TEST() its suite adds, a claim of the end to end tests, or a script.
set -eu
export LC_ALL=C
cd "${srcdir:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
page=man/emplogd-delivery.7
bad=0

fault() {
	echo "emplogd-delivery(7): $*"
	bad=1
}

# A sentence ends with the period at the end of a line, or of a macro's.
awk '
	/^\.Sh WHAT IS KEPT/ { on = 1 }
	/^\.Sh SEE ALSO/ { on = 0 }
	!on { next }
	/^\.\\" held by: / {
		if (said == "" && !again)
			print "no sentence before: " $0
		said = ""
		again = 1
		next
	}
	/^\.(Sh|Ss|Pp)/ {
		if (said != "")
			print "nothing holds: " said
		said = ""
		again = 0
		next
	}
	{
		if (said ~ /[.]$/)
			print "nothing holds: " said
		if (said ~ /[.]$/)
			said = ""
		said = said (said == "" ? "" : " ") $0
		again = 0
	}
	END { if (said != "") print "nothing holds: " said }
' "$page" >"$tmp/faults"
while IFS= read -r line; do
	fault "$line"
done <"$tmp/faults"

{
	# of a suite, and added to it
	for f in tests/test_*.c; do
		sed -n 's/^START_TEST(\([a-z_0-9]*\))$/\1/p' "$f" >"$tmp/has"
		tr -s ' \t\n,()' '\n\n\n\n\n\n' <"$f" | sort | uniq -c |
		    awk '$1 > 1 { print $2 }' >"$tmp/added"
		grep -xFf "$tmp/added" "$tmp/has" || :
	done
	# @claim(...), or a line of the list at the end of lanes.py
	awk '/^@claim\(/ { on = 1; next }
		on && /^def / { sub(/^def /, ""); sub(/\(.*/, ""); print }
		{ on = 0 }' tests/e2e/*.py tests/chaos/*.py
	tr -s ' ,()' '\n\n\n\n' <tests/e2e/lanes.py | sort | uniq -c |
	    awk '$1 > 1 { print $2 }' >"$tmp/added"
	sed -n 's/^def \([a-z_0-9]*\)(h).*/\1/p' tests/e2e/lanes.py |
	    grep -xFf "$tmp/added"
	ls tests | grep -E '^(t[0-9]+|part)-.*\.sh$'
} | sort -u >"$tmp/tests"

sed -n 's/^\.\\" held by: //p' "$page" | tr ' ' '\n' | sort -u >"$tmp/names"
for name in $(comm -23 "$tmp/names" "$tmp/tests"); do
	fault "no test is called $name"
done
n=$(wc -l <"$tmp/names")
[ "$n" -gt 80 ] || fault "only $n names were looked at"
n=$(wc -l <"$tmp/tests")
[ "$n" -gt 500 ] || fault "only $n tests were found"
exit $bad
