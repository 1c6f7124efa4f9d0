#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# oclgrind.sh OCLGRIND PROGRAM [ARG...]: runs a program on the simulator and fails on what the simulator reports,
# which by itself does not change the program's exit status.
#
# The simulator is preloaded in place of the OpenCL loader. A program that opens libOpenCL.so.1 by dlopen would
# get the real loader all the same, so the simulator is put into the search path under that name.
set -eu
oclgrind=$(readlink -f "$1")
shift

runtime=
for dir in "${oclgrind%/bin/*}"/lib "${oclgrind%/bin/*}"/lib/oclgrind "${oclgrind%/bin/*}"/lib64; do
    [ ! -e "$dir/liboclgrind-rt.so" ] || runtime=$dir/liboclgrind-rt.so
done
if [ -z "$runtime" ]; then
    echo "oclgrind.sh: no liboclgrind-rt.so beside $oclgrind" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ln -s "$runtime" "$scratch/libOpenCL.so.1"
# Its own cache directory: program binaries of other devices are of no use here.
export LOWBIT_CACHE_DIR="$scratch" LD_LIBRARY_PATH="$scratch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

status=0
"$oclgrind" --check-api --data-races --max-errors 8 --local-mem-size 49152 --log "$scratch/log" "$@" || status=$?
if [ -s "$scratch/log" ]; then
    cat "$scratch/log"
    echo "oclgrind.sh: Oclgrind reported an ERROR" >&2
    exit 1
fi
exit "$status"
