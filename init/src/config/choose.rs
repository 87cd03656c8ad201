//! Which of several configs a machine takes: a pure function of what the sources offer, what `state` holds, and what is in force.
//!
//! 1. Once the machine has been ready with a config (the mark), the document on `state` wins; an offer that differs is named and ignored.
//! 2. Before that the first source in order decides, whatever it holds: a refused config means maintenance mode, and a URL that
//!    doesn't answer yet is waited for. What lies on `state` comes last.
//! 3. While nothing is in force, or before the mark, a good config that came or changed later is taken: so a corrected seed heals a bad
//!    one. Of one kind of source the latest counts.
//! 4. A document on `state` that can't be read or is refused counts as none; if there is no other, it is what is refused.

/// A kind of source; the earlier, the more it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `kmimage.config=` on the kernel command line.
    CommandLine,
    /// A NoCloud volume, or the seed that SMBIOS' serial number names.
    NoCloud,
    /// SMBIOS type 11.
    Smbios,
    /// QEMU's fw_cfg.
    FwCfg,
    /// The boot disk's ESP.
    Esp,
}

/// What a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its kind.
    pub kind: Kind,
    /// It came, or changed, after the first decision of this boot.
    pub fresh: bool,
    /// What it holds.
    pub verdict: Verdict,
}

/// What a source's document is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It can be applied; by its digest.
    Good(String),
    /// It can't.
    Refused,
    /// It is not known yet.
    Waiting,
}

/// What lies on `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored<'a> {
    /// Nothing, or there is no `state`.
    Nothing,
    /// A document that can be applied; by its digest.
    Good(&'a str),
    /// One that can't.
    Refused,
}

/// Everything that decides.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Whether the machine has once been ready with a config.
    pub marked: bool,
    /// What lies on `state`.
    pub stored: Stored<'a>,
    /// What the sources offer, in their order; of one kind in the order in which they were found.
    pub offers: &'a [Offer],
    /// The digest of the document that is in force, if one is.
    pub in_force: Option<&'a str>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Take an offer, by its place in the list.
    Take(usize),
    /// Take what lies on `state`.
    TakeStored,
    /// Leave in force what is.
    Keep,
    /// An offer is refused: maintenance mode.
    Refused(usize),
    /// What lies on `state` is refused and there is nothing else: maintenance mode.
    StoredRefused,
    /// Wait for an offer.
    Waiting(usize),
    /// There is no config.
    Nothing,
}

/// What is to be done, and which offers are passed over, by their places in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is to be done.
    pub outcome: Outcome,
    /// Offers whose document is another one than that taken, or refused.
    pub ignored: Vec<usize>,
}

/// Decides.
pub fn choose(known: &Known<'_>) -> Choice {
    let outcome = decide(known);
    let digest = match outcome {
        Outcome::Take(at) => known.offers.get(at).and_then(|offer| match &offer.verdict {
            Verdict::Good(digest) => Some(digest.as_str()),
            Verdict::Refused | Verdict::Waiting => None,
        }),
        Outcome::TakeStored => match known.stored {
            Stored::Good(digest) => Some(digest),
            Stored::Nothing | Stored::Refused => None,
        },
        Outcome::Keep => known.in_force,
        Outcome::Refused(_) | Outcome::StoredRefused | Outcome::Waiting(_) | Outcome::Nothing => None,
    };
    let is_ignored = |at: usize, offer: &Offer| match &offer.verdict {
        Verdict::Good(other) => Some(other.as_str()) != digest,
        Verdict::Refused => outcome != Outcome::Refused(at),
        Verdict::Waiting => false,
    };
    let ignored = known.offers.iter().enumerate().filter(|(at, offer)| is_ignored(*at, offer)).map(|(at, _)| at).collect();
    Choice { outcome, ignored }
}

fn decide(known: &Known<'_>) -> Outcome {
    if known.marked && matches!(known.stored, Stored::Good(_)) {
        return Outcome::TakeStored;
    }
    let mut order: Vec<(usize, &Offer)> = known.offers.iter().enumerate().collect();
    order.sort_by_key(|(_, offer)| (offer.kind, !offer.fresh));
    let is_good = |offer: &Offer| matches!(offer.verdict, Verdict::Good(_));
    let good = order.iter().enumerate().find(|(place, (_, offer))| is_good(offer) && (*place == 0 || offer.fresh));
    match (good, order.first()) {
        (Some((_, (at, _))), _) => Outcome::Take(*at),
        (None, _) if known.in_force.is_some() => Outcome::Keep,
        (None, Some((at, offer))) if offer.verdict == Verdict::Waiting => Outcome::Waiting(*at),
        (None, Some((at, _))) => Outcome::Refused(*at),
        (None, None) => match known.stored {
            Stored::Good(_) => Outcome::TakeStored,
            Stored::Refused => Outcome::StoredRefused,
            Stored::Nothing => Outcome::Nothing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{CommandLine, Esp, FwCfg, NoCloud, Smbios};

    fn good(kind: Kind, digest: &str) -> Offer {
        Offer { kind, fresh: false, verdict: Verdict::Good(digest.to_owned()) }
    }

    fn refused(kind: Kind) -> Offer {
        Offer { kind, fresh: false, verdict: Verdict::Refused }
    }

    fn waiting(kind: Kind) -> Offer {
        Offer { kind, fresh: false, verdict: Verdict::Waiting }
    }

    fn fresh(offer: Offer) -> Offer {
        Offer { fresh: true, ..offer }
    }

    #[track_caller]
    fn check(marked: bool, stored: Stored<'_>, in_force: Option<&str>, offers: &[Offer], outcome: Outcome, ignored: &[usize]) {
        let choice = choose(&Known { marked, stored, offers, in_force });
        assert_eq!(choice, Choice { outcome, ignored: ignored.to_vec() }, "{offers:?}");
    }

    #[test]
    fn the_first_source_decides_at_boot() {
        let all = [good(CommandLine, "a"), good(NoCloud, "b"), good(Smbios, "c"), good(FwCfg, "d"), good(Esp, "e")];
        for first in 0..all.len() {
            let ignored: Vec<usize> = (1..all.len() - first).collect();
            check(false, Stored::Good("s"), None, &all[first..], Outcome::Take(0), &ignored);
        }
        check(false, Stored::Nothing, None, &[], Outcome::Nothing, &[]);
        check(false, Stored::Nothing, None, &[refused(NoCloud), good(Esp, "e")], Outcome::Refused(0), &[1]);
        check(false, Stored::Nothing, None, &[waiting(CommandLine), good(Esp, "e")], Outcome::Waiting(0), &[1]);
        check(false, Stored::Nothing, None, &[good(NoCloud, "a"), good(NoCloud, "b")], Outcome::Take(0), &[1]);
        check(false, Stored::Nothing, None, &[good(NoCloud, "a"), good(Esp, "a")], Outcome::Take(0), &[]);
    }

    #[test]
    fn state_comes_last_before_the_mark_and_first_after_it() {
        let offers = [good(NoCloud, "a")];
        check(false, Stored::Good("s"), None, &offers, Outcome::Take(0), &[]);
        check(false, Stored::Good("s"), None, &[], Outcome::TakeStored, &[]);
        check(false, Stored::Good("s"), None, &[refused(NoCloud)], Outcome::Refused(0), &[]);
        check(true, Stored::Good("s"), None, &offers, Outcome::TakeStored, &[0]);
        check(true, Stored::Good("a"), None, &offers, Outcome::TakeStored, &[]);
        check(true, Stored::Good("s"), None, &[refused(NoCloud), waiting(CommandLine)], Outcome::TakeStored, &[0]);
        check(true, Stored::Good("s"), Some("s"), &[fresh(good(NoCloud, "a"))], Outcome::TakeStored, &[0]);
    }

    #[test]
    fn a_bad_document_on_state_counts_as_none() {
        for marked in [false, true] {
            check(marked, Stored::Refused, None, &[], Outcome::StoredRefused, &[]);
            check(marked, Stored::Refused, None, &[good(Esp, "e")], Outcome::Take(0), &[]);
            check(marked, Stored::Refused, None, &[refused(Esp)], Outcome::Refused(0), &[]);
            check(marked, Stored::Nothing, None, &[good(Esp, "e")], Outcome::Take(0), &[]);
        }
    }

    #[test]
    fn a_good_config_that_comes_later_heals() {
        check(false, Stored::Nothing, None, &[refused(NoCloud), fresh(good(NoCloud, "b"))], Outcome::Take(1), &[0]);
        check(false, Stored::Nothing, None, &[refused(CommandLine), fresh(good(NoCloud, "b"))], Outcome::Take(1), &[0]);
        check(false, Stored::Nothing, None, &[waiting(CommandLine), fresh(good(NoCloud, "b"))], Outcome::Take(1), &[]);
        check(true, Stored::Refused, None, &[fresh(good(NoCloud, "b"))], Outcome::Take(0), &[]);
        check(false, Stored::Nothing, None, &[fresh(good(CommandLine, "url")), good(Esp, "e")], Outcome::Take(0), &[1]);
        // Good as it is, the one in force was wrong for the machine: it never became ready.
        check(false, Stored::Good("a"), Some("a"), &[good(NoCloud, "a"), fresh(good(NoCloud, "b"))], Outcome::Take(1), &[0]);
        check(false, Stored::Good("a"), Some("a"), &[good(NoCloud, "a"), fresh(good(Esp, "b"))], Outcome::Take(0), &[1]);
        // What is worse than what is in force changes nothing; neither does the seed's going away.
        check(false, Stored::Good("a"), Some("a"), &[good(NoCloud, "a"), fresh(refused(NoCloud))], Outcome::Keep, &[1]);
        check(false, Stored::Nothing, Some("a"), &[fresh(refused(NoCloud))], Outcome::Keep, &[0]);
        check(false, Stored::Nothing, Some("a"), &[], Outcome::Keep, &[]);
    }
}
