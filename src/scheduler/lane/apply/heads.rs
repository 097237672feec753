//! PURE: learns where refs point, and forgets keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{CommitId, GitRef, Seq};
use crate::scheduler::lane::{HEADS_MAX, LaneState};
use crate::scheduler::record::Changes;

impl LaneState {
    pub(super) fn move_head(&mut self, git_ref: &GitRef, commit: Option<&CommitId>, seq: Seq, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        key.wanted = commit.cloned();
        key.moved = seq;
        if commit.is_none() {
            key.lookback.lose_track();
        }
        if commit.is_none() && self.heads.contains_key(git_ref) {
            self.forget_head(git_ref, changes);
        }
    }

    pub(super) fn see_heads(
        &mut self,
        heads: &BTreeMap<GitRef, CommitId>,
        gone: &[GitRef],
        by: Option<&String>,
        changes: &mut Changes,
    ) {
        self.heads_by = by.cloned();
        for git_ref in gone {
            self.forget_head(git_ref, changes);
        }
        for (git_ref, commit) in heads {
            if self.keys.contains_key(git_ref) {
                let key = self.key(git_ref, changes);
                if key.wanted.replace(commit.clone()).is_none() {
                    // Earlier pushes were never reported.
                    key.lookback.lose_track();
                }
            } else {
                self.remember_head(git_ref, commit, changes);
            }
        }
    }

    /// Keeps what the key's ref points to.
    pub(super) fn forget_key(&mut self, git_ref: &GitRef, changes: &mut Changes) {
        let key = self.keys.remove(git_ref).unwrap_or_default();
        changes.keys.insert((self.image.clone(), git_ref.clone()));
        // Else its ref would count as new.
        if let Some(wanted) = key.wanted.filter(|_| self.heads_by.is_some()) {
            if self.heads.len() >= HEADS_MAX {
                self.heads_by = None;
            }
            self.remember_head(git_ref, &wanted, changes);
        }
    }

    fn remember_head(&mut self, git_ref: &GitRef, commit: &CommitId, changes: &mut Changes) {
        Arc::make_mut(&mut self.heads).insert(git_ref.clone(), commit.clone());
        changes.heads.push((self.image.clone(), git_ref.clone(), Some(commit.clone())));
    }

    fn forget_head(&mut self, git_ref: &GitRef, changes: &mut Changes) {
        Arc::make_mut(&mut self.heads).remove(git_ref);
        changes.heads.push((self.image.clone(), git_ref.clone(), None));
    }
}
