#!/bin/sh
# Compiles the in-kernel programs: scripts/bpf.sh [DIRECTORY] (default: bpf, where the objects are
# committed). Needs clang 14, the one of Debian 12, so that everybody gets the same octets.
set -eu
cd "$(dirname "$0")/.."
out=${1:-bpf}
clang=${CLANG:-clang-14}
strip=${LLVM_STRIP:-llvm-strip-14}
include=/usr/include/$(uname -m)-linux-gnu
for program in fanout filter xdp; do
    "$clang" -target bpf -mcpu=v3 -O2 -g -fno-strict-aliasing -fdebug-prefix-map="$PWD"=. \
        -Wall -Werror -I"$include" -c bpf/$program.bpf.c -o "$out/$program.bpf.o"
    # The types that the loader reads (.BTF) stay; the debugger's go.
    "$strip" -g "$out/$program.bpf.o"
done
