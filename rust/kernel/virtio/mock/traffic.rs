// SPDX-License-Identifier: GPL-2.0

//! What a test does with the virtqueues of a mock device.

use super::{
    act,
    Chain,
    Context,
    MockDevice,
    MAX_QUEUES, //
};
use crate::{
    bindings,
    prelude::*,
    sync::atomic::Relaxed,
    time::Msecs, //
};

impl MockDevice {
    /// Calls back for a virtqueue, by the device's number, whether there is a reason or not.
    ///
    /// Nothing happens if it does not exist, or the device was reset.
    pub fn interrupt(&self, queue: usize, context: Context) {
        self.mock.interrupt(queue, context);
    }

    /// Makes the device give the buffers of some queues back by itself when it is notified: those
    /// whose bits are set.
    pub fn set_eager(&self, queues: u32) {
        self.mock.hardware.lock().eager = queues;
        for queue in 0..MAX_QUEUES {
            self.mock.answer(queue);
        }
    }

    /// Calls back for a virtqueue even if nothing was used, past the ring's own check.
    pub fn spurious_callback(&self, queue: usize, context: Context) {
        self.mock.call_back(queue, context, |vq| {
            // SAFETY: The virtqueue is valid.
            if let Some(callback) = unsafe { (*vq.as_ptr()).callback } {
                // SAFETY: As above.
                unsafe { callback(vq.as_ptr()) };
            }
        });
    }

    /// Returns how often the driver has notified a virtqueue.
    pub fn notifications(&self, queue: usize) -> u32 {
        self.mock.notified.get(queue).map_or(0, |n| n.load(Relaxed))
    }

    /// Asks not to be notified of buffers, or to be notified again.
    pub fn ask_for_notifications(&self, queue: usize, wanted: bool) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            ring.ask_for_notifications(wanted);
        }
    }

    /// Returns the number of entries of a virtqueue, 0 if it does not exist.
    pub fn queue_size(&self, queue: usize) -> u16 {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).map_or(0, |ring| ring.size())
    }

    /// Returns whether the driver has made a buffer available.
    pub fn has_available(&self, queue: usize) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_some_and(|ring| ring.available() > 0)
    }

    /// Takes the next buffer that the driver has made available.
    pub fn pop(&self, queue: usize) -> Result<Option<Chain>> {
        self.mock.hardware.lock().pop(queue)
    }

    /// Waits for a buffer, for `timeout` milliseconds at most ([`ETIMEDOUT`]).
    pub fn wait_for(&self, queue: usize, timeout: Msecs) -> Result<Chain> {
        let mut chain = None;
        self.wait_until(timeout, || {
            chain = self.pop(queue)?;
            Ok(chain.is_some())
        })?;
        chain.ok_or(ETIMEDOUT)
    }

    /// Gives a buffer back, `len` bytes of which the device says to have written.
    pub fn push(&self, chain: Chain, len: u32) {
        self.mock.hardware.lock().push(&chain, len);
    }

    /// Gives a buffer back, and calls back if the driver asks for that.
    pub fn finish(&self, chain: Chain, len: u32, context: Context) {
        let queue = chain.queue;
        self.push(chain, len);
        let mut hw = self.mock.hardware.lock();
        let wanted = hw.ring(queue).is_some_and(|ring| ring.wants_callback());
        drop(hw);
        if wanted {
            self.interrupt(queue, context);
        }
    }

    /// Says that a buffer was used, whether the device has it or not.
    pub fn push_id(&self, queue: usize, id: u32, len: u32) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            act();
            ring.push(id, len);
        }
    }

    /// Returns whether the device has a buffer of this id.
    pub fn has_id(&self, queue: usize, id: u32) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_some_and(|ring| ring.has(id))
    }

    /// Says that more buffers were used than were.
    pub fn jump(&self, queue: usize, by: u16) {
        if let Some(ring) = self.mock.hardware.lock().ring(queue) {
            act();
            ring.jump(by);
        }
    }

    /// Returns whether the device has broken a rule of the ring since it was set up.
    pub fn is_foul(&self, queue: usize) -> bool {
        let mut hw = self.mock.hardware.lock();
        hw.ring(queue).is_none_or(|ring| ring.foul)
    }

    /// Marks all virtqueues as broken, as a transport does whose device is gone.
    pub fn break_queues(&self) {
        // SAFETY: The device is valid.
        unsafe { bindings::virtio_break_device(self.vdev()) };
    }
}
