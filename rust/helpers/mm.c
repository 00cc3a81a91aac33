// SPDX-License-Identifier: GPL-2.0

#include <linux/gfp.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/vmstat.h>

/* The first online node that is not below @nid, or MAX_NUMNODES. */
__rust_helper int rust_helper_next_online_node_from(int nid)
{
	return nid > 0 ? next_online_node(nid - 1) : first_online_node;
}

__rust_helper struct pglist_data *rust_helper_next_node_data(int nid)
{
	return NODE_DATA(nid);
}

__rust_helper bool rust_helper_next_populated_zone(struct zone *zone)
{
	return populated_zone(zone);
}

__rust_helper unsigned long rust_helper_next_zone_free_pages(struct zone *zone)
{
	return zone_page_state(zone, NR_FREE_PAGES);
}

/* Half way between the line where reclaim starts and the one where it stops. */
__rust_helper unsigned long rust_helper_next_mid_wmark_pages(struct zone *zone)
{
	return (low_wmark_pages(zone) + high_wmark_pages(zone)) / 2;
}

__rust_helper unsigned long rust_helper_next_zone_managed_pages(struct zone *zone)
{
	return zone_managed_pages(zone);
}

/* Under zone->lock: the order of the free block that starts at @page in @zone, or -1. */
__rust_helper int rust_helper_next_free_block_order(struct zone *zone, struct page *page)
{
	if (!PageBuddy(page) || page_zone(page) != zone)
		return -1;
	return page_private(page);
}

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
