/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers that the kernel crate has no bindings for. Types of other headers come from the
 * kernel crate itself, see `rust/kernel/bindings.rs`.
 */

#include <linux/hrtimer_types.h>

#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/mmzone.h>
#include <linux/oom.h>
#include <linux/page_reporting.h>
#include <linux/poison.h>
#include <linux/virtio.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_balloon_bitmap.h>
#include <linux/virtio_balloon_extents.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <trace/events/virtio_balloon.h>
#include <uapi/linux/virtio_ids.h>
#include <uapi/linux/virtio_ring.h>

/* `bindgen` evaluates constants, but not these macros: see the `sed` in `Kbuild`. */
const gfp_t RUST_CONST_HELPER___GFP_NORETRY = __GFP_NORETRY;
const gfp_t RUST_CONST_HELPER___GFP_NOMEMALLOC = __GFP_NOMEMALLOC;
const unsigned int RUST_CONST_HELPER_NEXT_MAX_PAGE_ORDER = MAX_PAGE_ORDER;
const int RUST_CONST_HELPER_NEXT_MAX_NUMNODES = MAX_NUMNODES;
const unsigned int RUST_CONST_HELPER_NEXT_VIRTIO_FEATURES_BITS = VIRTIO_FEATURES_BITS;
const __u8 RUST_CONST_HELPER_NEXT_PAGE_POISON = PAGE_POISON;
