#!/usr/bin/env bash
# Installs what a target needs and this machine lacks, and says so.
#
#   scripts/deps.sh build|demo|test|bench     (each includes what stands before it)
#   scripts/deps.sh release                   (build, and what training needs)
#   scripts/deps.sh fuzz                      (build, and cargo-fuzz)
#   scripts/deps.sh kernels                   (build, demo, and a virtual machine)
set -euo pipefail
cd "$(dirname "$0")/.."

# command or file that proves it is there : Debian package
build=(/usr/include/pcap/pcap.h:libpcap-dev cc:gcc pkg-config:pkg-config make:make)
demo=(curl:curl dig:dnsutils openssl:openssl ip:iproute2 ethtool:ethtool tcpdump:tcpdump python3:python3)
test=(tshark:tshark prometheus:prometheus promtool:prometheus clang:clang llvm-objcopy:llvm
      /usr/include/bpf/bpf_helpers.h:libbpf-dev /usr/include/linux/bpf.h:linux-libc-dev
      systemd-analyze:systemd named-checkzone:bind9-utils script:bsdutils chromium:chromium /usr/share/doc/python3-venv:python3-venv jq:jq tcpreplay:tcpreplay)
# Those that made the committed in-kernel programs: others make other octets. Debian 12 has them, 13
# has not, and tests/bpf.rs says then what it leaves out.
exact=(clang-14:clang-14 llvm-strip-14:llvm-14)
bench=(valgrind:valgrind ndpiReader:libndpi-bin)
release=(ip:iproute2 curl:curl unshare:util-linux)
fuzz=(c++:g++)
kernels=(qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod jq:jq xz:xz-utils)

need=("${build[@]}")
case ${1:-build} in
    build) ;;
    release) need+=("${release[@]}") ;;
    fuzz) need+=("${fuzz[@]}") ;;
    kernels) need+=("${demo[@]}" "${kernels[@]}") ;;
    demo) need+=("${demo[@]}") ;;
    test) need+=("${demo[@]}" "${test[@]}") ;;
    bench) need+=("${demo[@]}" "${test[@]}" "${release[@]}" "${bench[@]}") ;;
    *) echo "deps: build, release, demo, test, bench, fuzz or kernels" >&2; exit 2 ;;
esac

look_for() {
    missing=()
    for entry in "$@"; do
        proof=${entry%%:*} package=${entry##*:}
        if [[ $proof == /* ]]; then [ -e "$proof" ]; else command -v "$proof" >/dev/null; fi || missing+=("$package")
    done
}
look_for "${need[@]}"
install_missing() {
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    command -v cargo >/dev/null || { echo "deps: a Rust toolchain (cargo) is needed; install it first" >&2; exit 1; }
    command -v apt-get >/dev/null || { echo "deps: please install: ${missing[*]}" >&2; exit 1; }
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "deps: installing ${missing[*]}"
    log=$(mktemp)
    if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "deps: apt-get failed; its whole output is in $log" >&2
        exit 1
    fi
    rm -f "$log"
}
[ ${#missing[@]} -eq 0 ] || install_missing

case ${1:-build} in
    test | bench)
        look_for "${exact[@]}"
        if [ ${#missing[@]} -gt 0 ]; then
            # After the others, so that apt knows what there is.
            if [ -n "$(apt-cache madison clang-14 2>/dev/null)" ]; then
                install_missing
            else
                echo "deps: no ${missing[*]} here: the instructions in bpf/*.o are not compared with their source" >&2
            fi
        fi
        # The lab's HTTP/3 server.
        if ! target/lab-venv/bin/python -c 'import aioquic' 2>/dev/null; then
            echo "deps: installing aioquic into target/lab-venv"
            python3 -m venv target/lab-venv
            target/lab-venv/bin/pip -q install aioquic==1.7.2
        fi
        ;;
esac
case ${1:-build} in
    release | bench)
        if ! package=$(scripts/profdata.sh); then
            missing=("$package")
            (install_missing) || echo "deps: going on without $package: the binary will not be trained" >&2
        fi
        ;;
    fuzz)
        command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz@0.13.2
        ;;
esac
