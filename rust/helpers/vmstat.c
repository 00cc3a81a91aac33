// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/vmstat.h>

__rust_helper unsigned long rust_helper_next_global_node_page_state(enum node_stat_item item)
{
	return global_node_page_state(item);
}

__rust_helper void rust_helper_next_all_vm_events(unsigned long *events)
{
	all_vm_events(events);
}
