#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What ./dev and a bundle's run.sh both need. To be sourced.

# has_library NAME: whether the dynamic linker would find it.
has_library() {
    case $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p) in
    *"$1"*) return 0 ;;
    esac
    for dir in $(echo "${LD_LIBRARY_PATH:-}" | tr : ' '); do
        [ ! -e "$dir/$1" ] || return 0
    done
    return 1
}

# register_drivers DIR: makes an NVIDIA driver visible to the OpenCL loader where its library is present but not
# registered, as is usual in containers. What is registered already is kept; the new list lies in DIR.
register_drivers() {
    if [ -z "${OCL_ICD_VENDORS:-}" ] && has_library libnvidia-opencl.so.1 &&
        ! grep -qs nvidia /etc/OpenCL/vendors/*.icd; then
        mkdir -p "$1"
        cp /etc/OpenCL/vendors/*.icd "$1" 2>/dev/null || true
        echo libnvidia-opencl.so.1 >"$1/nvidia.icd"
        OCL_ICD_VENDORS=$(readlink -f "$1")
        export OCL_ICD_VENDORS
    fi
}
