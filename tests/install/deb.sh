#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deb.sh FOLDER EXAMPLES SCRATCH [ROOT]
# The packages in FOLDER as a stranger uses them: EXAMPLES/int4.c built through pkg-config and through CMake,
# run; qbench run. Without ROOT the packages are unpacked under SCRATCH; with ROOT, the folder of a Debian system
# (mmdebstrap --include=gcc,libc6-dev,pkgconf,cmake,make), they are installed in it by apt, and purged. Exits with 77
# where apt has no packages there, as without a network.
set -euo pipefail
folder=$(realpath "$1") examples=$(realpath "$2") scratch=$(realpath -m "$3") root=${4:-}

fail() {
    echo "deb.sh: $*" >&2
    exit 1
}

rm -rf "$scratch"
mkdir -p "$scratch/work"
cp "$examples/int4.c" "$scratch/work"
cat >"$scratch/work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(stranger LANGUAGES C)
find_package(lowbit 0.1 CONFIG REQUIRED)
add_executable(int4_cmake int4.c)
target_link_libraries(int4_cmake PRIVATE lowbit::lowbit)
END
# What both ways run, in the folder "work".
cat >"$scratch/work/try.sh" <<'END'
set -eu
cc int4.c -o int4_pkg $(pkg-config --cflags --libs lowbit)
cmake -S . -B build $1 >cmake.log || { cat cmake.log; exit 1; }
cmake --build build >>cmake.log || { cat cmake.log; exit 1; }
./int4_pkg >pkg.txt
./build/int4_cmake >cmake.txt
cmp pkg.txt cmake.txt
cat pkg.txt
qbench check -d ref 's8*s4->s32 m3 n5 k7'
END

for package in liblowbit0.1 liblowbit-dev lowbit-tools; do
    file=$(find "$folder" -maxdepth 1 -name "${package}_*.deb")
    [ -f "$file" ] || fail "no package $package in $folder"
    [ "$(dpkg-deb -f "$file" Package)" = "$package" ] || fail "$file is another package"
done
dpkg-deb -f "$folder"/lowbit-tools_*.deb Depends | grep -q 'liblowbit0.1 (= ' || fail "tools do not depend on the library"

if [ -n "$root" ]; then
    rm -rf "$root/work"
    cp -r "$scratch/work" "$root/work"
    cp "$folder"/*.deb "$root/work"
    [ -z "$(find "$root/usr" -name '*lowbit*')" ] || fail "$root has it already"
    chroot "$root" apt-get update >"$scratch/apt.log" 2>&1 || { cat "$scratch/apt.log"; exit 77; }
    chroot "$root" sh -c 'cd /work && apt-get install -y --no-install-recommends ./*.deb' >"$scratch/apt.log" 2>&1 ||
        { cat "$scratch/apt.log"; fail "the packages cannot be installed"; }
    grep -E '^Setting up (liblowbit|lowbit)' "$scratch/apt.log"
    chroot "$root" sh -c 'cd /work && sh try.sh ""'
    chroot "$root" sh -c 'dpkg --purge lowbit-tools liblowbit-dev liblowbit0.1' >"$scratch/purge.log" 2>&1
    [ -z "$(find "$root/usr" -name '*lowbit*')" ] || fail "files stay after the packages are gone"
else
    for file in "$folder"/*.deb; do
        dpkg-deb -x "$file" "$scratch/root"
    done
    usr=$scratch/root/usr
    lib=$(dirname "$(find "$usr/lib" -name liblowbit.so)")
    cd "$scratch/work"
    CMAKE_GENERATOR=Ninja PKG_CONFIG_LIBDIR=$lib/pkgconfig LD_LIBRARY_PATH=$lib PATH=$usr/bin:$PATH sh try.sh "-DCMAKE_PREFIX_PATH=$usr"
    for file in share/man/man1/qbench.1 share/bash-completion/completions/qbench \
        share/zsh/vendor-completions/_qbench share/doc/liblowbit0.1/copyright; do
        [ -s "$usr/$file" ] || fail "/usr/$file is not there"
    done
fi
