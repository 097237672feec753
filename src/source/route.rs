//! Which images a push concerns, and what their rules make of it.
//!
//! Pure. Each image of the repository gets its own event; a push that concerns no image still leaves one, so that the
//! history can say why nothing was built.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::push::{Commits, Push};
use crate::config::ImageConfig;
use crate::event::{Disposition, NewEvent, Touches};
use crate::model::{ImageName, RefKind};
use crate::reason::IgnoreReason;

pub(super) fn route(images: &BTreeMap<ImageName, ImageConfig>, push: &Push<'_>) -> Vec<NewEvent> {
    let new_event = |image: Option<&ImageName>, disposition| NewEvent {
        image: image.cloned(),
        git_ref: Some(push.git_ref.clone()),
        commit: push.commit.clone(),
        before: push.before.clone(),
        disposition,
    };
    // Computed for the first image whose rules need it, if any.
    let commits = OnceCell::new();
    let new_events: Vec<NewEvent> = images
        .iter()
        .filter(|(_, config)| {
            config.repository.as_deref().is_some_and(|ours| ours.eq_ignore_ascii_case(&push.repository))
        })
        .map(|(image, config)| new_event(Some(image), disposition(config, push, &commits)))
        .collect();
    if new_events.is_empty() {
        let reason = IgnoreReason::UnknownRepository { repository: push.repository.clone() };
        return vec![new_event(None, Disposition::Ignore { reason })];
    }
    new_events
}

fn disposition<'a>(config: &ImageConfig, push: &Push<'a>, commits: &OnceCell<Commits<'a>>) -> Disposition {
    if push.deleted {
        return Disposition::DeleteRef;
    }
    if let Err(reason) = config.watches(&push.git_ref, push.default_branch.as_deref()) {
        return Disposition::Ignore { reason };
    }
    let is_tag = push.git_ref.kind() == RefKind::Tag;
    let commits = || commits.get_or_init(push.commits);
    // A tag is built because of its name, and a new ref because it is new.
    let paths = config.paths.as_ref().filter(|_| !is_tag && push.before.is_some());
    let outside = paths.and_then(|paths| Some((commits().outside(paths)?, paths.digest.clone())));
    let authors = &config.ignore_authors;
    let ignored = || if is_tag || authors.is_empty() { None } else { commits().ignored(authors) };
    let skipped = push.marked.skipped_by(config.skip).or_else(ignored);
    match (skipped, outside) {
        (Some(evidence), Some((_, paths))) => Disposition::Skip { evidence, touches: Touches::Outside { paths } },
        (Some(evidence), None) => Disposition::Skip { evidence, touches: Touches::Inside },
        (None, Some((evidence, paths))) => Disposition::Outside { evidence, paths },
        (None, None) => Disposition::Build { immediate: is_tag, manual: false, ensure: false },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeSet;

    use globset::{Glob, GlobSet, GlobSetBuilder};

    use super::*;
    use crate::config::{PathFilter, SkipRule};
    use crate::model::GitRef;
    use crate::reason::SkipEvidence;
    use crate::source::push::Authors;
    use crate::source::skip::Marked;

    pub(in crate::source) fn globs(patterns: &[&str]) -> GlobSet {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(Glob::new(pattern).expect("a glob"));
        }
        set.build().expect("a set of globs")
    }

    pub(in crate::source) fn image(branches: Option<&[&str]>, tags: &[&str], skip: SkipRule) -> ImageConfig {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        ImageConfig {
            repository: Some("github.com/mrraph/blog".to_owned()),
            branches: branches.map(globs),
            branch_globs: branches.map(owned),
            tags: globs(tags),
            tag_globs: owned(tags),
            skip,
            ..ImageConfig::sample()
        }
    }

    pub(in crate::source) fn images(list: Vec<(&str, ImageConfig)>) -> BTreeMap<ImageName, ImageConfig> {
        list.into_iter().map(|(name, config)| (name.parse().expect("an image"), config)).collect()
    }

    fn push(git_ref: &str) -> Push<'static> {
        Push {
            repository: "github.com/MrRaph/Blog".to_owned(),
            git_ref: git_ref.parse().expect("a ref"),
            commit: None,
            before: None,
            deleted: false,
            default_branch: Some("trunk".to_owned()),
            marked: Marked::default(),
            commits: &Commits::default,
            actor: None,
            subject: None,
            delivery: None,
            signatures: Vec::new(),
        }
    }

    fn ruled(config: ImageConfig, push: &Push<'_>) -> Disposition {
        let mut new_events = route(&images(vec![("mrraph/blog", config)]), push);
        assert_eq!(new_events.len(), 1);
        new_events.remove(0).disposition
    }

    const PUSHED: Disposition = Disposition::Build { immediate: false, manual: false, ensure: false };

    #[test]
    fn every_image_of_the_repository_gets_its_own_event() {
        let mut elsewhere = image(None, &[], SkipRule::All);
        elsewhere.repository = Some("github.com/mrraph/other".to_owned());
        let images = images(vec![
            ("mrraph/blog", image(Some(&["master"]), &[], SkipRule::All)),
            ("mrraph/blog-next", image(Some(&["next"]), &[], SkipRule::All)),
            ("mrraph/other", elsewhere),
        ]);
        let new_events = route(&images, &push("refs/heads/master"));
        let names: Vec<_> =
            new_events.iter().filter_map(|new_event| new_event.image.as_ref()).map(ImageName::as_str).collect();
        assert_eq!(names, ["mrraph/blog", "mrraph/blog-next"]);
        assert_eq!(new_events[0].disposition, PUSHED);
        assert!(
            matches!(&new_events[1].disposition, Disposition::Ignore { reason: IgnoreReason::BranchUnmatched { globs, .. } } if *globs == ["next"])
        );
    }

    #[test]
    fn an_unknown_repository_leaves_one_ignored_event() {
        let new_events = route(&BTreeMap::new(), &push("refs/heads/master"));
        assert_eq!(new_events.len(), 1);
        assert_eq!(new_events[0].image, None);
        assert!(
            matches!(&new_events[0].disposition, Disposition::Ignore { reason: IgnoreReason::UnknownRepository { repository } }
            if repository == "github.com/MrRaph/Blog")
        );
    }

    #[test]
    fn without_globs_only_the_default_branch_is_built() {
        let plain = || image(None, &[], SkipRule::All);
        assert_eq!(ruled(plain(), &push("refs/heads/trunk")), PUSHED);
        assert!(
            matches!(ruled(plain(), &push("refs/heads/master")), Disposition::Ignore { reason: IgnoreReason::NotDefaultBranch { branch, default } }
            if branch == "master" && default.as_deref() == Some("trunk"))
        );
        for (branch, built) in [("master", true), ("main", true), ("trunk", false)] {
            let untold = Push { default_branch: None, ..push(&format!("refs/heads/{branch}")) };
            assert_eq!(ruled(plain(), &untold) == PUSHED, built, "{branch}");
        }
    }

    #[test]
    fn globs_decide_over_branches_and_tags_and_reasons_name_them() {
        let config = || image(Some(&["master", "release/*"]), &["v*"], SkipRule::All);
        assert_eq!(ruled(config(), &push("refs/heads/release/1.2")), PUSHED);
        assert_eq!(
            ruled(config(), &push("refs/tags/v1.2")),
            Disposition::Build { immediate: true, manual: false, ensure: false }
        );
        assert!(
            matches!(ruled(config(), &push("refs/heads/topic")), Disposition::Ignore { reason: IgnoreReason::BranchUnmatched { branch, globs } }
            if branch == "topic" && globs == ["master", "release/*"])
        );
        assert!(
            matches!(ruled(config(), &push("refs/tags/nightly")), Disposition::Ignore { reason: IgnoreReason::TagUnmatched { tag, globs } }
            if tag == "nightly" && globs == ["v*"])
        );
        assert!(matches!(
            ruled(image(None, &[], SkipRule::All), &push("refs/tags/v1")),
            Disposition::Ignore { reason: IgnoreReason::NoTags { .. } }
        ));
    }

    /// One commit by a program, to a draft.
    fn drafts_only() -> Commits<'static> {
        let only = |name: &'static str| BTreeSet::from([Cow::Borrowed(name)]);
        let authors = Some(Authors { authors: only("renovate[bot]"), pusher: "renovate[bot]".into() });
        Commits { files: Some(only("drafts/a.md")), authors }
    }

    fn without_drafts() -> ImageConfig {
        let set = |glob: &str| (globs(&[glob]), vec![glob.to_owned()]);
        let paths = Some(PathFilter::new(set("**"), set("drafts/**")));
        ImageConfig { paths, ..image(Some(&["*"]), &["*"], SkipRule::All) }
    }

    #[test]
    fn files_outside_the_paths_are_reported_with_those_paths() {
        let before = "1111111".parse().ok();
        let pushed = Push { before, commits: &drafts_only, ..push("refs/heads/trunk") };
        let digest = without_drafts().paths.expect("paths").digest;
        let touches = Touches::Outside { paths: digest.clone() };
        let evidence = SkipEvidence::OutsidePaths { file: "drafts/a.md".to_owned(), more: 0 };
        assert_eq!(ruled(without_drafts(), &pushed), Disposition::Outside { evidence, paths: digest });
        // With a marker it is skipped for good, and the touched files are still reported.
        let marked = Push { marked: Marked { all: true, head: Some("[skip ci]") }, ..pushed.clone() };
        let evidence = SkipEvidence::EveryCommitMarked { marker: Some("[skip ci]".to_owned()) };
        assert_eq!(ruled(without_drafts(), &marked), Disposition::Skip { evidence: evidence.clone(), touches });
        assert_eq!(
            ruled(image(Some(&["*"]), &[], SkipRule::All), &marked),
            Disposition::Skip { evidence, touches: Touches::Inside }
        );
        // A new branch, a tag, and an image for which every file counts.
        assert_eq!(ruled(without_drafts(), &Push { before: None, ..pushed.clone() }), PUSHED);
        let tag = Push { git_ref: GitRef::tag("v1").expect("a ref"), ..pushed.clone() };
        assert_eq!(ruled(without_drafts(), &tag), Disposition::Build { immediate: true, manual: false, ensure: false });
        assert_eq!(ruled(image(Some(&["*"]), &[], SkipRule::All), &pushed), PUSHED);
    }

    #[test]
    fn ignored_authors_make_no_builds_but_their_tags_do() {
        let pushed = Push { commits: &drafts_only, ..push("refs/heads/trunk") };
        let with = |name: &str| {
            let ignore_authors = vec![name.to_owned()];
            ImageConfig { ignore_authors, ..image(Some(&["*"]), &["*"], SkipRule::All) }
        };
        let evidence = SkipEvidence::IgnoredAuthors { author: "renovate[bot]".to_owned(), more: 0 };
        assert_eq!(ruled(with("Renovate[bot]"), &pushed), Disposition::Skip { evidence, touches: Touches::Inside });
        assert_eq!(ruled(with("dependabot[bot]"), &pushed), PUSHED);
        let tag = Push { git_ref: GitRef::tag("v1").expect("a ref"), ..pushed };
        assert!(matches!(ruled(with("renovate[bot]"), &tag), Disposition::Build { .. }));
    }

    #[test]
    fn each_image_has_its_own_paths() {
        let pushed = Push { before: "1111111".parse().ok(), commits: &drafts_only, ..push("refs/heads/trunk") };
        let new_events =
            route(&images(vec![("a/drafts", image(None, &[], SkipRule::All)), ("a/site", without_drafts())]), &pushed);
        assert_eq!(new_events[0].disposition, PUSHED);
        assert!(matches!(new_events[1].disposition, Disposition::Outside { .. }));
    }

    #[test]
    fn a_skip_applies_only_to_what_would_be_built_and_never_to_a_deletion() {
        let marked = Push { marked: Marked { all: true, head: Some("[skip ci]") }, ..push("refs/heads/trunk") };
        assert!(matches!(ruled(image(None, &[], SkipRule::All), &marked), Disposition::Skip { .. }));
        assert_eq!(ruled(image(None, &[], SkipRule::Never), &marked), PUSHED);
        let elsewhere = Push { git_ref: GitRef::branch("topic").expect("a ref"), ..marked.clone() };
        assert!(matches!(ruled(image(None, &[], SkipRule::All), &elsewhere), Disposition::Ignore { .. }));
        let deleted = Push { deleted: true, ..marked };
        assert_eq!(ruled(image(None, &[], SkipRule::All), &deleted), Disposition::DeleteRef);
    }
}
