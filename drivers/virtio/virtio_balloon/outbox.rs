// SPDX-License-Identifier: GPL-2.0

//! A short queue of a fixed size.

/// At most `N` things that wait for their turn, the oldest first.
pub(crate) struct Outbox<T, const N: usize>([Option<T>; N]);

impl<T, const N: usize> Outbox<T, N> {
    /// Creates an empty one.
    pub(crate) const fn new() -> Self {
        Self([const { None }; N])
    }

    /// Adds one behind all others, for which there must be room.
    pub(crate) fn push(&mut self, item: T) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(item);
        }
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<T> {
        // All move up by one place.
        let mut moving = None;
        for place in self.0.iter_mut().rev() {
            core::mem::swap(place, &mut moving);
        }
        moving
    }

    /// Puts the one back that was popped last.
    pub(crate) fn put_back(&mut self, item: T) {
        let mut moving = Some(item);
        for place in self.0.iter_mut() {
            core::mem::swap(place, &mut moving);
        }
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_outbox)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order() {
        let mut outbox = Outbox::<u32, 5>::new();
        let (mut next, mut expected) = (0, 0);
        for round in 0..100u32 {
            for _ in 0..1 + round % 5 {
                outbox.push(next);
                next += 1;
            }
            while let Some(item) = outbox.pop() {
                assert_eq!(item, expected);
                if (item + round) % 3 == 0 {
                    outbox.put_back(item);
                    assert_eq!(outbox.pop(), Some(expected));
                }
                expected += 1;
            }
            assert_eq!(next, expected);
        }
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let mut outbox = Outbox::<u32, 3>::new();
        for item in 1..=3 {
            outbox.push(item);
        }
        let first = outbox.pop().unwrap_or(0);
        outbox.put_back(first);
        assert_eq!(
            [outbox.pop(), outbox.pop(), outbox.pop(), outbox.pop()],
            [Some(1), Some(2), Some(3), None]
        );
    }
}
