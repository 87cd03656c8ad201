//! What has to be fetched: tried in a thread of its own, and again with a growing pause until it is good.

use super::choose::Kind;
use super::fetch::{FetchError, Fetcher};
use super::location::{LocationError, Url};
use super::seed::{self, Files, Seed};
use super::sources::{Finding, Remote, serial_seed};
use kmimage_contract::machine_config::MAX_SIZE;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// The first pause between two attempts.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// How an attempt ended.
#[expect(clippy::large_enum_variant, reason = "there are one or two of them, and most are answers")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// With an answer that can be judged.
    Answer(Result<Seed, String>),
    /// With none, and waiting may be all that it takes.
    Waiting(String),
}

/// Something to fetch, and how far it is.
#[derive(Debug)]
pub struct Fetching {
    /// What.
    pub remote: Remote,
    /// How the last attempt ended. `None`: none has.
    pub last: Option<Attempt>,
    pause: Duration,
    next: Option<Instant>,
}

impl Fetching {
    /// To be tried now.
    pub fn new(remote: Remote, now: Instant) -> Self {
        Self { remote, last: None, pause: FIRST, next: Some(now) }
    }

    /// When it is to be tried. `None`: it is being tried, or is good.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Starts an attempt; its end comes through `done` and wakes whoever reads from the other end of `wake`.
    pub fn start(
        &mut self,
        place: usize,
        fetcher: &Fetcher,
        done: &Sender<(usize, Attempt)>,
        wake: &UnixStream,
    ) -> std::io::Result<()> {
        self.next = None;
        let (remote, fetcher, done, mut wake) = (self.remote.clone(), fetcher.clone(), done.clone(), wake.try_clone()?);
        std::thread::Builder::new().name("fetch".into()).spawn(move || {
            // The other end is gone only when this process ends.
            let _ = done.send((place, attempt(&remote, &fetcher)));
            let _ = wake.write_all(&[0]);
        })?;
        Ok(())
    }

    /// Takes note of an attempt's end; `good` is whether there is nothing left to fetch.
    pub fn end(&mut self, attempt: Attempt, good: bool, now: Instant) {
        self.last = Some(attempt);
        self.next = (!good).then_some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
    }

    /// What is known of it, if an attempt has got an answer.
    pub fn finding(&self) -> Option<Finding> {
        let Some(Attempt::Answer(content)) = &self.last else { return None };
        let document = if self.remote.is_seed { "user-data".to_owned() } else { self.remote.url.to_string() };
        Some(Finding { kind: self.remote.kind, source: self.remote.source.clone(), document, content: content.clone() })
    }

    /// Why there is no answer yet.
    pub fn reason(&self) -> String {
        match &self.last {
            Some(Attempt::Waiting(reason)) => reason.clone(),
            _ => "it is being fetched".to_owned(),
        }
    }

    /// The kind of source.
    pub fn kind(&self) -> Kind {
        self.remote.kind
    }
}

/// Why a part of a seed was not had.
#[derive(Debug, thiserror::Error)]
enum PartError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Location(#[from] LocationError),
}

/// Fetches once.
pub fn attempt(remote: &Remote, fetcher: &Fetcher) -> Attempt {
    let fetched = if remote.is_seed {
        files(&remote.url, fetcher).map(|files| match seed::read(&files, MAX_SIZE as u64) {
            Ok(seed) => Ok(with_serial(seed, remote)),
            Err(error) => Err(error.to_string()),
        })
    } else {
        let document = fetcher.fetch(&remote.url, MAX_SIZE as u64).map_err(PartError::from);
        document.map(|document| Ok(Seed { document: Some(document), ..Seed::default() }))
    };
    match fetched {
        Ok(content) => Attempt::Answer(content),
        Err(PartError::Fetch(error)) if error.is_transient() => Attempt::Waiting(error.to_string()),
        Err(error) => Attempt::Answer(Err(error.to_string())),
    }
}

/// user-data and meta-data must be there, the others may.
fn files(base: &Url, fetcher: &Fetcher) -> Result<Files, PartError> {
    let required = |name: &str| -> Result<Vec<u8>, PartError> { Ok(fetcher.fetch(&base.join(name)?, MAX_SIZE as u64)?) };
    let optional = |name: &str| match required(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(PartError::Fetch(FetchError::Status(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN))) => Ok(None),
        Err(error) => Err(error),
    };
    Ok(Files {
        user_data: Some(required("user-data")?),
        meta_data: Some(required("meta-data")?),
        network_config: optional("network-config")?,
        vendor_data: optional("vendor-data")?,
    })
}

/// The serial number says what meta-data doesn't.
fn with_serial(mut seed: Seed, remote: &Remote) -> Seed {
    let serial = serial_seed(&remote.smbios);
    let platform = &mut seed.platform;
    platform.hostname = platform.hostname.take().or(serial.platform.hostname);
    platform.instance_id = platform.instance_id.take().or(serial.platform.instance_id);
    seed.notes.extend(serial.notes);
    seed
}
