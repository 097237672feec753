//! PURE: which events a started build covers (semantics R4).

use super::lane::{Key, Live};
use super::open::Group;
use super::record::Cover;
use crate::model::{CommitId, Seq};

/// How often the same commit may leave events open that are covered by time. After that the ref's head *is*
/// that commit: the deliveries came out of order, and another build would show it again.
const CONTRADICTIONS_MAX: u32 = 2;

/// What `live` covers, now that its start was seen.
///
/// Without a commit, time decides: it covers all that was accepted before the build was last known not
/// to have started. With a commit, the commit decides, as far as the order of commits is known.
pub(super) fn cover(live: &Live, key: &Key, commit: Option<&CommitId>) -> Cover {
    let by_time = Cover { through: live.through, commit: commit.cloned(), contradicted: false };
    let Some(commit) = commit else { return by_time };
    let groups: Vec<&Group> = live.carries.iter().chain(key.open.iter()).flat_map(super::open::Open::groups).collect();
    if let Some(newer) = known_newer(&groups, commit).filter(|newer| newer.first <= live.through) {
        return settle(key, commit, by_time, Seq(newer.first.0 - 1));
    }
    let named = groups.iter().rposition(|group| names(group.commit.as_ref(), commit));
    if let Some(named) = named {
        // It holds that push and all before it; later pushes of other commits are newer, unless they are known to be
        // in it. Taps are not told apart.
        let held = held(&groups, commit);
        let other =
            |group: &&&Group| group.commit.as_ref().is_some_and(|named| !held.iter().any(|held| named.same_as(held)));
        let newer = groups[named + 1..].iter().find(other);
        let through = match newer {
            Some(newer) if newer.first <= live.through => Seq(newer.first.0 - 1),
            _ => live.through,
        };
        return settle(key, commit, by_time, through.max(contained_through(&groups[..=named], live.through, commit)));
    }
    by_time
}

/// The first of the pushes that are newer than `commit`, by what each push says it came after. Deliveries overtake each
/// other, so this may be one with a smaller number than that of `commit` itself. None also if the ref came back to
/// `commit`: then it is ambiguous which time is meant.
fn known_newer<'a>(groups: &[&'a Group], commit: &CommitId) -> Option<&'a Group> {
    let mut newer = vec![false; groups.len()];
    let mut heads = vec![commit];
    while let Some(head) = heads.pop() {
        for (index, group) in groups.iter().enumerate() {
            if !newer[index] && names(group.before.as_ref(), head) {
                newer[index] = true;
                heads.extend(&group.commit);
            }
        }
    }
    let found = || groups.iter().zip(&newer).filter(|(_, newer)| **newer).map(|(group, _)| *group);
    let came_back = found().any(|group| names(group.commit.as_ref(), commit));
    if came_back { None } else { found().next() }
}

/// How far beyond `through` the commit is known to hold pushes, by what each push says it came after; zero if
/// not at all. Deliveries overtake each other: a smaller event number alone proves nothing.
pub(super) fn contained_through(groups: &[&Group], through: Seq, commit: &CommitId) -> Seq {
    let held = held(groups, commit);
    let beyond = groups.iter().filter(|group| group.last > through);
    let is_held = |group: &&&Group| !group.mixed && held.iter().any(|known| names(group.commit.as_ref(), known));
    let contained = beyond.take_while(is_held);
    contained.last().map_or(Seq(0), |group| group.last)
}

/// The commits that are known to be in `commit`, itself included; only itself if the ref came back to it, for then
/// it is ambiguous which time is meant.
fn held<'a>(groups: &[&'a Group], commit: &'a CommitId) -> Vec<&'a CommitId> {
    let mut held = vec![commit];
    let mut grown = true;
    while grown {
        let before = |group: &&&Group| !group.mixed && held.iter().any(|known| names(group.commit.as_ref(), known));
        let found = groups.iter().filter(before).filter_map(|group| group.before.as_ref());
        let found: Vec<&CommitId> = found.filter(|before| !held.contains(before)).collect();
        grown = !found.is_empty();
        held.extend(found);
    }
    let came_back = |group: &&Group| {
        names(group.before.as_ref(), commit) && held.iter().any(|known| names(group.commit.as_ref(), known))
    };
    if groups.iter().any(came_back) { vec![commit] } else { held }
}

fn settle(key: &Key, commit: &CommitId, by_time: Cover, through: Seq) -> Cover {
    if through >= by_time.through {
        return Cover { through, ..by_time };
    }
    let seen_before = key.contradicted.as_ref().filter(|(known, _)| known.same_as(commit));
    if seen_before.is_some_and(|(_, times)| *times >= CONTRADICTIONS_MAX) {
        return by_time;
    }
    Cover { through, contradicted: true, ..by_time }
}

fn names(named: Option<&CommitId>, commit: &CommitId) -> bool {
    named.is_some_and(|named| named.same_as(commit))
}
