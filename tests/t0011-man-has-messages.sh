#!/bin/sh
# SPDX-License-Identifier: ISC
# t0011-man-has-messages.sh - what emplogd says when something is wrong stands
# in emplogd(8)
#
# Claims: of every warning and error of src/ and roles/, of every reason why a
# role does not start and of every trouble of status, the longest run of words
# in which nothing is filled in stands in DIAGNOSTICS.
set -eu
export LC_ALL=C
cd "${srcdir:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

# The page as one line of words: no macros, no escapes, one blank.
sed -n '/^\.Sh DIAGNOSTICS/,/^\.Sh SEE/p' man/emplogd.8 |
    sed -e 's/^\.[A-Z][a-z] //' -e 's/\\&//g' -e 's/\\-/-/g' -e 's/"//g' |
    tr -s ' \n' '  ' >"$tmp/page"

# calls NAME LEVEL FILES...: the words of the first string of each call, its
# pieces joined; LEVEL is a regular expression its arguments must match.
calls() {
	name=$1 level=$2
	shift 2
	cat "$@" | tr '\n\t' '  ' | sed "s/[^a-z_]$name(/\\n&/g" |
	    sed -n "s/^[^a-z_]$name(\\(.*\\)/\\1/p" |
	    awk -v level="$level" '{
		# the call ends with the first ");" outside of strings
		text = ""; args = ""; in_string = 0
		for (i = 1; i <= length($0); i++) {
			c = substr($0, i, 1)
			if (c == "\"") {
				in_string = !in_string
				continue
			}
			if (in_string)
				text = text c
			else if (c == ";" || (c == "," && text != ""))
				break
			else
				args = args c
		}
		if (args !~ level)
			next
		# PRIu64 and its kin stand outside of the string
		n = split(text, part, /%[-+0-9.*]*[lhz]*[a-zA-Z]?/)
		text = ""
		for (i = 1; i <= n; i++) {
			gsub(/^[^a-z]+|[^a-z]+$/, "", part[i])
			if (length(part[i]) > length(text))
				text = part[i]
		}
		if (text != "")
			print text
	    }' | sort -u
}

code=$(find src roles -name '*.c')
{
	calls env_log 'LOG_(WARN|ERROR)' $code
	calls drain_note 'LOG_(WARN|ERROR)' $code
	calls trouble . src/admin/status.c
	calls role_fail . $code
} >"$tmp/said"
n=0
while IFS= read -r words; do
	n=$((n + 1))
	grep -qF -- "$words" "$tmp/page" || {
		echo "not in DIAGNOSTICS of emplogd(8): $words"
		bad=1
	}
done <"$tmp/said"
[ "$n" -gt 15 ] || { echo "only $n messages were looked at"; bad=1; }
exit $bad
