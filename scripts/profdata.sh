#!/usr/bin/env bash
# Prints where the llvm-profdata of the compiler's own LLVM is: rustup's component llvm-tools, or
# Debian's package llvm-N. Where it is not, fails, and prints that package's name.
set -euo pipefail
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=llvm-$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for candidate in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" \
    "/usr/lib/$llvm/bin/llvm-profdata"; do
    [ ! -x "$candidate" ] || { echo "$candidate"; exit; }
done
echo "$llvm"
exit 1
