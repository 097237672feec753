//! Which files pushes touched and who made them, according to GitHub.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::json;

use super::*;
use crate::config::PathFilter;
use crate::reason::SkipEvidence;

fn set(patterns: &[&str]) -> (GlobSet, Vec<String>) {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().expect("a glob"));
    }
    (set.build().expect("a set"), patterns.iter().map(ToString::to_string).collect())
}

fn paths(include: &[&str], exclude: &[&str]) -> PathFilter {
    PathFilter::new(set(include), set(exclude))
}

/// A commit by `author` that changes these files.
fn commit(author: &str, files: &[&str]) -> Value {
    json!({"id": "ae95164c0ffee", "author": {"name": "A Name", "username": author}, "committer": {"name": "GitHub"},
           "added": [], "removed": [], "modified": files})
}

fn push(commits: &[Value]) -> Value {
    json!({"ref": "refs/heads/master", "forced": false, "commits": commits,
           "sender": {"login": "renovate[bot]"}, "pusher": {"name": "pusher"}})
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// Why a push is outside of everything but the drafts.
fn outside(body: &Value) -> Option<SkipEvidence> {
    let body = body.to_string();
    read(body.as_bytes()).outside(&paths(&["**"], &["drafts/**"]))
}

fn ignored(body: &Value, authors: &[&str]) -> Option<SkipEvidence> {
    let authors: Vec<String> = authors.iter().map(ToString::to_string).collect();
    let body = body.to_string();
    read(body.as_bytes()).ignored(&authors)
}

#[test]
fn every_file_of_every_commit_counts_whatever_was_done_to_it() {
    let draft = || commit("ada", &["drafts/a.md"]);
    let evidence = |more| Some(SkipEvidence::OutsidePaths { file: "drafts/a.md".to_owned(), more });
    assert_eq!(outside(&push(&[draft()])), evidence(0));
    let three = push(&[commit("ada", &["drafts/b/c.md", "drafts/a.md"]), commit("ada", &["drafts/a.md", "drafts/d"])]);
    assert_eq!(outside(&three), evidence(2));
    for list in ["added", "removed", "modified"] {
        let built = with(draft(), list, json!(["index.md"]));
        assert_eq!(outside(&push(&[draft(), built, draft()])), None, "{list}");
    }
}

#[test]
fn what_is_excluded_is_so_whatever_includes_it() {
    let only = paths(&["docs/**", "*.toml"], &["docs/drafts/**"]);
    for (file, held) in [
        ("docs/a/b.md", true),
        ("docs/drafts/b.md", false),
        ("book.toml", true),
        ("sub/book.toml", false),
        ("docs", false),
        ("Docs/a.md", false),
        ("docs/gr\u{fc}\u{df}e \"1\".md", true),
    ] {
        let body = push(&[commit("ada", &[file])]).to_string();
        assert_eq!(read(body.as_bytes()).outside(&only).is_none(), held, "{file}");
    }
}

#[test]
fn what_is_not_known_whole_is_not_outside() {
    let draft = || commit("ada", &["drafts/a.md"]);
    let body = || push(&[draft()]);
    assert!(outside(&body()).is_some());
    let many = |count: usize| (0..count).map(|_| draft()).collect::<Vec<_>>();
    let files = |count: usize| (0..count).map(|n| format!("drafts/{n}")).collect::<Vec<_>>();
    let wide = |count: usize| with(draft(), "modified", json!(files(count)));
    for (why, body) in [
        ("no commits", push(&[])),
        ("forced", with(body(), "forced", json!(true))),
        ("unknown whether it was forced", with(body(), "forced", json!(null))),
        ("more commits than are listed", with(body(), "size", json!(2))),
        ("more of them that are new", with(body(), "distinct_size", json!(2))),
        ("as many commits as are ever listed", push(&many(COMMITS_LISTED_MAX))),
        ("an empty commit", push(&[draft(), commit("ada", &[])])),
        ("no lists at all", push(&[json!({"id": "ae95164c0ffee"})])),
        ("a commit that is none", push(&[draft(), json!(null)])),
        ("a file that is none", push(&[with(draft(), "added", json!([7]))])),
        ("a file without a name", push(&[with(draft(), "added", json!([""]))])),
        ("as many files as are ever listed", push(&[wide(FILES_LISTED_MAX)])),
        ("more files than are looked at", push(&vec![wide(FILES_LISTED_MAX - 1); 7])),
        ("another shape", with(body(), "commits", json!({"0": draft()}))),
    ] {
        assert_eq!(outside(&body), None, "{why}");
    }
    for (why, body) in [
        ("one commit fewer", push(&many(COMMITS_LISTED_MAX - 1))),
        ("one file fewer", push(&[wide(FILES_LISTED_MAX - 1)])),
        ("lists of which one is null", push(&[with(draft(), "added", json!(null))])),
        ("as many as it says", with(body(), "size", json!(1))),
    ] {
        assert!(outside(&body).is_some(), "{why}");
    }
    assert_eq!(read(b"no JSON"), Commits::default());
}

#[test]
fn a_push_is_ignored_when_every_author_and_whoever_pushed_is() {
    let bot = || commit("renovate[bot]", &["go.mod"]);
    let names = ["renovate[bot]", "Release-Bot"];
    let evidence = |author: &str, more| Some(SkipEvidence::IgnoredAuthors { author: author.to_owned(), more });
    assert_eq!(ignored(&push(&[bot(), bot()]), &names), evidence("renovate[bot]", 0));
    assert_eq!(ignored(&push(&[bot(), commit("release-bot", &["a"])]), &names), evidence("release-bot", 1));
    for (why, body) in [
        ("a person's commit", push(&[bot(), commit("ada", &["a"])])),
        ("a person merged it", with(push(&[bot()]), "sender", json!({"login": "ada"}))),
        ("unknown pusher", with(with(push(&[bot()]), "sender", json!(null)), "pusher", json!(null))),
        ("no commits", push(&[])),
        ("a list that is cut off", push(&vec![bot(); COMMITS_LISTED_MAX])),
        ("more commits than are listed", with(push(&[bot()]), "distinct_size", json!(3))),
        ("a commit without an author", push(&[bot(), json!({"modified": ["a"]})])),
        ("an account of another name", push(&[with(bot(), "author", json!({"name": names[0], "username": "eve"}))])),
    ] {
        assert_eq!(ignored(&body, &names), None, "{why}");
    }
    assert_eq!(ignored(&push(&[bot()]), &[]), None);
}

#[test]
fn a_name_stands_in_for_an_account_that_nobody_knows() {
    let named = push(&[with(commit("", &["a"]), "author", json!({"name": "CI Bot"}))]);
    let pushed = with(with(named, "sender", json!(null)), "pusher", json!({"name": "ci bot"}));
    assert!(ignored(&pushed, &["CI Bot"]).is_some());
    // Its own branch rebased: the files of a forced push are unknown, its authors are known.
    assert!(ignored(&with(pushed, "forced", json!(true)), &["CI Bot"]).is_some());
}

#[test]
fn a_reason_stays_short_and_in_one_line() {
    let long = format!("drafts/a\nb{}", "\u{fc}".repeat(4_000));
    let reason = outside(&push(&[commit("ada", &[&long, "drafts/z"])])).expect("outside");
    let SkipEvidence::OutsidePaths { file, more: 1 } = &reason else { panic!("{reason:?}") };
    assert!(file.chars().count() < 160 && !file.contains('\n') && file.ends_with('…'), "{file}");
}
