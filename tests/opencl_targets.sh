#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# opencl_targets.sh CLANG: compiles the OpenCL kernels for GPUs that are not at hand and looks for the instruction
# that each row is there for. Says nothing of the vendors' own compilers, nor of what the kernels compute.
set -eu
clang=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 compiled=0

# can TARGET CPU OPTION: whether this clang knows them.
can() {
    echo 'kernel void k(global int *p) { p[0] = 1; }' >"$dir/probe.cl"
    # shellcheck disable=SC2086 # no CPU, no option
    "$clang" -x cl -target "$1" ${2:+-mcpu=$2} ${3:-} -S -o "$dir/probe.s" "$dir/probe.cl" 2>"$dir/probe.log"
}

# check FILE EXPECTED DOT STANDARD WEIGHT_BITS GROUPED TARGET OPTION...: macros as a row and a problem give them.
check() {
    file=$1 expected=$2 dot=$3 standard=$4 bits=$5 grouped=$6 target=$7
    shift 7
    mt=128 nt=128
    [ "$file" != tile_small.cl ] || { mt=8 nt=32; }
    case $file in
    ceilings.cl) cp opencl/ceilings.cl "$dir/k.cl" ;;
    tile_dpas.cl) # the extension's functions, which this clang does not know
        { echo 'int8 __attribute__((overloadable)) intel_sub_group_i8_i8_matrix_mad_k32(short8 a, int8 b, int8 acc);'
          echo 'int8 __attribute__((overloadable)) intel_sub_group_i8_i8_matrix_mad_k32(int8 a, int8 b, int8 acc);'
          cat host/kernel_abi.h host/requantise.h opencl/common.clh opencl/epilogue.clh opencl/stage.clh opencl/tile.clh opencl/tile_dpas.cl
        } >"$dir/k.cl" ;;
    *) cat host/kernel_abi.h host/requantise.h opencl/common.clh opencl/epilogue.clh opencl/stage.clh opencl/tile.clh "opencl/$file" >"$dir/k.cl" ;;
    esac
    label="$file, LB_DOT $dot, $bits bits, grouped $grouped, $target $*"
    compiled=$((compiled + 1))
    if ! "$clang" -x cl -target "$target" "$@" -cl-std="$standard" -Xclang -finclude-default-header -O2 -Werror \
        -D__OPENCL_VERSION__=120 -DLB_DOT="$dot" -DWIDE=1 -DS8="$dot" -DBF16=0 \
        -DPOPCOUNT=0 -DWB="$bits" -DGROUPED="$grouped" -DMR=128 -DNV=8 -DMT=$mt -DNT=$nt \
        -S -o "$dir/k.s" "$dir/k.cl" >"$dir/log" 2>&1; then
        echo "does not compile: $label"
        head -n 20 "$dir/log"
        failed=1
    elif ! grep -q "$expected" "$dir/k.s"; then
        echo "no $expected in: $label"
        failed=1
    elif grep -E '^declare .* @[a-z_0-9]+\(' "$dir/k.s"; then
        echo "these functions of ours are not defined in: $label"
        failed=1
    fi
}

# both FILE EXPECTED DOT STANDARD TARGET OPTION...: two problems that differ in every macro.
both() {
    file=$1 expected=$2 dot=$3 standard=$4
    shift 4
    check "$file" "$expected" "$dot" "$standard" 8 0 "$@"
    check "$file" "$expected" "$dot" "$standard" 2 1 "$@"
}

nvptx="nvptx64 -Xclang -target-cpu -Xclang sm_80 -Xclang -target-feature -Xclang +ptx70"
# shellcheck disable=SC2086 # words
nvidia() { both "$1" "$2" "$3" CL1.2 $nvptx; }

if can nvptx64 ''; then
    nvidia tile_dot.cl dp4a.s32.s32 2
    nvidia tile_small.cl dp4a.s32.s32 2
    nvidia tile_mma.cl mma.sync.aligned.m16n8k32 0
    nvidia tile_dot.cl popcount 4
    # shellcheck disable=SC2086 # words
    check ceilings.cl dp4a.s32.s32 2 CL1.2 8 0 $nvptx
    # shellcheck disable=SC2086 # words
    check ceilings.cl mma.sync.aligned.m16n8k32 5 CL1.2 8 0 $nvptx
fi
for cpu in gfx906 gfx1030 gfx1100; do
    if can amdgcn $cpu; then
        both tile_dot.cl v_dot4 3 CL1.2 amdgcn -mcpu=$cpu
        both tile_small.cl v_dot4 3 CL1.2 amdgcn -mcpu=$cpu
        check ceilings.cl v_dot4 3 CL1.2 8 0 amdgcn -mcpu=$cpu
    fi
done
if can spir64 "" -emit-llvm; then
    both tile_dot.cl dot_4x8packed_ss_int 1 CL3.0 spir64 -emit-llvm
    both tile_small.cl dot_4x8packed_ss_int 1 CL3.0 spir64 -emit-llvm
    check ceilings.cl dot_4x8packed_ss_int 1 CL3.0 8 0 spir64 -emit-llvm
    for lanes in 8 16; do
        both tile_dpas.cl intel_sub_group_i8_i8_matrix_mad_k32 0 CL3.0 spir64 -emit-llvm -DLANES=$lanes \
            -Dcl_intel_subgroup_matrix_multiply_accumulate=1
    done
fi
echo "$compiled compiled"
[ "$compiled" -gt 0 ] || exit 77
exit $failed
