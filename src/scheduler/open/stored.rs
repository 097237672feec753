//! How open events are stored: compactly, because a key's entry is rewritten with every burst do.
//!
//! A group is a list of values without names, its end is stored as a distance from its start, and a commit that
//! the previous group named is not repeated. Older exports hold names, and can still be read.

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
/// It started at the commit that the previous group named.
const FOLLOWS: u8 = 8;
const FLAGS: u8 = MANUAL | MIXED | SEALED | FOLLOWS;

/// A group in either form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Found {
    Short(Stored<CommitId>),
    Named(Named),
}

/// A group of schema 2.
#[derive(Deserialize)]
struct Named {
    first: Seq,
    last: Seq,
    first_at: Timestamp,
    last_at: Timestamp,
    count: u64,
    #[serde(default)]
    immediate_at: Option<Timestamp>,
    #[serde(default)]
    manual: bool,
    #[serde(default)]
    commit: Option<CommitId>,
    #[serde(default)]
    before: Option<CommitId>,
    #[serde(default)]
    mixed: bool,
    #[serde(default)]
    sealed: bool,
}

impl Serialize for Open {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last_named = None;
        serializer.collect_seq(self.groups.iter().map(|group| Stored::of(group, &mut last_named)))
    }
}

impl<'de> Deserialize<'de> for Open {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut groups: Vec<Group> = Vec::new();
        for found in Vec::<Found>::deserialize(deserializer)? {
            groups.push(match found {
                Found::Short(stored) => {
                    let last_named = groups.last().and_then(|group| group.commit.clone());
                    stored.group(last_named).map_err(D::Error::custom)?
                }
                Found::Named(named) => named.group(),
            });
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
        let named_before = std::mem::replace(last_named, commit);
        let follows = before.is_some() && before == named_before;
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
    fn group(self, last_named: Option<CommitId>) -> Result<Group, &'static str> {
        let Self(first, more, first_at, took, count, flags, immediate_at, commit, before) = self;
        let has = |flag| flags & flag != 0;
        if flags & !FLAGS != 0 {
            return Err("a group of events has a flag that is not known");
        }
        let before = match (has(FOLLOWS), last_named, before) {
            (false, _, before) => before,
            (true, Some(last_named), None) => Some(last_named),
            (true, ..) => return Err("a group of events follows on no commit, or on two"),
        };
        Ok(Group {
            first: Seq(first),
            last: Seq(first.saturating_add(more)),
            first_at: Timestamp::from_millis(first_at),
            last_at: Timestamp::from_millis(first_at.saturating_add(took)),
            count,
            immediate_at,
            manual: has(MANUAL),
            commit,
            before,
            mixed: has(MIXED),
            sealed: has(SEALED),
        })
    }
}

impl Named {
    fn group(self) -> Group {
        let Self { first, last, first_at, last_at, count, immediate_at, manual, commit, before, mixed, sealed } = self;
        Group { first, last, first_at, last_at, count, immediate_at, manual, commit, before, mixed, sealed }
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
        // Every way in which four groups can name, and start at, none or one of two commits.
        let names = [None, Some(1), Some(2)];
        for pattern in 0..9_usize.pow(4) {
            let groups = (0..4).map(|place| {
                let kind = pattern / 9_usize.pow(place) % 9;
                group(u64::from(place) * 15 + 10, names[kind % 3], names[kind / 3])
            });
            let open = Open { groups: groups.collect() };
            let text = serde_json::to_string(&open).expect("plain values");
            assert_eq!(serde_json::from_str::<Open>(&text).expect("read back"), open, "{text}");
        }
    }

    #[test]
    fn groups_of_older_exports_are_read() {
        let text = r#"[{"first":7,"last":9,"first_at":1795428000000,"last_at":1795428000900,"count":3,"manual":true,
            "commit":"ae95164c0ffee0000000000000000000000000aa"},{"first":12,"last":12,"first_at":1795428001000,
            "last_at":1795428001000,"count":1,"immediate_at":1795428001000,"before":"ae95164c","mixed":true}]"#;
        let open: Open = serde_json::from_str(text).expect("read");
        let [one, two] = open.groups() else { panic!("{open:?}") };
        assert_eq!((one.first, one.last, one.count, one.manual, one.sealed), (Seq(7), Seq(9), 3, true, false));
        assert_eq!((two.immediate_at, two.mixed), (Some(Timestamp::from_millis(1_795_428_001_000)), true));
        assert_eq!(two.before.as_ref().map(CommitId::as_str), Some("ae95164c"));
    }

    #[test]
    fn what_no_writer_makes_is_an_error() {
        let follows_nothing = "[[7,0,5,0,1,8,null,null,null]]";
        let follows_two = r#"[[7,0,5,0,1,0,null,"ae95164c",null],[8,0,5,0,1,8,null,null,"bbbbbbbb"]]"#;
        let of_unknown_flag = "[[7,0,5,0,1,16,null,null,null]]";
        for text in [follows_nothing, follows_two, of_unknown_flag] {
            assert!(serde_json::from_str::<Open>(text).is_err(), "{text}");
        }
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
