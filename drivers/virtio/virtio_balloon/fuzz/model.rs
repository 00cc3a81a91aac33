// SPDX-License-Identifier: GPL-2.0

//! What a driver must keep to, as the device sees it.

use kernel::{
    bindings,
    fmt,
    mm::Nodes,
    new_spinlock_irq,
    prelude::*,
    sync::SpinLockIrq,
    virtio::mock::{
        Chain,
        Observer,
        MAX_QUEUES, //
    }, //
};

use super::step::Role;

/// A rule that the driver has broken.
#[derive(Clone, Copy)]
pub(super) struct Broken {
    pub(super) what: &'static str,
    pub(super) number: u64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.what, self.number)
    }
}

type Read<'a> = &'a mut dyn FnMut(usize, &mut [u8]) -> usize;

/// What the free page queue carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FreePages {
    Nothing,
    Hints,
    Bitmaps,
}

/// Ids that the host has used lately: more than can be under way.
const IDS: usize = 32;

struct State {
    roles: [Option<Role>; MAX_QUEUES],
    free_pages: FreePages,
    /// Pages of the balloon come in extents.
    extents: bool,
    /// The balloon pages that the device has, by bits.
    inside: KVVec<u64>,
    count: usize,
    /// The driver may take pages to be inside that the device never saw, or the other way round.
    guesses: bool,
    /// A round of hints is open.
    open: bool,
    commands: KVec<u32>,
    /// The driver may have seen any command id.
    any_command: bool,
    requests: [u32; IDS],
    next_request: usize,
    /// Request buffers that the device has.
    slots: usize,
    broken: Option<Broken>,
}

/// The device's knowledge of the driver.
#[pin_data]
pub(super) struct Model {
    #[pin]
    state: SpinLockIrq<State>,
}

/// Command ids that are remembered.
const COMMANDS: usize = 1024;

impl Model {
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        let end = Nodes::end_pfn();
        let inside = KVVec::from_elem(0, end / 64 + 1, GFP_KERNEL)?;
        let commands = KVec::with_capacity(COMMANDS, GFP_KERNEL)?;
        let state = State {
            roles: [None; MAX_QUEUES],
            free_pages: FreePages::Nothing,
            extents: false,
            inside,
            count: 0,
            guesses: false,
            open: false,
            commands,
            any_command: false,
            requests: [0; IDS],
            next_request: 0,
            slots: 0,
            broken: None,
        };
        Ok(pin_init!(Self {
            state <- new_spinlock_irq!(state),
        }))
    }

    /// The device was reset: it has nothing.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        for word in state.inside.iter_mut() {
            *word = 0;
        }
        state.count = 0;
        state.guesses = false;
        state.open = false;
        state.slots = 0;
    }

    /// The device is about to break the rules of a ring. (Its device looks at the ring itself no
    /// longer.)
    pub(super) fn set_foul(&self, role: Role) {
        if matches!(role, Role::Inflate | Role::Deflate) {
            self.state.lock().guesses = true;
        }
    }

    /// Says which queues there are.
    pub(super) fn set_queues(&self, numbers: &[Option<usize>; 5]) {
        let mut state = self.state.lock();
        state.roles = [None; MAX_QUEUES];
        for (role, number) in Role::ALL.into_iter().zip(numbers) {
            if let Some(slot) = number.and_then(|number| state.roles.get_mut(number)) {
                *slot = Some(role);
            }
        }
    }

    /// Says what the free page queue carries.
    pub(super) fn set_free_pages(&self, free_pages: FreePages) {
        self.state.lock().free_pages = free_pages;
    }

    /// Says whether pages of the balloon come in extents.
    pub(super) fn set_extents(&self, extents: bool) {
        self.state.lock().extents = extents;
    }

    /// The command id is about to become this.
    pub(super) fn allow_command(&self, id: u32) {
        let mut state = self.state.lock();
        if state.commands.contains(&id) {
            return;
        }
        if state.commands.len() >= COMMANDS || state.commands.push(id, GFP_ATOMIC).is_err() {
            state.any_command = true;
        }
    }

    /// The command id may become anything.
    pub(super) fn allow_any_command(&self) {
        self.state.lock().any_command = true;
    }

    /// Returns the number of balloon pages that the device has.
    pub(super) fn pages(&self) -> usize {
        self.state.lock().count
    }

    /// Returns a page in the balloon at or after this one.
    pub(super) fn page_from(&self, pfn: u32) -> Option<u32> {
        let state = self.state.lock();
        let words = state.inside.len();
        let first = (pfn as usize / 64).checked_rem(words)?;
        for nth in 0..words {
            let at = first.wrapping_add(nth).checked_rem(words)?;
            let word = state.inside.get(at).copied()?;
            if word != 0 {
                return u32::try_from(at * 64)
                    .ok()?
                    .checked_add(word.trailing_zeros());
            }
        }
        None
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.state.lock().broken
    }

    pub(super) fn set_broken(&self, what: &'static str, number: u64) {
        self.state.lock().break_with(what, number);
    }
}

impl State {
    fn break_with(&mut self, what: &'static str, number: u64) {
        if self.broken.is_none() {
            self.broken = Some(Broken { what, number });
        }
    }

    /// Calls `f` for each balloon page in a buffer of the balloon.
    fn each_pfn(&mut self, chain: &Chain, read: Read<'_>, f: impl FnMut(&mut Self, u32)) {
        let bytes = chain.bytes();
        let (each, most) = if self.extents { (16, 4096) } else { (4, 1024) };
        if chain.is_writable() {
            self.break_with("page numbers in a buffer that the device may write to", 0);
        } else if bytes == 0 || bytes % each != 0 || bytes > most {
            self.break_with("a list of page numbers has a wrong length", bytes as u64);
        } else if self.extents {
            self.each_in_extents(bytes, read, f);
        } else {
            self.each_number(bytes, read, f);
        }
    }

    fn each_number(&mut self, bytes: usize, read: Read<'_>, mut f: impl FnMut(&mut Self, u32)) {
        for at in (0..bytes).step_by(4) {
            let mut pfn = [0; 4];
            if read(at, &mut pfn) == 4 {
                f(self, u32::from_le_bytes(pfn));
            }
        }
    }

    fn each_in_extents(&mut self, bytes: usize, read: Read<'_>, mut f: impl FnMut(&mut Self, u32)) {
        let most = self.inside.len() as u64 * 64;
        for at in (0..bytes).step_by(16) {
            let mut field = |at| {
                let mut bytes = [0; 8];
                (read(at, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
            };
            let (Some(start), Some(pages)) = (field(at), field(at + 8)) else {
                continue;
            };
            if pages == 0 || start >= most || pages > most - start {
                self.break_with("an extent that is empty or no memory", start);
                continue;
            }
            for pfn in start..start + pages {
                // CAST: It was just compared with the size of the guest.
                f(self, pfn as u32);
            }
        }
    }

    /// Says whether a page is inside. Returns whether it was.
    fn set_inside(&mut self, pfn: u32, inside: bool) -> bool {
        let bit = 1u64 << (pfn % 64);
        let Some(word) = self.inside.get_mut(pfn as usize / 64) else {
            self.break_with("no page has this number", u64::from(pfn));
            return !inside;
        };
        let was = *word & bit != 0;
        if inside {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        match (was, inside) {
            (false, true) => self.count = self.count.wrapping_add(1),
            (true, false) => self.count = self.count.wrapping_sub(1),
            _ => {}
        }
        was
    }

    fn stats(&mut self, chain: &Chain, read: Read<'_>) {
        let bytes = chain.bytes();
        if chain.is_writable() || bytes % 10 != 0 || bytes > 160 {
            self.break_with("statistics have a wrong length", bytes as u64);
            return;
        }
        let mut seen = 0u32;
        for at in (0..bytes).step_by(10) {
            let mut tag = [0; 2];
            if read(at, &mut tag) != 2 {
                return;
            }
            let tag = u32::from(u16::from_le_bytes(tag));
            if tag >= bindings::VIRTIO_BALLOON_S_NR || seen & (1 << tag) != 0 {
                self.break_with("an unknown statistic, or one twice", u64::from(tag));
                return;
            }
            seen |= 1 << tag;
        }
    }

    fn hint(&mut self, chain: &Chain, read: Read<'_>) {
        if chain.is_writable() {
            if !self.open {
                self.break_with("a hint outside of a round", 0);
            }
            for entry in chain.descriptors() {
                if !entry.writable || entry.address % 4096 != 0 || entry.len % 4096 != 0 {
                    self.break_with("a hint that is no pages", entry.address);
                }
            }
            return;
        }
        let mut id = [0; 4];
        if chain.bytes() != 4 || read(0, &mut id) != 4 {
            self.break_with("a command id has a wrong length", chain.bytes() as u64);
            return;
        }
        match (u32::from_le_bytes(id), self.open) {
            (0, true) => self.open = false,
            (0, false) => self.break_with("a stop outside of a round", 0),
            (id, true) => self.break_with("an id inside of a round", u64::from(id)),
            (id, false) => {
                if id == 1 || !(self.any_command || self.commands.contains(&id)) {
                    self.break_with("an id that was never given", u64::from(id));
                }
                self.open = true;
            }
        }
    }

    fn slot(&mut self, chain: &Chain, read: Read<'_>) {
        let mut request = [0xff; 32];
        let whole = chain.descriptors().iter().all(|entry| entry.writable);
        if !whole || chain.bytes() != 32 {
            self.break_with("a request buffer has a wrong length", chain.bytes() as u64);
        } else if read(0, &mut request) == 32 && request != [0; 32] {
            self.break_with("a request buffer is not zeroed", 0);
        }
        self.slots = self.slots.wrapping_add(1);
        if self.slots > 4 {
            self.break_with("too many request buffers", self.slots as u64);
        }
    }

    fn report(&mut self, chain: &Chain, read: Read<'_>) {
        let mut header = [0; 32];
        if chain.bytes() < 32 || read(0, &mut header) != 32 {
            self.break_with("a report is too short", chain.bytes() as u64);
            return;
        }
        let number = |from: usize, len: usize| {
            header
                .iter()
                .skip(from)
                .take(len)
                .rev()
                .fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte))
        };
        // CAST: Four bytes.
        let id = number(0, 4) as u32;
        let (status, error, order) = (number(4, 1), number(5, 1), number(6, 1));
        let (bits, start) = (number(12, 4), number(16, 8));
        let is_error = status == 3;
        let rule = if status > 3 {
            "a report has an unknown status"
        } else if is_error != (1..=8).contains(&error) || (!is_error && error != 0) {
            "a report has a wrong error code"
        } else if number(7, 1) > u64::from(status < 2) || number(10, 2) != 0 {
            "a report has reserved bits set"
        } else if number(8, 1) > 3 || number(9, 1) > 5 {
            "a report has unknown caches"
        } else if !(self.requests.contains(&id) || is_error && id == 0) {
            "a report on a request that was not made"
        } else if status >= 2 && (bits != 0 || start != 0) {
            "a report without a bitmap has bits"
        } else if status == 1 && bits == 0 {
            "a report of nothing, and more to come"
        } else if chain.bytes() as u64 != 32 + bits.div_ceil(64) * 8 {
            "a bitmap has a wrong length"
        } else if !is_error && (order > 63 || start & ((1u64 << (order & 63)) - 1) != 0) {
            "a bitmap starts within a block"
        } else {
            let mut last = [0; 8];
            if bits % 64 != 0
                && read(chain.bytes() - 8, &mut last) == 8
                && u64::from_le_bytes(last) >> (bits % 64) != 0
            {
                "a bitmap has bits behind its end"
            } else {
                return;
            }
        };
        self.break_with(rule, u64::from(id) | status << 32 | bits << 40);
    }
}

impl Observer for Model {
    fn popped(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize) {
        let mut state = self.state.lock();
        let Some(role) = state.roles.get(chain.queue).copied().flatten() else {
            return;
        };
        match role {
            Role::Inflate => state.each_pfn(chain, read, |state, pfn| {
                if state.set_inside(pfn, true) && !state.guesses {
                    state.break_with("a page that is in the balloon already", u64::from(pfn));
                }
            }),
            Role::Deflate => state.each_pfn(chain, read, |state, pfn| {
                let inside = state.inside.get(pfn as usize / 64);
                let is_inside = inside.is_some_and(|word| word >> (pfn % 64) & 1 != 0);
                if !is_inside && !state.guesses {
                    state.break_with("a page that is not in the balloon", u64::from(pfn));
                }
            }),
            Role::Stats => state.stats(chain, read),
            Role::FreePage => match state.free_pages {
                FreePages::Nothing => state.break_with("a buffer without a feature for it", 0),
                FreePages::Hints => state.hint(chain, read),
                FreePages::Bitmaps if chain.is_writable() => state.slot(chain, read),
                FreePages::Bitmaps => state.report(chain, read),
            },
            Role::Reports => {
                if chain.descriptors().iter().any(|entry| !entry.writable) {
                    state.break_with("reported pages that cannot be written to", 0);
                }
            }
        }
    }

    fn returned(&self, chain: &Chain, read: &mut dyn FnMut(usize, &mut [u8]) -> usize) {
        let mut state = self.state.lock();
        match state.roles.get(chain.queue).copied().flatten() {
            Some(Role::Deflate) => state.each_pfn(chain, read, |state, pfn| {
                state.set_inside(pfn, false);
            }),
            Some(Role::FreePage)
                if state.free_pages == FreePages::Bitmaps && chain.is_writable() =>
            {
                let mut id = [0; 4];
                let at = state.next_request % IDS;
                if read(0, &mut id) == 4 {
                    if let Some(slot) = state.requests.get_mut(at) {
                        *slot = u32::from_le_bytes(id);
                    }
                }
                state.next_request = at + 1;
                state.slots = state.slots.saturating_sub(1);
            }
            _ => {}
        }
    }
}
