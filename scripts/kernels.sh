#!/usr/bin/env bash
# Boots the kernels that Debian ships in a virtual machine, on a throw-away copy of this root, and
# runs the live tests there that load the in-kernel programs: does each kernel's verifier take them,
# and do they do the same? Needs root. The machine is emulated: a few minutes a kernel.
#
#   scripts/kernels.sh [PACKAGE…]     metapackages, or packages with one kernel
#
# By default those of Debian 12 (6.1) and Debian 13 (6.12), as far as apt knows them.
set -euo pipefail
cd "$(dirname "$0")/.."
work=target/kernels
tests=(${TESTS:-live::fanout live::filter live::parity live::reuse live::ring live::volume})
modules=(virtio_pci 9pnet_virtio 9p overlay veth bridge)
mkdir -p "$work"

packages=("$@")
if [ ${#packages[@]} -eq 0 ]; then
    for package in linux-image-amd64 linux-image-6.12-amd64; do
        [ -z "$(apt-cache madison "$package" 2>/dev/null)" ] || packages+=("$package")
    done
fi
[ ${#packages[@]} -gt 0 ] || { echo "kernels: apt knows no kernel; name a package" >&2; exit 1; }

program=$(cargo test --locked --test tests --no-run --message-format=json |
    jq -r 'select(.target.name? == "tests" and .executable) | .executable')

# The package with the kernel itself, unpacked.
unpacked() {
    local package=$1 real
    real=$(apt-cache depends "$package" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    package=${real:-$package}
    if [ ! -d "$work/$package" ]; then
        (cd "$work" && apt-get download "$package" >&2)
        dpkg -x "$work/${package}"_*.deb "$work/$package.new"
        rm "$work/${package}"_*.deb
        mv "$work/$package.new" "$work/$package"
    fi
    echo "$work/$package"
}

# What runs first inside: the modules that bring this root in, read-only, with a memory disk on it.
inside() {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do modprobe "$module" || echo "no $module"; done
mkdir -p /lower /upper /root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /lower
mount -t tmpfs -o size=1g upper /upper
mkdir /upper/up /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work root /root
for kind in proc sysfs:sys devtmpfs:dev tmpfs:run tmpfs:tmp bpf:sys/fs/bpf; do
    mount -t "${kind%%:*}" none "/root/${kind##*:}"
done
ip link set lo up
cp /job /root/run/job
chroot /root /bin/sh /run/job && echo "all passed"
poweroff -f
INIT
}

boot() {
    local kernel=$1 release root=$work/initramfs
    release=$(basename "$kernel"/lib/modules/*)
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,proc,sys,sbin,lib/modules/"$release"}
    cp "$(command -v busybox)" "$root/bin/busybox"
    ln -s ../bin/busybox "$root/sbin/modprobe"
    inside >"$root/init"
    chmod +x "$root/init"
    printf '%s\n' "${modules[@]}" >"$root/modules"
    # The repository's own captures are enough for a machine that is emulated.
    printf 'cd %q && VENDORWATCH_SHARED=/none %q --ignored --test-threads=1 --color never %s\n' \
        "$PWD" "$program" "${tests[*]}" >"$root/job"
    cp "$kernel/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$release/"
    depmod -b "$kernel" "$release"
    local module file
    for module in "${modules[@]}"; do
        while read -r _ file _; do
            [[ $file == /* ]] || continue
            file=${file#"$PWD/$kernel"}
            install -D "$kernel$file" "$root$file"
        done < <(modprobe -d "$PWD/$kernel" -S "$release" --show-depends "$module" 2>/dev/null)
    done
    find "$root" -name '*.ko.xz' -exec unxz {} +
    depmod -b "$root" "$release"
    (cd "$root" && find . | cpio --quiet -o -H newc) | gzip -1 >"$work/initramfs.gz"
    echo "== Linux $release"
    local log=$work/$release.log
    rm -f "$log"
    if ! timeout 900 qemu-system-x86_64 -accel tcg -cpu max -m 3G -smp 2 -nographic -no-reboot \
        -kernel "$kernel/boot/vmlinuz-$release" -initrd "$work/initramfs.gz" \
        -append "console=ttyS0 quiet panic=-1" \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
        -device virtio-9p-pci,fsdev=root,mount_tag=root </dev/null | sed -u 's/\r//' |
        tee "$log"; then
        echo "kernels: the machine with Linux $release did not end by itself within 15 minutes; see $log" >&2
        exit 1
    fi
    if ! grep -q '^all passed$' "$log" || ! grep -q '^test result: ok\. [1-9]' "$log"; then
        echo "kernels: not all passed on Linux $release; see $log" >&2
        exit 1
    fi
}

for package in "${packages[@]}"; do
    kernel=$(unpacked "$package")
    boot "$kernel"
done
