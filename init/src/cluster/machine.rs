//! How far a join is, and what comes next: pure, by what came of what was done.

use super::refusal::Refusal;
use kmimage_contract::state_line::StateLine;
use std::time::Duration;

/// How long kubelet may take for its first certificate. Longer, and the join is looked at anew: the token may have expired meanwhile.
pub(super) const CERTIFICATE_WITHIN: Duration = Duration::from_secs(180);
/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked for kubelet's certificate.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Ask the cluster, and write what kubelet joins by.
    Join,
    /// See whether kubelet has its certificate.
    LookForCertificate,
    /// The machine has joined: write what kubelet reads.
    Configure,
    /// See how the node does.
    Watch,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    task: Task,
    /// Tries that failed one behind the other.
    failures: u32,
    /// Why the last one did.
    refusal: Option<Refusal>,
    /// When kubelet was given its credentials, as a time since the machine's start.
    configured_at: Duration,
}

impl Machine {
    /// The beginning of a boot; `joined` is whether the machine has joined in an earlier one.
    pub(super) fn new(joined: bool) -> Self {
        let task = if joined { Task::Configure } else { Task::Join };
        Self { task, failures: 0, refusal: None, configured_at: Duration::ZERO }
    }

    /// What is to be done now.
    pub(super) fn task(&self) -> Task {
        self.task
    }

    /// How long to wait before it, if there is no reason to do it at once.
    pub(super) fn pause(&self) -> Duration {
        match (&self.refusal, self.task) {
            (Some(refusal), _) => {
                let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
                FIRST_PAUSE.saturating_mul(doubled).min(refusal.longest_pause())
            }
            (None, Task::LookForCertificate) => LOOK,
            (None, _) => Duration::ZERO,
        }
    }

    /// Whether its steps are worth saying: not again and again.
    pub(super) fn is_first_try(&self) -> bool {
        self.failures == 0
    }

    /// There is another config: what failed may work now, at once; what runs is written anew.
    pub(super) fn new_input(&mut self) {
        (self.failures, self.refusal) = (0, None);
        self.task = match self.task {
            Task::Join | Task::LookForCertificate => Task::Join,
            Task::Configure | Task::Watch => Task::Configure,
        };
    }

    /// What came of [`Task::Join`] or [`Task::Configure`]; what is to be said of it.
    pub(super) fn done(&mut self, result: Result<(), Refusal>, now: Duration) -> Vec<StateLine> {
        match result {
            Ok(()) => {
                (self.failures, self.refusal, self.configured_at) = (0, None, now);
                self.task = if self.task == Task::Configure { Task::Watch } else { Task::LookForCertificate };
                vec![StateLine::new("cluster").with("kubelet", "configured")]
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// What came of [`Task::LookForCertificate`].
    pub(super) fn looked(&mut self, certified: bool, now: Duration) -> Vec<StateLine> {
        if certified {
            self.task = Task::Watch;
            return vec![StateLine::new("cluster").with("state", "joined")];
        }
        if now.saturating_sub(self.configured_at) < CERTIFICATE_WITHIN {
            return Vec::new();
        }
        self.task = Task::Join;
        self.refuse(Refusal::NoCertificate { seconds: CERTIFICATE_WITHIN.as_secs() })
    }

    /// A failure is said when it is another one than before.
    fn refuse(&mut self, refusal: Refusal) -> Vec<StateLine> {
        self.failures = self.failures.saturating_add(1);
        let known = self.refusal.as_ref().is_some_and(|known| known.cause() == refusal.cause());
        let line = StateLine::new("cluster").with("state", "refused").with("cause", refusal.cause());
        let line = line.with("message", &refusal).with("remedy", refusal.remedy());
        self.refusal = Some(refusal);
        if known { Vec::new() } else { vec![line] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn text(lines: Vec<StateLine>) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    fn unreachable() -> Refusal {
        Refusal::Unreachable { server: "https://a:1".to_owned(), why: "x".to_owned() }
    }

    #[test]
    fn a_join_goes_its_way() {
        let mut machine = Machine::new(false);
        assert_eq!((machine.task(), machine.pause()), (Task::Join, Duration::ZERO));
        assert_eq!(text(machine.done(Ok(()), seconds(10))), ["kmimage: cluster kubelet=configured"]);
        assert_eq!((machine.task(), machine.pause()), (Task::LookForCertificate, LOOK));
        assert_eq!(text(machine.looked(false, seconds(189))), [""; 0]);
        assert_eq!(text(machine.looked(true, seconds(190))), ["kmimage: cluster state=joined"]);
        assert_eq!(machine.task(), Task::Watch);
    }

    #[test]
    fn a_machine_that_has_joined_never_joins_again() {
        let mut machine = Machine::new(true);
        for _ in 0..2 {
            assert_eq!(machine.task(), Task::Configure);
            machine.done(Ok(()), seconds(1));
            assert_eq!(machine.task(), Task::Watch);
            machine.new_input();
        }
        machine.done(Err(Refusal::NoAddress { wanted: "10.0.0.1".to_owned() }), seconds(2));
        assert_eq!((machine.task(), machine.pause()), (Task::Configure, seconds(1)));
    }

    #[test]
    fn failures_are_said_once_and_tried_again_ever_slower() {
        let mut machine = Machine::new(false);
        let said = text(machine.done(Err(unreachable()), seconds(1)));
        let line = "kmimage: cluster state=refused cause=unreachable message=\"https://a:1 can't be reached: x\" \
                    remedy=\"check `endpoint`, the network and the API server\"";
        assert_eq!(said, [line]);
        assert!(!machine.is_first_try());
        let mut pauses = vec![machine.pause().as_secs()];
        for _ in 0..40 {
            assert_eq!(text(machine.done(Err(unreachable()), seconds(1))), [""; 0]);
            pauses.push(machine.pause().as_secs());
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 10, 10]);
        // Another reason is said; so is the first one when it comes back.
        assert_eq!(machine.done(Err(Refusal::Changed), seconds(1)).len(), 1);
        assert_eq!(machine.done(Err(unreachable()), seconds(1)).len(), 1);
        // A corrected config is tried at once.
        machine.new_input();
        assert_eq!((machine.task(), machine.pause(), machine.is_first_try()), (Task::Join, Duration::ZERO, true));
        machine.done(Ok(()), seconds(5));
        assert_eq!(machine.task(), Task::LookForCertificate);
    }

    #[test]
    fn a_kubelet_without_a_certificate_is_looked_at_anew() {
        let mut machine = Machine::new(false);
        machine.done(Ok(()), seconds(10));
        let said = text(machine.looked(false, seconds(190)));
        assert!(said[0].contains("cause=no-certificate message=\"kubelet has got no certificate in 180 s\""), "{said:?}");
        assert_eq!(machine.task(), Task::Join);
        let said = text(machine.done(Err(Refusal::TokenUnknown { id: "abcdef".to_owned() }), seconds(191)));
        assert!(said[0].contains("cause=token-unknown"), "{said:?}");
        // A half-done join meets another config.
        machine.done(Ok(()), seconds(200));
        machine.new_input();
        assert_eq!(machine.task(), Task::Join);
    }
}
