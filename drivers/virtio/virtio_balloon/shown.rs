// SPDX-License-Identifier: GPL-2.0

//! States of the driver's parts, in words for debugfs.
//!
//! Whoever reads them does not wait for what goes on, so they may be a moment old.

use core::marker::PhantomData;
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// A state that has a word for it.
pub(crate) trait Worded: Copy {
    /// The words, by number.
    const WORDS: &'static [&'static str];

    /// Returns its number.
    fn number(self) -> u32;
}

/// A state that others may look at.
pub(crate) struct Shown<S: Worded>(Atomic<u32>, PhantomData<fn(S)>);

impl<S: Worded> Shown<S> {
    /// Creates one that begins like this.
    pub(crate) fn new(state: S) -> Self {
        Self(Atomic::new(state.number()), PhantomData)
    }

    /// Changes it.
    pub(crate) fn set(&self, state: S) {
        self.0.store(state.number(), Relaxed);
    }
}

impl<S: Worded> fmt::Display for Shown<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = usize::try_from(self.0.load(Relaxed)).unwrap_or(usize::MAX);
        f.write_str(S::WORDS.get(number).copied().unwrap_or_default())
    }
}

macro_rules! worded {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident {
            $($(#[doc = $variant_doc:literal])* $Variant:ident $word:literal,)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub(crate) enum $Name {
            $($(#[doc = $variant_doc])* $Variant,)*
        }

        impl Worded for $Name {
            const WORDS: &'static [&'static str] = &[$($word),*];

            fn number(self) -> u32 {
                // CAST: The enum is `repr(u32)`.
                self as u32
            }
        }
    )*};
}

worded! {
    /// A device.
    DeviceState {
        /// It is being set up.
        Starting "starting",
        /// It works.
        Live "live",
        /// The machine sleeps, or is about to.
        Suspended "suspended",
        /// The driver is being unbound.
        Leaving "leaving",
    }

    /// Free page hinting.
    HintState {
        /// It is not in use.
        Off "off",
        /// There is no round.
        Idle "idle",
        /// A round is to begin.
        Opening "opening",
        /// Pages are gathered and sent.
        Gathering "gathering",
        /// A round is to end.
        Closing "closing",
        /// The device is broken.
        Failed "failed",
    }

    /// The free page bitmap.
    BitmapState {
        /// It is not in use.
        Off "off",
        /// There is no request.
        Idle "idle",
        /// A request was taken.
        Taken "taken",
        /// Caches are being dropped for one.
        Dropping "dropping-caches",
        /// The host has the bitmap that the next report needs.
        Waiting "waiting-for-host",
        /// The free lists are being walked.
        Walking "walking",
        /// Blocks are being isolated.
        Isolating "isolating",
        /// The device is broken.
        Failed "failed",
    }

    /// The balloon.
    BalloonState {
        /// It has the size that the host wants.
        Settled "settled",
        /// Pages go in.
        Inflating "inflating",
        /// Pages come out.
        Deflating "deflating",
        /// The host has to acknowledge some.
        Waiting "waiting-for-host",
        /// Memory is short, and the next attempt is put off.
        Short "short-of-memory",
        /// No memory was left: the host gets no more before it asks again.
        HeldBack "held-back",
        /// It is being emptied, as the device is about to be reset.
        Leaving "leaving",
        /// The device is broken.
        Failed "failed",
    }
}

#[cfg(CONFIG_VIRTIO_BALLOON_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(rust_virtio_balloon_shown)]
mod tests {
    use super::*;
    use kernel::{
        prelude::*,
        str::CString, //
    };

    fn shows<S: Worded>(shown: &Shown<S>, word: &CStr) -> Result<bool> {
        Ok(*CString::try_from_fmt(fmt!("{}", shown))? == *word)
    }

    #[test]
    fn each_state_has_its_word() -> Result {
        let shown = Shown::new(BalloonState::Settled);
        assert!(shows(&shown, c"settled")?);
        for (state, word) in [
            (BalloonState::Inflating, c"inflating"),
            (BalloonState::HeldBack, c"held-back"),
            (BalloonState::Failed, c"failed"),
            (BalloonState::Settled, c"settled"),
        ] {
            shown.set(state);
            assert!(shows(&shown, word)?);
        }
        Ok(())
    }
}
