//! Group commit: the journal next to a bare file that is appended to and synced, with as many writers waiting.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use coalesced::event::{Cause, CauseKind, Event, Fingerprint, Verdict};
use coalesced::journal::{Journal, Retention, Storage as _, encode};
use coalesced::model::{BuildId, Seq, Timestamp};
use coalesced::random;
use coalesced::scheduler::record::{Changes, Remembered};
use coalesced::scheduler::{Scheduler, Settings, Snapshot};

use crate::table::{Row, median, quick};

const WRITERS: [usize; 3] = [1, 16, 256];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// The most that one flush serves, as in the driver.
const GROUP_MAX: usize = 1_024;
/// About what an event takes in a page.
const RECORD_BYTES: usize = 115;

fn wanted(writers: usize) -> Option<f64> {
    match writers {
        16 => Some(0.5),
        256 => Some(0.25),
        _ => None,
    }
}

pub(crate) fn measure(rows: &mut Vec<Row>) {
    let rounds = if quick() { 2 } else { ROUNDS };
    for writers in WRITERS {
        let directory = tempfile::tempdir().expect("a directory");
        let mut bare = Bare::open(directory.path());
        let mut journal = Ours::open(directory.path());
        let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            of_bare.push(commit_for(writers, |group| bare.commit(group)));
            of_ours.push(commit_for(writers, |group| journal.commit(group)));
        }
        let (bare, ours) = (median(of_bare), median(of_ours));
        rows.push(Row {
            what: format!("journal, {writers} writers"),
            ours: format!("{ours:.0} events/s"),
            beside: format!("append and fdatasync: {bare:.0} records/s"),
            ratio: ours / bare,
            wanted: wanted(writers),
        });
    }
}

/// How many a second are on disk when each writer hands one in, waits until it is, and hands in the next.
#[expect(clippy::disallowed_methods, reason = "this measures")]
fn commit_for(writers: usize, mut commit: impl FnMut(usize)) -> f64 {
    let (inbox, waiting) = mpsc::channel::<mpsc::Sender<()>>();
    let begun = Instant::now();
    let threads: Vec<_> = (0..writers)
        .map(|_| {
            let inbox = inbox.clone();
            std::thread::spawn(move || {
                let (done, answers) = mpsc::channel();
                while begun.elapsed() < ROUND {
                    if inbox.send(done.clone()).is_err() || answers.recv().is_err() {
                        break;
                    }
                }
            })
        })
        .collect();
    drop(inbox);
    let mut committed = 0usize;
    while let Ok(first) = waiting.recv() {
        let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(GROUP_MAX - 1)).collect();
        commit(group.len());
        committed += group.len();
        for done in group {
            let _gone = done.send(());
        }
    }
    let took = begun.elapsed();
    for thread in threads {
        thread.join().expect("a writer ends");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = committed as f64 / took.as_secs_f64();
    rate
}

struct Bare(File);

impl Bare {
    fn open(directory: &Path) -> Self {
        Self(File::options().append(true).create(true).open(directory.join("bare")).expect("a file"))
    }

    fn commit(&mut self, count: usize) {
        self.0.write_all(&vec![7; RECORD_BYTES * count]).expect("written");
        self.0.sync_data().expect("synced");
    }
}

/// The journal, with the entries that the driver would write.
pub(crate) struct Ours {
    runtime: tokio::runtime::Runtime,
    journal: Journal,
    scheduler: Scheduler,
    newest: u64,
}

impl Ours {
    pub(crate) fn open(data_dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (journal, _reader, snapshot) = Journal::open(data_dir).expect("it opens");
        let newest = snapshot.newest.0;
        let scheduler = scheduler_after(newest);
        Self { runtime, journal, scheduler, newest }
    }

    /// Leaves it as a daemon does that goes on with the next number.
    pub(crate) fn close(mut self) {
        self.scheduler = scheduler_after(self.newest);
        let changes = Changes { meta: true, ..Changes::default() };
        let nothing =
            Retention { before: Timestamp::from_millis(0), below: Seq(0), builds_below: BuildId(0), keep_from: Seq(0) };
        let puts = encode(&changes, &self.scheduler);
        let _proof = self.runtime.block_on(self.journal.commit(puts, nothing)).expect("written");
        self.journal.close();
    }

    fn commit(&mut self, count: usize) {
        let now = coalesced::clock::wall();
        self.commit_at(count, now, u64::MAX);
    }

    /// Commits so many events as accepted at a moment, and lets older ones than the newest `kept` be forgotten.
    pub(crate) fn commit_at(&mut self, count: usize, at: Timestamp, kept: u64) {
        let mut changes = Changes::default();
        for _ in 0..count {
            self.newest += 1;
            let event = event(self.newest, at);
            let remembered = Remembered { first: event.seq, count: 1, at };
            for which in 0..2 {
                changes.remembered.push((Fingerprint(bytes_of(self.newest, which)), remembered));
            }
            changes.events.push(Arc::new(event));
        }
        let retention = Retention {
            before: Timestamp::from_millis(0),
            below: Seq(self.newest.saturating_sub(kept)),
            builds_below: BuildId(0),
            keep_from: Seq(u64::MAX),
        };
        let puts = encode(&changes, &self.scheduler);
        let _proof = self.runtime.block_on(self.journal.commit(puts, retention)).expect("written");
    }
}

/// One that has given this number.
fn scheduler_after(newest: u64) -> Scheduler {
    let settings = Settings {
        policies: std::collections::BTreeMap::new(),
        account_limits: [].into(),
        button_fold: Settings::BUTTON_FOLD,
        seed: 7,
    };
    let snapshot = Snapshot { newest: Seq(newest), ..Snapshot::default() };
    let (scheduler, _nothing) = Scheduler::recover(settings, snapshot, Timestamp::from_millis(0));
    scheduler
}

/// An event as a push of one of the measured images makes it.
fn event(number: u64, at: Timestamp) -> Event {
    let delivery = format!("{:08x}-0000-4000-8000-{number:012x}", number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
    let commit = hex::encode(bytes_of(number, 2)) + "00000000";
    Event {
        seq: Seq(number),
        accepted_at: at,
        image: Some(format!("acme/image-{}", number % 10).parse().expect("an image")),
        git_ref: Some("refs/heads/main".parse().expect("a ref")),
        commit: Some(commit.parse().expect("a commit")),
        cause: Arc::new(
            Cause::new(CauseKind::Push, "github")
                .actor(Some("ada"))
                .delivery(Some(&delivery))
                .reason(Some("Set the width of the column")),
        ),
        verdict: Verdict::Opened,
    }
}

/// 16 bytes that look random, the same again for the same number.
fn bytes_of(number: u64, which: u64) -> [u8; 16] {
    let (high, low) = (random::mix(number * 4 + which), random::mix(!(number * 4 + which)));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    bytes
}
