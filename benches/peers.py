#!/usr/bin/env python3
"""`make bench-peers`: vendorwatch beside the bare limits and the peers that are installed.

The same file, the same core, alternating; CPU time (user + system) of each process, less that of
the same program on a file of 20,000 packets, so that start-up is taken out. Ratios are taken
inside a round; their median is printed. Absolute times mean nothing on a shared machine.

Before a file is timed, what is found in it is held against the generator's truth file: a figure
below 99.9 % recall of any kind, with a false name, or with a client whose messages to a vendor are
counted otherwise, is no figure, and the run fails. A missed goal is printed, and fails nothing.

At the end, on two cores: how much sooner two workers are done with the handshakes than one, by
the clock on the wall, for it is waiting that two workers are to shorten.

    benches/peers.py [--rounds N] [--quick] [--work DIR]
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOADS = {
    "mix-1m": ["--packets", "1000000", "--seed", "1"],
    "handshakes": ["--packets", "1000000", "--seed", "3", "--mode", "handshakes"],
    "mix-10m": ["--packets", "10000000", "--seed", "2"],
}
GOALS = {"mix-1m": 0.85, "handshakes": 2.2}
PEAK_MIB = 64
BPF = (
    "udp port 53 or tcp port 53 or (tcp[((tcp[12]&0xf0)>>2)]=0x16)"
    " or (udp port 443 and udp[8]&0x80 != 0)"
)
CORE = sorted(os.sched_getaffinity(0))[-1]


def build(work):
    """the generator, the bare limits and the binary as it is installed"""
    for source, command in {
        "mkload.rs": ["rustc", "--edition", "2021", "-O", "-o"],
        "walk.c": ["cc", "-O2", "-march=native", "-o"],
        "pcaploop.c": ["cc", "-O2", "-o"],
    }.items():
        out = work / pathlib.Path(source).stem
        path = ROOT / "benches/limits" / source
        if out.exists() and out.stat().st_mtime > path.stat().st_mtime:
            continue
        libs = ["-lpcap"] if source == "pcaploop.c" else []
        quiet = ["-w"] if source.endswith(".c") else ["-A", "warnings"]
        subprocess.run([*command, out, path, *quiet, *libs], check=True)
    subprocess.run(["scripts/release.sh"], cwd=ROOT, check=True)


def load(work, name):
    path = work / f"{name}.pcap"
    if not path.exists():
        print(f"generating {path.name} …", flush=True)
        subprocess.run([work / "mkload", "--out", path, *LOADS[name]], check=True, stdout=subprocess.DEVNULL)
    return path


def head(work, path):
    """the first 20,000 packets, for the start-up cost"""
    out = work / f"{path.stem}-head.pcap"
    if not out.exists():
        with open(path, "rb") as source, open(out, "wb") as sink:
            sink.write(source.read(24))
            for _ in range(20_000):
                header = source.read(16)
                sink.write(header + source.read(int.from_bytes(header[8:12], "little")))
    return out


def signatures(work):
    """a signature directory made from the generator's own table of vendors"""
    folder = work / "signatures"
    folder.mkdir(exist_ok=True)
    text = (ROOT / "benches/limits/mkload.rs").read_text()
    table = re.search(r"const VENDORS[^=]*=\s*&\[(.*?)\];", text, re.S).group(1)
    vendors = collections.defaultdict(list)
    for vendor, domain in re.findall(r'\("([^"]+)","([^"]+)"\)', table):
        vendors[vendor].append(domain)
    number = 1_900_000
    for vendor, domains in vendors.items():
        lines = [f'[vendor]\nid = "{vendor}"\nname = "{vendor}"\ncountry = "ZZ"\naffiliates = []\ndefault_enabled = false\n'
                 'disabled_reason = "made up: no listing names it"\n']
        for domain in domains:
            number += 1
            lines.append(
                f'[[indicator]]\nid = "{vendor}.load.{domain.replace(".", "-")}"\nnumber = {number}\n'
                f'match = {{ kind = "suffix", value = "{domain}" }}\npurpose = "cloud"\nproduct = "load"\n'
                'strength = "moderate"\nevidence = [{ class = "A", title = "the load generator\'s table", '
                'reference = "https://generator.invalid/mkload.rs", retrieved = "2026-11-21", says = "made up" }]\n'
                'confounders = ["made up"]\nfirst_seen = "2026-11-21"\nreview_by = "2027-05-21"\n'
            )
        (folder / f"{vendor}.toml").write_text("\n".join(lines))
    return folder


def own(folder):
    """only the generator's vendors"""
    vendors = ",".join(sorted(path.stem for path in folder.glob("*.toml")))
    return ["--signatures", folder, "--signatures.built-in=false", "--signatures.enable", vendors]


def run(command, cwd=None):
    """(CPU seconds, peak resident KiB) of one run, output thrown away"""
    process = subprocess.Popen(
        ["taskset", "-c", str(CORE), *map(str, command)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd,
    )
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed ({process.returncode}): {errors.decode(errors='replace')[-500:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def warm(path):
    """twice: on these machines the second reading settles the page cache"""
    for _ in range(2):
        with open(path, "rb") as file:
            while file.read(1 << 22):
                pass


def two_workers(work, binary, folder, rounds):
    """one worker's wall time over two workers', in each round; start-up is in both"""
    path = load(work, "handshakes")
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[-2:]))
    print(f"\nhandshakes, 2 workers on cores {cores}, {rounds} rounds")
    verify(binary, path, folder, workers=2)

    def took(workers):
        begun = time.monotonic()
        subprocess.run(["taskset", "-c", cores, binary, "read", "--workers", str(workers),
                        *own(folder), path], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return time.monotonic() - begun

    ratios = []
    for _ in range(rounds):
        warm(path)
        ratios.append(took(1) / took(2))
    middle = statistics.median(ratios)
    print(f"  {middle:.2f} times as fast as 1 worker, by the wall "
          f"[{min(ratios):.2f}-{max(ratios):.2f}]; goal 1.6: "
          f"{'reached' if middle >= 1.6 else 'missed'}")


KINDS = {"dns": "dns-query", "tls": "tls-sni", "quic": "quic-sni"}


def truth(path):
    """kind -> names, and (client, vendor) -> messages"""
    names, clients = collections.defaultdict(set), collections.Counter()
    for line in open(f"{path}.truth.tsv", encoding="utf-8"):
        fields = line.rstrip("\n").split("\t")
        if len(fields) < 5 or not fields[3].isdigit():
            continue
        kind, client, name, count, vendor = fields[:5]
        kind = next((KINDS[k] for k in KINDS if kind.startswith(k)), kind)
        names[kind].add(name.lower().rstrip("."))
        if vendor != "-":
            clients[client, vendor] += int(count)
    # Held against nothing, everything would be right.
    for kind in KINDS.values():
        if not names[kind]:
            sys.exit(f"{path}.truth.tsv: expected names of kind {kind}, found none; "
                     f"remove {path.name} to have both generated again")
    return names, clients


def miscounted(clients, report):
    """how many clients' messages to a vendor are counted otherwise than in the truth file, by a
    report of clients as JSON lines, and what is to be said of the first of them"""
    counted = collections.Counter()
    for line in report.splitlines():
        finding = json.loads(line)
        for indicator in finding["indicators"]:
            # The generator writes its HTTP requests down nowhere.
            if indicator["signal"].replace("_", "-") in KINDS.values():
                counted[finding["client"], finding["vendor"]] += indicator["count"]
    wrong = sorted(key for key in clients | counted if clients[key] != counted[key])
    return len(wrong), [f"{client} to {vendor}: expected {clients[client, vendor]} messages, "
                        f"found {counted[client, vendor]}" for client, vendor in wrong[:5]]


def verify(binary, path, folder, workers=1):
    """ends the process where what is found in the file is not what its truth file says"""
    wanted, clients = truth(path)
    read = [binary, "read", "--workers", str(workers)]
    listing = subprocess.run([*read, "--names", path], capture_output=True, text=True, check=True)
    seen, faults = collections.defaultdict(set), []
    for line in listing.stdout.splitlines():
        kind, _, name = line.partition("\t")
        seen[kind].add(name)
    for kind, names in sorted(wanted.items()):
        recall = 100 * len(names & seen[kind]) / len(names)
        false = sorted(seen[kind] - names)
        print(f"  {kind:<10} {len(names):>7} names, recall {recall:.3f} %, false {len(false)}")
        if recall < 99.9:
            faults.append(f"{kind}: expected 99.9 % of {len(names)} names, found {recall:.3f} %; "
                          f"missing {sorted(names - seen[kind])[:5]}")
        if false:
            faults.append(f"{kind}: expected no false name, found {len(false)}: {false[:5]}")
    report = subprocess.run(
        [*read, "--format", "json", "--by", "client", *own(folder), path],
        capture_output=True, text=True, check=True,
    )
    wrong, told = miscounted(clients, report.stdout)
    print(f"  clients × vendors: {len(clients)} in the truth file, {wrong} with another count")
    faults += told
    if faults:
        sys.exit("\n  ".join([f"{path}: not timed, its truth file says otherwise:", *faults]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="leave out the file of 10 million packets")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/bench")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    build(args.work)
    folder = signatures(args.work)
    binary = ROOT / "target/trained/vendorwatch"

    def programs(path):
        fields = ["-T", "fields", "-e", "ip.src", "-e", "ipv6.src", "-e", "dns.qry.name",
                  "-e", "tls.handshake.extensions_server_name"]
        yield "libpcap loop", [args.work / "pcaploop", path]
        yield "walk classify read", [args.work / "walk", path, "classify", "read"]
        yield "walk classify mmap", [args.work / "walk", path, "classify", "mmap"]
        yield "libpcap loop + BPF", [args.work / "pcaploop", path, BPF]
        yield "vendorwatch", [binary, "read", "--workers", "1", *own(folder), path]
        if shutil.which("ndpiReader"):
            yield "ndpiReader", ["ndpiReader", "-q", "-i", path]
        if shutil.which("suricata"):
            yield "suricata", ["suricata", "-r", path, "--runmode", "single", "-l", args.work]
        if shutil.which("tshark") and path.stem == "mix-1m":
            yield "tshark (first round only)", ["tshark", "-n", "-r", path, "-Y",
                  "dns.flags.response==0 || tls.handshake.type==1", *fields]

    def cost(command, start_up, packets):
        """nanoseconds a packet beyond those of a short file, and peak resident KiB"""
        base, _ = run(start_up)
        whole, peak = run(command)
        return (whole - base) / (packets - 20_000) * 1e9, peak

    def growth():
        """what a packet of 10 million costs over one of 1 million: (vendorwatch, bare walk)"""
        wanted, costs = ("vendorwatch", "walk classify read"), []
        for name, packets in [("mix-1m", 1_000_000), ("mix-10m", 10_000_000)]:
            path = load(args.work, name)
            warm(path)
            start_ups, commands = dict(programs(head(args.work, path))), dict(programs(path))
            costs.append([cost(commands[it], start_ups[it], packets)[0] for it in wanted])
        return [long / short for short, long in zip(*costs)]

    for name in LOADS:
        if args.quick and name == "mix-10m":
            continue
        path = load(args.work, name)
        small = head(args.work, path)
        print(f"\n{name}: {path.stat().st_size / 1e9:.2f} GB, core {CORE}, {args.rounds} rounds, alternating",
              flush=True)
        # Apart, because Linux counts what this process once held into the peak of all it starts.
        check = multiprocessing.Process(target=verify, args=(binary, path, folder))
        check.start()
        check.join()
        if check.exitcode != 0:
            sys.exit(1)
        packets = 10_000_000 if name == "mix-10m" else 1_000_000
        figures, peaks = collections.defaultdict(list), collections.defaultdict(int)
        for round_ in range(args.rounds):
            warm(path)
            for (program, command), (_, start_up) in zip(programs(path), programs(small)):
                if "first round" in program and round_ > 0:
                    continue
                net, peak = cost(command, start_up, packets)
                figures[program].append(net)
                peaks[program] = max(peaks[program], peak)
        reference = figures["libpcap loop"]
        print(f"  {'program':<26}{'net ns/packet':>14}{'x libpcap loop':>16}{'[min-max]':>14}{'peak MiB':>10}")
        for program, values in figures.items():
            ratios = [v / r for v, r in zip(values, reference)]
            print(f"  {program:<26}{statistics.median(values):>14.0f}{statistics.median(ratios):>16.2f}"
                  f"{f'{min(ratios):.2f}-{max(ratios):.2f}':>14}{peaks[program] / 1024:>10.0f}")
        if name in GOALS:
            ratio = statistics.median(v / r for v, r in zip(figures["vendorwatch"], reference))
            print(f"  goal {GOALS[name]} x libpcap loop: {'reached' if ratio <= GOALS[name] else 'missed'} ({ratio:.2f})")
        peak = peaks["vendorwatch"] / 1024
        print(f"  goal {PEAK_MIB} MiB peak: {'reached' if peak <= PEAK_MIB else 'missed'} ({peak:.0f})")
    if len(os.sched_getaffinity(0)) > 1:
        two_workers(args.work, binary, folder, args.rounds)
    if not args.quick:
        ratios = [ours / bare for ours, bare in (growth() for _ in range(args.rounds))]
        middle = statistics.median(ratios)
        print(f"\ngrowth of ns per packet from 1 M to 10 M, over the bare walk's own: {middle:.2f} "
              f"[{min(ratios):.2f}-{max(ratios):.2f}]; goal 1.1: "
              f"{'reached' if middle <= 1.1 else 'missed'}")


if __name__ == "__main__":
    main()
