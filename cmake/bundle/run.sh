#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs what lies in this folder on a machine that has a device driver and nothing else.
#
#   ./run.sh                       all tests, and `qbench check --device all`
#   ./run.sh PROGRAM ARGUMENT...   one program, e.g. ./run.sh bin/qbench --bits 4
#
# Ends with "N passed, N failed"; the exit status is 1 if anything failed.
set -u
cd "$(dirname "$(readlink -f "$0")")" || exit 1
export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LOWBIT_CACHE_DIR=${LOWBIT_CACHE_DIR:-$PWD/cache} LOWBIT_QBENCH=$PWD/bin/qbench
# shellcheck source=cmake/bundle/common.sh
. ./common.sh
register_drivers vendors
if [ $# -gt 0 ]; then
    exec "$@"
fi

passed=0 failed=0
for program in tests/*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then
        continue # a folder of data
    fi
    echo "== $program"
    output=$("$program" 2>&1)
    status=$?
    echo "$output" | tail -n 30
    # Criterion's closing line counts the tests; a plain program is one test.
    read -r p f < <(awk '/Synthesis: Tested: / { sub(/.*Tested: /, ""); print $4, $7 + $10; seen = 1 }
                         END { if (!seen) print 1, 0 }' <<<"$output")
    if [ "$status" != 0 ] && [ "$f" = 0 ]; then
        p=0 f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
done

bin/qbench devices
echo "== qbench check --device all"
if bin/qbench check --device all; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
