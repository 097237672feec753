//! PURE: what the scheduler makes of its rules, at the start and whenever they change.
//!
//! New rules come in as any input does, so they are in force from one step on and not in the middle of it. They must
//! never cost an event: what is open or under way stays with its key, whatever becomes of the image's rules.

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
    /// Puts `settings` in force in place of what was before: at the start, nothing.
    ///
    /// - An image whose rules changed keeps its lane: its open events wait under the new rules.
    /// - An image that is no longer there is set aside with its lane as it is stored. What is open stays open, and its
    ///   live builds stay live, but they are not followed and take no place of an account.
    /// - An image that is there again takes its lane up as after a restart (R11): a trigger call that was under way is
    ///   uncertain, and live builds are asked about before anything else is done.
    /// - Account limits and questions to remotes begin anew.
    pub(super) fn configure(&mut self, settings: Settings, turn: &mut Turn) {
        let Settings { policies, account_limits, button_fold, seed } = settings;
        (self.button_fold, self.seed, turn.seed) = (button_fold, seed, seed);
        self.set_aside_all_but(&policies, turn);
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
        // Every lane is counted before any of them triggers.
        for controller in self.images.values_mut() {
            controller.counted = 0;
            controller.count_places(&mut self.accounts);
        }
        self.starved.clear();
        self.remotes = heads::remotes(self, turn.now);
        turn.touched = self.images.keys().cloned().collect();
    }

    /// Answers that still come for an image that is set aside are dropped: it is asked anew if it returns.
    fn set_aside_all_but(&mut self, policies: &BTreeMap<ImageName, Arc<Policy>>, turn: &mut Turn) {
        for (image, controller) in self.images.extract_if(.., |image, _| !policies.contains_key(image)) {
            if let Some(timer) = controller.timer {
                self.timers.remove(&(timer, image.clone()));
            }
            turn.touched.remove(&image);
            self.aside.insert(image, controller.lane);
        }
    }
}
