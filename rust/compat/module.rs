// SPDX-License-Identifier: GPL-2.0

//! Modules.

#[doc(no_inline)]
pub use kernel::{
    InPlaceModule,
    Module,
    ModuleMetadata,
    ThisModule, //
};

pub(crate) const THIS_MODULE: ThisModule = {
    extern "C" {
        // A `struct module`, of which only the address matters.
        static __this_module: u8;
    }

    // SAFETY: The kernel makes it as it loads the module, and it is there as long as that is.
    unsafe { ThisModule::from_ptr((&raw const __this_module).cast_mut().cast()) }
};

/// Returns the module that `M` is.
///
/// All crates that are linked with this one are part of one module.
pub const fn this_module<M: ModuleMetadata>() -> &'static ThisModule {
    &THIS_MODULE
}

/// Declares a module, with parameters that may be of the type `bool`.
///
/// The kernel's macro declares the module alone, in a module of its own: it leaves an empty
/// `module_parameters` there.
#[doc(hidden)]
#[macro_export]
macro_rules! __module {
    (
        type: $type:ident,
        name: $name:literal,
        authors: $authors:tt,
        description: $description:literal,
        license: $license:literal,
        params: {
            $($param:ident: $param_type:ident {
                default: $default:literal,
                description: $about:literal $(,)?
            }),* $(,)?
        } $(,)?
    ) => {
        #[allow(dead_code)]
        mod __module {
            $crate::macros::module! {
                type: super::$type,
                name: $name,
                authors: $authors,
                description: $description,
                license: $license,
            }
        }

        const __LOG_PREFIX: &[u8] = concat!($name, "\0").as_bytes();

        type LocalModule = $type;

        #[allow(non_upper_case_globals)]
        mod module_parameters {
            $(
                $crate::__modinfo!("parmtype=", stringify!($param), ":", stringify!($param_type));
                $crate::__modinfo!("parm=", stringify!($param), ":", $about);

                pub(crate) static $param: $crate::module_param::ModuleParamAccess<$param_type> =
                    $crate::module_param::ModuleParamAccess::new($default);

                const _: () = {
                    #[link_section = "__param"]
                    #[used(compiler)]
                    static PARAM: $crate::module_param::KernelParam = $param.declared(
                        match ::core::ffi::CStr::from_bytes_with_nul(
                            concat!(stringify!($param), "\0").as_bytes(),
                        ) {
                            Ok(name) => name,
                            Err(_) => panic!("a parameter's name has a NUL"),
                        },
                    );
                };
            )*
        }
    };
    ($($rest:tt)*) => {
        $crate::macros::module! { $($rest)* }
    };
}

/// Adds a line to the information that `modinfo` shows of a module.
#[doc(hidden)]
#[macro_export]
macro_rules! __modinfo {
    ($($part:expr),*) => {
        const _: () = {
            const TEXT: &[u8] = concat!($($part,)* "\0").as_bytes();

            #[link_section = ".modinfo"]
            #[used(compiler)]
            static INFO: [u8; TEXT.len()] = match TEXT.first_chunk() {
                Some(text) => *text,
                None => panic!("as long as itself"),
            };
        };
    };
}
