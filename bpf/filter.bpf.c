/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
 *
 * The verdict as a filter on a packet socket: unwanted frames are not copied into the ring. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef struct __sk_buff context;
#define LOAD(frame, offset, to, size) bpf_skb_load_bytes(frame, offset, to, size)
#define LENGTH(frame) ((frame)->len)
#include "verdict.h"

SEC("socket")
int vendorwatch_filter(struct __sk_buff *frame)
{
	/* A socket filter answers how many octets to keep. */
	return wanted(frame) ? -1 : 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
