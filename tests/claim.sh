# SPDX-License-Identifier: ISC
# claim.sh - for the parts of the check: claim NAME COMMAND..., counted
passed=0 failed=0

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
