//! The keys of journal entries: the first byte names the table.
//!
//! | first byte | then | holds |
//! |---|---|---|
//! | `h` | | the head: schema, counters, the hold of all images |
//! | `l` | image | a lane |
//! | `k` | image, 0, ref | a key |
//! | `e` | number | a page: the events from that number on, and their deliveries |
//! | `b` | number | a build |
//! | `c` | image, 0, ref, 0, number | how the events of a key up to that number ended |
//! | `r` | image, 0, ref | where a ref was seen at the remote |
//! | `o` | number | a notice that is not delivered yet |
//! | `j` | image, 0, number | index of builds by image |
//! | `n` | | the tally of all other entries, in binary |
//!
//! Numbers are big-endian, so that order by bytes is order by number.

use crate::model::{BuildId, GitRef, ImageName, Seq};
use crate::notice::NoticeId;
use crate::scheduler::record::BuildRecord;

/// One entry to write; no value: to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

pub(in crate::journal) fn meta_key() -> Vec<u8> {
    b"h".to_vec()
}

pub(in crate::journal) fn lane_key(image: &ImageName) -> Vec<u8> {
    join(b'l', &[image.as_str().as_bytes()])
}

pub(in crate::journal) fn key_state_key(image: &ImageName, git_ref: &GitRef) -> Vec<u8> {
    join(b'k', &[image.as_str().as_bytes(), git_ref.as_str().as_bytes()])
}

pub(in crate::journal) fn remote_head_key(image: &ImageName, git_ref: &GitRef) -> Vec<u8> {
    join(b'r', &[image.as_str().as_bytes(), git_ref.as_str().as_bytes()])
}

/// The common prefix of all entries in an image's build index.
pub(in crate::journal) fn image_builds(image: &ImageName) -> Vec<u8> {
    let mut prefix = join(b'j', &[image.as_str().as_bytes()]);
    prefix.push(0);
    prefix
}

/// The names in the key of a key's entry, or of the entry of a ref at the remote.
pub(in crate::journal) fn image_and_ref(key: &[u8]) -> Option<(ImageName, GitRef)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (image, git_ref) = text.split_once('\0')?;
    Some((image.parse().ok()?, git_ref.parse().ok()?))
}

/// The key of the page that begins with this number.
pub(in crate::journal) fn page_key(first: Seq) -> Vec<u8> {
    join(b'e', &[&first.0.to_be_bytes()])
}

pub(in crate::journal) fn notice_key(notice: NoticeId) -> Vec<u8> {
    join(b'o', &[&notice.0.to_be_bytes()])
}

pub(in crate::journal) fn build_key(build: BuildId) -> Vec<u8> {
    join(b'b', &[&build.0.to_be_bytes()])
}

pub(in crate::journal) fn closure_key(image: &ImageName, git_ref: &GitRef, through: Seq) -> Vec<u8> {
    closure_key_of(image.as_str(), git_ref.as_str(), through)
}

pub(in crate::journal) fn closure_key_of(image: &str, git_ref: &str, through: Seq) -> Vec<u8> {
    join(b'c', &[image.as_bytes(), git_ref.as_bytes(), &through.0.to_be_bytes()])
}

pub(in crate::journal) fn image_build_key(image: &ImageName, build: BuildId) -> Vec<u8> {
    join(b'j', &[image.as_str().as_bytes(), &build.0.to_be_bytes()])
}

/// The entries to remove when a build is forgotten.
pub(in crate::journal) fn build_entries(build: &BuildRecord) -> impl Iterator<Item = Vec<u8>> {
    [build_key(build.id), image_build_key(&build.image, build.id)].into_iter()
}

/// The first key after all keys that begin with `prefix`.
pub(in crate::journal) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The number at the end of an entry's key.
pub(in crate::journal) fn last_number(key: &[u8]) -> Option<u64> {
    let digits = key.get(key.len().checked_sub(8)?..)?;
    Some(u64::from_be_bytes(digits.try_into().ok()?))
}

fn join(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    key.push(table);
    key.extend(parts.join(&0u8));
    key
}
