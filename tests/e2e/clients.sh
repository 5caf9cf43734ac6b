#!/usr/bin/env bash
# Real clients on the lab's network, under the eyes of the sensor. clients.rs says what it must see.
#
#   clients.sh direct DIR                     the sensor on the wire
#   clients.sh mirror DIR TYPE [OPTIONS…]     the sensor behind a mirror that the kernel makes with a
#                                             tunnel device; prints "absent" where it has no such one
#
# As root, with the binary in $VENDORWATCH. DIR holds signatures/, and gets the sensor's last metrics
# and the span.pcap of a tcpdump beside it. Every name is below lab.example and belongs to one client
# alone.
set -euo pipefail
what=$1 dir=$2
shift 2
cd "$(dirname "$0")/../.."
. scripts/lab.sh
export LAB_PYTHON=$PWD/target/lab-venv/bin/python
dns=203.0.113.53 server=203.0.113.7

url=http://127.0.0.1:10064

# watch NETNS INTERFACE: starts the sensor and tcpdump, and waits until both see.
watch() {
    # Not through lab_server: a function in the background is a shell of its own, and the signals
    # are for the programs.
    watched=$1
    ip netns exec "$1" tcpdump -q -U -Z root -s 0 -i "$2" -w "$dir/span.pcap" 2>"$dir/tcpdump.log" &
    tcpdump=$!
    lab_track $tcpdump
    ip netns exec "$1" ip link set lo up
    ip netns exec "$1" "$VENDORWATCH" run -i "$2" --web.listen-address=127.0.0.1:10064 \
        --signatures "$dir/signatures" --inventory "$dir/inventory.db" 2>"$dir/sensor.log" &
    sensor=$!
    lab_track $sensor
    until grep -q "listening on" "$dir/tcpdump.log" &&
        ip netns exec "$1" curl -sfo /dev/null $url/-/ready; do
        { kill -0 $sensor && kill -0 $tcpdump; } 2>/dev/null || { cat "$dir"/*.log >&2; exit 1; }
        sleep 0.05
    done
}

# Ends both when they have seen the last client, which comes now.
unwatch() {
    local end
    lab_client dig +short last.lab.example @$dns >/dev/null
    end=$((SECONDS + 60))
    until ip netns exec "$watched" curl -sf $url/metrics >"$dir/metrics" &&
        grep -q '^vendorwatch_detections_total{.*vendor="last".* 1$' "$dir/metrics" &&
        "$VENDORWATCH" read --names "$dir/span.pcap" 2>/dev/null | grep -q last.lab.example; do
        [ $SECONDS -lt $end ] || { echo "the last name was not seen" >&2; exit 1; }
        sleep 0.1
    done
    kill -INT $tcpdump
    wait $tcpdump
    kill -TERM $sensor
    wait $sensor
}

curl_() { # curl_ [options] URL: the lab's page must be there
    lab_client curl -sk --max-time 20 "$@" | grep -q "hello from the lab" ||
        { echo "curl $*: no page" >&2; exit 1; }
}

starttls() { # starttls PROTOCOL PORT [options]
    local protocol=$1 port=$2
    shift 2
    # The certificate counts, not the status: the server may hang up first.
    lab_client timeout 20 openssl s_client -connect "$server:$port" -starttls "$protocol" \
        -servername "$protocol.lab.example" "$@" </dev/null >"$dir/$protocol.log" 2>&1 || true
    grep -q "BEGIN CERTIFICATE" "$dir/$protocol.log" ||
        { echo "openssl -starttls $protocol:" >&2; cat "$dir/$protocol.log" >&2; exit 1; }
}

chrome() { # chrome URL [options]
    local url=$1 spki
    shift
    spki=$(openssl x509 -in "$lab_dir/cert.pem" -pubkey -noout | openssl pkey -pubin -outform der |
        openssl dgst -sha256 -binary | base64)
    lab_client timeout 60 chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-sync \
        --disable-background-networking --disable-component-update --ignore-certificate-errors \
        --ignore-certificate-errors-spki-list="$spki" --user-data-dir="$lab_dir/chrome" "$@" \
        --dump-dom "$url" 2>"$dir/chromium.log" | grep -q "hello from the lab" ||
        { echo "chromium $url: no page" >&2; cat "$dir/chromium.log" >&2; exit 1; }
}

case $what in
    direct)
        lab_up vwe-direct
        watch "$lab_s" s0
        curl_ --tlsv1.3 https://curl-tls13.lab.example/
        curl_ --tls-max 1.2 https://curl-tls12.lab.example:8443/
        curl_ http://curl-http.lab.example:8080/
        curl_ -x http://$server:3128 https://curl-connect.lab.example/
        curl_ -x http://$server:3128 http://curl-proxy.lab.example/
        curl_ --socks5-hostname $server:1080 https://curl-socks5.lab.example/
        curl_ --socks4a $server:1080 https://curl-socks4a.lab.example/
        curl_ --haproxy-protocol https://curl-haproxy.lab.example:8444/
        # The lab speaks no HTTP/2: the request is all there is, and curl fails on the answer. That it
        # was sent is seen by its name, which must be among those found.
        lab_client curl -s --max-time 5 --http2-prior-knowledge http://curl-http2.lab.example:8080/ || true
        starttls smtp 25
        starttls lmtp 24
        starttls imap 143
        starttls pop3 110
        starttls ftp 21
        starttls ldap 389
        starttls xmpp 5222
        starttls xmpp-server 5269
        starttls postgres 5432
        starttls mysql 3306
        starttls nntp 119
        starttls sieve 4190
        starttls irc 6667
        lab_client dig +short +noedns dig-udp.lab.example @$dns >/dev/null
        lab_client dig +short +bufsize=1232 HTTPS dig-edns.lab.example @$dns >/dev/null
        lab_client dig +short +tcp AAAA dig-tcp.lab.example @$dns >/dev/null
        chrome https://chromium-tls.lab.example/ --disable-quic
        chrome https://chromium-quic.lab.example/ --origin-to-force-quic-on=chromium-quic.lab.example:443
        unwatch
        ;;
    mirror)
        lab_up vwe-mirror
        if ! lab_can_mirror "$@"; then
            echo absent
            exit 0
        fi
        lab_mirror "$@"
        watch "$lab_m" m1
        curl_ --tlsv1.3 https://mirror-tls.lab.example/
        curl_ http://mirror-http.lab.example:8080/
        lab_client dig +short mirror-dns.lab.example @$dns >/dev/null
        chrome https://mirror-quic.lab.example/ --origin-to-force-quic-on=mirror-quic.lab.example:443
        unwatch
        ;;
esac
