#!/usr/bin/env bash
# `make release`: the binary, compiled for what it does all day.
#
#   scripts/release.sh [receiver]     target/trained/vendorwatch; receiver: that of `make bench-live` too
#
# Compiled twice: the first build counts how often each branch is taken while it works, the second
# is laid out by these counts (profile-guided optimisation). The work is the project's own captures,
# generated traffic (other seeds, other shares than the benchmarks'), and the same traffic live from
# a ring, in a network namespace of its own.
#
# It needs an llvm-profdata of the compiler's own LLVM: rustup's component llvm-tools, or Debian's
# package llvm-N. Without one the binary is compiled once, as `make build` does, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/trained
host=$(rustc -vV | sed -n 's/^host: //p')
receiver=${1:-}
mkdir -p "$work"
# Is for the compiler: a binary at work would call it a setting that it does not know.
revision=${VENDORWATCH_REVISION:-}
unset VENDORWATCH_REVISION

# All that a binary is made of, and what it is trained with.
made_of=(Cargo.toml Cargo.lock build.rs src signatures bpf systemd prometheus tests/pcap benches/live
    benches/limits scripts/release.sh)
if [ "$(cat "$work/done" 2>/dev/null)" = "$(rustc -vV)" ] && [ -e "$work/vendorwatch" ] &&
    { [ -z "$receiver" ] || [ -e "$work/receiver" ]; } &&
    [ -z "$(find "${made_of[@]}" -type f -newer "$work/done" -print -quit)" ]; then
    echo "release: target/trained/vendorwatch is up to date"
    exit
fi
rm -f "$work"/{done,vendorwatch,receiver}
rustc -vV >"$work/begun"

# Into a folder of its own, so that the dependencies of each build stay.
compile() {
    local what=(build --release)
    [ -z "$receiver" ] || what=(bench --no-run --bench receiver)
    env RUSTFLAGS="${RUSTFLAGS:-} $2" ${revision:+"VENDORWATCH_REVISION=$revision"} \
        cargo "${what[@]}" --locked --target "$host" --target-dir "$work/$1"
    local built=$work/$1/$host/release
    ln -sf "$built/vendorwatch" "$work/$3vendorwatch"
    [ -z "$receiver" ] || ln -sf "$(ls -t "$built"/deps/receiver-*[!.]? | head -n 1)" "$work/$3receiver"
}

untrained=
if ! profdata=$(scripts/profdata.sh); then
    untrained="the compiler's llvm-profdata is not here (rustup component add llvm-tools, or Debian's $profdata)"
elif [[ $work =~ [[:space:]] ]]; then
    untrained="cargo would split the compiler's flags at the spaces of $work"
fi
if [ -n "$untrained" ]; then
    echo "release: NOT TRAINED: $untrained; the binary is right, but slower" >&2
    compile plain "" ""
    exit
fi

echo "release: 1 of 3: a build that counts"
rm -rf "$work/counts"
compile counting "-Cprofile-generate=$work/counts" counting-

echo "release: 2 of 3: its work"
[ "$work/mkload" -nt benches/limits/mkload.rs ] ||
    rustc --edition 2021 -O -A warnings -o "$work/mkload" benches/limits/mkload.rs
[ "$work/send" -nt benches/limits/send.c ] || cc -O2 -w -o "$work/send" benches/limits/send.c
"$work/mkload" --out "$work/mixed.pcap" --packets 300000 --seed 11 --names 10000 --v6 0.3 >/dev/null
"$work/mkload" --out "$work/handshakes.pcap" --packets 200000 --seed 13 --names 10000 --mode handshakes >/dev/null
counting() { LLVM_PROFILE_FILE=$work/counts/$1-%p.profraw "$work/counting-vendorwatch" "${@:2}" >/dev/null; }
for workers in 1 2; do
    counting files read --workers $workers "$work/mixed.pcap"
    counting files read --workers $workers "$work/handshakes.pcap"
    counting own read --workers $workers tests/pcap/*.pcap
done
counting own read --names tests/pcap/*.pcap

# Waits for a command to succeed while the process runs.
ready() {
    local _
    for _ in $(seq 100); do
        ! "$@" || return 0
        kill -0 "$running"
        sleep 0.1
    done
    echo "release: $work/live.log says why this is not ready: $*" >&2
    return 1
}
live() {
    local end backend
    trap '[ -z "$running" ] || kill "$running"' EXIT
    # With an address of its own it would not be a mirror alone.
    for end in wire span; do ip link set "$end" addrgenmode none; done
    for end in wire span lo; do ip link set "$end" up; done
    for backend in ring auto; do
        "$work/counting-vendorwatch" run -i span --capture "$backend" --workers 1 \
            --web.listen-address=127.0.0.1:10064 --inventory "$work/inventory.db" 2>"$work/live.log" &
        running=$!
        ready curl -sfo /dev/null http://127.0.0.1:10064/-/ready
        "$work/send" wire "$work/mixed.pcap" 200000 2 >/dev/null
        curl -sfo /dev/null http://127.0.0.1:10064/metrics
        kill -TERM "$running"
        wait "$running"
        running=
    done
    for backend in ${receiver:+ring auto xdp}; do
        "$work/counting-receiver" span 4 "$backend" >"$work/live.log" &
        running=$!
        ready grep -q ready "$work/live.log"
        "$work/send" wire "$work/mixed.pcap" 200000 2 >/dev/null
        wait "$running"
        running=
    done
}
namespace=(unshare --net)
[ "$(id -u)" = 0 ] || namespace+=(--map-root-user)
veth="ip link add wire type veth peer name span"
# What nobody saw at work would be taken for cold.
without=()
if "${namespace[@]}" $veth 2>/dev/null; then
    export work receiver running= LLVM_PROFILE_FILE=$work/counts/live-%p.profraw
    export -f ready live
    "${namespace[@]}" bash -euc "$veth; live"
else
    echo "release: no network namespace with a veth pair can be made here: live capture is left untrained" >&2
    without=(--no-function='capture|daemon')
fi

# Captures of real clients are few packets of many kinds: so often that they weigh as much.
own=()
for counts in "$work"/counts/own-*.profraw; do own+=("--weighted-input=500,$counts"); done
others=()
for counts in "$work"/counts/{files,live}-*.profraw; do [ ! -e "$counts" ] || others+=("$counts"); done
"$profdata" merge "${without[@]}" -o "$work/counts.profdata" "${own[@]}" "${others[@]}"

echo "release: 3 of 3: a build by these counts"
compile used "-Cprofile-use=$work/counts.profdata" ""
mv "$work/begun" "$work/done"
echo "release: target/trained/vendorwatch"
