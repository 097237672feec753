//! How long the scheduler takes for an event in a burst over many images, and how large the state of an idle one is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coalesced::event::{Cause, CauseKind, Delivery, Fingerprint, Intake, Wish};
use coalesced::journal::{MemoryJournal, encode};
use coalesced::model::{GitRef, ImageName, Timestamp};
use coalesced::scheduler::policy::Policy;
use coalesced::scheduler::{Input, Scheduler, Settings, Snapshot, Ticket};

const IMAGES: usize = 1_000;
const EVENTS: usize = 200_000;
/// What the driver takes in at once under load.
const EVENTS_A_STEP: usize = 256;
const ROUNDS: usize = 5;
const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);

fn main() {
    let images: Vec<ImageName> =
        (0..IMAGES).map(|number| format!("acme/image-{number}").parse().expect("an image")).collect();
    let git_ref = GitRef::branch("master").expect("a branch");
    println!("{EVENTS} events over {IMAGES} images, the best of {ROUNDS} rounds");
    for a_step in [1, EVENTS_A_STEP] {
        let best = (0..ROUNDS).map(|_| burst(&images, &git_ref, a_step)).min().expect("a round");
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let micros = best.as_nanos() as f64 / 1_000.0 / EVENTS as f64;
        println!("{a_step:>4} events a step: {micros:.2} µs per event");
    }
    idle(&images, &git_ref);
}

/// The time that the decisions alone take.
fn burst(images: &[ImageName], git_ref: &GitRef, a_step: usize) -> Duration {
    let (mut scheduler, step) = Scheduler::recover(settings(images), Snapshot::default(), START);
    drop(step);
    let mut took = Duration::ZERO;
    let mut sent = 0;
    while sent < EVENTS {
        let inputs: Vec<Input> = (sent..sent + a_step).map(|number| arrival(images, git_ref, number)).collect();
        sent += a_step;
        let now = START.plus(Duration::from_micros(100 * sent as u64));
        #[expect(clippy::disallowed_methods, reason = "this measures")]
        let begun = Instant::now();
        let step = scheduler.handle(now, inputs);
        took += begun.elapsed();
        drop(step);
    }
    took
}

fn arrival(images: &[ImageName], git_ref: &GitRef, number: usize) -> Input {
    let wish = Wish {
        image: Some(images[number % images.len()].clone()),
        git_ref: Some(git_ref.clone()),
        commit: Some(format!("{number:040x}").parse().expect("a commit")),
        before: None,
        intake: Intake::Build { immediate: false, manual: false, ensure: false },
    };
    let fingerprint = Fingerprint((number as u128).to_be_bytes());
    let delivery =
        Delivery { cause: Cause::new(CauseKind::Push, "github"), fingerprints: vec![fingerprint], wishes: vec![wish] };
    Input::Arrived { delivery, ticket: Ticket(number as u64) }
}

/// What an image leaves on disk and, about as much, in memory once its events were dropped.
fn idle(images: &[ImageName], git_ref: &GitRef) {
    use coalesced::verb::{Command, Scope, Verb};
    let journal = MemoryJournal::default();
    let (mut scheduler, step) = Scheduler::recover(settings(images), Snapshot::default(), START);
    let _committed = journal.commit(encode(step.changes(), &scheduler));
    let mut rows: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let drop_all = Command { verb: Verb::Drop, scope: Scope::All, whom: "ada".to_owned(), reason: None };
    let commanded = Input::Commanded { command: drop_all, ticket: Ticket(0) };
    let inputs = (0..IMAGES).map(|number| arrival(images, git_ref, number)).chain([commanded]);
    let step = scheduler.handle(START, inputs);
    for put in encode(step.changes(), &scheduler) {
        if put.key.first().is_some_and(|table| matches!(table, b'l' | b'k')) {
            rows.insert(put.key.clone(), put.key.len() + put.value.map_or(0, |value| value.len()));
        }
    }
    let bytes: usize = rows.values().sum();
    println!("an idle image: {} bytes of stored state ({} rows)", bytes / IMAGES, rows.len());
}

fn settings(images: &[ImageName]) -> Settings {
    Settings {
        policies: images.iter().map(|image| (image.clone(), Policy::DEFAULT.clone())).collect(),
        account_limits: Vec::new(),
        button_fold: Settings::BUTTON_FOLD,
        seed: 7,
    }
}
