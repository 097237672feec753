//! How open events are stored: short, because the row of a key is written again with every burst.
//!
//! A group is a list of values without names, what ends it stands as a distance from what begins it, and a commit that
//! the group before it has named is not said again.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Group, Open};
use crate::model::{CommitId, Seq, Timestamp};

/// The first number, how many more there are to the last, the first moment, how many milliseconds later the last was,
/// how many events, the flags below, [`Group::immediate_at`], [`Group::commit`] and [`Group::before`].
#[derive(Serialize, Deserialize)]
struct Stored<Commit>(u64, u64, i64, i64, u64, u8, Option<Timestamp>, Option<Commit>, Option<Commit>);

const MANUAL: u8 = 1;
const MIXED: u8 = 2;
const SEALED: u8 = 4;
/// It began at the commit that the group before it named.
const FOLLOWS: u8 = 8;

impl Serialize for Open {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last_named = None;
        serializer.collect_seq(self.groups.iter().map(|group| Stored::of(group, &mut last_named)))
    }
}

impl<'de> Deserialize<'de> for Open {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut groups: Vec<Group> = Vec::new();
        for stored in Vec::<Stored<CommitId>>::deserialize(deserializer)? {
            let last_named = groups.last().and_then(|group| group.commit.clone());
            groups.push(stored.group(last_named));
        }
        if groups.is_empty() {
            return Err(D::Error::custom("a list of open events is empty"));
        }
        Ok(Self { groups })
    }
}

impl<'a> Stored<&'a CommitId> {
    fn of(group: &'a Group, last_named: &mut Option<&'a CommitId>) -> Self {
        let commit = group.commit.as_ref();
        let before = group.before.as_ref();
        let follows = before.is_some() && before == std::mem::replace(last_named, commit);
        let flags = [(group.manual, MANUAL), (group.mixed, MIXED), (group.sealed, SEALED), (follows, FOLLOWS)];
        Self(
            group.first.0,
            group.last.0 - group.first.0,
            group.first_at.as_millis(),
            group.last_at.as_millis().saturating_sub(group.first_at.as_millis()),
            group.count,
            flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).sum(),
            group.immediate_at,
            commit,
            before.filter(|_| !follows),
        )
    }
}

impl Stored<CommitId> {
    fn group(self, last_named: Option<CommitId>) -> Group {
        let Self(first, more, first_at, took, count, flags, immediate_at, commit, before) = self;
        let has = |flag| flags & flag != 0;
        Group {
            first: Seq(first),
            last: Seq(first.saturating_add(more)),
            first_at: Timestamp::from_millis(first_at),
            last_at: Timestamp::from_millis(first_at.saturating_add(took)),
            count,
            immediate_at,
            manual: has(MANUAL),
            commit,
            before: if has(FOLLOWS) { last_named } else { before },
            mixed: has(MIXED),
            sealed: has(SEALED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(seq: u64, commit: Option<u64>, before: Option<u64>) -> Group {
        let named = |number: u64| format!("{number:040x}").parse().expect("a commit");
        Group {
            first: Seq(seq),
            last: Seq(seq + 3),
            first_at: Timestamp::from_millis(1_795_428_000_000),
            last_at: Timestamp::from_millis(1_795_427_999_000),
            count: 2,
            immediate_at: seq.is_multiple_of(2).then_some(Timestamp::from_millis(1_795_428_000_007)),
            manual: seq.is_multiple_of(2),
            commit: commit.map(named),
            before: before.map(named),
            mixed: seq.is_multiple_of(3),
            sealed: seq.is_multiple_of(5),
        }
    }

    #[test]
    fn what_is_stored_comes_back_as_it_was() {
        let groups = vec![
            group(10, Some(1), None),
            group(20, Some(2), Some(1)),
            group(30, None, Some(2)),
            group(45, Some(4), None),
            group(60, Some(5), Some(3)),
            group(70, Some(6), Some(5)),
        ];
        let open = Open { groups };
        let text = serde_json::to_string(&open).expect("plain values");
        assert_eq!(serde_json::from_str::<Open>(&text).expect("read back"), open);
    }

    #[test]
    fn a_long_burst_takes_few_bytes() {
        let groups = (0..8).map(|number| group(number * 4 + 1_000_000, Some(number + 1), Some(number)));
        let text = serde_json::to_string(&Open { groups: groups.collect() }).expect("plain values");
        assert!(text.len() < 1_000, "{} bytes: {text}", text.len());
    }

    #[test]
    fn an_empty_list_is_an_error() {
        assert!(serde_json::from_str::<Open>("[]").is_err());
    }
}
