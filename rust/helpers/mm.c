// SPDX-License-Identifier: GPL-2.0

#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/vmstat.h>

#include "page_reporting.h"

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

__rust_helper void rust_helper_next_balloon_devinfo_init(struct balloon_dev_info *balloon)
{
	balloon_devinfo_init(balloon);
}

__rust_helper void rust_helper_next_init_list_head(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

/*
 * At most @nr pages of the kind that balloon_page_alloc() gives one of, into the slots of @pages,
 * which are NULL. Returns how many.
 */
__rust_helper unsigned long rust_helper_next_balloon_pages_alloc(unsigned long nr,
								 struct page **pages)
{
	gfp_t gfp = __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN;

	gfp |= IS_ENABLED(CONFIG_BALLOON_MIGRATION) ? GFP_HIGHUSER_MOVABLE : GFP_HIGHUSER;
	return alloc_pages_bulk(gfp, nr, pages);
}

/*
 * @nr pages that lie next to each other in one zone enter a balloon: what balloon_page_enqueue()
 * does for a page beside its list.
 */
__rust_helper void rust_helper_next_balloon_block_enter(struct page *page, unsigned long nr,
							bool adjust)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		__SetPageOffline(page + i);
	if (adjust)
		adjust_managed_page_count(page, -(long)nr);
	count_vm_events(BALLOON_INFLATE, nr);
	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, nr);
}

/* They leave it again. The allocator looks at the type of the first page of a block only. */
__rust_helper void rust_helper_next_balloon_block_leave(struct page *page, unsigned long nr,
							bool adjust)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		__ClearPageOffline(page + i);
	if (adjust)
		adjust_managed_page_count(page, nr);
	count_vm_events(BALLOON_DEFLATE, nr);
	mod_node_page_state(page_pgdat(page), NR_BALLOON_PAGES, -(long)nr);
}

__rust_helper void rust_helper_next_page_list_add(struct page *page, struct list_head *list)
{
	list_add(&page->lru, list);
}

/* The first page of a list that is linked through page->lru, or NULL. */
__rust_helper struct page *rust_helper_next_page_list_pop(struct list_head *list)
{
	struct page *page = list_first_entry_or_null(list, struct page, lru);

	if (page)
		list_del(&page->lru);
	return page;
}

__rust_helper unsigned long rust_helper_next_global_node_page_state(enum node_stat_item item)
{
	return global_node_page_state(item);
}

__rust_helper void rust_helper_next_all_vm_events(unsigned long *events)
{
	all_vm_events(events);
}

__rust_helper unsigned int rust_helper_next_page_reporting_order(void)
{
	return READ_ONCE(page_reporting_order);
}

__rust_helper void rust_helper_next_set_page_reporting_order(unsigned int order)
{
	WRITE_ONCE(page_reporting_order, order);
}
