//! How large a machine a mirror port needs, the figures behind it, and how to measure one's own.
//!
//! # First: one's own traffic
//!
//! ```text
//! vendorwatch bench --link 10 capture.pcap
//! ```
//!
//! times each stage on a capture and says how busy a worker would be on a full link of such
//! packets. A capture of a busy minute is worth more than every figure on this page: what a packet
//! costs depends on how many of them carry a name.
//!
//! # What a span port needs
//!
//! Computed, not tried. A packet of the benchmark's mixed traffic has 912 octets and takes 24 more
//! on the wire, so that a full port of 10 Gbit/s carries 1.34 million of them a second. Times the
//! cost of one, kernel and process together, gives the time of all cores; as many cores keep half
//! of theirs for bursts:
//!
//! | span port | packets a second | `xdp`, 0.32 µs each | `ring`, 0.88 µs each |
//! | --- | --- | --- | --- |
//! | 10 Gbit/s | 1.34 M | 0.43 of a core: 1 worker | 1.2 cores: 3 workers |
//! | 40 Gbit/s | 5.34 M | 1.7 cores: 4 workers | 4.7 cores: 10 workers |
//! | 100 Gbit/s | 13.4 M | 4.3 cores: 9 workers | 11.8 cores: 24 workers |
//!
//! `auto` lies between them: the kernel builds every packet and copies one in nine. In a slower hour
//! of the same machine a packet took 0.41 and 1.06 µs.
//!
//! * One receive queue of the card for each worker, each queue's interrupt on its worker's core,
//!   and workers pinned (`--workers`, `--capture.cpus`) on the card's memory node.
//! * 64 MiB of ring for each worker (`--buffer-size 64MiB`; 32 MiB unasked), and 100 MiB for the
//!   tables of a worker with its share of the correlator's.
//! * The correlator is one thread for all workers. It sees records, not packets: about one for 25
//!   packets of the mix. Past 100 Gbit/s it is the first part to be full; its queue is
//!   `vendorwatch_worker_records_waiting`.
//! * Copies are memory traffic: 100 Gbit/s are 12.5 GB/s, which a ring without the filter reads
//!   once and writes once again. With `xdp` eight packets of nine are gone after two cache lines.
//!
//! **Not tested**: a card of 10, 25 or 100 Gbit/s, its driver and its receive queues; more than
//! two cores; NUMA; a rate above about one million packets a second through sockets and two
//! million through XDP, where the senders at hand end. A virtual interface costs less than a card
//! (no descriptors, no interrupts) and more (packets come from another core's cache). A flood of
//! frames of 64 octets, 149 million a second at 100 Gbit/s, takes 8 to 25 cores to drop alone; a
//! sensor of the size above loses packets in it, and counts them. A link of nothing but handshakes,
//! which only an attack looks like, costs a multiple of the mix for each packet; then QUIC's key
//! derivations have a budget, records a queue, and both count what they refuse.
//!
//! Load in operation: the page `/` shows for each worker how busy it is, how many times its present
//! load it could take, and nanoseconds a frame. In Prometheus these are the recording rules
//! `worker:vendorwatch_busy:ratio_rate5m`, `worker:vendorwatch_headroom:ratio_rate5m` and
//! `worker:vendorwatch_packet:seconds_rate5m`, made of `vendorwatch_worker_busy_seconds_total` and
//! `vendorwatch_worker_packets_total`; `vendorwatch_worker_ring_fill_ratio` says how far a ring was
//! full, and `vendorwatch_worker_records_waiting` how long the queue behind a worker is.
//! `vendorwatch_correlator_busy_seconds_total` is the one thread behind all workers. Time that the
//! kernel spends for a worker is not in them: it is the processor's `softirq` time.
//!
//! # Figures
//!
//! All are ratios within one run, medians of alternating rounds, of processor time unless it says
//! otherwise. Absolute times mean little: on the machine of these figures, a virtual one with two
//! shared cores, the same bare loop took 75 to 290 ns a packet within minutes.
//!
//! The binary is the one that `make install` installs, compiled a second time by what it was seen
//! to do (`make release`), with other traffic than this. Against one compilation of the same source,
//! in alternating series of five to nine rounds, it takes 0.92 and 0.93 of the time on handshakes,
//! 0.91 on the mix, 0.88 from a ring. Trained by generated files alone it took 0.87 to 0.90 on
//! handshakes; the captures of real clients count as much because networks differ. What it was not
//! trained with is not slower for it: the mix as pcapng took 0.95, in GRE 1.02 (medians of fifteen
//! rounds, which spread from 0.7 to 1.5).
//!
//! | work | reference in the same run | goal | reached | command |
//! | --- | --- | --- | --- | --- |
//! | mixed traffic, 1 M packets, everything inspected and matched | a libpcap loop that counts | 0.85 | 0.75 (0.71 to 0.78) | `make bench-peers` |
//! | the same, 10 M packets | the same | | 0.74 (0.65 to 0.80) | `make bench-peers` |
//! | nothing but handshakes, 1 M packets | the same | 2.2 | 3.22 (2.99 to 4.26) | `make bench-peers` |
//! | growth of the cost of a packet from 1 M to 10 M packets | that of a bare walk | 1.1 | 1.10 (1.00 to 1.33), both files in each round | `make bench-peers` |
//! | peak memory, any file | | 64 MiB | 37, 47 and 49 MiB (mix of 1 M, handshakes, mix of 10 M) | `make bench-peers` |
//! | handshakes with 2 workers on 2 cores, by the wall | 1 worker | 1.6 times as fast | 1.51 (1.39 to 1.64) | `make bench-peers` |
//! | `ring`, process alone | a bare `TPACKET_V3` loop that classifies | 1.5 | 1.73 (1.53 to 2.20); with the filter in the kernel, as `auto` has it, 0.80 | `make bench-live` |
//! | `xdp`, kernel and process, a packet on the wire, 11 % passing | the same loop, without XDP, kernel and process | 0.40 | 0.36 (0.35 to 0.41) | `make bench-live` |
//! | names at the sender's highest rate | truth file | all, no drop | 7,988 of 7,988, none false, no drop, with `ring`, `auto` and `xdp`, at 0.53 to 0.55 million packets a second | `make bench-live` |
//! | scraped ten times a second at that rate | | no packet lost | 49 scrapes each, none lost with `ring`, `auto` and `xdp`; the slowest 13 ms | `make bench-live` |
//!
//! These are of 2026-11-22, five rounds each, both commands run to their end on the same code, on a
//! virtual machine with two cores of an EPYC (Genoa). Its memory runs at a half to a third of its
//! speed in some hours, and so does what carries octets from one core to the other (27 to 54 ns a
//! cache line, measured minutes apart). So the rows spread, and a goal near its limit is reached in
//! one hour and missed in the next. Other whole runs there, of this code and of what came shortly
//! before it:
//!
//! | work | goal | medians of other runs |
//! | --- | --- | --- |
//! | mixed traffic, 1 M packets | 0.85 | 0.80, 0.81, 0.82, 0.88, 0.91 |
//! | handshakes | 2.2 | 2.60, 3.17, 3.52 |
//! | growth from 1 M to 10 M packets | 1.1 | 1.00, 1.07, 1.11, 1.19 |
//! | handshakes with 2 workers | 1.6 | 1.28, 1.46, 1.56 |
//! | `ring` | 1.5 | 1.40, 1.77, 2.11 |
//! | `xdp` | 0.40 | 0.38, 0.38, 0.397 |
//!
//! Handshakes have reached their goal in no run, two workers in single rounds only, and `ring` in
//! one run of four: the bare loop beside it took 44 to 123 ns a packet.
//!
//! Another EPYC (Genoa), on 2026-11-24, five rounds each: two whole runs of `make bench-peers` two
//! hours apart, the second after a change to how two workers share what there is to do, and one of
//! `make bench-live`, before it. The libpcap loop took 75 ns a packet of the handshakes in the first
//! run and 115 in the second.
//!
//! | work | goal | 1st | 2nd |
//! | --- | --- | --- | --- |
//! | mixed traffic, 1 M packets | 0.85 | 0.71 (0.53 to 0.72) | 0.61 (0.61 to 0.96) |
//! | the same, 10 M packets | | 0.68 (0.63 to 0.71) | 0.60 (0.47 to 0.62) |
//! | handshakes | 2.2 | 4.67 (3.69 to 4.87) | 3.66 (3.39 to 3.81) |
//! | growth from 1 M to 10 M packets | 1.1 | 0.99 (0.95 to 1.06) | 1.01 (0.98 to 1.01) |
//! | peak memory | 64 MiB | 37, 53, 53 MiB | 37, 53, 53 MiB |
//! | handshakes with 2 workers | 1.6 | 1.29 (0.94 to 1.40) | 1.56 (1.53 to 1.57) |
//! | `ring`; as `auto` has it | 1.5 | 1.71 (1.54 to 2.34); 0.74 | |
//! | `xdp`, 10.7 % passing | 0.40 | 0.34 (0.32 to 0.36) | |
//! | names at the sender's highest rate | all | all, no drop, at 0.54 to 0.57 million packets a second | |
//!
//! On 2026-11-23 the machine was a Xeon (Cascade Lake), which has no instructions for SHA-256: of
//! the 2,700 instructions that a packet of the handshakes takes there, 700 are QUIC's key schedule.
//! Four whole runs within the day, in the order in which they were made, five rounds each:
//!
//! | work | goal | 1st | 2nd | 3rd | 4th |
//! | --- | --- | --- | --- | --- | --- |
//! | mixed traffic, 1 M packets | 0.85 | 1.07 (0.52 to 1.14) | 0.81 (0.63 to 1.11) | 0.65 (0.58 to 0.86) | 0.80 (0.50 to 1.02) |
//! | the same, 10 M packets | | 0.59 (0.46 to 1.14) | 0.68 (0.58 to 1.11) | 0.56 (0.52 to 0.58) | 0.69 (0.58 to 0.81) |
//! | handshakes | 2.2 | 4.83 (4.53 to 5.43) | 4.47 (2.77 to 4.75) | 4.30 (3.15 to 5.17) | 4.41 (4.17 to 4.62) |
//! | growth from 1 M to 10 M packets | 1.1 | 0.89 (0.54 to 1.45) | 0.97 (0.72 to 1.10) | 0.79 (0.54 to 0.88) | 0.83 (0.61 to 1.01) |
//! | peak memory | 64 MiB | 37, 53, 53 MiB | 49, 53, 53 MiB | 41, 53, 53 MiB | 37, 53, 53 MiB |
//! | handshakes with 2 workers | 1.6 | 1.32 (0.98 to 1.76) | 1.16 (1.07 to 1.41) | 1.39 (1.24 to 1.45) | 1.25 (1.02 to 1.77) |
//! | `ring`; as `auto` has it | 1.5 | 2.12; 0.87 | 2.11; 0.71 | 1.97; 0.76 | 1.96; 0.82 |
//! | `xdp`, 10.7 % passing | 0.40 | 0.44 | 0.42 | 0.46 | 0.48 |
//! | names at the sender's highest rate | all | all, no drop, at 0.74 to 0.87 million packets a second | the same, at 0.45 to 0.73 | the same, at 0.77 to 0.89 | the same, at 0.47 to 0.57 |
//!
//! The mix has two values in the first run: the rule by which files are mapped, where that is found
//! to cost less than to copy them, gave it up too quickly and was mended. With the file in large
//! pages, in a quiet hour and compiled once, the mix took 0.60 (0.59 to 0.62), and from a pipe 1.03.
//! Key schedules are left to the library `ring` on such a processor: it needs 0.64 of the time.
//!
//! Recall is a precondition: every name of the truth files was found, none false, and every pair
//! of client and vendor as often as it was sent.
//!
//! Beside them in the same run, for a packet of the mix: ndpiReader 8 to 16 times the libpcap
//! loop, of the handshakes 54 to 62 times, in 96 to 799 MiB. A bare walk over the file in reads of 256 KiB
//! takes 0.43 to 0.48 of the libpcap loop on the mix and 0.45 on handshakes, over a mapping of it
//! 0.70 to 0.77 and 0.69. On the Xeon it was the other way round: 0.52 by reads and 0.42 over a
//! mapping. What a mapping costs depends on the pages that the kernel keeps the file in: 4 MiB of it
//! were mapped in 0.01 ms in pages of 2 MiB and 0.17 ms in small ones, and copied in 0.5 to 0.8 ms.
//! A walk over it waits for memory at each frame, for where the next begins only the last one says;
//! so the reader asks early for where long ones probably are, which took a tenth off. It weighs both
//! costs while it reads (`capture::file`), and what it cannot lease from the kernel it copies: files
//! that somebody writes to, and those on a network or in a container's layers.
//!
//! Two workers are two threads: one without frames reads and deals out for both, and correlates for
//! both when the other is too far behind for that. On two cores they used 25 % more processor
//! time than one worker (23 % in a series in which they used 42 % with threads of their own for
//! reading and correlating, and frames not asked for early), so that 1.6 is what could be had
//! there; in another hour they used 41 % more. By samples about half of it goes into what one core
//! wrote and the other reads, or writes again: the blocks of the file and the records. Two
//! processes of one worker each, side by side, take as long as one alone. When each correlated what
//! it had just found, the one that was behind came to do it for both, and the second core was idle
//! for 40 % of a traced run, with 2 % now: they take 0.88, 0.91 and 0.96 of the time by the wall (in
//! series of 9, 9 and 25 rounds). Of the 17 % more samples that were left then, three fifths were
//! the walk from frame to frame, dealing out and taking up.
//!
//! Tables reserve room for their largest size and grow in it. Where the kernel gives large pages
//! unasked (`/sys/kernel/mm/transparent_hugepage/enabled` is `always`) one worker took 0.94 of the
//! time on handshakes, two gained nothing; these figures are without.
//!
//! `make bench` adds what does not move with the machine's load: for each stage its allocations
//! and instructions. An ordinary frame is decoded in 152, a question's name of five labels
//! read in 621, the three records of an answer walked in 563, a ClientHello of one segment read in
//! 369, all without an allocation. A packet of the mix takes 579 and 0.000 allocations. (Valgrind,
//! which counts them, has none of the instructions for SHA-256, so that QUIC's key schedule takes
//! 34,158 there.)
//!
//! # Where the time goes
//!
//! **Files, mixed traffic.** Of 241 ns a packet the kernel takes two thirds, most of it to copy the
//! file into the reader's buffer; a bare walk that only classifies takes 159. What is left is the
//! first load of each packet's headers, its bits in the filters, and, for one packet in
//! twenty-five, a DNS message.
//!
//! **Files, handshakes.** Two packets of five are DNS messages, and every answer is remembered for
//! each of its addresses, so that a connection that shows no name can be told. Callgrind counts
//! about 1,660 instructions a packet before the correlator, without the hash behind QUIC's keys
//! (1,990 before most names were known by how they are spelled, and connections settled where they
//! are kept): 500 of them in DNS, 410 in QUIC, 280 in TCP and TLS, the others on the way there. The
//! correlator takes about 330. (All of one compilation.) No function stands out. By samples of the
//! trained binary a quarter is the kernel's, reading and page faults; a tenth is one load, that of
//! the first key in a set of the tables of what was just seen, told and given, though memory was
//! asked for it before. The rest is memory, too: what was seen, told and given within a second of a
//! million such packets is many times what a core's cache holds. A simulated second-level cache of
//! 1 MiB is missed 6.3 times a packet
//! (10.5 before records were judged 128 at a time and the tables' entries lay side by side): three
//! of these are the correlator's tables, two the pipeline's.
//!
//! **Ring.** Taking the frames from the ring without looking at them costs what the bare loop
//! costs: one load that misses the caches for each packet, because the next frame's header says
//! where the one after it lies, and another core has just written both. Asking for frames two
//! ahead saves 6 %. What the core adds are further misses more than instructions: the first octets
//! of the frame, and, for the one in twenty that carries a DNS message, its place among what was
//! just seen. The filters that every packet asks are 10 KiB of bits; when they were 80 KiB of
//! counters, the ring took 1.09 times as long and the mix from a file 1.04 times.
//!
//! **XDP.** One eighth of the receiving thread's time is the program; the rest is the virtual
//! interface's own work with each frame, and, for the packets that pass, the kernel's building
//! of them and copying into the ring. So what decides is the share that passes: DNS, and of each
//! connection what comes before and with its hello. A look-up of the flow is made for TCP with
//! octets that begin nothing, and for nothing else; counters are each processor's own.
//!
//! **`AF_XDP`** is not offered. Measured once beside this way, on the same kind of virtual
//! interface, kernel and process a packet on the wire: the program with a packet ring behind it
//! 210 ns, the program with an `AF_XDP` socket in copy mode 250 ns, everything through `AF_XDP`
//! 707 ns, as much as the plain ring. With eight packets of nine gone before either, what carries
//! the ninth hardly matters. Its zero-copy mode needs a card and was not measured.
