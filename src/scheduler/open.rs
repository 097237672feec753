//! PURE: the open events of one key, folded into a few numbers.
//!
//! A burst of a million pushes is at most [`GROUPS_MAX`] groups. Folding may forget where inside a group an
//! event was, never that it is open: a group is covered whole or not at all.

mod stored;

use std::time::Duration;

use crate::model::{CommitId, Seq, Timestamp};

/// The most groups kept apart; beyond this, the oldest two that may merge do.
const GROUPS_MAX: usize = 8;

/// Open events in the order of their numbers. Never empty: a key without open events has no `Open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    groups: Vec<Group>,
}

/// Neighbouring open events, no longer told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub first: Seq,
    pub last: Seq,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    /// When the first of them came that doesn't wait for quiet.
    pub immediate_at: Option<Timestamp>,
    /// Whether a person asked for one of them.
    pub manual: bool,
    /// The commit that the newest of them named.
    pub commit: Option<CommitId>,
    /// The commit that the ref pointed to before the oldest of them.
    pub before: Option<CommitId>,
    /// Not all of them are certain to be in `commit`: some named none, or their deliveries overtook each other.
    pub mixed: bool,
    /// Later numbers may have ended differently while these were with a build: their fate is kept apart.
    pub sealed: bool,
}

impl Open {
    pub fn new(first: Group) -> Self {
        Self { groups: vec![first] }
    }

    /// Adds what came later.
    pub fn fold(&mut self, newer: Group) {
        debug_assert!(self.last() < newer.first, "events are folded in the order of their numbers");
        self.groups.push(newer);
        self.compact();
    }

    /// Puts back what was open before `later`.
    #[must_use]
    pub fn before(mut self, later: Option<Self>) -> Self {
        if let Some(later) = later {
            self.groups.extend(later.groups);
            self.groups.sort_by_key(|group| group.first);
            self.compact();
        }
        self
    }

    /// Marks them as open again after having been with a build.
    pub fn seal(&mut self) {
        let newest = self.groups.len() - 1;
        self.groups[newest].sealed = true;
    }

    /// The numbers up to which the fate of these events must be recorded.
    pub fn borders(&self) -> impl Iterator<Item = Seq> {
        let newest = self.groups.len() - 1;
        let borders = self.groups.iter().enumerate().filter(move |(index, group)| group.sealed || *index == newest);
        borders.map(|(_, group)| group.last)
    }

    /// Splits what ends at or before `through` from what goes beyond it. A group that straddles is beyond.
    pub fn split(self, through: Seq) -> (Option<Self>, Option<Self>) {
        let (within, beyond): (Vec<_>, Vec<_>) = self.groups.into_iter().partition(|group| group.last <= through);
        let some = |groups: Vec<Group>| (!groups.is_empty()).then_some(Self { groups });
        (some(within), some(beyond))
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn first(&self) -> Seq {
        self.groups[0].first
    }

    pub fn last(&self) -> Seq {
        self.groups[self.groups.len() - 1].last
    }

    pub fn first_at(&self) -> Timestamp {
        self.groups[0].first_at
    }

    pub fn last_at(&self) -> Timestamp {
        self.groups[self.groups.len() - 1].last_at
    }

    pub fn count(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum()
    }

    pub fn is_manual(&self) -> bool {
        self.groups.iter().any(|group| group.manual)
    }

    /// Whether the event with this number is among them, as far as the groups tell.
    pub fn holds(&self, seq: Seq) -> bool {
        self.groups.iter().any(|group| (group.first..=group.last).contains(&seq))
    }

    /// The newest commit that any of them named.
    pub fn commit(&self) -> Option<&CommitId> {
        self.groups.iter().rev().find_map(|group| group.commit.as_ref())
    }

    /// R2: when a build of these events is due.
    pub fn due(&self, quiet: Duration, max_wait: Duration) -> Timestamp {
        let still = self.last_at().plus(quiet).min(self.first_at().plus(max_wait));
        let immediate = self.groups.iter().filter_map(|group| group.immediate_at).min();
        immediate.map_or(still, |at| still.min(at))
    }

    /// The latest moment at which they become due, whatever comes.
    pub fn due_at_the_latest(&self, max_wait: Duration) -> Timestamp {
        self.first_at().plus(max_wait)
    }

    /// A person wants them built now.
    pub fn expedite(&mut self, now: Timestamp) {
        let newest = self.groups.len() - 1;
        let group = &mut self.groups[newest];
        group.immediate_at = Some(group.immediate_at.map_or(now, |at| at.min(now)));
        group.manual = true;
    }

    /// Moves every moment to `now` at the latest: used when the wall clock went back while the daemon was down.
    pub fn clamp(&mut self, now: Timestamp) {
        for group in &mut self.groups {
            group.first_at = group.first_at.min(now);
            group.last_at = group.last_at.min(now);
            group.immediate_at = group.immediate_at.map(|at| at.min(now));
        }
    }

    /// Whether any moment is later than `now`.
    pub fn lies_ahead_of(&self, now: Timestamp) -> bool {
        self.groups.iter().any(|group| group.last_at.max(group.first_at) > now)
    }

    fn compact(&mut self) {
        while self.groups.len() > GROUPS_MAX {
            let (_, before_newest) = self.groups.split_last().expect("never empty");
            let at = before_newest.iter().position(|group| !group.sealed).unwrap_or(0);
            let newer = self.groups.remove(at + 1);
            self.groups[at].absorb(newer);
        }
    }
}

impl Group {
    fn absorb(&mut self, newer: Self) {
        self.last = newer.last;
        self.last_at = newer.last_at;
        self.count += newer.count;
        self.immediate_at = match (self.immediate_at, newer.immediate_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        self.manual |= newer.manual;
        self.sealed = newer.sealed;
        let same = |a: &Option<CommitId>, b: &Option<CommitId>| matches!((a, b), (Some(a), Some(b)) if a.same_as(b));
        let follows = same(&newer.before, &self.commit) || same(&newer.commit, &self.commit);
        let name_none = newer.commit.is_none() && self.commit.is_none();
        self.mixed |= newer.mixed || !(follows || name_none);
        self.commit = newer.commit.or(self.commit.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(seq: u64, at: i64) -> Group {
        Group {
            first: Seq(seq),
            last: Seq(seq),
            first_at: Timestamp::from_millis(at),
            last_at: Timestamp::from_millis(at),
            count: 1,
            immediate_at: None,
            manual: false,
            commit: None,
            before: None,
            mixed: false,
            sealed: false,
        }
    }

    #[test]
    fn a_long_burst_stays_small_and_forgets_no_event() {
        let mut open = Open::new(group(1, 0));
        for seq in 2..=100_000 {
            open.fold(group(seq, i64::try_from(seq).expect("small") * 10));
        }
        assert_eq!(open.groups().len(), GROUPS_MAX);
        assert_eq!((open.first(), open.last(), open.count()), (Seq(1), Seq(100_000), 100_000));
        assert_eq!(open.first_at(), Timestamp::from_millis(0));
    }

    #[test]
    fn a_split_never_covers_half_a_group() {
        let mut open = Open::new(group(1, 0));
        for seq in 2..=100 {
            open.fold(group(seq, 0));
        }
        let straddled = Seq(open.groups()[0].last.0 - 1);
        let (within, beyond) = open.split(straddled);
        assert_eq!(within, None);
        assert_eq!(beyond.expect("all of it").first(), Seq(1));
    }

    #[test]
    fn due_is_quiet_but_never_past_max_wait_and_a_tap_only_moves_it_earlier() {
        let (quiet, max_wait) = (Duration::from_secs(30), Duration::from_mins(1));
        let mut open = Open::new(group(1, 0));
        assert_eq!(open.due(quiet, max_wait).as_millis(), 30_000);
        open.fold(group(2, 20_000));
        assert_eq!(open.due(quiet, max_wait).as_millis(), 50_000);
        open.fold(group(3, 40_000));
        assert_eq!(open.due(quiet, max_wait).as_millis(), 60_000);
        open.fold(Group { immediate_at: Some(Timestamp::from_millis(45_000)), ..group(4, 45_000) });
        assert_eq!(open.due(quiet, max_wait).as_millis(), 45_000);
        open.fold(group(5, 59_000));
        assert_eq!(open.due(quiet, max_wait).as_millis(), 45_000);
    }
}
