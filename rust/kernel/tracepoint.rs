// SPDX-License-Identifier: GPL-2.0

//! Tracepoints that are safe to call.
//!
//! The kernel crate's `declare_trace!` makes an unsafe function, looks for a tracepoint among the
//! kernel crate's bindings, and has its arguments computed whether anybody wants them or not.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

#[doc(no_inline)]
pub use kernel::tracepoint::*;

use crate::{
    mm::ZoneName,
    prelude::*, //
};

/// What a tracepoint can have as an argument.
pub trait Argument {
    /// Its type in C.
    type Raw;

    /// Returns it as C takes it, for as long as `self` is there.
    fn raw(&self) -> Self::Raw;
}

macro_rules! plain_arguments {
    ($($Type:ty)*) => {$(
        impl Argument for $Type {
            type Raw = Self;

            #[inline]
            fn raw(&self) -> Self {
                *self
            }
        }
    )*};
}

plain_arguments!(c_int c_uint c_ulong u64);

/// The tracepoint makes a copy of it.
impl Argument for ZoneName {
    type Raw = *const c_char;

    #[inline]
    fn raw(&self) -> *const c_char {
        self.as_char_ptr()
    }
}

/// Declares a structure for each of some tracepoints. Its fields are the arguments of the
/// tracepoint, in the order and with the types of `TP_PROTO` in the C header.
///
/// Tracepoints may be called from any context. But whoever listens does so within the call, so none
/// should be called with a spinlock held: what is to be told of a hold is told after it.
///
/// Without `CONFIG_TRACEPOINTS` nothing of it is left in the callers.
#[macro_export]
macro_rules! tracepoints {
    ($(
        $(#[doc = $doc:literal])*
        $tracepoint:ident: $Event:ident {
            $($(#[doc = $field_doc:literal])* $field:ident: $Type:ty,)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        pub struct $Event {
            $($(#[doc = $field_doc])* pub $field: $Type,)*
        }

        impl $Event {
            /// Returns whether anybody listens.
            ///
            /// With `CONFIG_JUMP_LABEL` that is a branch that is patched, else a look at a counter.
            #[inline(always)]
            pub fn is_wanted() -> bool {
                #[cfg(CONFIG_TRACEPOINTS)]
                $crate::macros::paste! {
                    // SAFETY: The key is that of a tracepoint which C has defined, and which is
                    // there for as long as this code is.
                    unsafe {
                        $crate::jump_label::static_branch_unlikely!(
                            $crate::bindings::[<__tracepoint_ $tracepoint>],
                            $crate::bindings::tracepoint,
                            key
                        )
                    }
                }
                #[cfg(not(CONFIG_TRACEPOINTS))]
                false
            }

            /// Tells whoever listens. The event is made only if somebody does.
            #[inline(always)]
            pub fn trace(event: impl FnOnce() -> Self) {
                if Self::is_wanted() {
                    event().tell();
                }
            }

            // Out of the way of those that nobody listens to.
            #[cold]
            #[inline(never)]
            fn tell(self) {
                #[cfg(CONFIG_TRACEPOINTS)]
                $crate::macros::paste! {
                    // SAFETY: A tracepoint may be called from any context. Its arguments are plain
                    // values, or point to strings that never go.
                    unsafe {
                        $crate::bindings::[<rust_do_trace_ $tracepoint>](
                            $($crate::tracepoint::Argument::raw(&self.$field)),*
                        )
                    }
                }
            }
        }
    )*};
}

#[doc(inline)]
pub use tracepoints;
