// SPDX-License-Identifier: GPL-2.0

//! Parameters of modules.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::{
    bindings,
    error::from_result,
    module::THIS_MODULE,
    prelude::*,
    str::{
        kstrtobool_bytes,
        BStr, //
    },
    sync::SetOnce, //
};
use core::{
    ptr,
    slice, //
};

#[doc(no_inline)]
pub use kernel::module_param::KernelParam;

/// A type that a parameter may have.
pub trait ModuleParam: Copy {
    /// Reads a value.
    fn parse(arg: &BStr) -> Result<Self>;
}

impl ModuleParam for bool {
    fn parse(arg: &BStr) -> Result<Self> {
        kstrtobool_bytes(arg)
    }
}

macro_rules! number {
    ($type:ty) => {
        impl ModuleParam for $type {
            fn parse(arg: &BStr) -> Result<Self> {
                kernel::module_param::ModuleParam::try_from_param_arg(arg)
            }
        }
    };
}

number!(i32);
number!(u32);

/// A parameter.
pub struct ModuleParamAccess<T> {
    value: SetOnce<T>,
    default: T,
}

impl<T: ModuleParam> ModuleParamAccess<T> {
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(set::<T>),
        get: None,
        free: None,
    };

    #[doc(hidden)]
    pub const fn new(default: T) -> Self {
        Self {
            value: SetOnce::new(),
            default,
        }
    }

    /// Returns the value.
    pub fn value(&self) -> T {
        self.value.as_ref().copied().unwrap_or(self.default)
    }

    /// Returns what tells the kernel of the parameter.
    #[doc(hidden)]
    pub const fn declared(&'static self, name: &'static CStr) -> KernelParam {
        KernelParam::new(bindings::kernel_param {
            name: name.as_ptr().cast(),
            mod_: THIS_MODULE.as_ptr(),
            ops: &Self::OPS,
            perm: 0,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: ptr::from_ref(self).cast_mut().cast(),
            },
        })
    }
}

/// Sets a parameter.
///
/// # Safety
///
/// `val` must be null or a string, and `param` come from [`ModuleParamAccess::<T>::declared`].
unsafe extern "C" fn set<T: ModuleParam>(
    val: *const c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    from_result(|| {
        if val.is_null() {
            return Err(EINVAL);
        }
        // Not a `CStr`: the length with its NUL could overflow, for all that the compiler knows.
        //
        // SAFETY: By the safety requirement it is a string.
        let len = unsafe { bindings::strlen(val) };
        // SAFETY: As above: so many bytes are initialised. They do not change during the call.
        let text = unsafe { slice::from_raw_parts(val.cast::<u8>(), len) };
        let value = T::parse(BStr::from_bytes(text))?;
        // SAFETY: By the safety requirement its data is a parameter of this type, a static.
        let access = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<ModuleParamAccess<T>>() };
        if access.value.populate(value) {
            Ok(0)
        } else {
            Err(EEXIST)
        }
    })
}
