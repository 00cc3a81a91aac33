// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection for virtqueues, in builds with tests only: the standard attributes in debugfs,
 * in a directory called fail_virtqueue (Documentation/fault-injection/fault-injection.rst).
 */

#include <linux/debugfs.h>
#include <linux/fault-inject.h>

#if defined(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST) && defined(CONFIG_FAULT_INJECTION_DEBUG_FS)

static DECLARE_FAULT_ATTR(fail_virtqueue);
static struct dentry *fail_virtqueue_dir;

__rust_helper void rust_helper_next_fail_virtqueue_begin(void)
{
	fail_virtqueue_dir = fault_create_debugfs_attr("fail_virtqueue", NULL, &fail_virtqueue);
}

__rust_helper void rust_helper_next_fail_virtqueue_end(void)
{
	debugfs_remove(fail_virtqueue_dir);
}

__rust_helper bool rust_helper_next_fail_virtqueue(void)
{
	return should_fail(&fail_virtqueue, 1);
}

#else

__rust_helper void rust_helper_next_fail_virtqueue_begin(void)
{
}

__rust_helper void rust_helper_next_fail_virtqueue_end(void)
{
}

__rust_helper bool rust_helper_next_fail_virtqueue(void)
{
	return false;
}

#endif
