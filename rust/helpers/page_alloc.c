// SPDX-License-Identifier: GPL-2.0

#include <linux/gfp.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/sched.h>

/* NULL for a page frame without an initialised struct page, as after a hot-unplug. */
__rust_helper struct page *rust_helper_next_pfn_to_online_page(unsigned long pfn)
{
	return pfn_to_online_page(pfn);
}

__rust_helper struct page *rust_helper_next_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

__rust_helper unsigned long rust_helper_next_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

/* From this node only: a fallback to another one would be charged to the wrong reserve. */
__rust_helper struct page *rust_helper_next_alloc_pages_on(int nid, gfp_t gfp, unsigned int order)
{
	return alloc_pages_node(nid, gfp | __GFP_THISNODE, order);
}

__rust_helper bool rust_helper_next_want_init_on_free(void)
{
	return want_init_on_free();
}

__rust_helper bool rust_helper_next_page_poisoning_enabled(void)
{
	return page_poisoning_enabled_static();
}

__rust_helper void rust_helper_next_cond_resched(void)
{
	cond_resched();
}

__rust_helper void rust_helper_next_get_page(struct page *page)
{
	get_page(page);
}

__rust_helper void rust_helper_next_put_page(struct page *page)
{
	put_page(page);
}
