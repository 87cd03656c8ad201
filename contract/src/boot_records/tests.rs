use super::grub::EnvironmentBlock;
use super::uefi::{BootEntry, Change, EntryName, Listed, Tries};
use super::*;

/// Both encodings, as they lie on an ESP.
#[derive(Debug, Clone)]
struct Esp {
    block: EnvironmentBlock,
    entries: Vec<Listed>,
}

impl Esp {
    fn factory() -> Self {
        let name = EntryName { slot: Slot::A, tries: None };
        let entries = vec![Listed { name, entry: BootEntry::for_slot(Slot::A, "base", "1", 1) }];
        Self { block: EnvironmentBlock::for_records(&BootRecords::factory(Slot::A)), entries }
    }

    /// What an updater does.
    fn try_slot(&mut self, slot: Slot) {
        self.block.set_records(&self.block.records().try_slot(slot, TRIES));
        let entry = BootEntry::for_slot(slot, "base", "1", uefi::next_generation(&self.entries));
        self.entries.retain(|listed| listed.name.slot != slot);
        let name = EntryName { slot, tries: Some(Tries { left: TRIES, done: 0 }) };
        self.entries.push(Listed { name, entry });
    }

    /// What the loader of one firmware does; the slot that it boots.
    fn boot(&mut self, efi: bool) -> Slot {
        if !efi {
            let next = self.block.records().next_boot().unwrap();
            self.block.set_records(&next.after);
            return next.slot;
        }
        // systemd-boot's order (boot_entry_compare): bad ones last, then the version, then the name.
        let said = uefi::next_boot(&self.entries).unwrap();
        let bad = |listed: &Listed| listed.name.tries.is_some_and(|tries| tries.left == 0);
        let first =
            self.entries.iter_mut().max_by_key(|listed| (!bad(listed), listed.entry.generation, listed.name.slot)).unwrap();
        let from = first.name;
        let counted = from.tries.map(|Tries { left, done }| Tries { left: left.saturating_sub(1), done: done + 1 });
        first.name.tries = counted;
        let change = counted.map(|_| Change::Rename { from, to: first.name });
        assert_eq!(said, (first.name.slot, change));
        first.name.slot
    }

    fn bless(&mut self, slot: Slot) -> usize {
        self.block.set_records(&self.block.records().bless(slot));
        let changes = uefi::bless(&self.entries, slot);
        for change in &changes {
            match change {
                Change::Remove(name) => self.entries.retain(|listed| listed.name != *name),
                Change::Rename { from, to } => {
                    assert!(!self.entries.iter().any(|listed| listed.name == *to));
                    self.entries.iter_mut().filter(|listed| listed.name == *from).for_each(|listed| listed.name = *to);
                }
                Change::Write(name, entry) => {
                    let mut named = self.entries.iter_mut().filter(|listed| listed.name == *name);
                    named.next().unwrap().entry = entry.clone();
                }
            }
        }
        changes.len()
    }
}

#[test]
fn a_slot_on_trial_has_three_tries_then_the_good_one_boots() {
    let mut records = BootRecords::factory(Slot::A).try_slot(Slot::B, 7);
    assert_eq!(records.fallback_from(Slot::B), Some(Slot::A));
    let mut booted = Vec::new();
    for _ in 0..5 {
        let next = records.next_boot().unwrap();
        booted.push(next.slot.letter());
        records = next.after;
    }
    assert_eq!(booted, ['b', 'b', 'b', 'a', 'a']);
    assert_eq!(records.fallback_from(Slot::A), None);
    assert!(records.stand_for(Slot::B));
    assert_eq!(records.bless(Slot::B), BootRecords::factory(Slot::B));
    assert_eq!(records.bless(Slot::A), records);
}

#[test]
fn without_another_slot_the_loader_stays_with_the_only_one() {
    let records = BootRecords::factory(Slot::A);
    assert_eq!(records.next_boot(), Some(NextBoot { slot: Slot::A, after: records }));
    let only = records.try_slot(Slot::A, 1);
    assert_eq!(only, BootRecords { good: None, trial: Some(Trial { slot: Slot::A, left: 1 }) });
    let last = only.next_boot().unwrap().after;
    assert_eq!(last.next_boot(), Some(NextBoot { slot: Slot::A, after: last }));
    assert_eq!(last.fallback_from(Slot::A), None);
    assert_eq!(last.bless(Slot::A), BootRecords::factory(Slot::A));
    assert_eq!(BootRecords::default().next_boot(), None);
}

#[test]
fn a_slot_that_a_person_chose_is_not_what_the_records_stand_for() {
    assert!(!BootRecords::factory(Slot::A).stand_for(Slot::B));
    assert!(BootRecords::factory(Slot::A).stand_for(Slot::A));
    assert!(BootRecords::default().stand_for(Slot::A));
}

#[test]
fn both_encodings_say_what_the_model_says() {
    let slots = [None, Some(Slot::A), Some(Slot::B)];
    for good in slots {
        let trials = [None].into_iter().chain(Slot::ALL.into_iter().flat_map(|slot| (0..=3).map(move |left| Some((slot, left)))));
        for trial in trials {
            let trial = trial.map(|(slot, left)| Trial { slot, left });
            if trial.is_some_and(|trial| good == Some(trial.slot)) {
                continue;
            }
            let records = BootRecords { good, trial };
            let bytes = EnvironmentBlock::for_records(&records).render();
            assert_eq!(EnvironmentBlock::parse(&bytes).unwrap().records(), records);
            let entry = |slot, generation, tries| {
                let name = EntryName { slot, tries };
                Listed { name, entry: BootEntry::for_slot(slot, "base", "1", generation) }
            };
            let mut entries: Vec<Listed> = good.map(|slot| entry(slot, 8, None)).into_iter().collect();
            entries.extend(trial.map(|t| entry(t.slot, 9, Some(Tries { left: t.left, done: 0 }))));
            assert_eq!(uefi::records(&entries), records);
        }
    }
}

/// Every history of up to seven things that can happen to an ESP, from a factory's on: wherever the running slot has been blessed,
/// both loaders would boot the same slot next.
#[test]
fn the_encodings_never_disagree_after_a_bless() {
    let mut blessed = 0;
    for history in 0..4u32.pow(7) {
        let mut esp = Esp::factory();
        let mut running = Slot::A;
        for step in 0..7 {
            match history >> (2 * step) & 3 {
                0 => esp.try_slot(if running == Slot::A { Slot::B } else { Slot::A }),
                1 => running = esp.boot(true),
                2 => running = esp.boot(false),
                _ => {
                    esp.bless(running);
                    let (grub, efi) = (esp.block.records(), uefi::records(&esp.entries));
                    assert_eq!(grub.good, Some(running));
                    assert_eq!(grub.good, efi.good, "{history:#o}: {esp:?}");
                    assert_eq!(grub.trial.map(|trial| trial.slot), efi.trial.map(|trial| trial.slot), "{history:#o}: {esp:?}");
                    assert_eq!(esp.bless(running), 0, "a second time there is nothing to do");
                    blessed += 1;
                }
            }
        }
    }
    assert!(blessed > 10_000, "{blessed}");
}

#[test]
fn entries_that_were_written_by_hand_are_brought_in_order() {
    let listed = |name: &str, generation| {
        let name = EntryName::parse(name).unwrap();
        Listed { name, entry: BootEntry::for_slot(name.slot, "base", "1", generation) }
    };
    let name = |name: &str| EntryName::parse(name).unwrap();
    // A file of the same slot that an update left behind.
    let entries = [listed("kmimage-b.conf", 1), listed("kmimage-b+1-2.conf", 3), listed("kmimage-a.conf", 2)];
    let rename = Change::Rename { from: name("kmimage-b+1-2.conf"), to: name("kmimage-b.conf") };
    assert_eq!(uefi::bless(&entries, Slot::B), [Change::Remove(name("kmimage-b.conf")), rename]);
    // The other loader booted a slot that this one would not prefer.
    let entries = [listed("kmimage-b+3.conf", 1), listed("kmimage-a.conf", 2)];
    assert_eq!(uefi::records(&entries), BootRecords::factory(Slot::A));
    let changes = uefi::bless(&entries, Slot::B);
    let rename = Change::Rename { from: name("kmimage-b+3.conf"), to: name("kmimage-b.conf") };
    assert_eq!(changes, [rename, Change::Write(name("kmimage-b.conf"), BootEntry::for_slot(Slot::B, "base", "1", 3))]);
    assert_eq!(uefi::bless(&entries, Slot::A), []);
    assert_eq!(uefi::bless(&[], Slot::A), []);
}
