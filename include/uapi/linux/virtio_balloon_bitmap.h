/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The free page bitmap of the virtio balloon: what goes through the free page virtqueue if
 * VIRTIO_BALLOON_F_FREE_PAGE_BITMAP was negotiated.
 *
 * Specification: Documentation/virt/free-page-bitmap.rst
 *
 * All fields are little-endian. A page is always 4 KiB, whatever the guest's page size is, and a
 * page frame number is a guest physical address in units of that.
 */
#ifndef _UAPI_LINUX_VIRTIO_BALLOON_BITMAP_H
#define _UAPI_LINUX_VIRTIO_BALLOON_BITMAP_H

#include <linux/types.h>

/* Feature bit */
#define VIRTIO_BALLOON_F_FREE_PAGE_BITMAP	23

/* virtio_balloon_bitmap_request.type */
#define VIRTIO_BALLOON_BITMAP_REPORT		1	/* Report the free blocks of a window */
#define VIRTIO_BALLOON_BITMAP_CANCEL		2	/* End the request with this id */

/* Caches: what to drop, and what was dropped; may be combined */
#define VIRTIO_BALLOON_BITMAP_PAGE_CACHE	0x01	/* Clean pages of files */
#define VIRTIO_BALLOON_BITMAP_SLAB		0x02	/* Reclaimable slab: dentries, inodes */
#define VIRTIO_BALLOON_BITMAP_ALL_CACHES	0x03

/* Flags of requests and of reports: the blocks stay out of use until the report is returned */
#define VIRTIO_BALLOON_BITMAP_ISOLATED		0x01

/* Windows end at or below this page frame number */
#define VIRTIO_BALLOON_BITMAP_MAX_PFN		(1ULL << 52)

/* From the device to the driver */
struct virtio_balloon_bitmap_request {
	/* Not 0; for CANCEL that of the request in progress, else a new one */
	__le32 id;
	/* VIRTIO_BALLOON_BITMAP_REPORT or _CANCEL; for the latter all that follows is 0 */
	__u8 type;
	/* What to drop before the free blocks are looked for */
	__u8 caches;
	/* A bit stands for 2^order pages, aligned to their size */
	__u8 order;
	/* 0 or VIRTIO_BALLOON_BITMAP_ISOLATED */
	__u8 flags;
	/* First page frame of the window */
	__le64 start_pfn;
	/* The page frame after the last one of the window */
	__le64 end_pfn;
	/* 0 */
	__le64 reserved;
};

/* virtio_balloon_bitmap_report.status; what was accepted ends with DONE or CANCELLED */
#define VIRTIO_BALLOON_BITMAP_DONE		0	/* The last report of the window */
#define VIRTIO_BALLOON_BITMAP_MORE		1	/* The window goes on in another report */
#define VIRTIO_BALLOON_BITMAP_CANCELLED		2	/* Ended by a newer one or a cancel */
#define VIRTIO_BALLOON_BITMAP_ERROR		3	/* The request was refused */

/* virtio_balloon_bitmap_report.error; 0 unless the status is ERROR */
#define VIRTIO_BALLOON_BITMAP_E_SIZE		1	/* The request has another size */
#define VIRTIO_BALLOON_BITMAP_E_ID		2	/* 0, used, or not in progress */
#define VIRTIO_BALLOON_BITMAP_E_TYPE		3	/* Unknown type */
#define VIRTIO_BALLOON_BITMAP_E_RESERVED	4	/* A field that has to be 0 is not */
#define VIRTIO_BALLOON_BITMAP_E_CACHES		5	/* Unknown caches */
#define VIRTIO_BALLOON_BITMAP_E_ORDER		6	/* No such blocks; order is the nearest */
#define VIRTIO_BALLOON_BITMAP_E_WINDOW		7	/* Empty, backwards, or beyond all memory */
#define VIRTIO_BALLOON_BITMAP_E_ISOLATED	8	/* The driver cannot isolate blocks */

/* virtio_balloon_bitmap_report.caches_result */
#define VIRTIO_BALLOON_BITMAP_CACHES_NONE	0	/* Nothing was to be dropped */
#define VIRTIO_BALLOON_BITMAP_CACHES_DROPPED	1	/* All of it was dropped */
#define VIRTIO_BALLOON_BITMAP_CACHES_REFUSED	2	/* Not all of it is allowed */
#define VIRTIO_BALLOON_BITMAP_CACHES_TOO_SOON	3	/* Not allowed again yet */
#define VIRTIO_BALLOON_BITMAP_CACHES_TIMEOUT	4	/* Not finished in time */
#define VIRTIO_BALLOON_BITMAP_CACHES_FAILED	5	/* The guest could not do it */

/*
 * From the driver to the device. The bitmap follows it: bit i % 8 of byte i / 8 for block i,
 * in a multiple of 8 bytes of which what is beyond nr_bits is 0.
 */
struct virtio_balloon_bitmap_report {
	/* That of the request; 0 if it could not be read */
	__le32 id;
	__u8 status;
	__u8 error;
	/* That of the request, or the nearest that the driver has with E_ORDER */
	__u8 order;
	/* That of the request if the status is DONE or MORE, else 0 */
	__u8 flags;
	/* The caches that were dropped */
	__u8 caches;
	__u8 caches_result;
	/* 0 */
	__le16 reserved;
	/* Number of bits in the bitmap; 0 unless the status is DONE or MORE */
	__le32 nr_bits;
	/* First page frame of the first block; a multiple of 2^order */
	__le64 start_pfn;
	/* About how many pages dropping the caches made free */
	__le64 dropped_pages;
};

#endif /* _UAPI_LINUX_VIRTIO_BALLOON_BITMAP_H */
