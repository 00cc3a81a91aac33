// SPDX-License-Identifier: GPL-2.0

#include <linux/pm_wakeup.h>
#include <linux/suspend.h>

/* All of these are empty inline functions without CONFIG_PM_SLEEP. */

__rust_helper void rust_helper_next_device_set_wakeup_capable(struct device *dev, bool capable)
{
	device_set_wakeup_capable(dev, capable);
}

__rust_helper void rust_helper_next_pm_stay_awake(struct device *dev)
{
	pm_stay_awake(dev);
}

__rust_helper void rust_helper_next_pm_relax(struct device *dev)
{
	pm_relax(dev);
}

__rust_helper int rust_helper_next_register_pm_notifier(struct notifier_block *block)
{
	return register_pm_notifier(block);
}

__rust_helper void rust_helper_next_unregister_pm_notifier(struct notifier_block *block)
{
	unregister_pm_notifier(block);
}

/* Is the machine about to go to sleep? */
__rust_helper bool rust_helper_next_pm_prepares(unsigned long action)
{
	return action == PM_SUSPEND_PREPARE || action == PM_HIBERNATION_PREPARE;
}

/* Is it back, or did it not go to sleep after all? */
__rust_helper bool rust_helper_next_pm_is_over(unsigned long action)
{
	return action == PM_POST_SUSPEND || action == PM_POST_HIBERNATION;
}
