#!/usr/bin/env bash
# Records the project's own captures: real clients talking to the lab's servers over veth.
#
#   scripts/record.sh [NAME…]       (as root; all of them when none is named)
#
# Needs curl, dig, openssl, tcpdump, chromium, and aioquic in target/lab-venv (scripts/deps.sh test).
# Writes tests/pcap/NAME.pcap. Golden outputs are made by `make golden` and read before commit.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lab.sh

export LAB_PYTHON=${LAB_PYTHON:-$PWD/target/lab-venv/bin/python}
want=${*:-clients chromium starttls vxlan erspan}
wanted() { [[ " $want " == *" $1 "* ]]; }

# start FILE [WHERE IFACE]: begins a recording; stop: ends it, with all that was seen in the file.
start() {
    ip netns exec "${2:-$lab_s}" tcpdump -q -U -Z root -s 0 -i "${3:-s0}" -w "$1" 2>"$lab_dir/tcpdump.log" &
    recording=$!
    lab_track "$recording"
    until grep -q "listening on" "$lab_dir/tcpdump.log"; do sleep 0.05; done
}
stop() {
    sleep 1 # tcpdump's own buffer time-out
    kill -INT "$recording"
    wait "$recording" || true
}

fetch() { # fetch ADDRESS NAME PORT [curl options]
    local from=$1 name=$2 port=$3
    shift 3
    lab_client curl -sko /dev/null --max-time 10 --interface "$from" "$@" "https://$name:$port/" || true
}

lab_up vwrec
spki=$(openssl x509 -in "$lab_dir/cert.pem" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
chrome() { # chrome URL [options]
    local url=$1
    shift
    lab_client timeout 60 chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-sync \
        --disable-background-networking --disable-component-update --ignore-certificate-errors \
        --ignore-certificate-errors-spki-list="$spki" --user-data-dir="$lab_dir/chrome" "$@" \
        --dump-dom "$url" >"$lab_dir/dom" 2>/dev/null || true
    grep -q "hello from the lab" "$lab_dir/dom" || echo "record: chromium did not show $url" >&2
}

if wanted clients; then
    start tests/pcap/clients.pcap
    # A workstation with an endpoint product: update, reputation and licensing names.
    for host in s00.upd.kaspersky.com s07.upd.kaspersky.com activation-v2.kaspersky.com; do
        fetch 198.51.100.10 "$host" 443 --tlsv1.3
    done
    fetch 198.51.100.10 ksn-file-geo.kaspersky-labs.com 443 --tls-max 1.2
    # Somebody reading the vendor's web site.
    fetch 198.51.100.11 www.kaspersky.com 443
    # Cameras and network equipment.
    fetch 198.51.100.12 dev.hik-connect.com 8443
    lab_client curl -so /dev/null --max-time 10 --interface 198.51.100.12 http://update.ztems.com/check || true
    fetch 198.51.100.13 register.naas.huawei.com 443 --tls-max 1.2
    # Names of nobody in particular, and names that only look like it.
    fetch 198.51.100.14 www.example.com 443
    fetch 198.51.100.14 notkaspersky.com 443
    fetch 198.51.100.14 upd.kaspersky.com.example.net 443
    lab_client dig +short -b 198.51.100.15 s00.upd.kaspersky.com @203.0.113.53 >/dev/null
    lab_client dig +short +tcp -b 198.51.100.15 s00.upd.kaspersky.com @203.0.113.53 >/dev/null
    lab_client dig +short +bufsize=1232 -b 198.51.100.15 HTTPS www.huawei.com @203.0.113.53 >/dev/null
    lab_client dig +short +noedns -b 198.51.100.15 AAAA www.example.org @203.0.113.53 >/dev/null
    lab_client openssl s_client -bind 198.51.100.16 -connect 203.0.113.9:8443 \
        -servername S00.UPD.Kaspersky.com </dev/null >/dev/null 2>&1 || true
    lab_client openssl s_client -bind 198.51.100.16 -connect 203.0.113.9:8443 -noservername \
        </dev/null >/dev/null 2>&1 || true
    stop
fi

if wanted chromium; then
    start tests/pcap/chromium.pcap
    chrome https://ksn-file-geo.kaspersky-labs.com/          # TLS 1.3, X25519MLKEM768, two segments
    chrome https://api.tiktokv.com/ --origin-to-force-quic-on=api.tiktokv.com:443 # HTTP/3
    stop
fi

if wanted starttls; then
    start tests/pcap/starttls.pcap
    lab_client openssl s_client -connect 203.0.113.7:25 -starttls smtp -servername mail.huawei.com \
        </dev/null >/dev/null 2>&1 || true
    lab_client curl -sko /dev/null --max-time 10 -x http://203.0.113.8:8080 http://www.zte.com.cn/ || true
    stop
fi

mirror() { # mirror FILE TUNNEL-OPTIONS…
    local file=$1
    shift
    lab_mirror "$@"
    start "$file" "$lab_m" m1
    fetch 198.51.100.10 s00.upd.kaspersky.com 443 --tlsv1.3
    fetch 198.51.100.14 www.example.com 443
    lab_client dig +short -b 198.51.100.15 ezviz7.com @203.0.113.53 >/dev/null
    stop
    lab_mirror_down
}
ends='remote 192.0.2.2 local 192.0.2.1'
if wanted vxlan; then
    mirror tests/pcap/vxlan-mirror.pcap vxlan id 4711 dstport 4789 $ends
fi
if wanted erspan && ! lab_can_mirror erspan seq key 77 erspan_ver 1 erspan 5 $ends; then
    echo "record: this kernel has no ERSPAN device: erspan-mirror.pcap is not recorded" >&2
elif wanted erspan; then
    mirror tests/pcap/erspan-mirror.pcap erspan seq key 77 erspan_ver 1 erspan 5 $ends
fi
ls -l tests/pcap/*.pcap
