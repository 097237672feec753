//! When two states are the same: all that can make a difference to what follows, moments told from now, numbers from
//! the oldest that matters, rows and commits by their place. Whatever is added to a lane must be given its place here:
//! the patterns name every field.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use coalesced::model::{BuildId, CommitId, Seq, Timestamp};
use coalesced::scheduler::lane::{Key, LaneState, Live, Phase, Queued, Refusal, Running};
use coalesced::scheduler::open::{Group, Open};
use coalesced::scheduler::record::Foreign;

use super::backend::{Build, State, moment};
use super::scope::{Budget, MAX_WAIT, REFS, STEP_MS, Scope, UNCERTAIN_MS};
use super::world::World;

/// Nothing that is older than this differs from what is just as old.
const AGE_MAX_MS: i64 = 600_000;

struct Canon<'a> {
    world: &'a World,
    scope: &'a Scope,
    lane: &'a LaneState,
    /// The oldest number that matters.
    floor: Seq,
    /// The refs in this order: nothing tells them apart but their names.
    refs: [usize; REFS],
    bytes: Vec<u8>,
}

impl World {
    /// 128 bits that stand for this state.
    pub(crate) fn canon(&self, scope: &Scope) -> u128 {
        let lane = self.driver.scheduler().lane(&scope.names.image).expect("configured");
        let open = lane.keys.values().filter_map(|key| key.open.as_ref()).map(Open::first);
        let lives = lane.lives().filter_map(|live| live.carries.as_ref()).map(Open::first);
        let floor = open.chain(lives).chain(self.oldest()).min().unwrap_or(self.newest.next());
        let told = |refs| {
            let mut canon = Canon { world: self, scope, lane, floor, refs, bytes: Vec::with_capacity(512) };
            canon.lane();
            canon.outside();
            canon.bytes
        };
        let bytes = told([0, 1]).min(told([1, 0]));
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&bytes);
            hasher.finish()
        };
        u128::from(half(0)) << 64 | u128::from(half(1))
    }
}

impl Canon<'_> {
    fn byte(&mut self, byte: impl TryInto<u8>) {
        self.bytes.push(byte.try_into().unwrap_or(u8::MAX));
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    fn number(&mut self, number: i64) {
        self.bytes.extend(i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Numbers below the oldest that matters are all alike.
    fn seq(&mut self, seq: Seq) {
        self.byte((seq.0 + 1).saturating_sub(self.floor.0));
    }

    fn past(&mut self, at: Timestamp) {
        let age = self.world.now().as_millis() - at.as_millis();
        self.number(age.min(AGE_MAX_MS));
    }

    fn past_ms(&mut self, at: i64) {
        self.past(moment(at));
    }

    /// The world's moments are on a grid: a moment between two of them is as good as the later.
    fn ahead(&mut self, at: Timestamp) {
        let wait = at.as_millis() - self.world.now().as_millis();
        self.number((wait.max(0) + STEP_MS - 1) / STEP_MS);
    }

    fn git_ref(&mut self, git_ref: usize) {
        self.byte(self.refs.iter().position(|known| *known == git_ref).expect("one of ours"));
    }

    /// Commits by how far behind the newest of their ref they are.
    fn commit(&mut self, git_ref: usize, commit: &CommitId) {
        let number = self.scope.number(commit);
        self.byte(self.world.tips[git_ref] - number);
    }

    fn lane(&mut self) {
        let lane = self.lane;
        // Where refs point matters only with a remote; the last build only for notices.
        let LaneState { image: _, keys, heads: _, heads_by: _, queued, running, foreign, claimed: _, .. } = lane;
        // How long builds take matters only for what has waited for longer than `max_wait`: see below.
        let LaneState { hold, refusal, overlaps, last_build: _, build_time_ms: _, .. } = lane;
        assert!(hold.is_none(), "nobody pauses here");
        for git_ref in self.refs {
            let key = keys.get(&self.scope.names.refs[git_ref]);
            self.option(key, |canon, key| canon.key(git_ref, key));
        }
        self.option(queued.as_ref(), |canon, Queued { live, phase }| {
            match phase {
                Phase::Triggering => canon.byte(0),
                Phase::Uncertain { since, pending } => {
                    canon.byte(1);
                    canon.past(*since);
                    canon.flag(*pending);
                }
                Phase::Accepted => canon.byte(2),
                Phase::Overlapping { assumed_until: _ } => canon.byte(3),
            }
            canon.live(live);
        });
        self.option(running.as_ref(), |canon, Running { live, assumed_until: _ }| canon.live(live));
        self.byte(foreign.len());
        for Foreign { id: _, backend_id, started, label: _, commit: _, seen_at: _, started_at: _, log_url: _ } in
            foreign
        {
            self.backend_id(&backend_id.0);
            self.flag(*started);
        }
        self.option(refusal.as_ref(), |canon, Refusal { times, since: _, again_at, reason: _, blocked }| {
            canon.byte(*times);
            canon.ahead(*again_at);
            canon.flag(*blocked);
        });
        self.flag(*overlaps);
    }

    fn key(&mut self, git_ref: usize, key: &Key) {
        let Key {
            open,
            closed_through,
            built: _,
            wanted: _,
            moved: _,
            contradicted,
            lost_through,
            retries,
            tap,
            lookback: _,
        } = key;
        self.option(open.as_ref(), |canon, open| canon.open(git_ref, open));
        self.seq(*closed_through);
        self.option(contradicted.as_ref(), |canon, (commit, times)| {
            canon.commit(git_ref, commit);
            canon.byte(*times);
        });
        self.seq(*lost_through);
        self.byte(*retries);
        // It folds into itself only what comes within less than one step.
        let now = self.world.now();
        self.flag(tap.as_ref().is_some_and(|tap| tap.at == now));
    }

    fn open(&mut self, git_ref: usize, open: &Open) {
        let waited = self.world.now().since(open.first_at());
        assert!(waited < MAX_WAIT, "what waits so long is ranked by how long builds take");
        self.byte(open.groups().len());
        for group in open.groups() {
            let Group { first, last, first_at, last_at, count, immediate_at, manual, commit, before, sealed, mixed } =
                group;
            self.seq(*first);
            self.seq(*last);
            self.past(*first_at);
            self.past(*last_at);
            self.byte(*count);
            self.option(*immediate_at, Self::past);
            self.flag(*manual);
            self.option(commit.as_ref(), |canon, commit| canon.commit(git_ref, commit));
            self.option(before.as_ref(), |canon, commit| canon.commit(git_ref, commit));
            self.flag(*sealed);
            self.flag(*mixed);
        }
    }

    fn live(&mut self, live: &Live) {
        let Live { record, carries, through, missing_since, answered_at, named, cancelled_by } = live;
        assert!(cancelled_by.is_none(), "nobody cancels here");
        let git_ref = self.scope.git_ref(record.git_ref.as_ref().expect("a build of ours has a ref"));
        self.git_ref(git_ref);
        self.byte(record.backend_ids.len());
        for id in &record.backend_ids {
            self.backend_id(&id.0);
        }
        self.flag(record.commit.is_some());
        self.option(record.triggered_at, Self::past);
        self.option(record.started_at, Self::past);
        self.option(carries.as_ref(), |canon, open| canon.open(git_ref, open));
        self.seq(*through);
        self.option(*missing_since, Self::past);
        self.option(*answered_at, Self::past);
        self.flag(*named);
    }

    fn backend_id(&mut self, id: &str) {
        let number = id.strip_prefix('r').and_then(|number| number.parse().ok());
        self.place(number.unwrap_or(u16::MAX));
    }

    /// A build of the back-end by its place among those that matter.
    fn place(&mut self, number: u16) {
        self.byte(self.world.backend.builds.iter().position(|build| build.number == number).unwrap_or(99));
    }

    /// A build of ours by its place in the lane.
    fn ours(&mut self, build: BuildId) {
        let is = |live: Option<&Live>| live.is_some_and(|live| live.record.id == build);
        let queued = is(self.lane.queued.as_ref().map(|queued| &queued.live));
        let running = is(self.lane.running.as_ref().map(|running| &running.live));
        self.byte(u8::from(queued) + 2 * u8::from(running));
    }

    fn build(&mut self, build: &Build) {
        let Build { number, call, git_ref, made_at, shown_at, state, source, started_at, ended_at, excused } = build;
        self.place(*number);
        self.ours(*call);
        self.git_ref(*git_ref);
        self.past_ms(*made_at);
        self.ahead(moment(*shown_at));
        match state {
            State::Waiting => self.byte(0),
            State::Running => self.byte(1),
            State::Gone => self.byte(2),
            State::Over(outcome) => self.byte(3 + *outcome as u8),
        }
        self.option(*source, |canon, source| {
            canon.byte(canon.world.tips[*git_ref] - source.commit);
            canon.seq(source.through);
        });
        self.option(*started_at, Self::past_ms);
        self.option(*ended_at, Self::past_ms);
        self.flag(*excused);
    }

    /// What is on its way, what the back-end holds, what may still happen, and what is counted.
    fn outside(&mut self) {
        let world = self.world;
        let watch = world.driver.scheduler().watch(&self.scope.names.image).expect("configured");
        self.option(watch.asked.as_ref(), |canon, asked| {
            canon.past(asked.at);
            canon.seq(asked.through);
        });
        self.option(watch.next_at, Self::ahead);
        self.number(ms(watch.wait));
        // The time without a look matters only for what is older than that.
        let since = moment(world.since);
        let moments = |live: &Live| [live.record.triggered_at, live.record.started_at, live.missing_since];
        let is_older = self.lane.lives().flat_map(moments).flatten().any(|at| at < since);
        self.option(is_older.then_some(world.since.max(world.at - UNCERTAIN_MS)), Self::past_ms);
        self.byte(world.backend.builds.len());
        for build in &world.backend.builds {
            self.build(build);
        }
        self.option(world.backend.limit(), |canon, limit| canon.ahead(moment(limit)));
        self.option(world.call.as_ref(), |canon, call| {
            canon.ours(call.request.build);
            canon.git_ref(canon.scope.git_ref(&call.request.git_ref));
            canon.past_ms(call.at);
            canon.seq(call.through);
            canon.option(call.answer, |canon, fate| canon.byte(fate as u8));
        });
        for asked in &world.questions {
            self.flag(watch.asked.as_ref().is_some_and(|current| current.id == asked.id));
            self.past_ms(asked.at);
            self.option(asked.seen.as_ref(), |canon, seen| {
                for build in seen.iter().filter(|seen| world.backend.build(seen.number).is_some()) {
                    canon.build(build);
                }
            });
        }
        self.sent();
        for wanting in &world.wanting {
            self.seq(wanting.seq);
            self.git_ref(wanting.git_ref);
            self.byte(world.tips[wanting.git_ref] - wanting.needs);
            self.flag(wanting.tap);
        }
        self.counted();
    }

    /// Deliveries that are on disk are all alike when they come again.
    fn sent(&mut self) {
        let world = self.world;
        self.flag(world.sent.is_empty());
        self.flag(world.left.again > 0 && world.sent.iter().any(|sent| sent.commit.is_some() && sent.seq.is_some()));
        let matters = |on_its_way: bool, stored: bool| on_its_way || (world.left.again > 0 && !stored);
        let mut sent: Vec<_> = world
            .sent
            .iter()
            .filter(|sent| sent.commit.is_some() && matters(sent.on_its_way, sent.seq.is_some()))
            .map(|sent| (self.refs[sent.git_ref], sent.commit, if sent.on_its_way { sent.at } else { i64::MIN }))
            .collect();
        sent.sort_unstable();
        for (place, commit, at) in sent {
            self.byte(place);
            self.byte(world.tips[self.refs[place]] - commit.unwrap_or(0));
            self.option((at != i64::MIN).then_some(at), Self::past_ms);
        }
    }

    fn counted(&mut self) {
        let Budget { pushes, taps, late, again, crashes, calls, unreadable, stale, bad, waits } = self.world.left;
        self.bytes.extend([pushes, taps, late, again, crashes, calls, unreadable, stale, bad, waits]);
        let books = &self.world.books;
        let unknown = i64::from(books.crashes) + i64::from(books.uncertain);
        let may = i64::from(books.opened) + unknown + i64::from(books.vanished) + i64::from(books.contradicted);
        self.number(may - i64::from(books.made));
        self.number(unknown - i64::from(books.superfluous));
        self.flag(books.unreadable > 0);
        for git_ref in self.refs {
            self.flag(books.unsatisfied[git_ref]);
        }
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
