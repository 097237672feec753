//! The promises when all is over, by the truth of the Hub.

use std::time::Duration;

use coalesced::build::Outcome;
use coalesced::emulator::TrueBuild;
use coalesced::event::{End, Verdict};
use coalesced::journal::Fate;
use coalesced::model::BuildId;
use coalesced::scheduler::policy::Policy;

use super::super::filters::{PassedOver, left_behind};
use super::hub::number_of;
use super::{History, START, Wanting, world};

impl History<'_> {
    /// Whatever died: each notice was received, at least once.
    pub(super) fn check_notices(&mut self) {
        if let Some(id) = self.undelivered.first() {
            self.fail(format!("notice {id} was made, and nobody has received it at rest"));
        }
    }

    /// I2 by the truth of the Hub: what was in the source when it was taken.
    pub(super) fn check_coverage(&mut self) {
        // What goes on unseen ends, too.
        while let Some(next) = self.hub.next_event() {
            self.hub.advance(next);
        }
        let reader = self.driver.store().reader();
        let mut broken = None;
        for (seq, wanting) in &self.wanting {
            let event = &wanting.event;
            let (Some(image), Some(git_ref)) = (&event.image, &event.git_ref) else { continue };
            if event.verdict != Verdict::Opened {
                continue;
            }
            let Fate::Ended(closure) = reader.fate(image, git_ref, *seq).expect("readable") else {
                broken = Some(format!("I2: event {} is still open at rest", seq.0));
                break;
            };
            let End::BuiltBy(id) = closure.end else { continue };
            let row = reader.build(id).expect("readable").expect("kept");
            let numbers: Vec<usize> = if self.setting.observes {
                row.backend_ids.iter().filter_map(number_of).collect()
            } else {
                self.made.get(&id).cloned().unwrap_or_default()
            };
            let pushes = &self.pushes[&(image.clone(), git_ref.clone())];
            let holds = |number: &usize| {
                let Some(build) = self.hub.build(*number) else { return false };
                // Thrown away, and shown as failed: a failure, and reported as one.
                let shown_failed = build.outcome == Some(Outcome::Failure) && build.started_at.is_none();
                let content =
                    build.commit.as_ref().and_then(|commit| pushes.iter().rposition(|push| push.commit == *commit));
                // In blind mode, the effect of a person's cancel can't be seen; and a build that was cancelled while it
                // waited, next to a foreign one that had started, was ended by the same cancel.
                let unseen = !self.setting.observes
                    || (self.cancel_asked.contains(&id) && build.started_at.is_none() && !build.foreign);
                let cancelled = unseen && build.outcome == Some(Outcome::Cancelled);
                build.git_ref == *git_ref
                    && (shown_failed || cancelled || content.is_some_and(|index| index >= wanting.needs))
            };
            if numbers.iter().any(holds) {
                self.marks.hit("judged: I2");
            } else if let Some(gap) = self.known_gap(id, &numbers) {
                self.marks.hit(gap);
            } else {
                let truth: Vec<_> = numbers.iter().map(|number| self.hub.build(*number)).collect();
                let needs = &pushes[wanting.needs].commit;
                broken = Some(format!(
                    "I2: event {} of {image} {git_ref} is said to be in build {id}, which lacks {needs}: {truth:?}",
                    seq.0
                ));
                break;
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
        self.check_superfluous();
        if self.triggers > self.opened + self.unclear {
            self.fail(format!("I4: {} triggers for {} events", self.triggers, self.opened));
        }
        if self.setting.calm {
            self.check_waiting();
        }
    }

    /// R10 by the truth of the Hub: what was passed over for its files left nothing behind.
    pub(super) fn check_passed_over(&mut self) {
        let mut broken = None;
        for passed in &self.passed_over {
            if self.excused.contains(&passed.image) || !self.setting.observes || !self.clock_changes.is_empty() {
                continue;
            }
            self.marks.hit("passed over: judged by the truth");
            let pushes = &self.pushes[&(passed.image.clone(), passed.git_ref.clone())];
            let builds = self.hub.true_builds(&passed.image);
            if let Some(left) = left_behind(passed, pushes, &builds) {
                // Delivered later, when the ref seemed to be where it had moved unnoticed: then it opens its key itself.
                let told_later = |wanting: &Wanting| {
                    let event = &wanting.event;
                    let same =
                        event.image.as_ref() == Some(&passed.image) && event.git_ref.as_ref() == Some(&passed.git_ref);
                    same && event.commit.as_ref() == Some(&left.commit)
                        && event.verdict == Verdict::Opened
                        && world(wanting.accepted) >= passed.at
                };
                if self.wanting.values().any(told_later) {
                    self.marks.hit("passed over: what lacks is told later");
                    continue;
                }
                let PassedOver { image, git_ref, commit, .. } = passed;
                broken = Some(format!(
                    "I2: {commit} of {image} {git_ref} was passed over, and {} is in no build",
                    left.commit
                ));
                break;
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
    }

    /// I8: a build too many comes only from a call whose effect could not be known.
    pub(super) fn check_superfluous(&mut self) {
        let mut broken = None;
        for build in &self.given_up {
            let made = self.made.get(build).into_iter().flatten().filter_map(|number| self.hub.build(*number));
            let ran: Vec<&TrueBuild> = made.filter(|build| build.started_at.is_some()).collect();
            let Some(first) = ran.first() else { continue };
            if self.unclear_calls.contains(build) && ran.len() == 1 {
                self.marks.hit("judged: I8");
            } else if first.has_vanished() || self.vanished_as(*build) {
                self.marks.hit("not judged: I8, the build vanished");
            } else if self.overdue.contains(build) {
                self.marks.hit("not judged: I8, still queued at the deadline");
            } else if self.astray.contains(build) {
                self.marks.hit("not judged: I8, the clock was set before the build was seen");
            } else {
                broken = Some(format!("I8: build {build} was given up and ran: {ran:?}"));
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
    }

    /// Whether a back-end build taken for this one has vanished, even a foreign one.
    pub(super) fn vanished_as(&self, build: BuildId) -> bool {
        let row = self.driver.store().reader().build(build).expect("readable");
        let rows = row.iter().flat_map(|row| &row.backend_ids);
        rows.filter_map(|row| self.hub.build(number_of(row)?)).any(TrueBuild::has_vanished)
    }

    /// I5: where nothing goes wrong, an image is there in bounded time.
    pub(super) fn check_waiting(&mut self) {
        let policy = Policy::DEFAULT;
        let keys = i64::try_from(self.setting.refs).unwrap_or(1);
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        // To each build comes the time until its end is seen.
        let unseen = ms(policy.observe_every * 4 + self.setting.hub.visible_after) + 2_000;
        let all_images = i64::try_from(self.setting.images).unwrap_or(1);
        // Where the service itself builds too few at once, builds of other images come first.
        let share = if self.setting.hub.concurrent_builds >= 5 { 1 } else { 2 * all_images };
        let build = (ms(self.setting.hub.build_time) + unseen) * share;
        let most = ms(policy.max_wait) + (keys + 1) * build + build;
        let reader = self.driver.store().reader();
        for (seq, wanting) in &self.wanting {
            let (Some(image), Some(git_ref)) = (&wanting.event.image, &wanting.event.git_ref) else { continue };
            if wanting.event.verdict != Verdict::Opened {
                continue;
            }
            let Fate::Ended(closure) = reader.fate(image, git_ref, *seq).expect("readable") else { continue };
            let End::BuiltBy(id) = closure.end else { continue };
            let row = reader.build(id).expect("readable").expect("kept");
            let ends = row.backend_ids.iter().filter_map(|row| self.hub.build(number_of(row)?)?.finished_at);
            let Some(end) = ends.min() else { continue };
            let took = (end.as_millis() - START.as_millis()) - wanting.accepted;
            self.marks.hit("calm: a wait within its bound");
            if took > most {
                self.broken = Some(format!("I5: event {} waited {took} ms of at most {most} ms", seq.0));
                return;
            }
        }
    }
}
