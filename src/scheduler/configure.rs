//! PURE: how the scheduler applies its rules, at the start and whenever they change.
//!
//! New rules come in like any other input, so they take effect between steps, never within one. They must
//! never cost an event: what is open or in flight stays with its key, whatever happens to the image's rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::Account;
use super::controller::ImageController;
use super::lane::{Lane, LaneState};
use super::policy::Policy;
use super::turn::Turn;
use super::{Scheduler, Settings, heads};
use crate::model::ImageName;

impl Scheduler {
    /// Replaces the rules in force (none at the start) with `settings`.
    ///
    /// - An image whose rules changed keeps its lane: its open events wait under the new rules.
    /// - An image that was removed is set aside with its lane as stored. What is open stays open, and its
    ///   live builds stay live, but they are not followed and count against no account.
    /// - An image that returns resumes its lane as after a restart (R11): a trigger call that was in flight is
    ///   uncertain, and the back-end is asked about live builds before anything else.
    /// - Account limits and questions to remotes start afresh.
    pub(super) fn configure(&mut self, settings: Settings, turn: &mut Turn) {
        let Settings { policies, account_limits, button_fold, seed } = settings;
        (self.button_fold, self.seed, turn.seed) = (button_fold, seed, seed);
        self.set_aside_all_but(&policies);
        for (image, policy) in policies {
            if let Some(controller) = self.images.get_mut(&image) {
                controller.follow(policy, turn);
            } else {
                let lane = self.aside.remove(&image).unwrap_or_else(|| Lane::restore(LaneState::new(image.clone())));
                let mut controller = ImageController::new(policy, lane, turn.now);
                controller.recover(turn);
                self.images.insert(image, controller);
            }
        }
        let account = |limit: u32| Account { limit: limit as usize, taken: 0 };
        self.accounts = account_limits.into_iter().map(|(name, limit)| (name, account(limit))).collect();
        // Count every lane before any of them triggers.
        for controller in self.images.values_mut() {
            controller.counted = 0;
            controller.count_places(&mut self.accounts);
        }
        self.starved.clear();
        self.remotes = heads::remotes(self, turn.now);
        turn.touched = self.images.keys().cloned().collect();
    }

    /// Late answers for an image that is set aside are dropped: if it returns, the back-end is asked again.
    fn set_aside_all_but(&mut self, policies: &BTreeMap<ImageName, Arc<Policy>>) {
        for (image, controller) in self.images.extract_if(.., |image, _| !policies.contains_key(image)) {
            if let Some(timer) = controller.timer {
                self.timers.remove(&(timer, image.clone()));
            }
            self.aside.insert(image, controller.lane);
        }
    }
}
