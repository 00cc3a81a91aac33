// SPDX-License-Identifier: GPL-2.0

#include <linux/pm_wakeup.h>

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
