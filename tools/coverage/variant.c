// SPDX-License-Identifier: GPL-2.0
/*
 * Test only: where the counters of the module begin, and which module they are of.
 *
 * Linked first, so this variable is the start of the section that the compiler puts the counters
 * in. It has the place of a counter and is none.
 */

#include <linux/types.h>

u64 balloon_coverage_variant __section("__llvm_prf_cnts") =
#ifdef CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST
	1;
#else
	0;
#endif
