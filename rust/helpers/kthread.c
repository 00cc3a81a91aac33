// SPDX-License-Identifier: GPL-2.0

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/printk.h>

/*
 * What a thread starts with: the function is called with the address of this. The module is NULL
 * if the function is part of the kernel. It is not THIS_MODULE, which would be the one that this
 * file is part of.
 */
struct next_thread_start {
	void (*run)(void *start);
	struct module *module;
};

static int next_thread_entry(void *data)
{
	struct next_thread_start *start = data;
	struct module *module = start->module;

	start->run(start);
	/* The rest is done by the kernel proper, so that the module may go at once. */
#ifdef CONFIG_MODULES
	__module_put_and_kthread_exit(module, 0);
#endif
	return 0;
}

/* Keeps a module loaded for good, unless it is already being unloaded. */
__rust_helper void rust_helper_next_pin_module(struct module *module)
{
	if (!try_module_get(module))
		pr_debug("the module is being unloaded\n");
}

/* Runs a thread that nobody waits for. The module stays loaded as long as it runs. */
__rust_helper int rust_helper_next_run_thread(void *data, const char *name)
{
	struct next_thread_start *start = data;
	struct module *module = start->module;
	struct task_struct *task;

	/* Not if it is just being unloaded. */
	if (!try_module_get(module))
		return -ENODEV;
	task = kthread_run(next_thread_entry, start, "%s", name);
	if (IS_ERR(task)) {
		module_put(module);
		return PTR_ERR(task);
	}
	return 0;
}
