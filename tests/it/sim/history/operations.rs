//! What people and their machines do: one operation of the plan at a time. Nothing is judged here.

use std::time::Duration;

use coalesced::command::{Command, Scope, Verb};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, Fingerprint, NewEvent, Touches};
use coalesced::model::CommitId;
use coalesced::reason::SkipEvidence;
use coalesced::scheduler::Input;
use coalesced::scheduler::lane::Lane;

use super::super::filters::{Content, Push};
use super::super::plan::{Op, Word};
use super::super::scenario;
use super::{History, Pending, world};

/// Ids of deliveries that came before under another, and marks of their bodies, begin here.
const OTHER_IDS: u64 = 1 << 40;
const BODIES: u64 = 1 << 48;
/// Calls and questions that take this long either way are reported as trouble.
const SLOW_MS: i64 = 14_000;

impl History<'_> {
    pub(super) fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Push { image, git_ref, delay_ms, again_ms, forced, content } => {
                let is_tag = *git_ref == 2;
                // Of a tag, and of a forced push, no source says that nothing is to be built.
                let content = if is_tag || forced.is_some() { Content::Inside } else { *content };
                let (commit, before) = self.push(*image, *git_ref, *forced, content);
                let known = self.setting.commits;
                let disposition = content.disposition(is_tag);
                let new_event =
                    self.new_event(*image, *git_ref, known.then_some(commit), before.filter(|_| known), disposition);
                let delivery = self.delivery(CauseKind::Push, "github", new_event);
                if let Some(again) = again_ms {
                    let mut repeated = delivery.clone();
                    self.marks.hit("fault: a delivery is repeated");
                    if self.deliveries.is_multiple_of(2) {
                        // Sent again by hand: another id, and the body that was signed.
                        repeated.fingerprints[0] = Fingerprint(u128::from(self.deliveries + OTHER_IDS).to_be_bytes());
                        self.marks.hit("fault: a delivery is repeated under another id");
                    }
                    self.later(*delay_ms + *again, Pending::Arrive(repeated));
                }
                self.later(*delay_ms, Pending::Arrive(delivery));
            }
            Op::Tap { image, git_ref } => {
                self.deliver(CauseKind::Button, "phone", *image, *git_ref, Disposition::TAP);
            }
            Op::Call { image, git_ref, now, ensure } => {
                let disposition = Disposition::Build { immediate: *now, manual: true, ensure: *ensure };
                self.deliver(CauseKind::Api, "ci", *image, *git_ref, disposition);
            }
            Op::Skip { image, git_ref } => {
                let skip = Disposition::Skip {
                    evidence: SkipEvidence::NewestCommitMarked { marker: None },
                    touches: Touches::Inside,
                };
                self.deliver(CauseKind::Push, "github", *image, *git_ref, skip);
            }
            Op::Delete { image, git_ref } => {
                self.deliver(CauseKind::Push, "github", *image, *git_ref, Disposition::DeleteRef);
            }
            Op::Advance { ms } => self.run_until(self.at + ms),
            Op::Plan(fault) => {
                self.marks.fault(*fault);
                self.hub.plan(*fault);
            }
            Op::Delays { before_ms, after_ms } => {
                if (*before_ms).max(*after_ms) >= SLOW_MS {
                    self.marks.hit("fault: calls and questions take long");
                }
                self.delays = (*before_ms, *after_ms);
            }
            Op::Call1(fate) => self.call_fate = Some(*fate),
            Op::Question(fate) => self.question_fate = Some(*fate),
            Op::Crash { after, again, down_ms, clock_ms, calls_survive } => {
                self.crash = Some((*after, *down_ms, *clock_ms, *calls_survive));
                self.crash_again = *again;
            }
            Op::Jump { ms } => self.jump(*ms),
            Op::Foreign { image, git_ref } => self.foreign(*image, *git_ref),
            Op::Order { image, verb, for_ms } => self.order(*image, *verb, *for_ms),
            Op::Hint { image } => {
                let image = self.images[*image].clone();
                self.step(vec![Input::Hinted { image }]);
            }
        }
    }

    fn jump(&mut self, ms: i64) {
        self.wall += ms;
        // The daemon's own clock goes on where the wall clock has gone back.
        if self.wall > self.ahead {
            self.ahead = self.wall;
            self.clock_changed();
        }
        let back = ms < 0;
        self.marks.hit(if back { "clock: set back while running" } else { "clock: jumped ahead while running" });
    }

    /// Somebody else starts a build.
    fn foreign(&mut self, image: usize, git_ref: usize) {
        let (image, git_ref) = (self.images[image].clone(), self.refs[git_ref].clone());
        self.hub.foreign_build(world(self.at), &image, &git_ref);
        // While a call has not been seen to have its effect, this one may be taken for it.
        let unseen = |lane: &Lane| lane.queued.as_ref().is_some_and(|queued| queued.live.record.backend_ids.is_empty());
        self.marks.hit("fault: a build of somebody else");
        if self.driver.scheduler().lane(&image).is_some_and(unseen) {
            self.excuse(&image, "not judged: I3, a foreign build beside an unseen one");
        }
        self.foreign_at.push((image, self.at));
    }

    pub(super) fn order(&mut self, image: Option<usize>, word: Word, for_ms: Option<i64>) {
        if !self.ending {
            self.marks.verb(word);
        }
        let length = for_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let verb = match word {
            Word::Pause => Verb::Pause { length },
            Word::Resume => Verb::Resume,
            Word::Start => Verb::Start,
            Word::Drop => Verb::Drop,
            Word::Cancel => Verb::Cancel,
        };
        let scope = image.map_or(Scope::All, |image| Scope::Image(self.images[image].clone()));
        let command = Command { verb, scope, actor: "ada".to_owned(), reason: None };
        let ticket = self.ticket();
        self.step(vec![Input::Commanded { command, ticket }]);
    }

    /// Somebody pushes; the Hub sees it at once.
    pub(super) fn push(
        &mut self,
        image: usize,
        git_ref: usize,
        forced: Option<usize>,
        content: Content,
    ) -> (CommitId, Option<CommitId>) {
        let place = (self.images[image].clone(), self.refs[git_ref].clone());
        let earlier = self.pushes.entry(place.clone()).or_default();
        let before = earlier.last().map(|push| push.commit.clone());
        let back = forced.and_then(|back| earlier.get(earlier.len().checked_sub(2 + back)?));
        let commit = back.map_or_else(
            || {
                self.commits += 1;
                scenario::commit(self.commits)
            },
            |push| push.commit.clone(),
        );
        if back.is_some() {
            self.marks.hit("push: forced back to an older commit");
        }
        earlier.push(Push { commit: commit.clone(), inside: content.is_inside() });
        self.hub.push(world(self.at), &place.0, &place.1, commit.clone());
        (commit, before)
    }

    pub(super) fn deliver(
        &mut self,
        kind: CauseKind,
        source: &str,
        image: usize,
        git_ref: usize,
        disposition: Disposition,
    ) {
        let new_event = self.new_event(image, git_ref, None, None, disposition);
        let delivery = self.delivery(kind, source, new_event);
        self.later(0, Pending::Arrive(delivery));
    }

    pub(super) fn new_event(
        &self,
        image: usize,
        git_ref: usize,
        commit: Option<CommitId>,
        before: Option<CommitId>,
        disposition: Disposition,
    ) -> NewEvent {
        let (image, git_ref) = (self.images[image].clone(), self.refs[git_ref].clone());
        NewEvent { commit, before, ..NewEvent::new(image, git_ref, disposition) }
    }

    pub(super) fn delivery(&mut self, kind: CauseKind, source: &str, new_event: NewEvent) -> Delivery {
        self.deliveries += 1;
        let fingerprint = Fingerprint(u128::from(self.deliveries).to_be_bytes());
        let body = Fingerprint(u128::from(self.deliveries + BODIES).to_be_bytes());
        Delivery { fingerprints: vec![fingerprint, body], ..Delivery::new(Cause::new(kind, source), new_event) }
    }
}
