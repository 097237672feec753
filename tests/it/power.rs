//! The power goes at any moment: what the real binary asked of the kernel is written down, with each 202 in its
//! place, and the disk is put together as it may look after a cut anywhere: while it starts, serves and ends.
//!
//! Two disks: a *strict* one keeps nothing but what an fsync or fdatasync of that file covered, a *torn* one also
//! keeps pages of what came later, each by the toss of a coin. `CUTS=5000` takes more cuts than a test run does.

mod disk;
mod inspect;
mod recording;
mod trace;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use coalesced::model::EventId;
use coalesced::random::Random;

use self::disk::{Disk, Honours, Image, Model};
use self::inspect::{Finding, inspect};
use self::recording::{Phase, Recording, record};
use self::trace::Record;
use crate::crash::{Load, Process, World, can_trace, in_memory, number};

/// How many cuts a test run makes, in each model.
const CUTS: u64 = 300;
/// How many of them the real binary is started on.
const STARTED: usize = 4;
/// How many cuts show what a missing sync does.
const CUTS_WITHOUT: usize = 60;
/// Journals opened at the same time.
const BESIDE: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_that_was_answered_202() {
    if !can_trace() {
        return;
    }
    let seed = number("CRASH_SEED", 1);
    let world = World::new().await;
    let recording = Arc::new(record(&world).await);
    let acknowledged = recording.records.iter().filter(|(_, record)| matches!(record, Record::Acknowledged { .. }));
    let (records, acknowledged) = (recording.records.len(), acknowledged.count());
    println!("recorded {} lives: {records} calls, {acknowledged} deliveries acknowledged", recording.lives);
    assert!(acknowledged >= 100, "only {acknowledged} deliveries were acknowledged");

    let all = usize::try_from(number("CUTS", CUTS)).expect("a number of cuts");
    let cuts = choose(&recording, all, seed);
    for (name, model) in [("strict", Model::Strict), ("torn", Model::Torn(seed))] {
        let sum = replay(&recording, &cuts, model, Honours::Everything).await;
        println!("{name}: {sum}");
        assert!(sum.bad.is_empty(), "CRASH_SEED={seed}: {:#?}", sum.bad);
        assert_eq!(sum.fine, cuts.len());
    }
    // The proof can fail: without either sync the same replay finds what is missing.
    let few = choose(&recording, CUTS_WITHOUT, seed);
    let sum = replay(&recording, &few, Model::Strict, Honours::NotFdatasync).await;
    println!("without fdatasync, strict: {sum}");
    assert!(sum.lost_in > few.len() / 4, "events were lost in only {} of {} cuts", sum.lost_in, few.len());
    let sum = replay(&recording, &few, Model::Torn(seed), Honours::NotFsync).await;
    println!("without fsync, torn: {sum}");
    assert!(!sum.bad.is_empty(), "nothing was seen of the missing fsync");

    let started: Vec<usize> = (1..=STARTED).map(|part| cuts[part * cuts.len() / STARTED - 1]).collect();
    for cut in started {
        start_on(&world, &recording, cut, seed).await;
    }
}

/// Where to cut: after how many records. A half anywhere, a quarter while it starts, a quarter while it ends.
fn choose(recording: &Recording, cuts: usize, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let of_phase = |wanted: Option<Phase>| {
        let phases = recording.records.iter().map(|(phase, _)| *phase).enumerate();
        phases.filter(|(_, phase)| wanted.is_none_or(|wanted| wanted == *phase)).map(|(at, _)| at + 1).collect()
    };
    let places: [Vec<usize>; 4] =
        [of_phase(None), of_phase(Some(Phase::Starting)), of_phase(None), of_phase(Some(Phase::Ending))];
    let mut chosen: Vec<usize> = (0..cuts).map(|cut| &places[cut % 4]).map(|of| of[random.index(of.len())]).collect();
    chosen.sort_unstable();
    chosen
}

/// The result of many cuts.
#[derive(Debug, Default)]
struct Sum {
    fine: usize,
    checked: usize,
    lost_in: usize,
    most_lost: usize,
    cant_be_opened: usize,
    inconsistent: usize,
    bad: Vec<String>,
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fine, checked, lost_in, most_lost, cant_be_opened, inconsistent, bad } = self;
        let all = fine + bad.len();
        write!(f, "{fine} of {all} cuts fine; {checked} acknowledged events looked for; lost some in {lost_in} ")?;
        write!(f, "(at most {most_lost}), can't be opened {cant_be_opened}, inconsistent {inconsistent}")
    }
}

impl Sum {
    fn add(&mut self, cut: usize, acknowledged: usize, finding: &Finding) {
        self.checked += acknowledged;
        match finding {
            Finding::Fine => self.fine += 1,
            Finding::CantBeOpened(_) => self.cant_be_opened += 1,
            Finding::Lost(events) => {
                self.lost_in += 1;
                self.most_lost = self.most_lost.max(*events);
            }
            Finding::Inconsistent(_) => self.inconsistent += 1,
        }
        if *finding != Finding::Fine {
            self.bad.push(format!("cut after record {cut}, {acknowledged} events acknowledged: {finding:?}"));
        }
    }
}

/// One disk to look at, and the events that must be on it.
struct AfterACut {
    cut: usize,
    image: Image,
    acknowledged: Vec<EventId>,
}

async fn replay(recording: &Arc<Recording>, cuts: &[usize], model: Model, honours: Honours) -> Sum {
    let (recording, cuts) = (recording.clone(), cuts.to_vec());
    let work = move || {
        let (sender, receiver) = sync_channel(BESIDE);
        let (receiver, sum) = (Mutex::new(receiver), Mutex::new(Sum::default()));
        std::thread::scope(|scope| {
            for _ in 0..BESIDE {
                scope.spawn(|| look_at_each(&receiver, &sum));
            }
            disks(&recording, &cuts, model, honours, &mut |after| sender.send(after).expect("they look at it"));
            drop(sender);
        });
        sum.into_inner().expect("nobody panicked")
    };
    tokio::task::spawn_blocking(work).await.expect("it ends")
}

fn look_at_each(images: &Mutex<Receiver<AfterACut>>, sum: &Mutex<Sum>) {
    loop {
        let next = images.lock().expect("nobody panicked").recv();
        let Ok(AfterACut { cut, image, acknowledged }) = next else { return };
        let directory = in_memory();
        image.write(directory.path());
        let finding = inspect(&directory.path().join("data"), &acknowledged);
        sum.lock().expect("nobody panicked").add(cut, acknowledged.len(), &finding);
    }
}

/// Goes through the recording once, and calls `take` with the disk after each cut.
fn disks(recording: &Recording, cuts: &[usize], model: Model, honours: Honours, take: &mut dyn FnMut(AfterACut)) {
    let mut disk = Disk::new(honours);
    let mut acknowledged: Vec<EventId> = Vec::new();
    let mut cuts = cuts.iter().copied().peekable();
    for (index, (_, record)) in recording.records.iter().enumerate() {
        disk.apply(record);
        if let Record::Acknowledged { events } = record {
            acknowledged.extend(events.iter().map(|id| id.parse::<EventId>().expect("an id")));
        }
        while let Some(cut) = cuts.next_if(|cut| *cut == index + 1) {
            let model = if let Model::Torn(seed) = model { Model::Torn(seed ^ cut as u64) } else { model };
            take(AfterACut { cut, image: disk.image(model), acknowledged: acknowledged.clone() });
        }
    }
}

/// The real binary on one of the torn disks: it starts, and what was acknowledged answers as repeated.
async fn start_on(world: &World, recording: &Recording, cut: usize, seed: u64) {
    let directory = in_memory();
    let mut there = Vec::new();
    disks(recording, &[cut], Model::Torn(seed), Honours::Everything, &mut |after| {
        after.image.write(directory.path());
        there = after.acknowledged.iter().map(ToString::to_string).collect();
    });
    world.configure(directory.path());
    let mut process = Process::start(directory.path()).await;
    let pushes = recording.load.acknowledged().into_iter();
    let pushes: BTreeMap<_, _> = pushes.filter(|(_, ids)| ids.iter().all(|id| there.contains(id))).collect();
    let known = Load::of(pushes);
    known.check_repeated(0, &process.url).await;
    let listed = known.check_listed(&process.url).await;
    println!("started after cut {cut}: {listed} events listed, {} of them acknowledged", there.len());
    assert!(process.terminate().await.is_some_and(|status| status.success()), "{}", process.log());
}
