#!/usr/bin/env bash
# A small network of our own: clients and servers in two namespaces, joined by a veth pair.
#
#   . scripts/lab.sh; lab_up NAME; ...; lab_down
#
# NAME-c holds the clients (198.51.100.10-19, 2001:db8:c::10), NAME-s the servers
# (203.0.113.1-99, 2001:db8:5::1). The servers answer DNS for every name and speak HTTP, TLS,
# everything that turns to TLS, and, where aioquic is there, HTTP/3. Nothing leaves the namespaces.
# Everything made here is removed by lab_down, which also runs on exit.

lab_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

lab_up() {
    lab_name=$1
    [ "$(id -u)" = 0 ] || { echo "lab: network namespaces need root" >&2; return 1; }
    lab_c=$lab_name-c lab_s=$lab_name-s
    lab_dir=$(mktemp -d "${TMPDIR:-/tmp}/$lab_name.XXXXXX")
    lab_pids=() lab_netns=("$lab_c" "$lab_s")
    trap lab_down EXIT
    ip netns add "$lab_c"
    ip netns add "$lab_s"
    ip link add c0 netns "$lab_c" type veth peer name s0 netns "$lab_s"
    local n
    for n in $(seq 10 19); do ip -n "$lab_c" addr add "198.51.100.$n/24" dev c0; done
    ip -n "$lab_c" addr add 2001:db8:c::10/64 dev c0 nodad
    for n in $(seq 1 99); do echo "addr add 203.0.113.$n/24 dev s0"; done | ip -n "$lab_s" -batch -
    ip -n "$lab_s" addr add 2001:db8:5::1/64 dev s0 nodad
    ip -n "$lab_c" link set lo up; ip -n "$lab_s" link set lo up
    ip -n "$lab_c" link set c0 up; ip -n "$lab_s" link set s0 up
    ip -n "$lab_c" route add 203.0.113.0/24 dev c0 src 198.51.100.10
    ip -n "$lab_c" route add 2001:db8:5::/64 dev c0
    ip -n "$lab_s" route add 198.51.100.0/24 dev s0
    ip -n "$lab_s" route add 2001:db8:c::/64 dev s0
    # Segments as a wire carries them, not as the kernel hands them from one veth end to the other.
    if command -v ethtool >/dev/null; then
        ip netns exec "$lab_c" ethtool -K c0 tso off gso off gro off tx off >/dev/null 2>&1 || true
        ip netns exec "$lab_s" ethtool -K s0 tso off gso off gro off tx off >/dev/null 2>&1 || true
    fi
    mkdir -p "/etc/netns/$lab_c"
    echo "nameserver 203.0.113.53" >"/etc/netns/$lab_c/resolv.conf"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=lab.example" \
        -addext "subjectAltName=DNS:lab.example,DNS:*.lab.example" \
        -keyout "$lab_dir/key.pem" -out "$lab_dir/cert.pem" 2>/dev/null
    ip netns exec "$lab_s" "${LAB_PYTHON:-python3}" "$lab_root/scripts/lab_servers.py" \
        --cert "$lab_dir/cert.pem" --key "$lab_dir/key.pem" --ready "$lab_dir/ready" \
        2>"$lab_dir/servers.log" &
    lab_pids+=($!)
    for n in $(seq 200); do
        [ -e "$lab_dir/ready" ] && return 0
        kill -0 "${lab_pids[0]}" 2>/dev/null || break
        sleep 0.05
    done
    echo "lab: the servers did not start:" >&2
    cat "$lab_dir/servers.log" >&2
    return 1
}

# A mirror as switches send it: every packet of s0, both ways, copied by the kernel into a tunnel to
# NAME-m, where it arrives at m1 (192.0.2.2). One at a time.
#
#   lab_mirror TYPE [options of `ip link add`, to 192.0.2.2 from 192.0.2.1]; ...; lab_mirror_down
lab_mirror() {
    lab_m=$lab_name-m
    ip netns add "$lab_m"
    lab_track_netns "$lab_m"
    ip link add m0 netns "$lab_s" type veth peer name m1 netns "$lab_m"
    ip -n "$lab_s" addr add 192.0.2.1/24 dev m0
    ip -n "$lab_m" addr add 192.0.2.2/24 dev m1
    ip -n "$lab_s" link set m0 up mtu 2000
    ip -n "$lab_m" link set m1 up mtu 2000
    ip -n "$lab_m" link set lo up
    ip -n "$lab_s" link add span0 type "$@"
    ip -n "$lab_s" link set span0 up mtu 1600
    local way
    ip netns exec "$lab_s" tc qdisc add dev s0 clsact
    for way in ingress egress; do
        ip netns exec "$lab_s" tc filter add dev s0 "$way" protocol all u32 match u32 0 0 \
            action mirred egress mirror dev span0
    done
}
lab_mirror_down() {
    ip netns exec "$lab_s" tc qdisc del dev s0 clsact
    ip -n "$lab_s" link del span0
    ip netns del "$lab_m"
}

# Can this kernel make a tunnel device of these options?
lab_can_mirror() {
    ip -n "$lab_s" link add probe type "$@" 2>/dev/null &&
        ip -n "$lab_s" link del probe
}

# Runs a command among the clients, as among the servers.
lab_client() { ip netns exec "$lab_c" "$@"; }
lab_server() { ip netns exec "$lab_s" "$@"; }

# Remembers a process, or a further namespace, for lab_down.
lab_track() { lab_pids+=("$1"); }
lab_track_netns() { lab_netns+=("$1"); }

lab_down() {
    trap - EXIT
    local pid netns
    for pid in "${lab_pids[@]}"; do
        kill "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    for netns in "${lab_netns[@]}"; do
        ip netns del "$netns" 2>/dev/null || true
    done
    rm -rf "/etc/netns/$lab_c" "$lab_dir"
    rmdir /etc/netns 2>/dev/null || true
}
