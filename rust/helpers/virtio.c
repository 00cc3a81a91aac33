// SPDX-License-Identifier: GPL-2.0

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/virtio.h>
#include <linux/virtio_balloon_bitmap.h>
#include <linux/virtio_byteorder.h>
#include <linux/virtio_config.h>
#include <uapi/linux/virtio_ring.h>

/* What is on the wire must not depend on the compiler. */
static_assert(sizeof(struct virtio_balloon_bitmap_request) == 32);
static_assert(offsetof(struct virtio_balloon_bitmap_request, start_pfn) == 8);
static_assert(offsetof(struct virtio_balloon_bitmap_request, reserved) == 24);
static_assert(sizeof(struct virtio_balloon_bitmap_report) == 32);
static_assert(offsetof(struct virtio_balloon_bitmap_report, nr_bits) == 12);
static_assert(offsetof(struct virtio_balloon_bitmap_report, start_pfn) == 16);
static_assert(offsetof(struct virtio_balloon_bitmap_report, dropped_pages) == 24);

/*
 * Not virtio_has_feature(): that one is BUG() for a bit that the driver forgot in its table,
 * this one says no.
 */
__rust_helper bool rust_helper_next_virtio_test_bit(const struct virtio_device *vdev,
						    unsigned int fbit)
{
	return fbit < VIRTIO_FEATURES_BITS && __virtio_test_bit(vdev, fbit);
}

__rust_helper void rust_helper_next_virtio_clear_bit(struct virtio_device *vdev,
						     unsigned int fbit)
{
	if (fbit < VIRTIO_FEATURES_BITS)
		__virtio_clear_bit(vdev, fbit);
}

__rust_helper bool rust_helper_next_virtio_offers(struct virtio_device *vdev, unsigned int fbit)
{
	u64 features[VIRTIO_FEATURES_U64S];

	virtio_get_features(vdev, features);
	return fbit < VIRTIO_FEATURES_BITS && virtio_features_test_bit(features, fbit);
}

__rust_helper u8 rust_helper_next_virtio_status(struct virtio_device *vdev)
{
	return vdev->config->get_status(vdev);
}

__rust_helper int rust_helper_next_virtio_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
						   struct virtqueue *vqs[],
						   struct virtqueue_info infos[])
{
	return virtio_find_vqs(vdev, nvqs, vqs, infos, NULL);
}

__rust_helper void rust_helper_next_virtio_del_vqs(struct virtio_device *vdev)
{
	vdev->config->del_vqs(vdev);
}

__rust_helper void rust_helper_next_virtio_device_ready(struct virtio_device *vdev)
{
	virtio_device_ready(vdev);
}

/* Both with the lock of the device held, as its transport does. */
__rust_helper int rust_helper_next_virtio_freeze(struct virtio_device *vdev)
{
#ifdef CONFIG_PM_SLEEP
	return virtio_device_freeze(vdev);
#else
	return -EOPNOTSUPP;
#endif
}

__rust_helper int rust_helper_next_virtio_restore(struct virtio_device *vdev)
{
#ifdef CONFIG_PM_SLEEP
	return virtio_device_restore(vdev);
#else
	return -EOPNOTSUPP;
#endif
}

__rust_helper bool rust_helper_next_virtio_trylock(struct virtio_device *vdev)
{
	return device_trylock(&vdev->dev);
}

__rust_helper void rust_helper_next_virtio_unlock(struct virtio_device *vdev)
{
	device_unlock(&vdev->dev);
}

__rust_helper bool rust_helper_next_virtio_has_config(const struct virtio_device *vdev)
{
	return vdev->config->get;
}

__rust_helper bool rust_helper_next_virtio_has_config_set(const struct virtio_device *vdev)
{
	return vdev->config->set;
}

__rust_helper u32 rust_helper_next_virtio_cread_le32(struct virtio_device *vdev,
						     unsigned int offset)
{
	__le32 value = 0;

	vdev->config->get(vdev, offset, &value, sizeof(value));
	return le32_to_cpu(value);
}

__rust_helper void rust_helper_next_virtio_cwrite_le32(struct virtio_device *vdev,
						       unsigned int offset, u32 value)
{
	__le32 raw = cpu_to_le32(value);

	vdev->config->set(vdev, offset, &raw, sizeof(raw));
}

__rust_helper bool rust_helper_next_virtio_is_little_endian(const struct virtio_device *vdev)
{
	return virtio_is_little_endian((struct virtio_device *)vdev);
}

/*
 * Does adding a buffer to this queue map its pages for DMA (and so perhaps copy them)? It does
 * if the queue has a DMA device, or if the device brings its own map operations.
 */
__rust_helper bool rust_helper_next_virtqueue_maps(struct virtqueue *vq)
{
	return virtqueue_dma_dev(vq) || vq->vdev->map;
}

static unsigned int next_keep_pages(const void *start, unsigned long bytes)
{
	unsigned long at = (unsigned long)start & PAGE_MASK;
	unsigned long end = (unsigned long)start + bytes;
	unsigned int pages = 0;

	for (; at < end && virt_addr_valid((void *)at); at += PAGE_SIZE) {
		get_page(virt_to_page((void *)at));
		pages++;
	}
	return pages;
}

/*
 * Keeps the memory of a queue's ring from being freed with it, by a reference to each of its pages.
 * Returns their number. A ring that is mapped for DMA is left alone: it was not allocated page by
 * page, and the device loses it with its mapping.
 */
__rust_helper unsigned int rust_helper_next_virtqueue_keep_ring(struct virtqueue *vq)
{
	unsigned int num = virtqueue_get_vring_size(vq);
	const struct vring *split = virtqueue_get_vring(vq);

	if (rust_helper_next_virtqueue_maps(vq))
		return 0;
	if (rust_helper_next_virtio_test_bit(vq->vdev, VIRTIO_F_RING_PACKED))
		return next_keep_pages(phys_to_virt(virtqueue_get_desc_addr(vq)),
				       num * sizeof(struct vring_packed_desc)) +
		       next_keep_pages(phys_to_virt(virtqueue_get_avail_addr(vq)),
				       sizeof(struct vring_packed_desc_event)) +
		       next_keep_pages(phys_to_virt(virtqueue_get_used_addr(vq)),
				       sizeof(struct vring_packed_desc_event));
	/* From the descriptors to the end of the used ring it is one piece. */
	return next_keep_pages(split->desc, (char *)&split->used->ring[num] - (char *)split->desc +
					    sizeof(__virtio16));
}

/* One entry for `len` bytes from page frame `pfn` on, which virtio is to map if it maps at all. */
__rust_helper void rust_helper_next_sg_init_pfn(struct scatterlist *sg, unsigned long pfn,
						unsigned int len)
{
	sg_init_table(sg, 1);
	sg_set_page(sg, pfn_to_page(pfn), len, 0);
}

/* The length of all entries of a table together. */
__rust_helper size_t rust_helper_next_sg_bytes(struct scatterlist *sg, unsigned int count)
{
	size_t bytes = 0;

	for (; sg && count; sg = sg_next(sg), count--)
		bytes += sg->length;
	return bytes;
}

/* The next of a table's entries: `len` bytes from `bytes` on, which are not on a stack. */
__rust_helper void rust_helper_next_sg_set_bytes(struct scatterlist *sg, const void *bytes,
						 unsigned int len)
{
	sg_set_buf(sg, bytes, len);
}

/* The same, with its bus address filled in: virtio takes it as it is and touches no page. */
__rust_helper void rust_helper_next_sg_init_pfn_premapped(struct scatterlist *sg,
							  unsigned long pfn, unsigned int len)
{
	rust_helper_next_sg_init_pfn(sg, pfn, len);
	sg_dma_address(sg) = PFN_PHYS(pfn);
	sg_dma_len(sg) = len;
}
