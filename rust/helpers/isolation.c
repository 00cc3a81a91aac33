// SPDX-License-Identifier: GPL-2.0

#include <linux/balloon.h>
#include <linux/errno.h>
#include <linux/mmzone.h>

/*
 * Only kernels with tools/kernel/patches have the two functions. Upstream, these would be the empty
 * ones of the header for kernels without CONFIG_BALLOON.
 */
#ifdef CONFIG_BALLOON_ISOLATION

__rust_helper bool rust_helper_next_can_isolate(void)
{
	return true;
}

__rust_helper long rust_helper_next_isolate_free_run(struct zone *zone, unsigned long *pfn,
						     unsigned long end_pfn, unsigned int order,
						     unsigned int nr_to_scan,
						     unsigned long max_pages,
						     unsigned long min_free)
{
	struct balloon_isolate_control ic = {
		.pfn = *pfn,
		.end_pfn = end_pfn,
		.order = order,
		.nr_to_scan = nr_to_scan,
		.max_pages = max_pages,
		.min_free = min_free,
	};
	long taken = balloon_isolate_free_run(zone, &ic);

	*pfn = ic.pfn;
	return taken;
}

__rust_helper void rust_helper_next_putback_free_run(unsigned long pfn, unsigned long nr_pages)
{
	balloon_putback_free_run(pfn, nr_pages);
}

#else

__rust_helper bool rust_helper_next_can_isolate(void)
{
	return false;
}

__rust_helper long rust_helper_next_isolate_free_run(struct zone *zone, unsigned long *pfn,
						     unsigned long end_pfn, unsigned int order,
						     unsigned int nr_to_scan,
						     unsigned long max_pages,
						     unsigned long min_free)
{
	return -EOPNOTSUPP;
}

/* There is nothing to put back. */
__rust_helper void rust_helper_next_putback_free_run(unsigned long pfn, unsigned long nr_pages)
{
}

#endif
