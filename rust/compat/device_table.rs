// SPDX-License-Identifier: GPL-2.0

//! Tables of device ids.

/// Creates a table of device ids without data, and its alias for modpost.
#[macro_export]
macro_rules! module_device_table {
    ($bus:literal, $id_type:ty, $name:ident, @none, [$($id:expr),* $(,)?]) => {
        const $name: $crate::device_id::IdArray<
            $id_type,
            (),
            { <[$id_type]>::len(&[$($id),*]) },
        > = $crate::device_id::IdArray::new_without_index([$(($id, ())),*]);

        $crate::__module_device_table!($bus, __MODULE_DEVICE_TABLE, $name);
    };
}
