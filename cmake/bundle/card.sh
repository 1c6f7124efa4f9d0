#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What to run on a card first: is every kernel right there, and how fast is it?
#
#   ./card.sh [DIR [DEVICE]]       results in DIR (results), of DEVICE (cuda:0)
#
# Checks come before times, each step has its own limit, and a step that fails does not keep the next from running. Needs
# about 15 minutes; `LOWBIT_STEPS="conformance speed"` runs only these. Ends with "N passed, N failed".
set -u
out=$(realpath -m "${1:-results}") device=${2:-cuda:0}
cd "$(dirname "$(readlink -f "$0")")" || exit 1
mkdir -p "$out"
passed=0 failed=0

# step NAME SECONDS PROGRAM ARGUMENT...
step() {
    local name=$1 seconds=$2 status=0
    shift 2
    case " ${LOWBIT_STEPS:-$name} " in
    *" $name "*) ;;
    *) return 0 ;;
    esac
    echo "== $name: $*"
    timeout "$seconds" ./run.sh "$@" >"$out/$name.txt" 2>&1 || status=$?
    tail -n 12 "$out/$name.txt"
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: exit status $status"
    fi
}

# A sanitizer's run of one small problem of each kind; its own findings fail it.
sanitize() {
    local tool
    if ! tool=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer); then
        echo "no compute-sanitizer here: $1 not run"
        return 0
    fi
    step "$1" 150 "$tool" --tool "$1" --error-exitcode 9 bin/qbench check --device "$device" --kernel all --suite smoke
}

step devices 60 bin/qbench devices --ceilings
step smoke 90 bin/qbench check --device "$device" --kernel all --suite smoke
step conformance 240 tests/test_conformance
step chains 60 tests/test_overlap
step quantizer 90 tests/test_quantizer
step packer 90 tests/test_packer
step sums 120 tests/test_sums
step requantise 120 tests/test_requantise_modes
sanitize memcheck
sanitize racecheck
step speed 240 bin/qbench run --device "$device" --suite perf_gpu --min-time 0.2 --json "$out/speed.json"
step repack 60 bin/qbench repack --device "$device"
small=('s8.token*{s8,s4}.channel->bf16 m{1,16} n4096 k4096' 'f16*s4.g128->f16 m{1,16} n4096 k4096')
step apart 45 bin/qbench run --device "$device" --min-time 0.2 --no-baseline --json "$out/apart.json" "${small[@]}"
step overlap 45 bin/qbench run --overlap --device "$device" --min-time 0.2 --no-baseline --json "$out/overlap.json" "${small[@]}"
step width 60 bin/qbench --device "$device" --bits 4 --m 4096 --json "$out/width.json"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
