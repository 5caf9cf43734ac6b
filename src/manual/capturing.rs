//! Capturing live: back ends, what the kernel leaves out, and how to set a mirror port up.
//!
//! # Back ends
//!
//! | `--capture` | frames come from | needs |
//! | --- | --- | --- |
//! | `auto` | a packet ring (`TPACKET_V3`) for each worker, with the flow filter on its socket | `CAP_NET_RAW`; `CAP_BPF` and `CAP_PERFMON` for the filter and the hash |
//! | `ring` | the same without the filter: every frame | `CAP_NET_RAW` |
//! | `xdp` | the flow filter in the interface's driver, and a ring behind it | `CAP_NET_RAW`, `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN`; Linux 5.18; an interface that serves nothing else |
//! | `libpcap` | libpcap, one worker an interface | `CAP_NET_RAW` |
//!
//! What cannot be had is left out and said once, at the start, with the reason: no XDP means the
//! filter on the socket, no filter means every frame. Nothing is ever missed by a fallback; it
//! costs processor time. (`CAP_PERFMON` is what the kernel's verifier asks for before it lets a
//! program compute addresses within a frame or loop over headers; programs without it are treated
//! as an unprivileged user's.)
//!
//! A filter expression in the syntax of tcpdump is applied in the kernel and takes the place of
//! the flow filter on the socket; with `xdp` both are in force. What an expression refuses is
//! refused uncounted, as if it had never been on the wire.
//!
//! # What the kernel leaves out
//!
//! Nineteen packets of twenty are the middle of a download. The flow filter reads each frame down
//! to TCP or UDP and keeps those that cannot carry a name, or a piece of one:
//!
//! | passes | stays, and is counted as |
//! | --- | --- |
//! | whatever is not plainly Ethernet, at most two tags, IPv4 or IPv6, TCP or UDP: tunnels, fragments, extension headers, cut headers, other protocols | |
//! | TCP: SYN, FIN, RST; port 53; the first 64 KiB of the client (64 MiB after `POST`, `PUT` and other requests that hand something over) and 32 KiB of the server after a SYN, a ClientHello or a request line, until the sensor knows enough, or as long as it reads on; all that a client of HTTP/2 in clear sends; every beginning of a hello or of a request | `tcp_empty`, `tcp_outside`, `tcp_unknown` |
//! | UDP: DNS, mDNS and LLMNR ports; tunnel ports; anything shaped like a DNS question; QUIC long headers; handshakes of DTLS | `quic_short`, `udp` |
//! | one TCP flow in 256, whole, for the estimators of loss | |
//!
//! Frames received and frames left out sum to the frames on the wire, so the account of what
//! could not be seen stays whole. `tcp_unknown` are octets of connections that began before the
//! capture did, or that the filter's table had no room to remember; a share of it that grows
//! means that `kernel_flows` is too small. The volume of vendors is counted in the kernel too, though
//! the packets stay there: of each pair of client and server from the moment at which a worker has
//! told the filter that it is a vendor's, which is some milliseconds after its name was seen.
//!
//! One thing may be lost by the filter that `ring` would see. A worker that reads on says so, but only
//! when it has been given the frames: 20 ms after they came, later when it is behind. Of a client that
//! has sent more by then than passes unasked, what follows is missed up to the next segment that begins
//! with a request or a hello. That takes 64 MiB of one upload (25 Gbit/s for 20 ms), or 64 KiB of
//! anything else: requests in one go, the body of a request by a method that is seldom used.
//!
//! Flows are told apart by addresses and ports alone. So where a `[[tenant]]` of VLANs is declared,
//! in which the same addresses may stand for others, every frame is delivered.
//!
//! # XDP
//!
//! The driver's filter drops what nobody needs, so nothing else may live on the interface. It is
//! refused where the interface has an address (link-local ones too), belongs to a bridge or bond,
//! has another interface on top of it, or has another XDP program. A port prepared for it:
//!
//! ```text
//! ip link set dev span0 addrgenmode none
//! ip address flush dev span0
//! ip link set dev span0 mtu 9000 up
//! ethtool -K span0 gro off rx-gro-hw off lro off
//! vendorwatch interfaces            # says whether ring and xdp are possible, and what distorts
//! vendorwatch run -i span0 --capture xdp
//! ```
//!
//! The program is attached by a link that the kernel closes with the process, however it ends. It
//! is attached in the driver only; where the driver has no XDP, the filter on the socket is used.
//!
//! # Kernels
//!
//! The programs are tried on the kernel of whoever runs `make test`, and by `make kernels` on those
//! of Debian 12 and 13, booted in an emulated machine with nothing but this program's live tests:
//! fanout, both places of the filter, the ring, and the same names by every back end. On
//! 2026-11-22 all of them passed on Linux 6.1.0-56 and 6.12.117 as Debian ships them, and on 6.18;
//! on 2026-11-23, after the filter had changed, those of the filter and of the names did.
//!
//! # Several workers
//!
//! The rings of an interface share its frames by a hash of the innermost flow, computed by an eBPF
//! program that peels VLAN tags, MPLS, GRE, ERSPAN, VXLAN, Geneve, GTP-U, PPPoE and IP in IP: both
//! directions of a conversation reach one worker. Without those capabilities the kernel's hash of
//! the outer headers is used, which parts the directions of about half of all tunnelled flows; those
//! are counted as split.
//!
//! # Sizes
//!
//! The ring of a worker has 32 MiB (`capture.buffer`), which is a twentieth of a second at 5 Gbit/s
//! without the filter; with it, half a second and more. The filter's table of 65,536 flows takes about 8 MiB of kernel memory for each ring
//! (`auto`) or interface (`xdp`). `vendorwatch_capture_dropped_packets_total` says when a ring was
//! too small; its `reason` tells the ring (`kernel`) from the card (`interface`). The card's are
//! `rx_over_errors`, the larger of `rx_missed_errors` and `rx_fifo_errors` (some drivers count the
//! same frames in both), and `rx_length_errors`: frames too long for it, or too short. The drivers
//! `i40e` and, before Linux 6.8, `ice` may count there frames that were received, such as those of
//! spanning tree. What a driver counts elsewhere, `ethtool -S` shows. With libpcap it is libpcap's
//! own count: `rx_missed_errors` and `rx_fifo_errors`, and before its version 1.10 also frames that
//! no protocol of this host asked for.
//!
//! Pin workers to CPUs of the card's memory node (`interfaces` shows it): a ring's memory is taken
//! from the node of its worker's CPU.
//!
//! # Measured
//!
//! What each way of capturing costs, and what it was measured with, is in [`sizing`](super::sizing).
