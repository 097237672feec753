//! The body of GitHub's `push` event, reduced to the fields that decide something.
//!
//! The shape is that of github/docs, "Webhook events and payloads", `push`. Only the ref and the repository's
//! name are needed; every other field may be absent or of another type than documented.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::CommitId;
use crate::source::SourceError;
use crate::source::json::JsonMistake;
use crate::source::lenient::{All, Flag, Object, Predicate, Text};
use crate::source::skip::{Marked, marker_in};

/// A push whose ref and repository are known to be present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PushBody {
    /// The full name of the ref, not yet known to be a branch or a tag.
    pub(super) ref_name: String,
    /// `host/owner/name`, lower case.
    pub(super) repository: String,
    pub(super) default_branch: Option<String>,
    pub(super) deleted: bool,
    /// The commit that the ref points to now. An annotated tag's `after` is the tag object; this is its commit.
    pub(super) commit: Option<CommitId>,
    pub(super) before: Option<CommitId>,
    pub(super) marked: Marked,
    pub(super) actor: Option<String>,
    /// The first line of the newest commit's message.
    pub(super) subject: Option<String>,
}

/// The most commits that GitHub lists in one push; a list of this length may have been cut off.
pub(super) const COMMITS_LISTED_MAX: usize = 2_048;

/// The host of a repository whose URL states none.
const HOST_DEFAULT: &str = "github.com";

impl PushBody {
    pub(super) fn read(json: &[u8]) -> Result<Self, SourceError> {
        let raw: RawPush<'_> = serde_json::from_slice(json).map_err(|error| JsonMistake::new(&error, json))?;
        let repository = raw.repository.0.unwrap_or_default();
        let (ref_name, full_name) = match (raw.git_ref.get(), repository.full_name.get()) {
            (Some(ref_name), Some(full_name)) => (ref_name.to_owned(), full_name),
            (ref_name, full_name) => return Err(incomplete(ref_name.is_none(), full_name.is_none())),
        };
        if full_name.split('/').filter(|part| !part.is_empty()).count() != 2 || full_name.matches('/').count() != 1 {
            return Err(SourceError::Unusable(
                "the push's repository.full_name is not of the form OWNER/NAME".to_owned(),
            ));
        }
        let addresses = [repository.html_url.get(), repository.clone_url.get()];
        let host = addresses.into_iter().flatten().find_map(host_in).unwrap_or(HOST_DEFAULT);
        let head = raw.head_commit.0.unwrap_or_default();
        let after = raw.after.get().and_then(|text| text.parse::<CommitId>().ok());
        let after_is_zero = after.as_ref().is_some_and(CommitId::is_zero);
        Ok(Self {
            repository: format!("{host}/{full_name}").to_ascii_lowercase(),
            default_branch: repository.default_branch.get().map(str::to_owned),
            deleted: raw.deleted.0 || after_is_zero,
            commit: head.id.get().and_then(commit_of).or(after).filter(|commit| !commit.is_zero()),
            before: raw.before.get().and_then(commit_of),
            marked: Marked { all: raw.commits.answer, head: head.message.get().and_then(marker_in) },
            actor: pusher_of(raw.sender.0, raw.pusher.0).map(Into::into),
            subject: head.message.get().and_then(|message| message.lines().next()).map(str::to_owned),
            ref_name,
        })
    }
}

#[derive(Deserialize)]
struct RawPush<'a> {
    #[serde(rename = "ref", borrow, default)]
    git_ref: Text<'a>,
    #[serde(borrow, default)]
    before: Text<'a>,
    #[serde(borrow, default)]
    after: Text<'a>,
    #[serde(default)]
    deleted: Flag,
    #[serde(borrow, default)]
    head_commit: Object<RawCommit<'a>>,
    #[serde(bound(deserialize = "'de: 'a"), default)]
    commits: All<Object<RawCommit<'a>>, COMMITS_LISTED_MAX>,
    #[serde(borrow, default)]
    repository: Object<RawRepository<'a>>,
    #[serde(borrow, default)]
    sender: Object<RawSender<'a>>,
    #[serde(borrow, default)]
    pusher: Object<RawPusher<'a>>,
}

#[derive(Default, Deserialize)]
struct RawCommit<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
}

#[derive(Default, Deserialize)]
struct RawRepository<'a> {
    #[serde(borrow, default)]
    full_name: Text<'a>,
    #[serde(borrow, default)]
    html_url: Text<'a>,
    #[serde(borrow, default)]
    clone_url: Text<'a>,
    #[serde(borrow, default)]
    default_branch: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct RawSender<'a> {
    #[serde(borrow, default)]
    login: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct RawPusher<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

impl Predicate for Object<RawCommit<'_>> {
    /// Whether the commit carries a skip marker; an entry without a message carries none.
    fn holds(&self) -> bool {
        self.0.as_ref().and_then(|commit| commit.message.get()).and_then(marker_in).is_some()
    }
}

/// The account that pushed.
pub(super) fn pusher_of<'a>(sender: Option<RawSender<'a>>, pusher: Option<RawPusher<'a>>) -> Option<Cow<'a, str>> {
    sender.and_then(|sender| sender.login.0).or_else(|| pusher.and_then(|pusher| pusher.name.0))
}

fn incomplete(no_ref: bool, no_repository: bool) -> SourceError {
    let missing = match (no_ref, no_repository) {
        (true, true) => "ref and repository.full_name",
        (true, false) => "ref",
        _ => "repository.full_name",
    };
    SourceError::Unusable(format!("the push lacks {missing}"))
}

/// A commit's name, unless it is all zeros, which means none.
fn commit_of(text: &str) -> Option<CommitId> {
    text.parse().ok().filter(|commit: &CommitId| !commit.is_zero())
}

/// The host in a URL, with its port if it has one.
fn host_in(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &serde_json::Value) -> Result<PushBody, SourceError> {
        PushBody::read(json.to_string().as_bytes())
    }

    #[test]
    fn a_push_needs_no_more_than_a_ref_and_a_repository() {
        let push = read(&serde_json::json!({"ref": "refs/heads/x", "repository": {"full_name": "MrRaph/Blog"}}))
            .expect("a push");
        assert_eq!((push.ref_name.as_str(), push.repository.as_str()), ("refs/heads/x", "github.com/mrraph/blog"));
        assert_eq!((push.deleted, push.commit, push.before, push.actor), (false, None, None, None));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, missing) in [
            (serde_json::json!({}), "ref and repository.full_name"),
            (serde_json::json!({"ref": 7, "repository": {"full_name": "a/b"}}), "ref"),
            (serde_json::json!({"ref": "refs/heads/x", "repository": "a/b"}), "repository.full_name"),
            (serde_json::json!({"ref": "refs/heads/x", "repository": null}), "repository.full_name"),
        ] {
            assert_eq!(read(&body), Err(SourceError::Unusable(format!("the push lacks {missing}"))), "{body}");
        }
        for full_name in ["a", "a/b/c", "/b", "a/"] {
            let body = serde_json::json!({"ref": "refs/heads/x", "repository": {"full_name": full_name}});
            assert!(matches!(read(&body), Err(SourceError::Unusable(_))), "{full_name}");
        }
    }

    #[test]
    fn fields_of_a_wrong_type_count_as_absent() {
        let push = read(&serde_json::json!({
            "ref": "refs/heads/x", "before": 0, "after": ["?"], "deleted": "yes", "head_commit": 3,
            "commits": {"0": {}}, "sender": [], "pusher": "mrraph",
            "repository": {"full_name": "a/b", "html_url": {}, "clone_url": 1.5, "pushed_at": "2026-11-23T10:00:00Z"},
        }))
        .expect("a push");
        assert_eq!((push.deleted, push.commit, push.marked), (false, None, Marked::default()));
        let odd_commits = read(&serde_json::json!({
            "ref": "refs/heads/x", "repository": {"full_name": "a/b"},
            "commits": [null, {"message": "a [skip ci]"}, 3],
        }))
        .expect("a push");
        assert!(!odd_commits.marked.all);
    }

    #[test]
    fn all_are_marked_only_where_every_commit_of_a_whole_list_is() {
        let all = |messages: &[&str]| {
            let commits: Vec<_> = messages.iter().map(|message| serde_json::json!({"message": message})).collect();
            let push = serde_json::json!({
                "ref": "refs/heads/x", "repository": {"full_name": "a/b"}, "commits": commits, "before": "ae95164",
            });
            let push = read(&push).expect("a push");
            assert!(push.before.is_some(), "what stands behind the list is read");
            push.marked.all
        };
        assert!(all(&["a [skip ci]", "b [no ci]"]));
        assert!(!all(&["a [skip ci]", "b"]));
        assert!(!all(&["a", "b [skip ci]"]));
        assert!(!all(&[]));
        assert!(all(&["a [skip ci]"; COMMITS_LISTED_MAX - 1]));
        assert!(!all(&["a [skip ci]"; COMMITS_LISTED_MAX]));
    }

    #[test]
    fn a_list_that_is_skipped_must_be_json_all_the_same() {
        let body = r#"{"ref": "refs/heads/x", "commits": [{"message": "a"}, {"message": b}], "repository": {"full_name": "a/b"}}"#;
        assert!(PushBody::read(body.as_bytes()).is_err());
    }

    #[test]
    fn the_host_is_that_of_the_repositorys_address() {
        for (html_url, clone_url, host) in [
            ("https://Git.Example.org/a/b", "https://other.example/a/b.git", "git.example.org"),
            ("", "https://user@git.example.org:3000/a/b.git", "git.example.org:3000"),
            ("no address", "", "github.com"),
        ] {
            let push = read(&serde_json::json!({
                "ref": "refs/heads/x",
                "repository": {"full_name": "a/b", "html_url": html_url, "clone_url": clone_url},
            }))
            .expect("a push");
            assert_eq!(push.repository, format!("{host}/a/b"));
        }
    }

    #[test]
    fn a_list_of_2048_commits_with_escapes_is_read() {
        let commits: Vec<_> = (0..2_048)
            .map(|n| serde_json::json!({"id": format!("{n:040x}"), "message": "tab\tand \"quotes\""}))
            .collect();
        let push = read(&serde_json::json!({
            "ref": "refs/heads/x", "repository": {"full_name": "a/b"}, "commits": commits,
            "head_commit": {"id": "ae95164c0ffee0000000000000000000000000aa", "message": "Erste Zeile \u{fc}\nzweite"},
        }))
        .expect("a push");
        assert_eq!(push.subject.as_deref(), Some("Erste Zeile \u{fc}"));
        assert_eq!(
            push.commit.map(|commit| commit.to_string()).as_deref(),
            Some("ae95164c0ffee0000000000000000000000000aa")
        );
    }
}
