//! The proof that the last push is never lost, by many invented histories: each is drawn from one number, played in
//! virtual time, checked at every step and at its end, and shrunk where it fails.

mod filters;
mod history;
mod marks;
mod plan;
mod scenario;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use coalesced::random::Random;

use self::history::History;
pub(crate) use self::marks::Marks;
use self::plan::{Op, Setting};

/// Fewer histories than this may miss a rare branch.
pub(crate) const MARKS_FROM: u64 = 100_000;

const HOURS_A_YEAR: u64 = 8_766;

/// What many histories came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub histories: u64,
    pub sums: Sums,
    pub marks: Marks,
}

/// What histories came to, in numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub steps: u64,
    /// Of simulated time.
    pub hours: u64,
    pub events: u64,
    /// Events that wanted a build.
    pub opened: u64,
    /// Trigger calls.
    pub calls: u64,
    /// Builds of ours that there truly were.
    pub builds: u64,
    /// Calls whose effect could not be known.
    pub uncertain: u64,
    /// Builds that ran though they had been given up, so that their events were built again.
    pub superfluous: u64,
}

impl Tally {
    fn add(&mut self, sums: &Sums, marks: &Marks) {
        let Sums { steps, hours, events, opened, calls, builds, uncertain, superfluous } = *sums;
        self.sums.steps += steps;
        self.sums.hours += hours;
        self.sums.events += events;
        self.sums.opened += opened;
        self.sums.calls += calls;
        self.sums.builds += builds;
        self.sums.uncertain += uncertain;
        self.sums.superfluous += superfluous;
        self.marks.add(marks);
    }

    /// The summary of a run that broke no promise.
    pub(crate) fn summary(&self) -> String {
        let Sums { steps, hours, events, opened, calls, builds, uncertain, superfluous } = self.sums;
        let (crashes, faults) = self.marks.troubles();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let each = superfluous as f64 / uncertain.max(1) as f64;
        let mut kinds = String::new();
        for (mark, count) in self.marks.counts().iter().filter(|(mark, _)| in_summary(mark)) {
            writeln!(kinds, "{count:>12}  {mark}").expect("a String takes all");
        }
        format!(
            "{kinds}{} histories, {steps} steps, {} years of simulated time\n\
             {faults} faults, {crashes} crashes\n\
             {events} events, {opened} of them to be built, {calls} trigger calls, {builds} builds\n\
             {uncertain} uncertain calls, {superfluous} superfluous builds: {each:.3} per uncertain call\n\
             lost pushes: 0, beside {} events in the known gaps",
            self.histories,
            hours / HOURS_A_YEAR,
            self.marks.sum_of("known gap: I2"),
        )
    }
}

/// Whether a mark tells of what went wrong, or of what was judged: the others are of the core's rare branches.
pub(crate) fn in_summary(mark: &str) -> bool {
    ["fault: ", "clock: ", "crash: ", "verb: ", "judged: ", "not judged: ", "known gap: "]
        .iter()
        .any(|kind| mark.starts_with(kind))
}

/// Plays the history of one number. A failure is reported with the shortest history that still shows it.
pub(crate) fn play(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random::new(seed);
    let setting = plan::setting(&mut random);
    let ops = plan::ops(&mut random, &setting);
    tally.histories += 1;
    match attempt(&setting, &ops, tally) {
        Ok(()) => Ok(()),
        Err(first) => Err(report(seed, &setting, &ops, &first)),
    }
}

fn attempt(setting: &Setting, ops: &[Op], tally: &mut Tally) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut history = History::new(setting, false);
        let outcome = history.play(ops);
        (outcome, history.sums(), std::mem::take(&mut history.marks))
    }));
    match played {
        Ok((outcome, sums, marks)) => {
            tally.add(&sums, &marks);
            outcome
        }
        Err(panic) => Err(format!("it panicked: {}", words_of(panic.as_ref()))),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Leaves out what isn't needed for the failure, then tells all of it.
fn report(seed: u64, setting: &Setting, ops: &[Op], first: &str) -> String {
    let mut ops = ops.to_vec();
    let kind = kind_of(first);
    let fails = |ops: &[Op]| {
        let outcome = attempt(setting, ops, &mut Tally::default());
        outcome.err().filter(|why| kind_of(why) == kind)
    };
    let mut why = first.to_owned();
    let mut shorter = true;
    while shorter {
        shorter = false;
        for index in (0..ops.len()).rev() {
            let mut fewer = ops.clone();
            fewer.remove(index);
            if let Some(still) = fails(&fewer) {
                (ops, why, shorter) = (fewer, still, true);
            }
        }
    }
    let mut text = format!("SEED={seed} fails: {why}\n{setting:?}\n");
    for op in &ops {
        writeln!(text, "  {op:?}").expect("a String takes all");
    }
    // Once more with a pencil. A panic ends it early: what was written until then is lost with it.
    let scripted = catch_unwind(AssertUnwindSafe(|| {
        let mut history = History::new(setting, true);
        drop(history.play(&ops));
        history.script.map(|script| script.text().to_owned()).unwrap_or_default()
    }));
    writeln!(text, "As a scenario, as far as its language goes:\n{}", scripted.unwrap_or_default()).expect("a String");
    text
}

/// What kind of failure it is: the words without the numbers, up to the first colon after the moment.
fn kind_of(why: &str) -> String {
    let why = why.split_once("ms: ").map_or(why, |(_, rest)| rest);
    why.chars().take(8).filter(|c| !c.is_ascii_digit() || why.starts_with('I')).collect()
}
