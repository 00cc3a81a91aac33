// SPDX-License-Identifier: GPL-2.0
/*
 * What a virtio device in memory needs of the kernel's inline functions, in builds with tests only.
 */

#include <linux/device/bus.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/virtio.h>

#ifdef CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST

/* The memory at a physical address that a ring names: without an IOMMU this is what devices see. */
__rust_helper void *rust_helper_next_mock_memory(phys_addr_t address)
{
	return phys_to_virt(address);
}

/* The machine goes down, for one device. */
__rust_helper void rust_helper_next_mock_shutdown(struct virtio_device *vdev)
{
	vdev->dev.bus->shutdown(&vdev->dev);
}

struct next_mock_call {
	struct irq_work work;
	void (*f)(void *arg);
	void *arg;
};

static void next_mock_run(struct irq_work *work)
{
	struct next_mock_call *call = container_of(work, struct next_mock_call, work);

	call->f(call->arg);
}

/* Calls a function in an interrupt of this CPU, and returns when it has returned. */
__rust_helper void rust_helper_next_mock_interrupt(void (*f)(void *arg), void *arg)
{
	struct next_mock_call call = {
		.work = IRQ_WORK_INIT(next_mock_run),
		.f = f,
		.arg = arg,
	};

	irq_work_queue(&call.work);
	irq_work_sync(&call.work);
}

/* Calls a function with the interrupts of this CPU off. */
__rust_helper void rust_helper_next_mock_irqs_off(void (*f)(void *arg), void *arg)
{
	unsigned long flags;

	local_irq_save(flags);
	f(arg);
	local_irq_restore(flags);
}

/* Calls a function with softirqs off, as if in one. */
__rust_helper void rust_helper_next_mock_softirq(void (*f)(void *arg), void *arg)
{
	local_bh_disable();
	f(arg);
	local_bh_enable();
}

#endif
