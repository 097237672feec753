//! Every state that a small scope allows: the real scheduler, its journal, crashes and a back-end, breadth first, so that
//! what is found wrong is reported with its shortest story.

mod backend;
mod canon;
mod disk;
mod judge;
mod ledger;
mod moves;
mod scope;
mod world;

use std::collections::HashMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use self::moves::Turn;
pub(crate) use self::scope::{Budget, Scope, WRONGS, Wrong, large, small};
use self::world::World;

/// The set of known states is kept in this many parts, so that threads seldom wait for each other.
const PARTS: usize = 64;
/// A worker takes this many states at a time.
const CHUNK: usize = 64;

/// The result of an exploration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub states: u32,
    pub transitions: u64,
    /// The most turns that the shortest way to a state takes.
    pub depth: u32,
    /// States in which nothing is left to do.
    pub at_rest: u32,
    /// The most states waiting to be expanded.
    pub widest: usize,
}

/// How a state was first reached.
type Reached = (u32, u32, Turn);

/// What one worker found in one layer.
#[derive(Default)]
struct Found {
    next: Vec<(u32, World)>,
    reached: Vec<Reached>,
    edges: Vec<(u32, u32)>,
    at_rest: Vec<u32>,
    broken: Option<(u32, Turn, String)>,
}

struct Known {
    parts: Vec<Mutex<HashMap<u128, u32>>>,
    count: AtomicU32,
}

impl Known {
    fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), count: AtomicU32::new(0) }
    }

    /// The state's number, and whether it is new.
    fn number(&self, state: u128) -> (u32, bool) {
        let part = usize::try_from(state % PARTS as u128).expect("small");
        let mut part = self.parts[part].lock().expect("no worker panics here");
        if let Some(number) = part.get(&state) {
            return (*number, false);
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        part.insert(state, number);
        (number, true)
    }
}

/// The story of the first broken promise, with a wrong design around the scheduler; None where no small scope shows one.
pub(crate) fn story_of(wrong: Wrong, threads: usize) -> Option<String> {
    small().into_iter().find_map(|scope| explore(&Scope { wrong: Some(wrong), ..scope }, threads, |_, _| {}).err())
}

/// Explores a scope to its end, or to the first broken promise, reported as a story. Calls `told` per layer: how
/// many turns it is from the start, and how many states it has.
pub(crate) fn explore(scope: &Scope, threads: usize, told: impl Fn(u32, usize)) -> Result<Count, String> {
    let known = Known::new();
    let begin = World::new(scope);
    let (first, _) = known.number(begin.canon(scope));
    let mut layer = vec![(first, begin)];
    let mut reached: HashMap<u32, (u32, Turn)> = HashMap::new();
    let (mut edges, mut at_rest) = (Vec::new(), vec![first]);
    let mut count = Count::default();
    while !layer.is_empty() {
        count.widest = count.widest.max(layer.len());
        told(count.depth, layer.len());
        let chunks = Mutex::new(chunks(layer));
        let work = || {
            let mut found = Found::default();
            while let Some(chunk) = { chunks.lock().expect("no worker panics here").pop() } {
                for (number, world) in chunk {
                    go_on(number, &world, scope, &known, &mut found);
                }
            }
            found
        };
        let all: Vec<Found> = std::thread::scope(|threads_of| {
            let workers: Vec<_> = (1..threads).map(|_| threads_of.spawn(work)).collect();
            let own = work();
            std::iter::once(own).chain(workers.into_iter().map(|worker| worker.join().expect("a worker"))).collect()
        });
        layer = Vec::new();
        let mut broken = None;
        for found in all {
            layer.extend(found.next);
            reached.extend(found.reached.into_iter().map(|(state, from, turn)| (state, (from, turn))));
            edges.extend(found.edges);
            at_rest.extend(found.at_rest);
            broken = broken.or(found.broken);
        }
        if let Some((state, turn, why)) = broken {
            return Err(story(scope, &way(&reached, state, turn), &why));
        }
        count.depth += 1;
    }
    count.states = known.count.load(Ordering::Relaxed);
    count.transitions = edges.len() as u64;
    count.at_rest = u32::try_from(at_rest.len()).unwrap_or(u32::MAX);
    count.depth -= 1;
    match never_at_rest(count.states, &edges, at_rest) {
        None => Ok(count),
        Some(state) => {
            let mut way = Vec::new();
            let mut at = state;
            while let Some((from, turn)) = reached.get(&at) {
                way.push(*turn);
                at = *from;
            }
            way.reverse();
            Err(story(scope, &way, "from here it can never come to rest"))
        }
    }
}

fn chunks(mut layer: Vec<(u32, World)>) -> Vec<Vec<(u32, World)>> {
    let mut chunks = Vec::with_capacity(layer.len() / CHUNK + 1);
    while layer.len() > CHUNK {
        chunks.push(layer.split_off(layer.len() - CHUNK));
    }
    chunks.push(layer);
    chunks
}

fn go_on(number: u32, world: &World, scope: &Scope, known: &Known, found: &mut Found) {
    if found.broken.is_some() {
        return;
    }
    let turns = world.turns();
    for turn in turns {
        let next = catch_unwind(AssertUnwindSafe(|| {
            let mut next = world.clone();
            next.take(turn, scope).map(|()| (next.canon(scope), next))
        }));
        match next {
            Ok(Ok((state, next))) => {
                let (to, new) = known.number(state);
                found.edges.push((number, to));
                if new {
                    found.reached.push((to, number, turn));
                    if next.is_at_rest() {
                        found.at_rest.push(to);
                    }
                    found.next.push((to, next));
                }
            }
            Ok(Err(why)) => {
                found.broken = Some((number, turn, why));
                return;
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                found.broken = Some((number, turn, format!("it panicked: {}", text.unwrap_or_default())));
                return;
            }
        }
    }
}

/// A state from which rest can't be reached.
fn never_at_rest(states: u32, edges: &[(u32, u32)], at_rest: Vec<u32>) -> Option<u32> {
    let states = states as usize;
    // Who leads to each state, as one list with a beginning for each.
    let mut begins = vec![0u32; states + 1];
    for (_, to) in edges {
        begins[*to as usize + 1] += 1;
    }
    for state in 0..states {
        begins[state + 1] += begins[state];
    }
    let mut filled = begins.clone();
    let mut leads = vec![0u32; edges.len()];
    for (from, to) in edges {
        let place = &mut filled[*to as usize];
        leads[*place as usize] = *from;
        *place += 1;
    }
    let mut can = vec![false; states];
    let mut waiting = at_rest;
    while let Some(state) = waiting.pop() {
        let state = state as usize;
        if std::mem::replace(&mut can[state], true) {
            continue;
        }
        waiting.extend(&leads[begins[state] as usize..begins[state + 1] as usize]);
    }
    can.iter().position(|can| !can).and_then(|state| u32::try_from(state).ok())
}

fn way(reached: &HashMap<u32, (u32, Turn)>, state: u32, last: Turn) -> Vec<Turn> {
    let mut way = vec![last];
    let mut at = state;
    while let Some((from, turn)) = reached.get(&at) {
        way.push(*turn);
        at = *from;
    }
    way.reverse();
    way
}

/// Replays the path and reports it.
fn story(scope: &Scope, way: &[Turn], why: &str) -> String {
    let mut text = format!("In '{}', in {} turns: {why}\n", scope.name, way.len());
    let mut world = World::new(scope);
    world.told = Some(Vec::new());
    for turn in way {
        let outcome = catch_unwind(AssertUnwindSafe(|| world.take(*turn, scope)));
        writeln!(text, "+{:>3} s  {turn}", world.at / 1000).expect("a String takes all");
        for line in world.told.iter_mut().flat_map(std::mem::take) {
            writeln!(text, "{line}").expect("a String takes all");
        }
        if !matches!(outcome, Ok(Ok(()))) {
            break;
        }
    }
    text
}
