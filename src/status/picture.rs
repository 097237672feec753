//! What the driver shows of the scheduler's state after each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::command::Hold;
use crate::event::Event;
use crate::model::{BuildId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId};
use crate::scheduler::lane::{Lane, Phase};
use crate::scheduler::open::Open;
use crate::scheduler::policy::Policy;
use crate::scheduler::record::Changes;
use crate::scheduler::wait::{Rank, Standing, rank, standing};
use crate::scheduler::{Scheduler, record::BuildRecord};

/// The notices that are shown.
const NOTICES_MAX: usize = 32;

/// All lanes as of the newest step on disk.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub lanes: BTreeMap<ImageName, Arc<Lane>>,
    pub policies: BTreeMap<ImageName, Arc<Policy>>,
    pub hold: Option<Hold>,
    pub starved: BTreeSet<ImageName>,
    /// The notices since startup, newest last: at most [`NOTICES_MAX`].
    pub notices: VecDeque<Notice>,
    /// The newest notice's number.
    pub newest_notice: NoticeId,
    /// The newest event's and the newest build's number.
    pub counters: (Seq, BuildId),
    /// Grows with each step that changes what is stored.
    pub edition: u64,
}

/// Where an event is while it has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Handed out with a build that has not started.
    Carried(BuildId),
    /// Covered by a build that has started and not ended.
    Covered(BuildId),
    /// Open.
    Waiting,
}

impl Picture {
    /// Builds the whole picture, as at startup.
    pub fn of(scheduler: &Scheduler) -> Self {
        let lanes = scheduler.lanes().map(|lane| (lane.image.clone(), Arc::new(lane.clone()))).collect();
        let policies = scheduler.policies().map(|(image, policy)| (image.clone(), policy.clone())).collect();
        let (hold, starved) = (scheduler.hold().cloned(), scheduler.starved().clone());
        let notices = scheduler.notices().cloned().collect();
        let newest_notice = scheduler.newest_notice();
        Self { lanes, policies, hold, starved, notices, newest_notice, counters: scheduler.counters(), edition: 0 }
    }

    /// Shows the images and the rules of a new configuration. The notices stay: those that are delivered are nowhere else.
    pub fn configure(&mut self, scheduler: &Scheduler) {
        let notices = std::mem::take(&mut self.notices);
        let (newest_notice, edition) = (self.newest_notice, self.edition + 1);
        *self = Self { notices, newest_notice, edition, ..Self::of(scheduler) };
    }

    /// Applies what one step changed.
    pub fn update(&mut self, scheduler: &Scheduler, changes: &Changes) {
        for image in &changes.lanes {
            if let Some(lane) = scheduler.lane(image) {
                self.lanes.insert(image.clone(), Arc::new(lane.clone()));
            }
        }
        let known = self.newest_notice;
        self.notices.extend(changes.notices.values().flatten().filter(|notice| notice.id > known).cloned());
        self.newest_notice = scheduler.newest_notice();
        while self.notices.len() > NOTICES_MAX {
            self.notices.pop_front();
        }
        self.hold = scheduler.hold().cloned();
        self.counters = scheduler.counters();
        self.edition += u64::from(!changes.is_empty());
        if self.starved != *scheduler.starved() {
            self.starved.clone_from(scheduler.starved());
        }
    }

    /// Where an event is, if its lane still holds it.
    pub(super) fn place(&self, event: &Event) -> Option<Place> {
        let (image, git_ref) = (event.image.as_ref()?, event.git_ref.as_ref()?);
        let lane = self.lanes.get(image)?;
        for live in lane.lives().filter(|live| live.record.git_ref.as_ref() == Some(git_ref)) {
            if live.carries.as_ref().is_some_and(|carries| carries.holds(event.seq)) {
                let id = live.record.id;
                return Some(if live.record.started_at.is_some() { Place::Covered(id) } else { Place::Carried(id) });
            }
        }
        let open = lane.keys.get(git_ref)?.open.as_ref()?;
        open.holds(event.seq).then_some(Place::Waiting)
    }

    /// What a key waits for at `now`, account limits and its image's other keys included.
    pub(super) fn standing(&self, image: &ImageName, git_ref: &GitRef, now: Timestamp) -> Standing {
        let (Some(lane), Some(policy)) = (self.lanes.get(image), self.policies.get(image)) else {
            return Standing::AtRest;
        };
        let Some(key) = lane.keys.get(git_ref) else { return Standing::AtRest };
        match standing(lane, git_ref, key, policy, self.hold.as_ref(), now) {
            Standing::Ready if self.starved.contains(image) => Standing::AccountLimit,
            other => other,
        }
    }

    /// A key's place among its image's waiting keys, from 1: in the order in which they'll be built.
    pub(super) fn position(&self, image: &ImageName, git_ref: &GitRef, now: Timestamp) -> Option<usize> {
        let (lane, policy) = (self.lanes.get(image)?, self.policies.get(image)?);
        let keys = lane.keys.iter();
        let mut waiting: Vec<(Rank, &GitRef)> =
            keys.filter_map(|(git_ref, key)| Some((rank(key, lane, policy, now)?, git_ref))).collect();
        waiting.sort();
        waiting.iter().position(|(_, waits)| *waits == git_ref).map(|index| index + 1)
    }

    /// The live build, ours or foreign, with this number.
    pub fn live_build(&self, id: BuildId) -> Option<&BuildRecord> {
        self.lanes.values().find_map(|lane| lane.live(id)).map(|live| &live.record)
    }

    pub fn open_events(&self) -> u64 {
        self.lanes.values().map(|lane| lane.open_events()).sum()
    }

    /// The oldest event not yet finally covered by a build: nothing from it on may be forgotten.
    pub fn oldest_open(&self) -> Option<Seq> {
        let open = self.lanes.values().flat_map(|lane| lane.keys.values()).filter_map(|key| key.open.as_ref());
        let carried = self.lanes.values().flat_map(|lane| lane.lives()).filter_map(|live| live.carries.as_ref());
        open.chain(carried).map(Open::first).min()
    }

    /// Since when the image lacks something: the oldest event that no ended build covers.
    pub fn behind_since(&self, image: &ImageName) -> Option<Timestamp> {
        let lane = self.lanes.get(image)?;
        let open = lane.keys.values().filter_map(|key| key.open.as_ref());
        let carried = lane.lives().filter_map(|live| live.carries.as_ref());
        open.chain(carried).map(Open::first_at).min()
    }
}

/// Whether a lane's waiting place holds a build that runs in parallel with another.
pub(super) fn overlaps(lane: &Lane) -> bool {
    lane.queued.as_ref().is_some_and(|queued| matches!(queued.phase, Phase::Overlapping { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::NoticeKind;
    use crate::scheduler::lane::{Key, LaneState};
    use crate::scheduler::open::Group;
    use crate::scheduler::{Settings, Snapshot};

    fn open(seq: u64, manual: bool) -> Key {
        let (seq, at) = (Seq(seq), Timestamp::from_millis(0));
        let group = Group {
            first: seq,
            last: seq,
            first_at: at,
            last_at: at,
            count: 1,
            immediate_at: None,
            manual,
            commit: None,
            before: None,
            mixed: false,
            sealed: false,
        };
        Key { open: Some(Open::new(group)), ..Key::default() }
    }

    #[test]
    fn a_push_that_has_waited_for_too_long_is_shown_before_a_newer_tap() {
        let image: ImageName = "acme/web".parse().expect("an image");
        let (pushed, tapped) = (GitRef::branch("main").expect("a ref"), GitRef::branch("next").expect("a ref"));
        let mut lane = LaneState::new(image.clone());
        lane.keys = BTreeMap::from([(pushed.clone(), open(1, false)), (tapped.clone(), open(2, true))]);
        let policy = Policy::DEFAULT;
        let aged = policy.max_wait + 2 * policy.expected_build_time;
        let picture = Picture {
            lanes: BTreeMap::from([(image.clone(), Arc::new(Lane::restore(lane)))]),
            policies: BTreeMap::from([(image.clone(), Arc::new(policy))]),
            ..Picture::default()
        };
        let places = |at: Timestamp| [&pushed, &tapped].map(|git_ref| picture.position(&image, git_ref, at));
        let at = Timestamp::from_millis(0).plus(aged);
        assert_eq!(places(at), [Some(2), Some(1)], "a person's request goes first");
        assert_eq!(places(Timestamp::from_millis(at.as_millis() + 1)), [Some(1), Some(2)], "as it will be decided");
    }

    #[test]
    fn delivered_notices_are_still_shown_under_new_rules() {
        let now = Timestamp::from_millis(0);
        let image: ImageName = "acme/web".parse().expect("an image");
        let settings = Settings::new([(image.clone(), Policy::DEFAULT)], 1);
        // Nothing is pending: the notice was delivered.
        let (scheduler, _first_step) = Scheduler::recover(settings, Snapshot::default(), now);
        let notice = Notice { id: NoticeId(3), at: now, image: None, kind: NoticeKind::Unblocked };
        let mut picture =
            Picture { notices: [notice.clone()].into(), newest_notice: NoticeId(3), edition: 7, ..Picture::default() };
        picture.configure(&scheduler);
        assert_eq!((picture.notices, picture.newest_notice, picture.edition), ([notice].into(), NoticeId(3), 8));
        assert!(picture.lanes.contains_key(&image));
    }
}
