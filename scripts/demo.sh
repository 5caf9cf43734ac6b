#!/usr/bin/env bash
# `make demo`: reads captures of real clients, then runs the daemon on a veth pair under the same
# clients and shows what Prometheus would scrape.
set -euo pipefail
cd "$(dirname "$0")/.."
vendorwatch=target/debug/vendorwatch
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; }

say "1. Captures of curl, dig, openssl and Chromium: which listed vendors were contacted, by whom?"
echo "\$ vendorwatch read tests/pcap/*.pcap"
"$vendorwatch" read tests/pcap/*.pcap

say "2. Why is a name listed, and where is that documented?"
echo "\$ vendorwatch match s00.upd.kaspersky.com notkaspersky.com"
"$vendorwatch" match s00.upd.kaspersky.com notkaspersky.com

if [ "$(id -u)" != 0 ]; then
    say "3. Live capture needs root: run 'sudo make demo' to see the daemon at work."
else
    say "3. The daemon on an interface, while curl, dig and openssl talk to listed and other names"
    . scripts/lab.sh
    lab_up vwdemo
    url=http://127.0.0.1:10064
    # Not through lab_server: a function in the background is a shell of its own, and the signal
    # below is for the daemon.
    ip netns exec "$lab_s" "$PWD/$vendorwatch" run -i s0 --web.listen-address=127.0.0.1:10064 \
        --inventory "$lab_dir/inventory.db" --events "$lab_dir/events.ndjson" 2>"$lab_dir/daemon.log" &
    daemon=$!
    lab_track "$daemon"
    for _ in $(seq 200); do
        lab_server curl -sfo /dev/null "$url/-/ready" && break
        kill -0 "$daemon" 2>/dev/null || { cat "$lab_dir/daemon.log" >&2; exit 1; }
        sleep 0.05
    done
    for target in https://s00.upd.kaspersky.com/ https://register.naas.huawei.com/ \
        https://dev.hik-connect.com:8443/ http://update.ztems.com/ https://www.example.com/; do
        echo "\$ curl $target"
        lab_client curl -sko /dev/null --max-time 10 "$target"
    done
    echo "\$ dig ezviz7.com; openssl s_client -servername www.kaspersky.com"
    lab_client dig +short ezviz7.com @203.0.113.53 >/dev/null
    lab_client openssl s_client -connect 203.0.113.9:443 -servername www.kaspersky.com \
        </dev/null >/dev/null 2>&1
    # Scrape until the last name is counted: a daemon under no load needs well under a second.
    for _ in $(seq 100); do
        lab_server curl -sf "$url/metrics" >"$lab_dir/metrics"
        grep -q '^vendorwatch_detections_total{.*website.*kaspersky.* [1-9]' "$lab_dir/metrics" &&
            grep -q '^vendorwatch_detections_total{.*hikvision.* [1-9]' "$lab_dir/metrics" && break
        sleep 0.1
    done
    echo
    echo "\$ curl $url/metrics | grep -v ' 0\$'"
    grep -E '^vendorwatch_(detections|findings_new|handshakes|connections|capture_packets|capture_dropped_packets)(_total)?\{' \
        "$lab_dir/metrics" | grep -v ' 0$' || true
    echo
    echo "the first event:"
    head -1 "$lab_dir/events.ndjson"
    kill -TERM "$daemon"
    wait "$daemon" && echo && echo "SIGTERM: drained, exit 0"
    lab_down
fi

say "What to run next"
cat <<TEXT
  vendorwatch read FILE|DIR|-            your own captures (pcap, pcapng, gzip, zstd)
  sudo vendorwatch run -i eth1 --state-dir /var/lib/vendorwatch
                                         a span port; then look at http://127.0.0.1:10064/
  vendorwatch inventory                  who contacted what, since when
  vendorwatch signatures list            what is looked for, with its evidence
  sudo make install                      binary, hardened unit, configuration, rules, dashboard
TEXT
