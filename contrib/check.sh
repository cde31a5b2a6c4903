#!/bin/bash
# SPDX-License-Identifier: ISC
#
# check.sh - installs what the tests need, builds, runs everything
#
#   --quick   units on both loop backends and the quick end to end tests, in
#             at most four minutes; without it also sanitizers, another
#             compiler, the simulator, fuzzing, kills and the tarball, in at
#             most twenty: what only computes, beside what waits and with a low
#             priority, so that no clock is disturbed
#   --keep    leaves the directory it worked in, logs and all
#
# Works in a copy of the tree (clean, out of it); prints the seconds of each
# part; its last line is "N passed, N failed", and it exits 1 when anything
# failed.  A part counts the tests it ran; one that has none to count, as a
# build, is one test itself.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/contrib/packages.sh"

quick= keep=
for arg in "$@"; do
	case $arg in
	--quick) quick=1 ;;
	--keep) keep=1 ;;
	*) echo "usage: $0 [--quick] [--keep]" >&2; exit 2 ;;
	esac
done
begun=$SECONDS work= beside=
jobs=$(nproc) fuzz_seconds=${FUZZ_SECONDS:-20}
# Suites with no loop of the machine's, or with both at once.
loopless='tests/test_loop tests/test_sim tests/sim/sim tests/test_crashpoints
 tests/test_damage tests/test_pages tests/test_queue tests/test_queue_chaos
 tests/test_letters tests/test_outage tests/test_outage_agent tests/test_onward
 tests/test_streams tests/test_frame tests/test_fates tests/test_nth
 tests/test_nth_verbs tests/test_nth_http tests/test_writer tests/test_loan tests/test_encode
 tests/test_emplog tests/test_unharmed tests/test_guard tests/test_reader
 tests/test_race tests/test_mp tests/test_walk tests/test_message
 tests/test_norm tests/test_otlp tests/test_json'
tsan_tests='tests/test_race tests/test_writer tests/test_emplog tests/test_unharmed tests/test_loop'

# What the tests of one machine must not hear of that of another.
unset MAKEFLAGS MAKELEVEL CFLAGS LDFLAGS CPPFLAGS TEST_IO
unset "${!EMPLOG@}" "${!DASH0_@}" "${!OTEL_@}"
export LC_ALL=C.UTF-8

finish() {
	local passed=0 failed=0
	[ -z "$work" ] || read -r passed failed < <(awk '
		{ p += $1; f += $2 }
		END { print p + 0, f + 0 }' "$work/tallies")
	echo "seconds: $((SECONDS - begun))"
	[ "$passed" -gt 0 ] || failed=$((failed + 1))
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

# part NAME COMMAND...: runs it in a subshell, adds what its log counted; says
# so in one piece, as two parts may be under way.
part() {
	local name=$1 log="$work/$1.log" start=$SECONDS cpu rc
	shift
	echo "== $name"
	cpu=$( { TIMEFORMAT='%U %S'; time "$@" >"$log" 2>&1 </dev/null; } 2>&1)
	rc=$?
	tally "$log" $rc
	{
		[ "$tally_failed" -eq 0 ] || tail -80 "$log"
		grep -a '^skipped: ' "$log"
		echo "== $name: $((SECONDS - start)) s" \
		    "($(echo "$cpu" | awk '{ print int($1 + $2) }') of" \
		    "processors), $tally_passed passed," \
		    "$tally_failed failed$([ $rc -ne 0 ] && echo " (exit $rc)")"
	} >"$log.said"
	cat "$log.said"
	return $rc
}

# Adds up a log's lines "N passed, N failed".  A part without any is one test;
# one that exits badly has failed, whatever it counted.
tally() {
	read -r tally_passed tally_failed tally_lines < <(awk '
		/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3; n++ }
		END { print p + 0, f + 0, n + 0 }' "$1")
	if [ "$tally_lines" -eq 0 ] && [ "$2" -eq 0 ]; then
		tally_passed=1
	fi
	if [ "$2" -ne 0 ] && [ "$tally_failed" -eq 0 ]; then
		tally_failed=1
	fi
	echo "$tally_passed $tally_failed" >>"$work/tallies"
}

# ---- parts ----

# A tree as a clone has it: what git knows, or all but what was built.
tree() {
	mkdir "$work/src" && cd "$top" || return 1
	if git rev-parse --git-dir >/dev/null 2>&1 &&
	    [ "$(git rev-parse --show-toplevel)" = "$top" ]; then
		git ls-files -z --cached --others --exclude-standard |
		    while IFS= read -r -d '' f; do
			[ -e "$f" ] && printf '%s\0' "$f"
		    done | tar -c --null -T - | tar -x -C "$work/src"
	else
		tar -c --exclude=./build --exclude=./.git . |
		    tar -x -C "$work/src"
	fi && cp -a "$work/src" "$work/clone" && cd "$work/src" && ./autogen.sh
}

build() {	# build DIR CONFIGURE-OPTIONS...
	local dir="$work/$1"
	shift
	mkdir "$dir" && cd "$dir" && "$work/src/configure" -q "$@" &&
	make -j"$jobs" && make -j"$jobs" check TESTS= || return 1
	# the decoder of another language is brought once
	[ "$dir" = "$work/plain" ] ||
	    ln -s "$work/plain/tests/otlp-modules" tests/otlp-modules
}

# units DIR IO [TESTS]: make check, told suite by suite from automake's .trs
# and .log; a suite that crashed or told nothing has failed.
units() {
	local dir=$1 io=$2 t rc
	shift 2
	cd "$work/$dir" && rm -f tests/*.trs tests/*.log tests/sim/*.trs \
	    tests/sim/*.log || return 1
	mkdir -p "$work/plain/tests/otlp-modules"
	make -j"$jobs" check TEST_IO="$io" VERBOSE=1 "$@"
	rc=$?
	told=0
	for t in tests/*.trs tests/sim/*.trs; do
		[ -e "$t" ] && verdict "$t" && told=$((told + 1))
	done
	[ "$told" -gt 0 ] && [ "$(total)" = "$told" ] || {
		echo "of $(total) suites $told have told their result"
		rc=1
	}
	return $rc
}

# The others, by name.
looped() {
	printf '%s\n' 'print:;@echo $(TESTS)' |
	    make -s -C "$work/plain" -f Makefile -f - print | tr ' ' '\n' |
	    grep -vxF "$(printf '%s\n' $loopless)" | tr '\n' ' '
}

total() {
	sed -n 's/^# TOTAL: *//p' test-suite.log
}

verdict() {
	local log=${1%.trs}.log result n failures seconds
	result=$(sed -n 's/^:test-result: *//p' "$1" | head -1)
	read -r n failures < <(awk '
		match($0, /Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/) {
			s = substr($0, RSTART, RLENGTH)
			gsub(/[^0-9]+/, " ", s)
			split(s, k, " ")
			n += k[1]; bad += k[2] + k[3] }
		END { print n + 0, bad + 0 }' "$log")
	case $result in
	PASS)	[ "$n" -gt 0 ] || n=1 ;;
	SKIP)	echo "skipped: $(basename "${1%.trs}"): $(head -1 "$log")"
		n=0 failures=0 ;;
	*)	echo "$result: ${1%.trs}"
		[ "$failures" -gt 0 ] || failures=1
		[ "$n" -ge "$failures" ] || n=$failures ;;
	esac
	echo "$(basename "${1%.trs}")"
	echo "$((n - failures)) passed, $failures failed"
}

# Both backends must pass the same number of tests.
same_count() {
	echo "uring: $1 passed; epoll: $2 passed"
	[ "$1" -eq "$2" ]
}

# Builds the targets with the fuzzer's eyes and runs each for a while from
# the files it has, kept or made: fifty at least.  Says the edges reached.
fuzz() {
	local targets
	mkdir "$work/fuzz" && cd "$work/fuzz" &&
	CC=clang "$work/src/configure" -q --enable-developer --enable-fuzz &&
	make -j"$jobs" fuzz || return 1
	targets=$(find tests/fuzz -name 'fuzz_*' -type f -perm -1)
	[ "$(echo "$targets" | wc -l)" = \
	    "$(find "$work/src/tests/fuzz" -name 'fuzz_*.c' | wc -l)" ] || {
		echo "not every target was built: $targets"
		return 1
	}
	python3 "$work/src/tests/fuzz/seeds.py" seeds || return 1
	export work
	echo "$targets" | xargs -P "$jobs" -n 1 bash -c '
		name=$(basename "$1")
		mkdir -p "corpus/$name"
		seeds=
		for dir in "seeds/$name" "$work/src/tests/fuzz/corpus/$name"; do
			[ ! -d "$dir" ] || seeds="$seeds $dir"
		done
		files=$(find $seeds -type f | wc -l)
		if [ "$files" -ge 50 ] && timeout 120 "$1" \
		    -max_total_time='"$fuzz_seconds"' \
		    -rss_limit_mb=2048 -timeout=30 -print_final_stats=1 \
		    "corpus/$name" $seeds >"$name.log" 2>&1; then
			echo "$name: $files files," \
			    "$(sed -n "s/.*DONE *cov: \([0-9]*\).*/\1/p" \
			    "$name.log") edges," \
			    "$(sed -n "s/.*number_of_executed_units: //p" \
			    "$name.log") runs"
			echo "1 passed, 0 failed"
		else
			echo "$name: $files files"
			tail -40 "$name.log"
			echo "0 passed, 1 failed"
			exit 1
		fi' fuzz
}

# Threads on one mapping, and what has threads of its own.
threads() {
	mkdir "$work/tsan" && cd "$work/tsan" &&
	CC=clang "$work/src/configure" -q --enable-developer --enable-tsan &&
	make -j"$jobs" $(sed -n 's/^BUILT_SOURCES = //p' Makefile) &&
	make -j"$jobs" $tsan_tests || return 1
	TSAN_OPTIONS=halt_on_error=1 units tsan auto TESTS="$tsan_tests"
}

# The tarball, out of tree and by a user who may not write into it; of the
# suites those that read the sources.
tarball() {
	local t tests=
	cp -a "$work/src" "$work/dist-src" && mkdir "$work/dist" &&
	cd "$work/dist" &&
	"$work/dist-src/configure" -q --enable-developer || return 1
	for t in "$work"/src/tests/t[0-9]*.sh; do
		tests="$tests tests/$(basename "$t")"
	done
	[ "$(id -u)" != 0 ] || {
		chown -R nobody "$work/dist" "$work/dist-src" || return 1
		set -- setpriv --reuid=nobody --clear-groups \
		    env HOME="$work/dist"
	}
	"$@" make distcheck TESTS="$tests tests/test_config tests/test_frame" \
	    AM_DISTCHECK_CONFIGURE_FLAGS=--enable-developer -j"$jobs"
}

# ---- the whole ----

both_backends() {
	local tests by_uring
	if TEST_IO=uring "$work/plain/tests/io_here"; then
		tests=$(looped)
		part units units plain auto TESTS="$(echo $loopless)"
		part units-uring units plain uring TESTS="$tests"
		by_uring=$tally_passed
		part units-epoll units plain epoll TESTS="$tests"
		part same-count same_count "$by_uring" "$tally_passed"
	else
		echo "skipped: units-uring: the kernel refuses io_uring"
		part units-epoll units plain epoll
	fi
}

# script NAME: tests/part-NAME.sh in a directory of its own.
script() {
	mkdir "$work/$1" &&
	part "$1" env SRC_DIR="$work/src" CLONE_DIR="$work/clone" \
	    BUILD_DIR="$work/plain" CLANG_DIR="$work/clang" \
	    WORK_DIR="$work/$1" bash "$work/src/tests/part-$1.sh"
}

# Those with a line "# WORD: yes", or without one.
scripts() {	# scripts -l|-L WORD
	(cd "$work/src/tests" && grep "$1" "^# $2: yes" part-*.sh) |
	    sed 's/^part-//; s/\.sh$//'
}

# What only computes, and neither builds in plain nor has clocks to keep.
computes() {
	local name
	export CK_TIMEOUT_MULTIPLIER=4
	renice -n 10 -p "$BASHPID" >/dev/null
	part build-clang with_clang
	for name in $(scripts -l computes); do
		script "$name"
	done
	part fuzz fuzz
	part threads threads
	part tarball tarball
	part build-san build san --enable-developer --enable-asan --enable-ubsan &&
	# What a suite frees fits; 256 MiB of it are paid for at each fork.
	ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=16 \
	    part units-san units san auto
}

with_clang() {
	CC=clang build clang --enable-developer
}

# A function: it is read as a whole, whatever becomes of the file meanwhile.
whole() {
	local name
	need_packages $test_packages || finish
	work=$(mktemp -d "${TMPDIR:-/tmp}/emplogd-check.XXXXXX")
	chmod 755 "$work"		# some tests are other users
	trap clean EXIT
	trap 'exit 130' INT TERM
	: >"$work/tallies"
	[ -z "$keep" ] || echo "in $work"
	echo "packages: $SECONDS s"

	part tree tree || finish
	part build build plain --enable-developer || finish
	if [ -n "$quick" ]; then
		both_backends
		for name in $(scripts -l quick); do
			script "$name"
		done
		finish
	fi
	set -m			# in a group of its own, SIGINT not ignored
	computes &
	beside=$!
	set +m
	both_backends
	for name in $(scripts -L computes); do
		script "$name"
	done
	echo "what waits is done after $((SECONDS - begun)) s"
	wait "$beside"
	beside=
	finish
}

clean() {
	[ -z "$beside" ] || kill -- -"$beside"
	[ -n "$keep" ] || rm -rf "$work"
}
whole
