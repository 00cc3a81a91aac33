// SPDX-License-Identifier: GPL-2.0

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
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

__rust_helper unsigned long rust_helper_next_min_wmark_pages(struct zone *zone)
{
	return min_wmark_pages(zone);
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

/* Both change as memory is plugged and unplugged. */
__rust_helper unsigned long rust_helper_next_zone_start_pfn(struct zone *zone)
{
	return READ_ONCE(zone->zone_start_pfn);
}

__rust_helper unsigned long rust_helper_next_zone_present_pages(struct zone *zone)
{
	return READ_ONCE(zone->present_pages);
}

/* The page frame after the last one that the zone may have. */
__rust_helper unsigned long rust_helper_next_zone_end_pfn(struct zone *zone)
{
	return zone_end_pfn(zone);
}

/* Under zone->lock: the order of the free block that starts at @page in @zone, or -1. */
__rust_helper int rust_helper_next_free_block_order(struct zone *zone, struct page *page)
{
	if (!PageBuddy(page) || page_zone(page) != zone)
		return -1;
	return page_private(page);
}

/*
 * Under zone->lock: the page frame of what comes before the free block at @pfn in one of the lists
 * of @area, or -1 - n if that is the head of list n. One call for each entry of a walk.
 */
__rust_helper long rust_helper_next_free_list_before(struct free_area *area, unsigned long pfn)
{
	struct list_head *node = pfn_to_page(pfn)->buddy_list.prev;
	unsigned long offset = (unsigned long)node - (unsigned long)area->free_list;

	if (offset < sizeof(area->free_list))
		return -1 - (long)(offset / sizeof(*node));
	return page_to_pfn(list_entry(node, struct page, buddy_list));
}

/* The zone of a page frame, or NULL for one without a page that is online. */
__rust_helper struct zone *rust_helper_next_pfn_zone(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page ? page_zone(page) : NULL;
}

__rust_helper unsigned long rust_helper_next_high_wmark_pages(struct zone *zone)
{
	return high_wmark_pages(zone);
}
