/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extents of the virtio balloon: what goes through the inflate and the deflate virtqueue if
 * VIRTIO_BALLOON_F_EXTENTS was negotiated.
 *
 * Specification: Documentation/virt/balloon-extents.rst
 *
 * All fields are little-endian. A page is always 4 KiB, whatever the guest's page size is, and a
 * page frame number is a guest physical address in units of that.
 */
#ifndef _UAPI_LINUX_VIRTIO_BALLOON_EXTENTS_H
#define _UAPI_LINUX_VIRTIO_BALLOON_EXTENTS_H

#include <linux/types.h>

/* Feature bit */
#define VIRTIO_BALLOON_F_EXTENTS	22

/* Extents end at or below this page frame number */
#define VIRTIO_BALLOON_EXTENTS_MAX_PFN	(1ULL << 52)

/* Most extents of a buffer, which is an array of them */
#define VIRTIO_BALLOON_EXTENTS_MAX	256

/* Pages next to each other, from the driver to the device */
struct virtio_balloon_extent {
	/* The first page frame */
	__le64 start_pfn;
	/* How many there are, at least one */
	__le64 nr_pages;
};

#endif /* _UAPI_LINUX_VIRTIO_BALLOON_EXTENTS_H */
