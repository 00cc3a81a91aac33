// SPDX-License-Identifier: GPL-2.0

#include <linux/balloon.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "page_reporting.h"

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

__rust_helper unsigned int rust_helper_next_page_reporting_order(void)
{
	return READ_ONCE(page_reporting_order);
}

__rust_helper void rust_helper_next_set_page_reporting_order(unsigned int order)
{
	WRITE_ONCE(page_reporting_order, order);
}
