// SPDX-License-Identifier: GPL-2.0

//! Anonymous memory whose every page can be told from every other: the content is a
//! pseudo-random stream seeded by (region, page, generation), so it neither compresses nor
//! matches by accident.

use std::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull}, //
};

pub(crate) const PAGE: usize = 4096;
pub(crate) const WORDS: usize = PAGE / 8;
pub(crate) const HUGE: usize = 2 << 20;

const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const MADV_DONTNEED: c_int = 4;
const MADV_HUGEPAGE: c_int = 14;
const MADV_NOHUGEPAGE: c_int = 15;

extern "C" {
    fn mmap(
        addr: *mut c_void,
        len: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(addr: *mut c_void, len: usize) -> c_int;
    fn madvise(addr: *mut c_void, len: usize, advice: c_int) -> c_int;
}

/// A private mapping, aligned to 2 MiB.
pub(crate) struct Mapping {
    base: NonNull<u64>,
    len: usize,
    map: *mut c_void,
    map_len: usize,
}

// SAFETY: The mapping belongs to this object; access goes through `&mut` or is read only.
unsafe impl Send for Mapping {}
// SAFETY: As above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(len: usize, huge: bool) -> Result<Self, String> {
        let map_len = len + HUGE;
        // SAFETY: A fresh anonymous mapping at an address of the kernel's choice.
        let map = unsafe {
            mmap(
                ptr::null_mut(),
                map_len,
                PROT_READ_WRITE,
                MAP_PRIVATE_ANONYMOUS,
                -1,
                0,
            )
        };
        if map as isize == -1 {
            return Err(format!(
                "mmap of {map_len} bytes: {}",
                std::io::Error::last_os_error()
            ));
        }
        let aligned = (map as usize).next_multiple_of(HUGE) as *mut u64;
        let mapping = Self {
            base: NonNull::new(aligned).ok_or("mmap gave address 0")?,
            len,
            map,
            map_len,
        };
        mapping.advise(0, len, if huge { MADV_HUGEPAGE } else { MADV_NOHUGEPAGE })?;
        Ok(mapping)
    }

    /// A mapping with the first generation of each page.
    pub(crate) fn filled(bytes: usize, seed: u64) -> Result<Self, String> {
        let mut mapping = Self::new(bytes.next_multiple_of(PAGE), false)?;
        mapping.fill(seed);
        Ok(mapping)
    }

    pub(crate) fn fill(&mut self, seed: u64) {
        for (index, page) in self.words_mut().chunks_mut(WORDS).enumerate() {
            fill_page(page, seed, index as u64, 0);
        }
    }

    /// Has each page what it had then?
    pub(crate) fn verify(&self, seed: u64, verdict: &mut Verdict) {
        for index in 0..self.pages() {
            verdict.add(page_is(self.page(index), seed, index as u64, 0));
        }
    }

    pub(crate) fn pages(&self) -> usize {
        self.len / PAGE
    }

    pub(crate) fn page(&self, index: usize) -> &[u64] {
        assert!(index < self.pages());
        // SAFETY: In bounds of the mapping, which lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(index * WORDS), WORDS) }
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: The whole mapping, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len / 8) }
    }

    /// Gives `len` bytes at `offset` back to the kernel.
    pub(crate) fn give_back(&mut self, offset: usize, len: usize) -> Result<(), String> {
        self.advise(offset, len, MADV_DONTNEED)
    }

    fn advise(&self, offset: usize, len: usize, advice: c_int) -> Result<(), String> {
        assert!(offset + len <= self.len);
        // SAFETY: In bounds of the mapping.
        let result = unsafe { madvise(self.base.as_ptr().byte_add(offset).cast(), len, advice) };
        if result != 0 {
            return Err(format!("madvise: {}", std::io::Error::last_os_error()));
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: Mapped in `new`, unmapped once.
        unsafe { munmap(self.map, self.map_len) };
    }
}

fn start(seed: u64, page: u64, generation: u64) -> u64 {
    let mut x = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(page.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(generation.wrapping_mul(0x94d0_49bb_1331_11eb));
    x ^= x >> 31;
    // An xorshift state must not be 0.
    x | 1
}

fn step(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

pub(crate) fn fill_page(page: &mut [u64], seed: u64, index: u64, generation: u64) {
    let mut x = start(seed, index, generation);
    for word in page {
        x = step(x);
        *word = x;
    }
}

pub(crate) fn page_is(page: &[u64], seed: u64, index: u64, generation: u64) -> bool {
    let mut x = start(seed, index, generation);
    page.iter().all(|word| {
        x = step(x);
        *word == x
    })
}

/// Which part of a region was given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    /// Every second block of this many pages, the first one included.
    EverySecond(usize),
}

pub(crate) struct Region {
    mapping: Mapping,
    seed: u64,
    kept: Kept,
}

#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) pages: u64,
    pub(crate) wrong: u64,
}

impl Verdict {
    pub(crate) fn add(&mut self, right: bool) {
        self.pages += 1;
        self.wrong += u64::from(!right);
    }
}

impl Region {
    pub(crate) fn fill(
        bytes: usize,
        seed: u64,
        huge: bool,
        threads: usize,
    ) -> Result<Self, String> {
        let mut mapping = Mapping::new(bytes, huge)?;
        let pages = mapping.pages();
        let share = pages.div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for (thread, words) in mapping.words_mut().chunks_mut(share * WORDS).enumerate() {
                scope.spawn(move || {
                    for (index, page) in words.chunks_mut(WORDS).enumerate() {
                        fill_page(page, seed, (thread * share + index) as u64, 0);
                    }
                });
            }
        });
        Ok(Self {
            mapping,
            seed,
            kept: Kept::All,
        })
    }

    /// Gives every second block of `bytes` back; returns how many bytes went.
    pub(crate) fn free_every_second(&mut self, bytes: usize) -> Result<usize, String> {
        if bytes == 0 || bytes % PAGE != 0 || self.kept != Kept::All {
            return Err("block must be a multiple of 4096, and a region is thinned once".into());
        }
        let total = self.mapping.pages() * PAGE;
        let mut freed = 0;
        let mut offset = bytes;
        while offset < total {
            let len = bytes.min(total - offset);
            self.mapping.give_back(offset, len)?;
            freed += len;
            offset += 2 * bytes;
        }
        self.kept = Kept::EverySecond(bytes / PAGE);
        Ok(freed)
    }

    pub(crate) fn verify(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for index in 0..self.mapping.pages() {
            let kept = match self.kept {
                Kept::All => true,
                Kept::EverySecond(block) => (index / block) % 2 == 0,
            };
            if kept {
                verdict.add(page_is(
                    self.mapping.page(index),
                    self.seed,
                    index as u64,
                    0,
                ));
            }
        }
        verdict
    }
}
