use super::*;
use crate::facts::ext4::Superblock;
use std::collections::BTreeSet;
use uuid::Uuid;

const UUID: Uuid = Uuid::from_u128(1);

fn ext4(mounted: bool, clean: bool) -> Content {
    Content::Ext4(Superblock { uuid: UUID, block_size: 4096, blocks: 100, mounted, clean })
}

fn ledger(state: Option<Phase>, var: Option<Phase>) -> Option<Ledger> {
    let entries = [("state", state), ("var", var)];
    let noted = entries.into_iter().filter_map(|(name, phase)| Some((name, phase?)));
    Some(noted.fold(Ledger::default(), |ledger, (name, phase)| ledger.with(name, phase, UUID)))
}

/// The steps in short words.
fn check(ledger: Option<Ledger>, state: Option<Content>, var: Option<Content>, expect: &str) {
    let words = plan(&Facts { ledger, state, var }).into_iter().map(|step| match step {
        Step::Refuse(what, refusal) => format!("refuse {what} {refusal:?}"),
        Step::GrowPartition => "grow".to_owned(),
        Step::Note(what, phase) => format!("note {what} {phase:?}"),
        Step::Make(what) => format!("make {what}"),
        Step::Check(what) => format!("check {what}"),
        Step::Mount(what) => format!("mount {what}"),
        Step::GrowFileSystem(what) => format!("fill {what}"),
    });
    assert_eq!(words.collect::<Vec<_>>().join(", "), expect);
}

const MADE: Option<Phase> = Some(Phase::Made);
const MAKING: Option<Phase> = Some(Phase::Making);
const EMPTY: Option<Content> = Some(Content::Empty);
const OTHER: Option<Content> = Some(Content::Other);

#[test]
fn a_new_machine() {
    let all = "note state Making, make state, note state Made, grow, note var Making, make var, note var Made, \
               mount state, fill state, mount var, fill var";
    check(None, EMPTY, EMPTY, all);
    check(ledger(None, None), EMPTY, EMPTY, all);
}

#[test]
fn a_first_boot_that_was_cut() {
    let (fresh, torn) = (Some(ext4(false, true)), OTHER);
    let all = "note state Making, make state, note state Made, grow, note var Making, make var, note var Made, \
               mount state, fill state, mount var, fill var";
    for state in [EMPTY, fresh, torn] {
        check(ledger(MAKING, None), state, EMPTY, all);
    }
    let var = "grow, note var Making, make var, note var Made, mount state, fill state, mount var, fill var";
    check(ledger(MADE, None), fresh, EMPTY, var);
    for content in [EMPTY, fresh, torn] {
        check(ledger(MADE, MAKING), fresh, content, var);
    }
    check(ledger(MADE, MADE), fresh, fresh, "grow, mount state, fill state, mount var, fill var");
}

#[test]
fn a_later_boot() {
    let (clean, dirty) = (Some(ext4(true, true)), Some(ext4(true, false)));
    check(ledger(MADE, MADE), clean, clean, "grow, mount state, fill state, mount var, fill var");
    check(ledger(MADE, MADE), dirty, dirty, "grow, check state, mount state, fill state, check var, mount var, fill var");
}

#[test]
fn damage_is_checked_and_never_taken_for_a_new_disk() {
    let lived = Some(ext4(true, true));
    let both = "grow, check state, mount state, fill state, check var, mount var, fill var";
    for gone in [EMPTY, OTHER] {
        check(ledger(MADE, MADE), gone, gone, both);
        check(ledger(MADE, MADE), lived, gone, "grow, mount state, fill state, check var, mount var, fill var");
    }
    // The ledger is gone, or an old one: the superblocks are witnesses.
    let noted = "note state Made, note var Made, grow, mount state, fill state, mount var, fill var";
    for gone in [None, ledger(MAKING, MAKING), ledger(None, None)] {
        check(gone, lived, lived, noted);
    }
    // The ledger and one file system are gone.
    check(None, lived, EMPTY, "note state Made, refuse var Lost, mount state, fill state");
    check(None, lived, OTHER, "note state Made, refuse var Foreign, mount state, fill state");
    check(None, EMPTY, lived, "refuse state Lost, grow, mount var, fill var");
}

#[test]
fn what_is_foreign_or_missing_is_refused() {
    let lived = Some(ext4(true, true));
    check(None, OTHER, OTHER, "refuse state Foreign, refuse var Foreign");
    check(None, Some(ext4(false, true)), EMPTY, "refuse state Foreign, refuse var NoLedger");
    check(None, None, EMPTY, "refuse state NoPartition, refuse var NoLedger");
    check(None, None, lived, "refuse state NoPartition, grow, mount var, fill var");
    check(None, None, None, "refuse state NoPartition, refuse var NoPartition");
    check(ledger(MADE, MADE), lived, None, "refuse var NoPartition, mount state, fill state");
    check(ledger(MADE, None), lived, OTHER, "refuse var Foreign, mount state, fill state");
    // What could not be made in the first boot is made later, though state has been in use since.
    check(
        ledger(MADE, None),
        lived,
        EMPTY,
        "grow, note var Making, make var, note var Made, mount state, fill state, mount var, fill var",
    );
}

/// A disk as far as the plan sees it, and whether a file system holds data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Disk {
    ledger: [u8; 2],
    whole_ledger: bool,
    content: [u8; 2],
}

/// What a file system can look like: nothing, the torn begin of one, made, in use.
const CONTENTS: [fn() -> Content; 4] = [|| Content::Empty, || Content::Other, || ext4(false, true), || ext4(true, false)];
const IN_USE: u8 = 3;

impl Disk {
    fn facts(&self) -> Facts {
        let phase = |at: usize| [None, MAKING, MADE][usize::from(self.ledger[at])];
        let content = |at: usize| Some(CONTENTS[usize::from(self.content[at])]());
        let ledger = ledger(phase(0), phase(1)).filter(|_| self.whole_ledger);
        Facts { ledger, state: content(0), var: content(1) }
    }

    /// All that a power cut in or after a step can leave.
    fn after(&self, step: Step) -> Vec<Self> {
        let at = usize::from(step.what() == What::Var);
        let with = |content: u8| {
            let mut disk = self.clone();
            disk.content[at] = content;
            disk
        };
        match step {
            Step::Note(_, phase) => {
                let mut noted = self.clone();
                noted.ledger[at] = if phase == Phase::Making { 1 } else { 2 };
                noted.whole_ledger = true;
                vec![self.clone(), noted]
            }
            Step::Make(_) => (0..IN_USE).map(with).collect(),
            Step::Mount(_) => vec![self.clone(), with(IN_USE)],
            Step::Refuse(..) => panic!("{self:?} is refused"),
            Step::GrowPartition | Step::Check(_) | Step::GrowFileSystem(_) => vec![self.clone()],
        }
    }
}

/// Every cut of every boot after every cut of every boot before: no file system in use is ever made, and none is ever refused.
#[test]
fn no_sequence_of_power_cuts_makes_a_file_system_twice() {
    let new = Disk { ledger: [0; 2], whole_ledger: false, content: [0; 2] };
    let (mut known, mut open) = (BTreeSet::from([new.clone()]), vec![new]);
    while let Some(disk) = open.pop() {
        let mut now = BTreeSet::from([disk.clone()]);
        for step in plan(&disk.facts()) {
            let mut next = BTreeSet::new();
            for disk in &now {
                if let Step::Make(what) = step {
                    assert_ne!(disk.content[usize::from(what == What::Var)], IN_USE, "{disk:?}");
                }
                next.extend(disk.after(step));
            }
            open.extend(next.iter().filter(|disk| known.insert((*disk).clone())).cloned());
            // Going on, the step is done.
            now = next.into_iter().filter(|disk| now_done(disk, step)).collect();
        }
    }
    assert!(known.contains(&Disk { ledger: [2; 2], whole_ledger: true, content: [IN_USE; 2] }));
    // Few, because a step is noted before it is begun.
    assert_eq!(known.len(), 11);
}

/// Whether a disk is as a step that was done leaves it.
fn now_done(disk: &Disk, step: Step) -> bool {
    let at = usize::from(step.what() == What::Var);
    match step {
        Step::Note(_, phase) => disk.whole_ledger && disk.ledger[at] == if phase == Phase::Making { 1 } else { 2 },
        Step::Make(_) => disk.content[at] == 2,
        Step::Mount(_) => disk.content[at] == IN_USE,
        _ => true,
    }
}
