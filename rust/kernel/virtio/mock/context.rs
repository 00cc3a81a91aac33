// SPDX-License-Identifier: GPL-2.0

//! Where the callbacks of a mock device come from.

use crate::{
    bindings,
    prelude::*, //
};

/// Where a callback comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A thread that may sleep.
    Thread,
    /// A softirq.
    Softirq,
    /// Code that has turned interrupts off.
    IrqsOff,
    /// A hardware interrupt.
    Interrupt,
}

impl Context {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Thread, Self::Softirq, Self::IrqsOff, Self::Interrupt];

    pub(super) fn call<F: FnMut()>(self, mut f: F) {
        extern "C" fn callback<F: FnMut()>(f: *mut c_void) {
            // SAFETY: Called with the pointer below, while `f` is not used otherwise.
            unsafe { (*f.cast::<F>())() };
        }
        let f: *mut F = &raw mut f;
        match self {
            // SAFETY: `f` is valid.
            Self::Thread => unsafe { (*f)() },
            // SAFETY: The function calls back once, with `f`, before it returns.
            Self::Softirq => unsafe { bindings::next_mock_softirq(Some(callback::<F>), f.cast()) },
            // SAFETY: As above.
            Self::IrqsOff => unsafe { bindings::next_mock_irqs_off(Some(callback::<F>), f.cast()) },
            // SAFETY: As above.
            Self::Interrupt => unsafe {
                bindings::next_mock_interrupt(Some(callback::<F>), f.cast())
            },
        }
    }
}
