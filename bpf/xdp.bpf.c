/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
 *
 * The verdict in the driver: unwanted frames never become packets of the kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef struct xdp_md context;

/* Headers lie in the first buffer; when they do not, the frame passes. Copied by the widest
 * words that the size divides into: a plain copy would go octet by octet. */
#define LOAD(frame, offset, to, size)                                                  \
	({                                                                             \
		const void *load_end = (const void *)(long)(frame)->data_end;          \
		const void *load_at = (const void *)(long)(frame)->data + (offset);    \
		int load_short = load_at + (size) > load_end;                          \
		if (!load_short)                                                       \
			copy(to, load_at, size);                                       \
		load_short;                                                            \
	})

static __attribute__((always_inline)) inline void copy(void *to, const void *from, int size)
{
	if (size % 4 == 0) {
		_Pragma("unroll") for (int i = 0; i < size / 4; i++)
			((__u32 *)to)[i] = ((const __u32 *)from)[i];
	} else {
		_Pragma("unroll") for (int i = 0; i < size / 2; i++)
			((__u16 *)to)[i] = ((const __u16 *)from)[i];
	}
}
#define LENGTH(frame) bpf_xdp_get_buff_len(frame)
#include "verdict.h"

SEC("xdp.frags")
int vendorwatch_xdp(struct xdp_md *frame)
{
	return wanted(frame) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
