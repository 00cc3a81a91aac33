/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exported for drivers by mm/page_reporting.c, whose own header is not among the public ones.
 * It belongs into include/linux/page_reporting.h.
 */
#ifndef NEXT_PAGE_REPORTING_H
#define NEXT_PAGE_REPORTING_H

extern unsigned int page_reporting_order;

#endif
