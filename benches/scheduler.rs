//! How long the scheduler takes for an event in a burst over many images, and how large the state of an idle one is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coalesced::command::{Command, Scope, Verb};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, Fingerprint, NewEvent};
use coalesced::journal::{MemoryJournal, encode};
use coalesced::model::{GitRef, ImageName, Timestamp};
use coalesced::scheduler::policy::Policy;
use coalesced::scheduler::{Input, Scheduler, Settings, Snapshot, Ticket};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::table::{Row, quick};

const IMAGES: usize = 1_000;
const EVENTS: usize = 200_000;
/// What the driver takes in at once: alone, and under load.
const EVENTS_A_STEP: [usize; 2] = [1, 256];
const ROUNDS: usize = 7;
const BODY_BYTES: usize = 8 * 1024;
const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);

pub(crate) fn measure(rows: &mut Vec<Row>) {
    let images: Vec<ImageName> =
        (0..IMAGES).map(|number| format!("acme/image-{number}").parse().expect("an image")).collect();
    let git_ref = GitRef::branch("master").expect("a branch");
    let rounds = if quick() { 2 } else { ROUNDS };
    for a_step in EVENTS_A_STEP {
        // The best round of each: this measures the work, not what else the machine does.
        let burst = (0..rounds).map(|_| burst(&images, &git_ref, a_step)).min().expect("a round");
        let check = (0..rounds).map(|_| signatures()).min().expect("a round");
        let micros = |took: Duration| took.as_secs_f64() * 1e6;
        rows.push(Row {
            what: format!("scheduler, {IMAGES} images, {a_step} events a step"),
            ours: format!("{:.2} µs an event", micros(burst)),
            beside: format!("checking an 8 KiB push's signature: {:.2} µs", micros(check)),
            ratio: micros(check) / micros(burst),
            wanted: None,
        });
    }
    println!("an idle image: {} bytes of stored state", idle(&images, &git_ref) / IMAGES);
}

/// The time that the decisions alone take, for one event.
#[expect(clippy::disallowed_methods, reason = "this measures")]
fn burst(images: &[ImageName], git_ref: &GitRef, a_step: usize) -> Duration {
    let (mut scheduler, step) = Scheduler::recover(settings(images), Snapshot::default(), START);
    drop(step);
    let mut took = Duration::ZERO;
    let mut sent = 0;
    while sent < EVENTS {
        let inputs: Vec<Input> = (sent..sent + a_step).map(|number| arrival(images, git_ref, number)).collect();
        sent += a_step;
        let now = START.plus(Duration::from_micros(100 * sent as u64));
        let begun = Instant::now();
        let step = scheduler.handle(now, inputs);
        took += begun.elapsed();
        drop(step);
    }
    took / u32::try_from(sent).expect("not that many")
}

/// What every push costs anyway, for one push.
#[expect(clippy::disallowed_methods, reason = "this measures")]
fn signatures() -> Duration {
    const TIMES: u32 = 5_000;
    let key = Hmac::<Sha256>::new_from_slice(b"test-secret-of-a-hook").expect("any length is a key");
    let body = vec![b'x'; BODY_BYTES];
    let begun = Instant::now();
    for _ in 0..TIMES {
        std::hint::black_box(key.clone().chain_update(std::hint::black_box(&body)).finalize());
    }
    begun.elapsed() / TIMES
}

fn arrival(images: &[ImageName], git_ref: &GitRef, number: usize) -> Input {
    let new_event = NewEvent {
        image: Some(images[number % images.len()].clone()),
        git_ref: Some(git_ref.clone()),
        commit: Some(format!("{number:040x}").parse().expect("a commit")),
        before: None,
        disposition: Disposition::Build { immediate: false, manual: false, ensure: false },
    };
    let fingerprint = Fingerprint((number as u128).to_be_bytes());
    let delivery = Delivery {
        cause: Cause::new(CauseKind::Push, "github"),
        fingerprints: vec![fingerprint],
        new_events: vec![new_event],
    };
    Input::Arrived { delivery, ticket: Ticket(number as u64) }
}

/// The bytes that all images together leave on disk and, about as much, in memory once their events were dropped.
fn idle(images: &[ImageName], git_ref: &GitRef) -> usize {
    let journal = MemoryJournal::default();
    let (mut scheduler, step) = Scheduler::recover(settings(images), Snapshot::default(), START);
    let _committed = journal.commit(encode(step.changes(), &scheduler));
    let drop_all = Command { verb: Verb::Drop, scope: Scope::All, actor: "ada".to_owned(), reason: None };
    let commanded = Input::Commanded { command: drop_all, ticket: Ticket(0) };
    let inputs = (0..IMAGES).map(|number| arrival(images, git_ref, number)).chain([commanded]);
    let step = scheduler.handle(START, inputs);
    // Without history: pages and closures are of events, not of images.
    let puts = encode(step.changes(), &scheduler);
    let states = puts.iter().filter(|put| put.key.first().is_some_and(|table| matches!(table, b'l' | b'k')));
    let rows: BTreeMap<_, _> =
        states.map(|put| (&put.key, put.key.len() + put.value.as_ref().map_or(0, Vec::len))).collect();
    rows.values().sum()
}

fn settings(images: &[ImageName]) -> Settings {
    Settings {
        policies: images.iter().map(|image| (image.clone(), Policy::DEFAULT.into())).collect(),
        account_limits: BTreeMap::new(),
        button_fold: Settings::BUTTON_FOLD,
        seed: 7,
    }
}
