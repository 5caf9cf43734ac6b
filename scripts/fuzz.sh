#!/usr/bin/env bash
# Runs each fuzz entry for a while, and says how many inputs it took.
#
#   scripts/fuzz.sh SECONDS [ENTRY…]
#
# Inputs that reached something new are kept in tests/fuzz/corpus, those that broke something in
# tests/fuzz/artifacts; neither is committed. FUZZ_SANITIZER=address (and RUSTUP_TOOLCHAIN=nightly)
# looks at the memory of what is unsafe in dependencies; without it the stable compiler will do.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"
seconds=$1
shift
sanitizer=${FUZZ_SANITIZER:-none}
[ $# -gt 0 ] || mapfile -t entries < <(cargo fuzz list --fuzz-dir .)
[ $# -eq 0 ] || entries=("$@")

cargo fuzz build --fuzz-dir . -s "$sanitizer"
bad=0
printf '%-16s %14s %10s %8s  %s\n' entry executions per-second corpus found
for entry in "${entries[@]}"; do
    mkdir -p "corpus/$entry" "artifacts/$entry"
    log=artifacts/$entry.log
    found=-
    cargo fuzz run --fuzz-dir . -s "$sanitizer" "$entry" "corpus/$entry" "seeds/$entry" -- \
        -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=20 \
        -artifact_prefix="artifacts/$entry/" -print_final_stats=1 >"$log" 2>&1 ||
        { found=$(grep -a -m1 -E 'panicked at|ERROR: libFuzzer' "$log" || tail -1 "$log"); bad=1; }
    stat() { grep -a "stat::$1" "$log" | grep -o '[0-9]*$' || echo 0; }
    printf '%-16s %14s %10s %8s  %s\n' "$entry" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(find "corpus/$entry" -type f | wc -l)" "$found"
done
[ $bad = 0 ] || echo "fuzz: put what was found (tests/fuzz/artifacts) into tests/fuzz/seeds as found-…, and mend it" >&2
exit $bad
