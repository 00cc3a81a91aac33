// SPDX-License-Identifier: GPL-2.0

//! What a mock device is made of.

use super::{
    act,
    ring::Ring,
    Chain,
    Defects,
    Observer,
    Setup,
    MAX_QUEUES, //
};
use crate::{
    prelude::*,
    sync::Arc, //
};

pub(super) struct Hardware {
    pub(super) setup: Setup,
    pub(super) status: u8,
    pub(super) rings: [Option<Ring>; MAX_QUEUES],
    pub(super) generation: u32,
    /// The driver was reset, and has not set its virtqueues up again.
    pub(super) is_reset: bool,
    /// Callbacks that are running.
    pub(super) callbacks: u32,
    pub(super) defects: Defects,
    /// The queues whose buffers it gives back by itself, by bits.
    pub(super) eager: u32,
    /// Reads of the configuration by the driver.
    pub(super) reads: usize,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl Hardware {
    /// Returns the device's side of a virtqueue, if it may use it.
    pub(super) fn ring(&mut self, queue: usize) -> Option<&mut Ring> {
        if self.is_reset {
            return None;
        }
        self.rings.get_mut(queue)?.as_mut()
    }

    pub(super) fn pop(&mut self, queue: usize) -> Result<Option<Chain>> {
        let observer = self.observer.clone();
        let Some(ring) = self.ring(queue) else {
            return Ok(None);
        };
        let chain = ring.pop(queue)?;
        if chain.is_some() {
            act();
        }
        if let (Some(chain), Some(observer), false) = (&chain, observer, ring.foul) {
            observer.popped(chain, &mut |offset, bytes| ring.read(chain, offset, bytes));
        }
        Ok(chain)
    }

    pub(super) fn push(&mut self, chain: &Chain, len: u32) {
        let observer = self.observer.clone();
        if let (Some(ring), Some(observer)) = (self.owner(chain), observer) {
            observer.returned(chain, &mut |offset, bytes| ring.read(chain, offset, bytes));
        }
        if let Some(ring) = self.ring(chain.queue) {
            if ring.generation == chain.generation {
                act();
                ring.push(u32::from(chain.id), len);
            }
        }
    }

    /// Returns the ring of a buffer that the device has, and whose memory it may touch.
    pub(super) fn owner(&mut self, chain: &Chain) -> Option<&mut Ring> {
        self.ring(chain.queue)
            .filter(|ring| !ring.foul && ring.generation == chain.generation)
            .filter(|ring| ring.has(u32::from(chain.id)))
    }
}
