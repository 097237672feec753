//! What must never happen, checked in every state against the back-end's true state (invariants I1 to I4, I7, I8).

use coalesced::build::{BuildRequest, Outcome};
use coalesced::event::{End, Verdict};
use coalesced::journal::{Fate, encode};
use coalesced::model::Seq;
use coalesced::scheduler::lane::LaneState;
use coalesced::scheduler::open::Open;
use coalesced::scheduler::record::{Changes, Fact};
use coalesced::scheduler::{Decision, Ticket};

use super::backend::State;
use super::ledger::Wanting;
use super::scope::Scope;
use super::world::World;

/// An orphaned build of this age can't be taken for a later call's.
const ORPHAN_MS: i64 = 600_000;

impl World {
    /// Records what was just written.
    pub(crate) fn note(&mut self, changes: &Changes, ticket: Option<Ticket>, scope: &Scope) -> Result<(), String> {
        for event in &changes.events {
            let ticket = ticket.expect("only a delivery makes events");
            let sent = &mut self.sent[usize::try_from(ticket.0).expect("few")];
            if let Some(first) = sent.seq {
                return Err(format!("I7: event {} was made of what event {} was made of before", event.seq.0, first.0));
            }
            sent.seq = Some(event.seq);
            self.newest = event.seq;
            if event.verdict == Verdict::Opened {
                let git_ref = sent.git_ref;
                let needs = sent.commit.unwrap_or(self.tips[git_ref]);
                self.wanting.push(Wanting { seq: event.seq, git_ref, needs, tap: sent.commit.is_none() });
                self.books.opened += 1;
                self.books.unsatisfied[git_ref] = true;
            }
        }
        for record in &changes.records {
            self.tell(|| format!("    {}", told(&record.fact)));
            match &record.fact {
                Fact::NeverStarted { build, outcome: Outcome::NotStarted, .. } => {
                    let nobody_could_look = self.books.unreadable > 0;
                    let Some(given_up) = self.made_by(*build).filter(|build| build.state != State::Gone) else {
                        continue;
                    };
                    if !nobody_could_look {
                        return Err(format!("build {build} is given up, and every list shows it"));
                    }
                    given_up.excused = true;
                    self.books.uncertain += 1;
                }
                Fact::Started { cover, .. } | Fact::CoverChanged { cover, .. } => {
                    self.books.contradicted += u8::from(cover.contradicted);
                }
                _ => {}
            }
        }
        self.judge_twin(scope)?;
        if self.driver.deadline().is_some_and(|due| due <= self.now()) {
            return Err("a deadline that has passed: it would never sleep".to_owned());
        }
        self.settle(scope)
    }

    /// I1: a restart would find what memory holds.
    fn judge_twin(&self, scope: &Scope) -> Result<(), String> {
        let Some(lane) = self.driver.scheduler().lane(&scope.names.image) else { return Ok(()) };
        let disk = self.driver.store();
        if disk.is_empty() {
            return Ok(());
        }
        let mut all = Changes { meta: true, ..Changes::default() };
        all.lanes.insert(lane.image.clone());
        all.keys = lane.keys.keys().map(|git_ref| (lane.image.clone(), git_ref.clone())).collect();
        for put in encode(&all, self.driver.scheduler()) {
            let stored = disk.get(&put.key);
            let at_rest = stored.is_none() && **lane == LaneState::new(lane.image.clone());
            if stored != put.value.as_deref() && !at_rest && scope.wrong.is_none() {
                return Err(format!("I1: on disk {} is not as in memory", String::from_utf8_lossy(&put.key)));
            }
        }
        Ok(())
    }

    /// I2 for each event that nothing can open again.
    fn settle(&mut self, scope: &Scope) -> Result<(), String> {
        let lane = self.driver.scheduler().lane(&scope.names.image).expect("configured");
        let open = lane.keys.values().filter_map(|key| key.open.as_ref());
        let lives: Vec<&Open> = open.chain(lane.lives().filter_map(|live| live.carries.as_ref())).collect();
        let settled = |wanting: &Wanting| !lives.iter().any(|open| open.holds(wanting.seq));
        for wanting in self.wanting.extract_if(.., |wanting| settled(wanting)).collect::<Vec<_>>() {
            self.judge_cover(wanting, scope)?;
        }
        Ok(())
    }

    fn judge_cover(&self, wanting: Wanting, scope: &Scope) -> Result<(), String> {
        let Wanting { seq, git_ref, needs, tap } = wanting;
        let reader = self.driver.store().journal().reader();
        let fate = reader.fate(&scope.names.image, &scope.names.refs[git_ref], seq).map_err(|why| why.to_string())?;
        let Fate::Ended(closure) = fate else {
            return Err(format!("I2: event {} is neither open nor with a build, and has not ended", seq.0));
        };
        let End::BuiltBy(id) = closure.end else {
            return Err(format!("I2: event {} has ended as {:?}, and nobody decided so", seq.0, closure.end));
        };
        let row = reader.build(id).map_err(|why| why.to_string())?.ok_or("the build's row is gone")?;
        let holds = self.backend.builds.iter().any(|build| {
            let ours = row.backend_ids.contains(&build.row()) && build.git_ref == git_ref && build.state != State::Gone;
            let source = build.source.filter(|_| ours && build.started_at.is_some());
            source.is_some_and(|source| source.commit >= needs && (!tap || source.through >= seq))
        });
        if holds {
            return Ok(());
        }
        Err(format!(
            "I2: event {} wants commit {needs} of ref {git_ref} and is said to be in build {id}, which lacks it: {:?}",
            seq.0, self.backend.builds
        ))
    }

    /// Whether nothing is left to do: whatever follows must come from outside.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.driver.deadline().is_none()
            && self.call.is_none()
            && self.questions.is_empty()
            && self.backend.builds.iter().all(super::backend::Build::is_over)
            && !self.sent.iter().any(|sent| sent.on_its_way)
    }

    pub(crate) fn judge_rest(&self) -> Result<(), String> {
        match self.wanting.first() {
            Some(wanting) if self.is_at_rest() => {
                Err(format!("I2: at rest, and event {} has not ended", wanting.seq.0))
            }
            _ => Ok(()),
        }
    }

    /// I1, I7: what a sender is answered is on disk, and is always the same.
    pub(crate) fn answered(&mut self, ticket: Ticket, decision: &Decision) -> Result<(), String> {
        let stored = self.sent[usize::try_from(ticket.0).expect("few")].seq;
        let receipt = match decision {
            Decision::Recorded { events } => events.first().map(|event| event.seq),
            Decision::Repeated { first, .. } => Some(*first),
            _ => return Err("a delivery was answered like a command".to_owned()),
        };
        self.tell(|| format!("    answered: event {}", receipt.map_or(0, |seq| seq.0)));
        if receipt != stored {
            return Err(format!("I1, I7: the answer names event {receipt:?}; on disk is {stored:?}"));
        }
        Ok(())
    }

    /// I3, I4 at each decision to call. A call in flight, or of unknown outcome, counts as queued.
    pub(crate) fn judge_call(&mut self, request: &BuildRequest, scope: &Scope) -> Result<(), String> {
        self.tell(|| format!("    calls the trigger for build {}", request.build));
        let live = self.driver.scheduler().lane(&request.image).and_then(|lane| lane.live(request.build));
        if live.and_then(|live| live.carries.as_ref()).map_or(0, Open::count) == 0 {
            return Err(format!("I4: build {} is called for no open event", request.build));
        }
        if self.call.is_some() {
            return Err("I3: a second call, and the first is under way".to_owned());
        }
        let lives = || self.backend.builds.iter().filter(|build| !build.is_over() && !build.excused);
        if let Some(queued) = lives().find(|build| build.state == State::Waiting) {
            return Err(format!("I3: a second build would be queued; of the first: {queued:?}"));
        }
        if let Some(running) = lives().find(|_| !scope.prequeue) {
            return Err(format!("I3 without prequeue: a second build, and one runs: {running:?}"));
        }
        Ok(())
    }

    /// I4, I8: how many builds there may be.
    pub(crate) fn judge_books(&self, scope: &Scope) -> Result<(), String> {
        let books = &self.books;
        let unknown = books.crashes + books.uncertain;
        if books.made > books.opened + unknown + books.vanished + books.contradicted {
            return Err(format!("I4: more builds than events, crashes and uncertain calls: {books:?}"));
        }
        if !scope.at_start && books.superfluous > unknown {
            return Err(format!("I8: more superfluous builds than crashes and uncertain calls: {books:?}"));
        }
        Ok(())
    }

    /// Drops what can no longer make a difference.
    pub(crate) fn forget(&mut self) {
        let Some(lane) = self.driver.scheduler().lanes().next() else { return };
        let at = self.at;
        self.backend.builds.retain(|build| {
            let row = build.row();
            let live = lane.lives().any(|live| live.record.backend_ids.contains(&row));
            let orphan = !lane.claimed.contains(&row) && build.made_at + ORPHAN_MS > at;
            !build.is_over() || live || (orphan && build.state != State::Gone)
        });
    }

    pub(crate) fn oldest(&self) -> Option<Seq> {
        self.wanting.iter().map(|wanting| wanting.seq).min()
    }
}

/// A fact in few words.
fn told(fact: &Fact) -> String {
    let mut text = format!("{fact:?}");
    if let Fact::Opened { group, .. } = fact {
        text = format!("event {} waits", group.first.0);
    }
    text.replace("BuildId(", "build (").replace("GitRef", "")
}
