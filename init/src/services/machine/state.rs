//! Where a unit can be.

use std::time::Duration;

/// Where a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started: its needs don't hold yet.
    Waiting,
    /// About to run: the answer to [`Action::Start`] is due.
    Launching,
    /// It runs and has not proved itself ready.
    Starting {
        /// Its process.
        pid: u32,
        /// Since when.
        since: Duration,
        /// When to look again whether it is ready.
        probe_at: Duration,
        /// The pause between this look and the next.
        pause: Duration,
        /// Whether those who need it have waited long enough.
        late: bool,
    },
    /// It runs and does its work.
    Running {
        /// Its process.
        pid: u32,
        /// Since when it runs.
        since: Duration,
    },
    /// It was to be done once, and is.
    Done,
    /// It failed and is started again then.
    BackOff {
        /// When.
        until: Duration,
    },
    /// It was asked to end.
    Stopping {
        /// Its process.
        pid: u32,
        /// When it is killed.
        kill_at: Duration,
    },
    /// It was killed.
    Killed {
        /// Its process.
        pid: u32,
    },
    /// Its process has ended; what that left behind is killed.
    Clearing {
        /// What comes then.
        then: After,
        /// When to go on even so.
        until: Duration,
    },
    /// It doesn't run and isn't to.
    Stopped,
}

/// What follows when nothing of a unit runs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It is done.
    Done,
    /// It is started again then.
    BackOff {
        /// When.
        until: Duration,
    },
    /// It stays where it is, or becomes what it is to become.
    Stopped,
}

impl State {
    /// The state's word on state lines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launching | Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Done => "done",
            Self::BackOff { .. } => "back-off",
            Self::Stopping { .. } | Self::Killed { .. } => "stopping",
            Self::Clearing { then, .. } => match then {
                After::Done => "done",
                After::BackOff { .. } => "back-off",
                After::Stopped => "stopping",
            },
            Self::Stopped => "stopped",
        }
    }

    /// The process, where there is one.
    pub fn pid(&self) -> Option<u32> {
        match *self {
            Self::Starting { pid, .. } | Self::Running { pid, .. } | Self::Stopping { pid, .. } | Self::Killed { pid } => {
                Some(pid)
            }
            _ => None,
        }
    }

    /// Whether nothing of the unit runs.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Waiting | Self::Done | Self::BackOff { .. } | Self::Stopped)
    }
}
