// SPDX-License-Identifier: GPL-2.0

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

/* What a thread starts with: the function is called with the address of this. */
struct next_thread_start {
	void (*run)(void *start);
};

static int next_thread_entry(void *data)
{
	struct next_thread_start *start = data;

	start->run(start);
	/* The rest is done by the kernel proper, so that the module may go at once. */
	module_put_and_kthread_exit(0);
}

/* Keeps the module loaded for good, unless it is already being unloaded. */
__rust_helper void rust_helper_next_pin_module(void)
{
	if (!try_module_get(THIS_MODULE))
		pr_debug("the module is being unloaded\n");
}

/* Runs a thread that nobody waits for. The module stays loaded as long as it runs. */
__rust_helper int rust_helper_next_run_thread(void *start, const char *name)
{
	struct task_struct *task;

	/* Not if it is just being unloaded. */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	task = kthread_run(next_thread_entry, start, "%s", name);
	if (IS_ERR(task)) {
		module_put(THIS_MODULE);
		return PTR_ERR(task);
	}
	return 0;
}
