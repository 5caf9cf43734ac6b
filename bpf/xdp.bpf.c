/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
 *
 * The verdict in the driver: unwanted frames never become packets of the kernel. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef struct xdp_md context;

/* By the widest words that the size divides into: a plain copy would go octet by octet. */
#define COPY(type, to, from, size)                             \
	_Pragma("unroll") for (int i = 0; i < (size) / sizeof(type); i++) \
		((type *)(to))[i] = ((const type *)(from))[i]

/* Headers lie in the first buffer; when they do not, the frame passes. */
#define LOAD(frame, offset, to, size)                                                  \
	({                                                                             \
		const void *load_end = (const void *)(long)(frame)->data_end;          \
		const void *load_at = (const void *)(long)(frame)->data + (offset);    \
		int load_short = load_at + (size) > load_end;                          \
		if (!load_short) {                                                     \
			if ((size) % 4 == 0) {                                         \
				COPY(__u32, to, load_at, size);                        \
			} else if ((size) % 2 == 0) {                                  \
				COPY(__u16, to, load_at, size);                        \
			} else {                                                       \
				COPY(__u8, to, load_at, size);                         \
			}                                                              \
		}                                                                      \
		load_short;                                                            \
	})

#define LENGTH(frame) bpf_xdp_get_buff_len(frame)
#include "verdict.h"

SEC("xdp.frags")
int vendorwatch_xdp(struct xdp_md *frame)
{
	return wanted(frame) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
