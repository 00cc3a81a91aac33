// SPDX-License-Identifier: GPL-2.0

//! Files of any length, a record at a time.
//!
//! The kernel crate's files are made in one go, into a buffer that is doubled, and filled anew,
//! until all of it fits; and nothing is kept of where a reader is. This is for what is too long for
//! that, or has to be waited for: each reader has a place of its own in the content, of which no
//! more than a page as a rule is in memory.
//!
//! And those files have no owner. A module can be unloaded while one of them is open, and when that
//! is closed debugfs looks for its operations in the memory that the module had.
//!
//! C headers: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

#[cfg(CONFIG_DEBUG_FS)]
use crate::sync::Arc;
use crate::{
    bindings,
    error::to_result,
    fmt,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    ModuleMetadata, //
};
use core::{
    marker::PhantomPinned,
    ptr::{
        self,
        NonNull, //
    }, //
};

/// Content that is made while it is read.
///
/// All of it is called in the context of the process that reads, which may sleep, and may wait if
/// signals end that.
#[vtable]
pub trait Stream: Send + Sync + 'static {
    /// The module that it is part of, `crate::LocalModule`.
    type OwnerModule: ModuleMetadata;

    /// Where a reader is. It may outlive the file, as long as that is open.
    type Place: Send + 'static;

    /// Returns the place before the first record, for a reader that begins, or begins again.
    fn begin(&self) -> Result<Self::Place>;

    /// Moves on to the next record. Returns `false` if there is none.
    ///
    /// An error ends the read that it happens in; the next one tries again.
    fn advance(&self, place: &mut Self::Place) -> Result<bool>;

    /// Writes the record at `place`, perhaps not for the only time: if there was not enough room
    /// for it, it is asked for again.
    fn show(&self, place: &Self::Place, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A directory in the root of debugfs, for [`StreamFile`]s. It goes with the last of them.
///
/// What fails in debugfs is not an error, as everywhere: the files are not there then.
pub struct StreamDir(#[cfg(CONFIG_DEBUG_FS)] Arc<Entry>);

impl StreamDir {
    /// Creates a directory. Returns an error if there is no memory.
    #[cfg_attr(not(CONFIG_DEBUG_FS), allow(unused_variables))]
    pub fn new(name: &CStr) -> Result<Self> {
        Ok(Self(
            #[cfg(CONFIG_DEBUG_FS)]
            Arc::new(Entry::directory(name), GFP_KERNEL)?,
        ))
    }
}

/// A file with the content of a [`Stream`].
///
/// Only its owner, root, may read it. It goes when this is dropped, which waits for reads that are
/// going on; so whatever they wait for has to have ended. As long as the file is open, the module
/// cannot be unloaded.
#[pin_data]
pub struct StreamFile<T: Stream> {
    // Dropped first: the file refers to the data.
    #[cfg(CONFIG_DEBUG_FS)]
    _file: Entry,
    // And then the directory, if this was its last file.
    #[cfg(CONFIG_DEBUG_FS)]
    _directory: Arc<Entry>,
    #[pin]
    stream: T,
    #[pin]
    _pin: PhantomPinned,
}

impl<T: Stream> StreamFile<T> {
    /// Creates the file `name` in `directory`.
    ///
    /// A method of the kernel crate's [`Dir`](super::Dir), if that were in the same crate: it does
    /// not give its `struct dentry` away.
    #[cfg_attr(not(CONFIG_DEBUG_FS), allow(unused_variables))]
    pub fn new<'a, E: 'a>(
        directory: &'a StreamDir,
        name: &'a CStr,
        stream: impl PinInit<T, E> + 'a,
    ) -> impl PinInit<Self, E> + 'a {
        try_pin_init!(&this in Self {
            stream <- stream,
            #[cfg(CONFIG_DEBUG_FS)]
            // SAFETY: The stream is initialised. It is pinned, and is dropped after the file.
            _file: unsafe { Entry::file::<T>(&directory.0, name, this) },
            #[cfg(CONFIG_DEBUG_FS)]
            _directory: directory.0.clone(),
            _pin: PhantomPinned,
        }? E)
    }
}

/// A directory or file in debugfs.
///
/// # Invariants
///
/// The pointer is to one that is owned, or an error.
#[cfg(CONFIG_DEBUG_FS)]
struct Entry(*mut bindings::dentry);

#[cfg(CONFIG_DEBUG_FS)]
// SAFETY: An entry may be removed from any thread.
unsafe impl Send for Entry {}
#[cfg(CONFIG_DEBUG_FS)]
// SAFETY: With a reference files can be created in a directory, which debugfs locks.
unsafe impl Sync for Entry {}

#[cfg(CONFIG_DEBUG_FS)]
impl Entry {
    /// Creates a directory in the root of debugfs.
    fn directory(name: &CStr) -> Self {
        // INVARIANT: It is just created, or cannot be.
        //
        // SAFETY: The name is a string. No parent means the root.
        Self(unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) })
    }

    /// Creates a file in a directory.
    ///
    /// # Safety
    ///
    /// The stream in `file` must be initialised and stay valid, where it is, until the entry was
    /// dropped.
    unsafe fn file<T: Stream>(directory: &Self, name: &CStr, file: NonNull<StreamFile<T>>) -> Self {
        // SAFETY: By the safety requirement it is valid, and this makes no reference to it.
        let stream = unsafe { &raw mut (*file.as_ptr()).stream };
        // SAFETY: The name is a string. The parent is a directory that is there, or an error, which
        // is taken. The operations are there for as long as the module, and made for inodes with a
        // `T`, which by the safety requirement is there for as long as the file.
        let file = unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                0o400,
                directory.0,
                stream.cast(),
                ptr::null(),
                Reading::<T>::operations(),
            )
        };
        // INVARIANT: It was just created, or could not be.
        Self(file)
    }
}

#[cfg(CONFIG_DEBUG_FS)]
impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; errors are taken.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// Whether the place of a reader is at a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// It has still to move on to the record.
    Before,
    Record,
    End,
}

/// A reader of a file: what the `struct seq_file` has as its private data.
///
/// # Invariants
///
/// While debugfs lets a read begin or go on, `stream` points to the file's stream.
struct Reading<T: Stream> {
    stream: NonNull<T>,
    /// [`None`] before the first read.
    place: Option<T::Place>,
    at: At,
}

#[cfg_attr(not(CONFIG_DEBUG_FS), allow(dead_code))]
impl<T: Stream> Reading<T> {
    /// What a file does. It has an owner: debugfs looks at it as the file is closed, when the file
    /// in debugfs may be gone for long.
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    const SEQUENCE: bindings::seq_operations = bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    const fn operations() -> &'static bindings::file_operations {
        &Self::FILE
    }

    /// Moves on to a record, if it is not at one.
    fn arrive(&mut self) -> Result<bool> {
        // SAFETY: By the type invariants, as a read is going on.
        let stream = unsafe { self.stream.as_ref() };
        if self.at == At::Before {
            let place = match &mut self.place {
                Some(place) => place,
                none => none.insert(stream.begin()?),
            };
            self.at = if stream.advance(place)? {
                At::Record
            } else {
                At::End
            };
        }
        Ok(self.at == At::Record)
    }

    /// Returns what `struct seq_file` takes for the record that [`Reading::arrive`] came to.
    fn record(&mut self) -> *mut c_void {
        match self.arrive() {
            Ok(true) => ptr::from_mut(self).cast(),
            Ok(false) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// Returns the reader of a file.
    ///
    /// # Safety
    ///
    /// `seq` must be that of a file which [`Reading::open`] has opened, and the only one to use it
    /// for `'a`.
    unsafe fn of<'a>(seq: *mut bindings::seq_file) -> &'a mut Self {
        // SAFETY: By the safety requirement: `open()` sets the private data.
        unsafe { &mut *(*seq).private.cast::<Self>() }
    }

    extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        crate::error::from_result(|| {
            // SAFETY: Debugfs opens its inodes, and has set this one's data as it was told to.
            let stream = unsafe { (*inode).i_private };
            let reading = KBox::new(
                // INVARIANT: Debugfs keeps the stream from going while an operation but `release`
                // goes on, and lets none begin afterwards.
                Self {
                    stream: NonNull::new(stream.cast()).ok_or(ENXIO)?,
                    place: None,
                    at: At::Before,
                },
                GFP_KERNEL,
            )?;
            // SAFETY: The file is being opened. The operations are there for as long as the
            // module, which the file keeps.
            to_result(unsafe { bindings::seq_open(file, &Self::SEQUENCE) })?;
            // SAFETY: `seq_open()` has set the private data of the file.
            let seq = unsafe { (*file).private_data.cast::<bindings::seq_file>() };
            // SAFETY: As above.
            unsafe { (*seq).private = KBox::into_raw(reading).cast() };
            Ok(0)
        })
    }

    extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The file was opened by `open()`, and is in no use any more.
        let reading = unsafe {
            let seq = (*file).private_data.cast::<bindings::seq_file>();
            KBox::from_raw((*seq).private.cast::<Self>())
        };
        // The stream may be gone, to which a place does not refer.
        drop(reading);
        // SAFETY: As above.
        unsafe { bindings::seq_release(inode, file) }
    }

    extern "C" fn start(seq: *mut bindings::seq_file, index: *mut bindings::loff_t) -> *mut c_void {
        // SAFETY: Called within a read, of which there is one at a time.
        let reading = unsafe { Self::of(seq) };
        // SAFETY: `index` is valid. Apart from the beginning it is where the last read has ended.
        if unsafe { *index } == 0 {
            reading.place = None;
            reading.at = At::Before;
        }
        reading.record()
    }

    extern "C" fn next(
        seq: *mut bindings::seq_file,
        _record: *mut c_void,
        index: *mut bindings::loff_t,
    ) -> *mut c_void {
        // SAFETY: As in `start()`.
        let reading = unsafe { Self::of(seq) };
        // SAFETY: `index` is valid.
        unsafe { *index = (*index).saturating_add(1) };
        reading.at = At::Before;
        reading.record()
    }

    extern "C" fn show(seq: *mut bindings::seq_file, _record: *mut c_void) -> c_int {
        // SAFETY: As in `start()`.
        let reading = unsafe { Self::of(seq) };
        // SAFETY: Called within a read, of which there is one at a time.
        let file = unsafe { SeqFile::from_raw(seq) };
        seq_print!(file, "{}", Shown(&*reading));
        0
    }

    extern "C" fn stop(_seq: *mut bindings::seq_file, _record: *mut c_void) {}
}

/// The record that a reader is at.
struct Shown<'a, T: Stream>(&'a Reading<T>);

impl<T: Stream> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.place {
            // SAFETY: By the type invariants of `Reading`, as a read is going on.
            Some(place) => unsafe { self.0.stream.as_ref() }.show(place, f),
            None => Ok(()),
        }
    }
}
