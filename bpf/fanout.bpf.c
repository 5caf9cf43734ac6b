/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
 *
 * Picks the ring of a frame by a symmetric hash of its innermost flow: tunnels are peeled, and
 * both directions of a conversation give the same number.
 *
 * Fragments hash by their addresses, for only the first has ports. What cannot be peeled hashes
 * by the innermost addresses that were read. */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Offsets count from the link-layer header. When a frame is shown to packet sockets, the kernel's
 * own cursor stands behind that header, or at it where the frame goes out. The read that is relative
 * to the header would not need to know, but it ends where the frame's first piece of memory does:
 * drivers that give pages to the kernel put no more than some headers there, and those of a tunnel's
 * inner packet lie in the next. */
#define MAC_HEADER 14
#define LOAD(offset, to, size) bpf_skb_load_bytes(frame, (offset) - before, to, size)

/* Headers peeled at most: tags, labels, tunnels inside each other. */
#define STEPS 20

enum header { ETHERNET, TYPED, MPLS, IP, GRE, IPV6_EXTENSION, UDP, TCP, DONE };

static __always_inline __u32 be16(const __u8 *at)
{
	return bpf_ntohs(*(const __u16 *)at);
}

static __always_inline __u32 word(const __u8 *at)
{
	return bpf_ntohl(*(const __u32 *)at);
}

/* Numbers of the two ends that do not change when the ends are exchanged. */
struct ends {
	__u32 sum, difference, ports;
};

static __always_inline __u32 mix(const struct ends *ends)
{
	__u64 mixed = (ends->sum ^ (__u64)ends->difference << 32) * 0x9e3779b97f4a7c15ull;
	mixed = (mixed ^ mixed >> 29 ^ ends->ports) * 0xbf58476d1ce4e5b9ull;
	return mixed >> 32;
}

/* The header after an IP header, by protocol number. */
static __always_inline enum header after_ip(__u8 protocol)
{
	switch (protocol) {
	case 4:
	case 41:
		return IP;
	case 6:
		return TCP;
	case 17:
		return UDP;
	case 47:
		return GRE;
	case 137:
		return MPLS;
	case 0:
	case 43:
	case 60:
		return IPV6_EXTENSION;
	default:
		return DONE;
	}
}

SEC("socket")
int vendorwatch_fanout(struct __sk_buff *frame)
{
	struct ends ends = {};
	enum header header = TYPED;
	__u8 octets[40] __attribute__((aligned(8))) = {};
	__u32 type, at = MAC_HEADER;
	__u32 before = frame->pkt_type == PACKET_OUTGOING ? 0 : MAC_HEADER;

	if (bpf_skb_load_bytes_relative(frame, 12, octets, 2, BPF_HDR_START_MAC))
		goto out;
	type = be16(octets);
	for (int step = 0; step < STEPS && header != DONE; step++) {
		switch (header) {
		case ETHERNET:
			if (LOAD(at + 12, octets, 2))
				goto out;
			type = be16(octets);
			at += 14;
			header = TYPED;
			break;
		case TYPED:
			if (type == 0x8100 || type == 0x88a8 || type == 0x9100) {
				if (LOAD(at, octets, 4))
					goto out;
				type = be16(octets + 2);
				at += 4;
			} else if (type == 0x0800 || type == 0x86dd) {
				header = IP;
			} else if (type == 0x8847 || type == 0x8848) {
				header = MPLS;
			} else if (type == 0x6558) {
				header = ETHERNET;
			} else if (type == 0x8864) {
				/* PPPoE session: six octets, then the PPP protocol. */
				if (LOAD(at + 6, octets, 2))
					goto out;
				type = be16(octets);
				if (type != 0x0021 && type != 0x0057)
					goto out;
				at += 8;
				header = IP;
			} else {
				goto out;
			}
			break;
		case MPLS:
			if (LOAD(at, octets, 5))
				goto out;
			at += 4;
			if (!(octets[2] & 1))
				break;
			/* Under the last label: IP by its version, or an Ethernet pseudowire, behind a
			 * control word when its first nibble is zero (RFC 4385). */
			if (octets[4] >> 4 == 4 || octets[4] >> 4 == 6) {
				header = IP;
			} else {
				if (octets[4] >> 4 == 0)
					at += 4;
				header = ETHERNET;
			}
			break;
		case IP:
			if (LOAD(at, octets, 20))
				goto out;
			if (octets[0] >> 4 == 4) {
				__u32 source = word(octets + 12), destination = word(octets + 16);
				ends.sum = source + destination;
				ends.difference = source ^ destination;
				ends.ports = 0;
				at += (octets[0] & 15) * 4;
				header = be16(octets + 6) & 0x3fff ? DONE : after_ip(octets[9]);
			} else if (octets[0] >> 4 == 6) {
				__u8 next = octets[6];
				if (LOAD(at + 8, octets, 32))
					goto out;
				__u32 source = 0, destination = 0;
				for (int i = 0; i < 4; i++) {
					source = source * 31 + word(octets + i * 4);
					destination = destination * 31 + word(octets + 16 + i * 4);
				}
				ends.sum = source + destination;
				ends.difference = source ^ destination;
				ends.ports = 0;
				at += 40;
				header = after_ip(next);
			} else {
				goto out;
			}
			break;
		case IPV6_EXTENSION:
			if (LOAD(at, octets, 2))
				goto out;
			at += (octets[1] + 1) * 8;
			header = after_ip(octets[0]);
			break;
		case GRE: {
			if (LOAD(at, octets, 4))
				goto out;
			__u8 flags = octets[0];
			/* Version 0 without source routes; the other is PPTP. */
			if (octets[1] & 7 || flags & 0x40)
				goto out;
			type = be16(octets + 2);
			at += 4 + (flags & 0x80 ? 4 : 0) + (flags & 0x20 ? 4 : 0) +
			      (flags & 0x10 ? 4 : 0);
			header = TYPED;
			if (type == 0x88be) {
				/* ERSPAN II has a header of eight octets, and is told from I by the
				 * sequence number. */
				at += flags & 0x10 ? 8 : 0;
				header = ETHERNET;
			} else if (type == 0x22eb) {
				/* ERSPAN III: twelve, and eight more when the last bit says so. */
				if (LOAD(at + 11, octets, 1))
					goto out;
				at += octets[0] & 1 ? 20 : 12;
				header = ETHERNET;
			}
			break;
		}
		case UDP: {
			if (LOAD(at, octets, 8))
				goto out;
			__u32 from = be16(octets), to = be16(octets + 2);
			/* A tunnel's source port is the encapsulator's affair, but for GTP. */
			__u32 port = from == 2152 ? from : to;
			at += 8;
			header = DONE;
			if (port == 4789 || port == 8472) {
				at += 8;
				header = ETHERNET;
			} else if (port == 6081) {
				if (LOAD(at, octets, 4))
					goto out;
				type = be16(octets + 2);
				at += 8 + (octets[0] & 63) * 4;
				header = TYPED;
			} else if (port == 6635) {
				header = MPLS;
			} else if (port == 4754) {
				header = GRE;
			} else if (port == 2152) {
				/* GTPv1-U, a user's packet (3GPP TS 29.281, 5.1); one extension
				 * header is peeled, which is what 5G uses. */
				if (LOAD(at, octets, 13))
					goto ports;
				if (octets[0] >> 4 != 3 || octets[1] != 255)
					goto ports;
				at += octets[0] & 7 ? 12 : 8;
				if (octets[0] & 4 && octets[11])
					at += octets[12] * 4;
				header = IP;
			} else {
ports:
				ends.ports = (from ^ to) * 0x10001 + from + to;
				header = DONE;
			}
			break;
		}
		case TCP:
			if (!LOAD(at, octets, 4))
				ends.ports = (be16(octets) ^ be16(octets + 2)) * 0x10001 +
					     be16(octets) + be16(octets + 2);
			goto out;
		default:
			goto out;
		}
	}
out:
	return mix(&ends);
}

char _license[] SEC("license") = "Dual MIT/GPL";
