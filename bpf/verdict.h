/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
 *
 * The verdict: which frames can carry a name, or the piece of one, that a passive observer can
 * read. The rest is counted by reason and left in the kernel.
 *
 * The rule of doubt: whatever is not read whole here passes. Tunnels, fragments, extension
 * headers, unknown protocols and cut headers all pass; the sensor reads them properly.
 *
 * State: a flow's windows. A direction's window is the range of sequence numbers in which its
 * octets are wanted: the first ones after the handshake, and those after each beginning of a
 * hello or request. Packets only read it, so retransmission and reordering change nothing.
 * The sensor closes the windows of a flow when it knows enough.
 *
 * The includer defines `context`, `LOAD(context, offset, to, size)` (0 when all octets were
 * there) and `LENGTH(context)`. Nothing newer than Linux 5.18 is used.
 */
#ifndef VENDORWATCH_VERDICT_H
#define VENDORWATCH_VERDICT_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Why a frame was left out. The numbers are those of `SkipReason` in src/capture/bpf/mod.rs. */
enum {
	PASS = -1,
	SKIP_TCP_EMPTY = 0,	/* an acknowledgment without octets */
	SKIP_TCP_OUTSIDE = 1,	/* octets outside the windows of a known flow */
	SKIP_TCP_UNKNOWN = 2,	/* octets of a flow whose beginning was not seen (or was forgotten) */
	SKIP_QUIC_SHORT = 3,	/* QUIC packets after the handshake (RFC 9000, 17.3) */
	SKIP_UDP = 4,		/* datagrams of other protocols */
	SKIP_REASONS = 5,
};

struct volume {
	__u64 packets, octets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SKIP_REASONS);
	__type(key, __u32);
	__type(value, struct volume);
} skipped SEC(".maps");

/* Both directions of a flow; addresses and ports in host order, low end first. */
struct flow4 {
	__u32 low, high;
	__u16 low_port, high_port;
};

struct flow6 {
	__u32 low[4], high[4];
	__u16 low_port, high_port;
};

/* Index 0: what the low end sends. */
struct windows {
	__u32 start[2], length[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow4);
	__type(value, struct windows);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow6);
	__type(value, struct windows);
} flows6 SEC(".maps");

/* What the sensor chooses before the first frame. */
struct settings {
	__u8 udp[8192];	/* ports of which every packet passes: DNS and its kin, tunnels; a bit each */
	__u32 sampled;	/* see is_sampled */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct address {
	__u32 word[4];
};

struct conversation {
	struct address client, server;
};

struct exchanged {
	struct volume sent, received;
};

/* Conversations whose volume is counted although their packets stay here. The sensor makes and
 * removes the entries, so that each counts from the moment it is asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct conversation);
	__type(value, struct exchanged);
} exchanges SEC(".maps");

/* The servers of these conversations. The bits answer "no" for nearly every other address without
 * a look-up. */
struct bits {
	__u32 any;		/* 0 while there are none */
	__u8 bit[8192];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bits);
} servers SEC(".maps");

struct packet {
	struct address source, destination;
	__u32 payload;		/* offset in the frame */
	__u32 length;		/* octets of payload by the headers */
	__u32 ip_length;
	__u32 sequence, acknowledgment;
	__u16 source_port, destination_port;
	__u8 ipv6, tcp, flags;
};

#define DNS 53

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

/* How much of each direction is wanted after a beginning, unless the sensor knows enough sooner
 * (it usually does) or asks for more: room for the largest hello and for a long chain of
 * certificates. */
#define CLIENT_OCTETS 65536
#define SERVER_OCTETS 32768
/* Of a client that hands something over in HTTP/1: its next request stands behind that, and is found
 * by reading on. The sensor says that it does, but late: it hears of frames when a block of the ring
 * is full or some milliseconds old, and of more than that when it has much to do. */
#define UPLOAD_OCTETS (64 << 20)
/* Before an acknowledgment or a beginning, octets may still come late, or again. */
#define LATE_OCTETS 65536
/* All that is still to come, as far as sequence numbers can tell before from behind: what a client
 * of HTTP/2 in clear sends, which has names in it to its end. `wish` in loaded.rs uses it too. */
#define ALL_OCTETS (1 << 30)

/* Fields of a header that `LOAD` put into aligned memory, at their natural alignment. */
static __always_inline __u16 be16(const __u8 *at)
{
	return bpf_ntohs(*(const __u16 *)at);
}

static __always_inline __u32 be32(const __u8 *at)
{
	return bpf_ntohl(*(const __u32 *)at);
}

/* Reads a frame down to TCP or UDP. 0, or -1 for everything that is not plainly one of them. */
static __always_inline int read_packet(context *frame, struct packet *packet)
{
	__u8 octets[40] __attribute__((aligned(8)));
	__u32 at = 12;
	__u8 protocol;

	if (LOAD(frame, at, octets, 2))
		return -1;
	__u16 type = be16(octets);
	at = 14;
	for (int tag = 0; tag < 2; tag++) {
		if (type != 0x8100 && type != 0x88a8)
			break;
		if (LOAD(frame, at, octets, 4))
			return -1;
		type = be16(octets + 2);
		at += 4;
	}
	if (type == 0x0800) {
		if (LOAD(frame, at, octets, 20))
			return -1;
		__u32 header = (octets[0] & 15) * 4;
		__u32 total = be16(octets + 2);
		/* Any fragment passes: the first one has ports, but not the whole datagram. */
		if (octets[0] >> 4 != 4 || header < 20 || total < header ||
		    be16(octets + 6) & 0x3fff)
			return -1;
		protocol = octets[9];
		packet->ipv6 = 0;
		packet->source = (struct address){ { 0, 0, 0xffff, be32(octets + 12) } };
		packet->destination = (struct address){ { 0, 0, 0xffff, be32(octets + 16) } };
		packet->ip_length = total;
		packet->length = total - header;
		at += header;
	} else if (type == 0x86dd) {
		if (LOAD(frame, at, octets, 40))
			return -1;
		if (octets[0] >> 4 != 6)
			return -1;
		protocol = octets[6];
		packet->ipv6 = 1;
		for (int word = 0; word < 4; word++) {
			packet->source.word[word] = be32(octets + 8 + word * 4);
			packet->destination.word[word] = be32(octets + 24 + word * 4);
		}
		packet->length = be16(octets + 4);
		packet->ip_length = packet->length + 40;
		/* A length of zero is a jumbogram (RFC 2675). */
		if (!packet->length)
			return -1;
		at += 40;
	} else {
		return -1;
	}
	__u32 header;
	if (protocol == 6) {
		if (LOAD(frame, at, octets, 20))
			return -1;
		packet->tcp = 1;
		packet->sequence = be32(octets + 4);
		packet->acknowledgment = be32(octets + 8);
		header = (octets[12] >> 4) * 4;
		packet->flags = octets[13];
		if (header < 20)
			return -1;
	} else if (protocol == 17) {
		if (LOAD(frame, at, octets, 8))
			return -1;
		packet->tcp = 0;
		packet->flags = 0;
		header = 8;
	} else {
		return -1;
	}
	if (packet->length < header)
		return -1;
	packet->source_port = be16(octets);
	packet->destination_port = be16(octets + 2);
	packet->length -= header;
	packet->payload = at + header;
	return 0;
}

/* One TCP flow in 256 passes whole, for the estimators that need every packet of a flow: those whose
 * ports mix to the number that the sensor chose. Equal to `Sample::takes` in
 * src/pipeline/sample.rs. */
static __always_inline int is_sampled(const struct packet *packet, const struct settings *settings)
{
	__u16 mixed = (__u32)(packet->source_port ^ packet->destination_port) * 0x9e37;
	return packet->tcp && mixed >> 8 == settings->sampled;
}

/* Which end sends: 0 the low one, 1 the high one. */
static __always_inline int sender(const struct packet *packet)
{
	for (int word = 0; word < 4; word++)
		if (packet->source.word[word] != packet->destination.word[word])
			return packet->source.word[word] > packet->destination.word[word];
	return packet->source_port > packet->destination_port;
}

static __always_inline struct flow4 key4(const struct packet *packet, int from)
{
	__u32 a = packet->source.word[3], b = packet->destination.word[3];
	__u16 p = packet->source_port, q = packet->destination_port;
	return (struct flow4){ from ? b : a, from ? a : b, from ? q : p, from ? p : q };
}

static __always_inline struct flow6 key6(const struct packet *packet, int from)
{
	struct flow6 key;
	for (int word = 0; word < 4; word++) {
		__u32 a = packet->source.word[word], b = packet->destination.word[word];
		key.low[word] = from ? b : a;
		key.high[word] = from ? a : b;
	}
	key.low_port = from ? packet->destination_port : packet->source_port;
	key.high_port = from ? packet->source_port : packet->destination_port;
	return key;
}

static __always_inline struct windows *find(const struct packet *packet, int from)
{
	if (packet->ipv6) {
		struct flow6 key = key6(packet, from);
		return bpf_map_lookup_elem(&flows6, &key);
	}
	struct flow4 key = key4(packet, from);
	return bpf_map_lookup_elem(&flows4, &key);
}

/* One direction's window. */
struct window {
	__u32 start, length;
};

/* What is wanted of a direction from a beginning on: `opened`, and what lies behind that of what was
 * wanted before. What only looks like a beginning narrows nothing so; and of a new connection on
 * the ports of one that is wanted to its end, too much passes until the sensor closes it. */
static __always_inline struct window widened(struct window known, struct window opened,
					     int goes_on)
{
	__u32 ahead = opened.start - known.start;

	if (!opened.length)
		return known;
	if (known.length >= ALL_OCTETS) {
		/* From where on does not matter to packets: it tells the sensor's word about an older
		 * connection from that about this one. */
		known.start = opened.start;
		return known;
	}
	/* What the other end answers may be delivered far ahead of what it answers to. */
	if (goes_on && ahead < known.length && ahead <= UPLOAD_OCTETS) {
		opened.start = known.start;
		opened.length += ahead;
	}
	__u32 rest = known.start + known.length - opened.start;
	/* More than there was lies in front of it, as sequence numbers go round. */
	if (rest > opened.length && rest <= known.length + LATE_OCTETS)
		opened.length = rest;
	return opened;
}

/* What a beginning says of its sender: how much is wanted of it, from where on. */
struct beginning {
	__u32 sequence, length;
	int by_client;
};

/* Opens windows after a beginning: for the sender of this packet and, when it acknowledges something,
 * from there on for the other side. */
static __always_inline void open_windows(const struct packet *packet, int from,
					 const struct windows *known,
					 const struct beginning *beginning)
{
	struct windows windows = known ? *known : (struct windows){};
	struct window sender = { beginning->sequence, beginning->length };
	struct window other = {};
	/* A new connection's octets do not follow those of the one before. */
	int goes_on = !(packet->flags & SYN);

	/* What the other end said just before may be delivered later: a mirror of two ports keeps no
	 * order between them. */
	if (packet->flags & ACK) {
		other.start = packet->acknowledgment - LATE_OCTETS;
		other.length = LATE_OCTETS + (beginning->by_client ? SERVER_OCTETS : CLIENT_OCTETS);
	}
	struct window low = widened((struct window){ windows.start[0], windows.length[0] },
				    from ? other : sender, goes_on);
	struct window high = widened((struct window){ windows.start[1], windows.length[1] },
				     from ? sender : other, goes_on);
	windows = (struct windows){ { low.start, high.start }, { low.length, high.length } };
	if (packet->ipv6) {
		struct flow6 key = key6(packet, from);
		bpf_map_update_elem(&flows6, &key, &windows, BPF_ANY);
	} else {
		struct flow4 key = key4(packet, from);
		bpf_map_update_elem(&flows4, &key, &windows, BPF_ANY);
	}
}

/* The verifier of Linux 6.1 does not know how large a number is whose octets were exchanged, and the
 * compiler leaves out a mask that it knows to change nothing. */
static __always_inline int is_set(const __u8 *bits, __u32 number)
{
	__u32 octet = number >> 3;
	asm volatile("%0 &= 8191" : "+r"(octet));
	return bits[octet] >> (number & 7) & 1;
}

static __always_inline int is_capital(__u8 octet)
{
	return octet >= 'A' && octet <= 'Z';
}

/* May it be the first octet of a handshake record or of a request? */
static __always_inline int may_begin(__u8 octet)
{
	return octet == 0x16 || is_capital(octet);
}

#define METHOD(a, b, c, d) ((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* A TLS handshake record (RFC 8446, 5.1). */
static __always_inline int is_handshake(const __u8 *head)
{
	return head[0] == 0x16 && head[1] == 3;
}

/* The preface of HTTP/2 (RFC 9113, 3.4). */
static __always_inline int is_preface(const __u8 *head)
{
	return head[0] == 'P' && head[1] == 'R' && head[2] == 'I' && head[3] == ' ' && head[4] == '*';
}

/* A request with a body that may be long: POST, PUT, PATCH, PROPFIND and PROPPATCH, REPORT, SEARCH,
 * QUERY, MERGE and BITS_POST. By name, for random octets look like some method in one segment of nine
 * thousand, and so much behind each would be a third of every download. */
static __always_inline int is_upload(const __u8 *head)
{
	switch (be32(head)) {
	case METHOD('P', 'O', 'S', 'T'):
	case METHOD('P', 'U', 'T', ' '):
	case METHOD('P', 'A', 'T', 'C'):
	case METHOD('P', 'R', 'O', 'P'):
	case METHOD('R', 'E', 'P', 'O'):
	case METHOD('S', 'E', 'A', 'R'):
	case METHOD('Q', 'U', 'E', 'R'):
	case METHOD('M', 'E', 'R', 'G'):
	case METHOD('B', 'I', 'T', 'S'):
		return 1;
	default:
		return 0;
	}
}

/* What looks like a request line: three capitals, then a capital, a hyphen or a space. That is
 * every method of HTTP, CONNECT, the preface of HTTP/2, STARTTLS and its neighbours. */
static __always_inline int is_request(const __u8 *head)
{
	return is_capital(head[0]) && is_capital(head[1]) && is_capital(head[2]) &&
	       (is_capital(head[3]) || head[3] == '-' || head[3] == ' ');
}

/* The beginning that a payload is, when it is one. 0: it is none, and passes in a window alone. */
static __always_inline int begins(context *frame, const struct packet *packet,
				  struct beginning *beginning)
{
	__u8 head[6] __attribute__((aligned(8)));

	/* What comes late stays wanted, for this may only look like a beginning. */
	beginning->sequence = packet->sequence - LATE_OCTETS;
	beginning->by_client = 1;
	if (packet->length < sizeof(head) || LOAD(frame, packet->payload, head, sizeof(head))) {
		/* Too short (or too cut) to tell a beginning from anything else. Where it may be one, what
		 * follows is its rest. */
		if (!LOAD(frame, packet->payload, head, 1) && may_begin(head[0]))
			beginning->length = LATE_OCTETS + CLIENT_OCTETS;
		return 1;
	}
	if (is_handshake(head)) {
		/* A ClientHello is message 1, a ServerHello message 2. */
		beginning->by_client = head[5] == 1;
		if (head[5] == 1 || head[5] == 2)
			beginning->length =
				LATE_OCTETS + (head[5] == 1 ? CLIENT_OCTETS : SERVER_OCTETS);
		return 1;
	}
	if (is_request(head)) {
		beginning->length = LATE_OCTETS + (is_preface(head)  ? ALL_OCTETS :
						   is_upload(head) ? UPLOAD_OCTETS :
								     CLIENT_OCTETS);
		return 1;
	}
	return 0;
}

static __always_inline int tcp_verdict(context *frame, const struct packet *packet)
{
	int from = sender(packet), passes = 1;
	struct beginning beginning = {};

	if (packet->flags & SYN) {
		int by_client = !(packet->flags & ACK);
		beginning.sequence = packet->sequence + 1;
		beginning.length = by_client ? CLIENT_OCTETS : SERVER_OCTETS;
		beginning.by_client = by_client;
	} else if (packet->flags & (FIN | RST)) {
		return PASS;
	} else if (!packet->length) {
		return SKIP_TCP_EMPTY;
	} else {
		passes = begins(frame, packet, &beginning);
	}
	const struct windows *windows = find(packet, from);
	if (beginning.length)
		open_windows(packet, from, windows, &beginning);
	if (passes)
		return PASS;
	if (!windows)
		return SKIP_TCP_UNKNOWN;
	__u32 start = from ? windows->start[1] : windows->start[0];
	__u32 length = from ? windows->length[1] : windows->length[0];
	/* To its end, which may be further than sequence numbers count. */
	if (length >= ALL_OCTETS)
		return PASS;
	/* Wanted when the segment begins in the window, or before it and reaches into it. */
	if (packet->sequence - start < length ||
	    (length && start - packet->sequence < packet->length))
		return PASS;
	return SKIP_TCP_OUTSIDE;
}

static __always_inline int udp_verdict(context *frame, const struct packet *packet)
{
	__u8 head[12] __attribute__((aligned(8)));

	if (packet->length < sizeof(head) || LOAD(frame, packet->payload, head, sizeof(head)))
		return PASS;
	/* DNS on another port: opcode 0, one question. */
	if ((head[2] & 0x78) == 0 && head[4] == 0 && head[5] == 1)
		return PASS;
	/* A whole IPv6 packet: Teredo between peers, on any port (RFC 4380), that of QUIC too. */
	if (head[0] >> 4 == 6 && (__u32)be16(head + 4) + 40 == packet->length)
		return PASS;
	if (packet->source_port == 443 || packet->destination_port == 443)
		/* Only what is certainly a short header stays: a long one has the highest bit,
		 * gQUIC and a greased fixed bit lack the second. */
		return (head[0] & 0xc0) == 0x40 ? SKIP_QUIC_SHORT : PASS;
	__u32 version = be32(head) << 8 | head[4];
	/* Elsewhere, by its version: 1 and 2 (RFC 9369), negotiation, the reserved ones, drafts, and
	 * those of Google and Meta; gQUIC of old has it behind a connection id. */
	if ((head[0] & 0x80) &&
	    (version == 0 || version == 1 || version == 0x6b3343cf || version == 0x709a50c4 ||
	     version >> 8 == 0xff0000 || version >> 8 == 0xfaceb0 || (version & 0x0f0f0f0f) == 0x0a0a0a0a ||
	     version >> 24 == 'Q' || version >> 24 == 'T'))
		return PASS;
	if (head[9] == 'Q' && head[10] == '0')
		return PASS;
	/* Handshake records of DTLS (RFC 9147, 4), those of its first draft too. */
	if (head[0] == 22 && (head[1] == 0xfe || head[1] == 1))
		return PASS;
	return SKIP_UDP;
}

static __always_inline int may_be_server(const struct bits *bits, const struct address *address)
{
	__u32 mixed = address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];
	mixed = mixed * 0x9e3779b1 >> 16;
	return is_set(bits->bit, mixed);
}

static __always_inline void add(struct volume *volume, __u32 octets)
{
	__sync_fetch_and_add(&volume->packets, 1);
	__sync_fetch_and_add(&volume->octets, octets);
}

/* Counts a packet that stays here for its conversation, if that is one to be counted. */
static __always_inline void count_exchanged(const struct packet *packet)
{
	__u32 zero = 0;
	const struct bits *bits = bpf_map_lookup_elem(&servers, &zero);
	if (!bits || !bits->any)
		return;
	if (may_be_server(bits, &packet->destination)) {
		struct conversation key = { packet->source, packet->destination };
		struct exchanged *known = bpf_map_lookup_elem(&exchanges, &key);
		if (known) {
			add(&known->sent, packet->ip_length);
			return;
		}
	}
	if (may_be_server(bits, &packet->source)) {
		struct conversation key = { packet->destination, packet->source };
		struct exchanged *known = bpf_map_lookup_elem(&exchanges, &key);
		if (known)
			add(&known->received, packet->ip_length);
	}
}

/* 1: the frame goes on to the sensor. 0: it was counted and stays. */
static __always_inline int wanted(context *frame)
{
	struct packet packet = {};
	__u32 zero = 0;

	if (read_packet(frame, &packet))
		return 1;
	const struct settings *chosen = bpf_map_lookup_elem(&settings, &zero);
	if (!chosen)
		return 1;
	if (packet.tcp) {
		if (packet.source_port == DNS || packet.destination_port == DNS)
			return 1;
	} else if (is_set(chosen->udp, packet.source_port) ||
		   is_set(chosen->udp, packet.destination_port)) {
		return 1;
	}
	__u32 reason = packet.tcp ? tcp_verdict(frame, &packet) : udp_verdict(frame, &packet);
	if (reason == (__u32)PASS || is_sampled(&packet, chosen))
		return 1;
	struct volume *volume = bpf_map_lookup_elem(&skipped, &reason);
	if (!volume)
		return 1;
	volume->packets++;
	volume->octets += LENGTH(frame);
	count_exchanged(&packet);
	return 0;
}

#endif
