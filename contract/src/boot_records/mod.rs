//! Which slot boots next: one model, written on the EFI system partition once for each loader.
//!
//! One slot is good. Another one may be on trial above it, with tries that the loader takes down before each boot; blessed, once it
//! is proven healthy, it becomes the good one. `uefi` is the model as systemd-boot reads it, `grub` as GRUB under a BIOS does; each
//! loader counts in its own record only. This room neither reads nor writes a volume (`fat32::edit` does), and it knows nothing of
//! what is in a slot.

pub mod grub;
pub mod uefi;

use crate::disk_layout::Slot;

/// The tries that a new slot gets, and the most that a record may hold: GRUB has no arithmetic and counts what its configuration
/// spells out.
pub const TRIES: u32 = 3;

/// A slot that is not proven yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The slot.
    pub slot: Slot,
    /// Boots that the loader will still give it. The loader takes one off before each boot, so at 0 the last one may be under way.
    pub left: u32,
}

/// What a loader is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootRecords {
    /// The slot that boots where none is on trial; `None`: no slot was ever proven.
    pub good: Option<Slot>,
    /// The slot that is tried before the good one.
    pub trial: Option<Trial>,
}

/// A boot as the loader would do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextBoot {
    /// The slot that boots.
    pub slot: Slot,
    /// The records after the loader counted: to be written before the boot.
    pub after: BootRecords,
}

impl BootRecords {
    /// A factory image's, or an installed disk's: one slot, good from the start as there is nothing to fall back to.
    pub fn factory(slot: Slot) -> Self {
        Self { good: Some(slot), trial: None }
    }

    /// What the loader would boot next, and what it would write before. `None`: there is no slot at all.
    pub fn next_boot(&self) -> Option<NextBoot> {
        if let Some(Trial { slot, left }) = self.trial
            && left > 0
        {
            let after = Self { trial: Some(Trial { slot, left: left - 1 }), ..*self };
            return Some(NextBoot { slot, after });
        }
        // A slot without tries is still better than none: its loader boots it again.
        let slot = self.good.or(self.trial.map(|trial| trial.slot))?;
        Some(NextBoot { slot, after: *self })
    }

    /// The records once `slot` is proven healthy: it is the good one.
    #[must_use]
    pub fn bless(&self, slot: Slot) -> Self {
        Self { good: Some(slot), trial: self.trial.filter(|trial| trial.slot != slot) }
    }

    /// The records that give `slot` some `tries` (1 to [`TRIES`]) before the good slot boots again. A good slot that is written anew
    /// is good no longer.
    #[must_use]
    pub fn try_slot(&self, slot: Slot, tries: u32) -> Self {
        Self { good: self.good.filter(|good| *good != slot), trial: Some(Trial { slot, left: tries.clamp(1, TRIES) }) }
    }

    /// Whether it was these records that made the loader boot `slot`, rather than a person who chose it: only then may its success
    /// change which slot is good.
    pub fn stand_for(&self, slot: Slot) -> bool {
        self.good.is_none_or(|good| good == slot) || self.trial.is_some_and(|trial| trial.slot == slot)
    }

    /// The good slot that the loader comes to when `slot` keeps failing; `None`: it would boot `slot` again and again.
    pub fn fallback_from(&self, slot: Slot) -> Option<Slot> {
        let trial = self.trial.is_some_and(|trial| trial.slot == slot);
        self.good.filter(|good| trial && *good != slot)
    }
}

#[cfg(test)]
mod tests;
