#!/usr/bin/env python3
"""`make bench-live`: what capturing costs, beside the bare limits, on a veth pair of its own.

Needs root, two cores and a namespace; touches nothing outside it, and ends by itself. Two paths:

  skb    frames sent with sendmmsg, as a virtual interface delivers them: the processor time per
         packet of the receiving process. The reference is a bare TPACKET_V3 loop that classifies
         (benches/limits/tpv3.c); ours captures and runs the whole core.
  frame  raw frames with no skb, as a driver with XDP hands them over: processor time of the
         kernel thread that receives them, and of the process, per packet on the wire. The
         reference is the same bare loop behind a program that passes everything.

Ours and the reference alternate; ratios are taken inside a round, their median is printed.

Before that, at the highest rate that the sender reaches: are all names of the generator's truth
file found, by each back end; does a daemon count each client's messages to each vendor; and does
one that is scraped all the time lose a packet? Where it is not so, the run fails once it has
printed everything; a missed goal fails nothing.

    benches/live/live.py [--rounds N] [--seconds S] [--pps N] [--work DIR] [--receiver FILE]
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))
import peers  # noqa: E402  (the truth file is read there)

LIMITS = ROOT / "benches/limits"
NAMESPACE = f"ring-bench-{os.getpid()}"[:15]
INSIDE = ["ip", "netns", "exec", NAMESPACE]
CORES = sorted(os.sched_getaffinity(0))
# Longer than a block waits in the ring.
SETTLE = 0.1
# Seconds in which any sender is through with the whole file.
WHOLE = 8
SENDER, RECEIVER = str(CORES[0]), str(CORES[-1])


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, text=True, **more)


def build(work, receiver):
    for name, command, libs in [
        ("mkload.rs", ["rustc", "--edition", "2021", "-O", "-A", "warnings"], []),
        ("send.c", ["cc", "-O2", "-w"], []),
        ("tpv3.c", ["cc", "-O2", "-march=native", "-w"], ["-lpcap"]),
        ("xdprun.c", ["cc", "-O2", "-w"], ["-lbpf"]),
        ("xdpgen.c", ["cc", "-O2", "-w"], ["-lbpf"]),
    ]:
        source, out = LIMITS / name, work / pathlib.Path(name).stem
        if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
            run(*command, "-o", out, source, *libs)
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    run(shutil.which("clang-14") or "clang", "-O2", "-g", "-target", "bpf", f"-I{include}",
        "-c", LIMITS / "xdp.bpf.c", "-o", work / "xdp.bpf.o")
    if not (work / "mix-1m.pcap").exists():
        run(work / "mkload", "--out", work / "mix-1m.pcap", "--packets", 1_000_000, "--seed", 1,
            stdout=subprocess.DEVNULL)
    peers.signatures(work)
    if not receiver:
        run("scripts/release.sh", "receiver", cwd=ROOT)
    return work


def lab():
    run("ip", "netns", "add", NAMESPACE)
    run(*INSIDE, "ip", "link", "set", "lo", "up")
    run(*INSIDE, "ip", "link", "add", "wire", "type", "veth", "peer", "name", "span")
    for end in ["wire", "span"]:
        run(*INSIDE, "ip", "link", "set", end, "addrgenmode", "none")
        run(*INSIDE, "ip", "link", "set", end, "up", "promisc", "on")
        run(*INSIDE, "ethtool", "-K", end, "gro", "off", stderr=subprocess.DEVNULL)


def start(*words, core=RECEIVER, env=None):
    command = [*INSIDE, "taskset", "-c", core, *[str(word) for word in words]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, **(env or {})})


def receive(work, receiver, seconds, backend, *more):
    process = start(receiver, "--signatures", work / "signatures", *more, "span", seconds, backend)
    assert process.stdout.readline() == "ready\n", "the receiver did not start"
    return process


def ours(process):
    """the receiver's figures by name"""
    words = process.communicate()[0].split("\n")[0].split()
    figures = {"backend": words[1]}
    figures.update((word, int(value)) for word, value in zip(words[2::2], words[3::2]))
    return figures


def bare(process):
    """the bare loop's figures by the same names"""
    text = process.communicate()[0]
    figure = lambda pattern: float(re.search(pattern, text).group(1))
    packets = int(figure(r"packets (\d+)"))
    return {"packets": packets, "dropped": int(figure(r"kernel-drops (\d+)")),
            "cpu_ns": figure(r"\(([\d.]+) s\)") * 1e9}


def ran(process):
    """nanoseconds that a process of one thread has run"""
    return int(pathlib.Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def threads():
    """the kernel threads that receive for the interface, and their time"""
    total, found = 0, []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().startswith("napi/span"):
                total += int((entry / "schedstat").read_text().split()[0])
                found.append(entry.name)
        except OSError:
            pass
    return total, found


def send_all_out(work, seconds):
    """(frames on the wire, Mpps, Gbit/s) of the sender at its highest rate; 0 s: the file once"""
    text = run(*INSIDE, "taskset", "-c", SENDER, work / "send", "wire", work / "mix-1m.pcap",
               0, seconds, stdout=subprocess.PIPE).stdout
    sent, rate, bits, failed = re.search(
        r"sent (\d+) .* ([\d.]+) Mpps ([\d.]+) Gbit/s failed (\d+)", text).groups()
    # What its own end refused was never on the wire.
    return int(sent) - int(failed), rate, bits


def faults(where, **figures):
    """a line for each figure, (expected, found), that is not what it has to be"""
    return [f"{where}: {what.replace('_', ' ')}: expected {wanted}, found {found}"
            for what, (wanted, found) in figures.items() if wanted != found]


def names_at_full_rate(work, receiver, options):
    """what each back end finds of the truth file, and what it drops; returns the faults"""
    wanted, _ = peers.truth(work / "mix-1m.pcap")
    wanted = {(kind, name) for kind, names in wanted.items() for name in names}
    kinds, wrong = {kind for kind, _ in wanted}, []
    # The sender is to begin at once.
    peers.warm(work / "mix-1m.pcap")
    for backend in ["ring", "auto", "xdp"]:
        found = work / "names.txt"
        process = receive(work, receiver, WHOLE, backend, "--names", found)
        count, rate, bits = send_all_out(work, 0)
        got = ours(process)
        seen = {tuple(line.split("\t")) for line in found.read_text().splitlines()}
        missing = sorted(wanted - seen)
        false = sorted(name for name in seen - wanted if name[0] in kinds)
        packets, dropped = got["packets"] + got["skipped"], got["dropped"]
        print(f"names, {backend:<5} at {rate} Mpps, {bits} Gbit/s: {len(wanted & seen)} of "
              f"{len(wanted)}, false {len(false)}; {packets} packets of {count} seen or left out, "
              f"dropped {dropped}", flush=True)
        wrong += faults(f"names, {backend}", names_missing=([], missing[:5]),
                        false_names=([], false[:5]), packets_dropped=(0, dropped),
                        packets_seen_or_left_out=(count, packets))
    return wrong


SCRAPER = """
import re, sys, time, urllib.request
url, end, took = "http://127.0.0.1:10064/metrics", time.time() + float(sys.argv[1]), []
while time.time() < end:
    begun = time.time()
    text = urllib.request.urlopen(url).read().decode()
    took.append(time.time() - begun)
    time.sleep(0.1)
family = lambda name: sum(float(line.split()[-1]) for line in text.splitlines()
                          if re.match(name + "[{ ]", line))
print(len(took), max(took) * 1e3, family("vendorwatch_packets_total"),
      family('vendorwatch_capture_dropped_packets_total'))
"""


@contextlib.contextmanager
def daemon(binary, backend, *more):
    """a daemon with one worker, all its threads on one core, that is ready; it ends with this"""
    process = subprocess.Popen(
        [*INSIDE, "taskset", "-c", RECEIVER, binary, "run", "-i", "span", "--capture", backend,
         "--workers", "1", "--web.listen-address=127.0.0.1:10064", *map(str, more)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ready = [*INSIDE, "curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:10064/-/ready"]
        for _ in range(100):
            if subprocess.run(ready).returncode == 0:
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def scraper(seconds):
    """scrapes for a while, and says how often, the slowest in milliseconds, packets seen or left
    out, and dropped ones"""
    return start(sys.executable, "-c", SCRAPER, seconds, core=SENDER)


def clients_at_full_rate(work, binary, options):
    """what a daemon counts of each client's messages to each vendor; returns the faults"""
    _, clients = peers.truth(work / "mix-1m.pcap")
    own, wrong = peers.own(work / "signatures"), []
    for backend in ["ring", "auto", "xdp"]:
        inventory = work / "clients.db"
        inventory.unlink(missing_ok=True)
        with daemon(binary, backend, *own, "--inventory", inventory):
            count, rate, _ = send_all_out(work, 0)
            # Until it has counted the last packets.
            _, _, packets, dropped = map(float, scraper(1).communicate()[0].split())
        report = run(binary, "inventory", "--format", "json", "--inventory", inventory, *own,
                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        others, told = peers.miscounted(clients, report)
        print(f"clients, {backend:<5} at {rate} Mpps: {len(clients)} clients × vendors, {others} "
              f"with another count; {packets:.0f} packets of {count} seen or left out, dropped "
              f"{dropped:.0f}", flush=True)
        wrong += faults(f"clients, {backend}", packets_dropped=(0, int(dropped)),
                        packets_seen_or_left_out=(count, int(packets)))
        wrong += [f"clients, {backend}: {line}" for line in told]
    return wrong


def scraped_at_full_rate(work, binary, options):
    """a daemon that is scraped ten times a second; returns the faults"""
    wrong = []
    for backend in ["ring", "auto", "xdp"]:
        with daemon(binary, backend):
            scraping = scraper(options.seconds + 2)
            count, rate, _ = send_all_out(work, options.seconds)
            scrapes, slowest, packets, dropped = map(float, scraping.communicate()[0].split())
        print(f"scraped, {backend:<5} at {rate} Mpps: {scrapes:.0f} scrapes, the slowest "
              f"{slowest:.1f} ms; {packets:.0f} packets of {count} seen or left out, "
              f"dropped {dropped:.0f}", flush=True)
        wrong += faults(f"scraped, {backend}", packets_dropped=(0, int(dropped)),
                        packets_seen_or_left_out=(count, int(packets)))
    return wrong


def skb_path(work, receiver, options):
    """processor time per packet of the process: (bare, ring, filtered ring)"""
    def one(process, figures):
        before = ran(process)
        run(*INSIDE, "taskset", "-c", SENDER, work / "send", "wire", work / "mix-1m.pcap",
            options.send_pps, options.seconds, stdout=subprocess.DEVNULL)
        time.sleep(SETTLE)
        spent, got = ran(process) - before, figures(process)
        wire = got["packets"] + got.get("skipped", 0)
        return spent / max(wire, 1), got
    lasting = options.seconds + 2
    loop = start(work / "tpv3", "span", lasting, "classify")
    time.sleep(0.5)
    reference = one(loop, bare)
    return reference, *[one(receive(work, receiver, lasting, kind), ours) for kind in ["ring", "auto"]]


def frame_path(work, receiver, options):
    """kernel and process time per packet on the wire: (bare without filter, XDP and ring)"""
    env = {"XDP_OBJ": str(work / "xdp.bpf.o"), "CORE": RECEIVER}

    def generate(process):
        before, found = threads()
        process_before = ran(process)
        assert found, "no threaded NAPI"
        for thread in found:
            run("taskset", "-p", "-c", RECEIVER, thread, stdout=subprocess.DEVNULL)
        run(*INSIDE, "taskset", "-c", SENDER, "env", f"XDP_OBJ={env['XDP_OBJ']}", work / "xdpgen",
            "wire", work / "mix-1m.pcap", options.seconds, options.pps, stdout=subprocess.DEVNULL)
        time.sleep(SETTLE)
        return threads()[0] - before, ran(process) - process_before

    lasting = options.seconds + 3
    everything = start(work / "xdprun", "span", "xdp_pass", lasting, env=env)
    time.sleep(0.5)
    loop = start(work / "tpv3", "span", lasting - 1, "classify")
    time.sleep(0.5)
    (kernel, spent), got = generate(loop), bare(loop)
    wire = int(re.search(r"packets (\d+)", everything.communicate()[0]).group(1))
    reference = (kernel / wire, spent / wire, {**got, "wire": wire})

    process = receive(work, receiver, lasting, "xdp")
    run(*INSIDE, "sh", "-c", "echo 1 > /sys/class/net/span/threaded")
    time.sleep(0.3)
    (kernel, spent), got = generate(process), ours(process)
    assert got["backend"] == "xdp", "XDP was refused"
    wire = got["packets"] + got["skipped"] + got["dropped"]
    return reference, (kernel / wire, spent / wire, {**got, "wire": wire})


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--seconds", type=int, default=3)
    words.add_argument("--pps", type=int, default=1_500_000, help="on the frame path")
    words.add_argument("--send-pps", type=int, default=600_000, help="on the skb path; 0: all out")
    words.add_argument("--work", type=pathlib.Path, default=ROOT / "target/bench-live")
    words.add_argument("--receiver", type=pathlib.Path, help="one that is built already")
    words.add_argument("--binary", type=pathlib.Path, help="vendorwatch, when it is built already")
    options = words.parse_args()
    if os.geteuid() != 0 or len(CORES) < 2:
        sys.exit("needs root (packet sockets, a namespace, XDP) and two cores")
    options.work.mkdir(parents=True, exist_ok=True)
    work = build(options.work, options.receiver)
    receiver = options.receiver or ROOT / "target/trained/receiver"
    binary = options.binary or ROOT / "target/trained/vendorwatch"
    skb, frame = [], []
    try:
        lab()
        wrong = names_at_full_rate(work, receiver, options)
        wrong += clients_at_full_rate(work, binary, options)
        wrong += scraped_at_full_rate(work, binary, options)
        for number in range(options.rounds):
            skb.append(skb_path(work, receiver, options))
            (loop, _), (ring, _), (filtered, figures) = skb[-1]
            print(f"round {number + 1}  skb    process ns a packet: bare loop {loop:.0f}, ring "
                  f"{ring:.0f}, filtered ring {filtered:.0f} a packet on the wire; dropped "
                  f"{[got['dropped'] for _, got in skb[-1]]}", flush=True)
            frame.append(frame_path(work, receiver, options))
            (kernel, process, got), (our_kernel, our_process, figures) = frame[-1]
            print(f"         frame  kernel + process ns a packet on the wire: bare loop "
                  f"{kernel:.0f} + {process:.0f}, xdp {our_kernel:.0f} + {our_process:.0f}; "
                  f"passed {figures['packets'] / figures['wire']:.1%}; dropped "
                  f"{[got['dropped'], figures['dropped']]}", flush=True)
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)
    middle = statistics.median
    ring = middle(ring / loop for (loop, _), (ring, _), _ in skb)
    filtered = middle(filtered / loop for (loop, _), _, (filtered, _) in skb)
    xdp = middle((b[0] + b[1]) / (a[0] + a[1]) for a, b in frame)
    passed = middle(b[2]["packets"] / b[2]["wire"] for _, b in frame)
    print(f"\nmedians of {options.rounds} rounds")
    print(f"  ring, process / bare classify loop            {ring:.2f}   (goal 1.5)")
    print(f"  filtered ring, process / bare classify loop   {filtered:.2f}")
    print(f"  XDP + ring, all / bare loop without a filter  {xdp:.2f}   (goal 0.40), "
          f"{passed:.1%} passed")
    if wrong:
        sys.exit("\n  ".join(["the names or the packets are not what was sent:", *wrong]))


if __name__ == "__main__":
    main()
