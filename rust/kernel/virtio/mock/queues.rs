// SPDX-License-Identifier: GPL-2.0

//! The virtqueues of a mock device: set up and deleted, notified and called back for.

use super::{
    act,
    ring::Ring,
    Context,
    Mock,
    MAX_QUEUES, //
};
use crate::{
    bindings,
    prelude::*,
    sync::atomic::Relaxed, //
};
use core::ptr::NonNull;

impl Mock {
    pub(super) extern "C" fn find_vqs(
        vdev: *mut bindings::virtio_device,
        nvqs: c_uint,
        vqs: *mut *mut bindings::virtqueue,
        infos: *mut bindings::virtqueue_info,
        _affinity: *mut bindings::irq_affinity,
    ) -> c_int {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        let mut index = 0;
        for nth in 0..nvqs as usize {
            // SAFETY: The caller has `nvqs` elements in both arrays.
            let (info, slot) = unsafe { (&*infos.add(nth), vqs.add(nth)) };
            let vq = if info.name.is_null() {
                core::ptr::null_mut()
            } else {
                match this.create(vdev, index, info) {
                    Ok(vq) => {
                        index += 1;
                        vq.as_ptr()
                    }
                    Err(error) => {
                        this.delete();
                        return error.to_errno();
                    }
                }
            };
            // SAFETY: As above.
            unsafe { slot.write(vq) };
        }
        this.hardware.lock().is_reset = false;
        0
    }

    /// Creates the virtqueue with the device's number `index`.
    fn create(
        &self,
        vdev: *mut bindings::virtio_device,
        index: usize,
        info: &bindings::virtqueue_info,
    ) -> Result<NonNull<bindings::virtqueue>> {
        const ALIGN: c_uint = 64;
        let (size, generation) = {
            let mut hw = self.hardware.lock();
            hw.generation = hw.generation.wrapping_add(1);
            let size = hw.setup.sizes.get(index).copied().unwrap_or(0);
            if size == 0 || hw.defects.no_queues {
                return Err(ENOENT);
            }
            (size, hw.generation)
        };
        let number = c_uint::try_from(index)?;
        // SAFETY: The device is valid, its features are negotiated, and its parent is not used, as
        // it does without the DMA API.
        let vq = unsafe {
            bindings::vring_create_virtqueue(
                number,
                c_uint::from(size),
                ALIGN,
                vdev,
                true,
                true,
                false,
                Some(Self::notify),
                info.callback,
                info.name,
            )
        };
        let vq = NonNull::new(vq).ok_or(ENOMEM)?;
        let has = |bit| {
            // SAFETY: The device is valid.
            unsafe { bindings::next_virtio_test_bit(vdev, bit) }
        };
        // SAFETY: It was just created, and is deleted in `delete()`, which drops the ring first.
        let ring = unsafe {
            Ring::new(
                vq,
                has(bindings::VIRTIO_F_RING_PACKED),
                has(bindings::VIRTIO_RING_F_EVENT_IDX),
                generation,
            )
        };
        match ring {
            Ok(ring) => {
                if let Some(slot) = self.hardware.lock().rings.get_mut(index) {
                    *slot = Some(ring);
                }
                Ok(vq)
            }
            Err(error) => {
                // SAFETY: It was just created.
                unsafe { bindings::vring_del_virtqueue(vq.as_ptr()) };
                Err(error)
            }
        }
    }

    pub(super) extern "C" fn del_vqs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        this.delete();
        // Without queues it is no more than a piece of memory: the bus complains of drivers that
        // leave a device with a status.
        this.hardware.lock().status = 0;
    }

    fn delete(&self) {
        for index in 0..MAX_QUEUES {
            let ring = match self.hardware.lock().rings.get_mut(index) {
                Some(ring) => ring.take(),
                None => None,
            };
            self.wait_for_callbacks();
            if let Some(ring) = ring {
                let vq = ring.vq;
                drop(ring);
                // SAFETY: It was created in `create()`, and nobody uses it any more.
                unsafe { bindings::vring_del_virtqueue(vq.as_ptr()) };
            }
        }
    }

    extern "C" fn notify(vq: *mut bindings::virtqueue) -> bool {
        // SAFETY: The ring calls this with a virtqueue of ours.
        let (vdev, index) = unsafe { ((*vq).vdev, (*vq).index) };
        // SAFETY: As above.
        let this = unsafe { Self::of(vdev) };
        if let Some(count) = this.notified.get(index as usize) {
            count.fetch_add(1, Relaxed);
        }
        this.activity.signal();
        let deaf = this.hardware.lock().defects.deaf;
        if !deaf {
            this.answer(index as usize);
        }
        !deaf
    }

    /// Gives all buffers of a queue back at once, if the device is to do so by itself.
    pub(super) fn answer(&self, queue: usize) {
        // A driver that goes on to add buffers as they come back notifies of them.
        const AT_A_TIME: usize = 256;

        let mut used = false;
        for _ in 0..AT_A_TIME {
            let mut hw = self.hardware.lock();
            if hw.eager & 1u32.checked_shl(queue as u32).unwrap_or(0) == 0 {
                break;
            }
            let Ok(Some(chain)) = hw.pop(queue) else {
                break;
            };
            hw.push(&chain, 0);
            used = true;
        }
        if used {
            self.interrupt(queue, Context::IrqsOff);
        }
    }

    pub(super) fn interrupt(&self, queue: usize, context: Context) {
        self.call_back(queue, context, |vq| {
            // SAFETY: The virtqueue is valid.
            unsafe { bindings::vring_interrupt(0, vq.as_ptr().cast()) };
        });
    }

    /// Calls `f` for a virtqueue, which is valid until that returns, if the device may use it.
    pub(super) fn call_back(
        &self,
        queue: usize,
        context: Context,
        f: impl Fn(NonNull<bindings::virtqueue>),
    ) {
        let vq = {
            let mut hw = self.hardware.lock();
            let Some(vq) = hw.ring(queue).map(|ring| ring.vq) else {
                return;
            };
            // It is not deleted while this counts.
            hw.callbacks += 1;
            vq
        };
        act();
        context.call(|| f(vq));
        self.hardware.lock().callbacks -= 1;
    }

    /// Waits until no callback of a virtqueue is running, as transports do with their interrupts.
    pub(super) fn wait_for_callbacks(&self) {
        while self.hardware.lock().callbacks > 0 {
            // SAFETY: Resets come from contexts that may sleep.
            unsafe { bindings::msleep(1) };
        }
    }
}
