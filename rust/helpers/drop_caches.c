// SPDX-License-Identifier: GPL-2.0

#ifdef CONFIG_DROP_CACHES_EXPORTED

#include <linux/drop_caches.h>
#include <linux/pid.h>
#include <linux/printk.h>
#include <linux/sched.h>

/* With the line in the log that the sysctl leaves. */
__rust_helper int rust_helper_next_drop_caches(unsigned int caches)
{
	drop_caches(caches);
	pr_info("%s (%d): drop_caches: %u\n", current->comm, task_pid_nr(current), caches);
	return 0;
}

#elif defined(CONFIG_SYSCTL)

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>

/*
 * What an administrator does with this file. There is no function for it that a module may call.
 * A kernel thread has no files of its own, so it borrows the root of init's.
 */
__rust_helper int rust_helper_next_drop_caches(unsigned int caches)
{
	const char digit = '0' + caches;
	struct file *file;
	ssize_t written;
	loff_t pos = 0;

	scoped_with_init_fs()
		file = filp_open("/proc/sys/vm/drop_caches", O_WRONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	written = kernel_write(file, &digit, 1, &pos);
	filp_close(file, NULL);
	return written < 0 ? written : 0;
}

#else

#include <linux/errno.h>

/* Without sysctls there is no code that drops caches. */
__rust_helper int rust_helper_next_drop_caches(unsigned int caches)
{
	return -EOPNOTSUPP;
}

#endif
