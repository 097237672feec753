//! The export: the whole live state as a JSON Lines file, from which a damaged journal is restored.
//!
//! The first line is a header, each further line holds one item, and the last line holds the number of lines and a
//! SHA-256 of everything before it. A file gets its name only once it is complete and on disk.

pub(super) mod live;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::live::LiveState;
use super::error::JournalError;
use super::files::{after, io, make_directory, moment_of, named, stamp, sync};
use super::history::entries::SCHEMA;
use super::vitals::Vitals;
use crate::command::Hold;
use crate::event::{Event, Fingerprint};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId};
use crate::scheduler::Snapshot;
use crate::scheduler::lane::{Key, LaneState};
use crate::scheduler::outbox::StoredOutbox;
use crate::scheduler::record::Remembered;

/// The version of this format. Raised if an older daemon could misread a newer export.
const FORMAT: u32 = 2;
/// How many exports are kept.
const EXPORTS_KEPT: usize = 3;
/// The most bytes of a line: entries of the journal are smaller than 8 KiB.
const LINE_BYTES_MAX: u64 = 64 * 1024;
const BEFORE: &str = "state-";
const BEHIND: &str = ".jsonl";
/// The prefix of files that are still being written.
const UNFINISHED: &str = ".state-";

/// The first line: what the export is, and the counters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportHeader {
    pub format: u32,
    /// The schema of the journal that the state was in.
    pub schema: u32,
    /// The version of coalesced that wrote it.
    pub version: String,
    pub made_at: Timestamp,
    pub newest: Seq,
    pub newest_build: BuildId,
    #[serde(default)]
    pub newest_notice: NoticeId,
    /// Named differently than in format 1, which can't read its current form: see the journal's meta entry.
    #[serde(default, rename = "paused", alias = "hold")]
    pub hold: Option<Hold>,
}

impl ExportHeader {
    /// Whether a newer coalesced wrote it, so that this one could misread it.
    fn is_newer(&self) -> bool {
        self.format > FORMAT || self.schema > SCHEMA
    }
}

/// One line.
#[expect(clippy::large_enum_variant, reason = "one line is held at a time")]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Export(Cow<'a, ExportHeader>),
    Lane(Cow<'a, LaneState>),
    Key {
        image: Cow<'a, ImageName>,
        #[serde(rename = "ref")]
        git_ref: Cow<'a, GitRef>,
        key: Cow<'a, Key>,
    },
    /// Where a ref was seen at the remote.
    #[serde(alias = "head")]
    RemoteHead {
        image: Cow<'a, ImageName>,
        #[serde(rename = "ref")]
        git_ref: Cow<'a, GitRef>,
        commit: Cow<'a, CommitId>,
    },
    Delivery {
        fingerprint: String,
        remembered: Remembered,
    },
    Event(Cow<'a, Event>),
    /// A notice not yet delivered.
    Notice(Cow<'a, Notice>),
    End {
        /// The lines before this one.
        lines: u64,
        sha256: String,
    },
}

/// The exports of a data directory, oldest first.
pub fn list(exports: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut paths = named(exports, |name| name.starts_with(BEFORE) && name.ends_with(BEHIND))?;
    paths.retain(|path| moment_of(path, BEFORE, BEHIND).is_some());
    Ok(paths)
}

/// Writes an export below `data_dir`, syncs it, and removes the oldest ones beyond the number kept. If the newest
/// export already holds the same state, it stays the newest and nothing is written. Returns its path.
pub fn write(data_dir: &Path, state: &LiveState, vitals: &Vitals) -> Result<PathBuf, JournalError> {
    let written = write_below(&data_dir.join("exports"), state);
    match &written {
        Ok((_, at)) => vitals.exported(*at),
        Err(_) => vitals.export_failed(),
    }
    written.map(|(path, _)| path)
}

fn write_below(exports: &Path, state: &LiveState) -> Result<(PathBuf, Timestamp), JournalError> {
    make_directory(exports)?;
    for path in named(exports, |name| name.starts_with(UNFINISHED))? {
        std::fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
    }
    let newest = list(exports)?.pop();
    if let Some((path, made_at)) = newest.as_ref().and_then(|path| says_just(path, state)) {
        return Ok((path, made_at));
    }
    let at = after(newest.and_then(|path| moment_of(&path, BEFORE, BEHIND)));
    let path = exports.join(format!("{BEFORE}{}{BEHIND}", stamp(at)));
    let failed = |error| io("write", &path, error);
    // A new temporary file has the mode 0600 from its first moment.
    let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(exports).map_err(failed)?;
    write_to(state, at, &mut BufWriter::new(&file)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|refused| failed(refused.error))?;
    sync(exports)?;
    // The directory may be new.
    sync(exports.parent().unwrap_or(Path::new(".")))?;
    let known = list(exports)?;
    for old in known.iter().take(known.len().saturating_sub(EXPORTS_KEPT)) {
        std::fs::remove_file(old).map_err(|error| io("remove", old, error))?;
    }
    Ok((path, at))
}

/// The export at `path`, if it holds exactly this state.
fn says_just(path: &Path, state: &LiveState) -> Option<(PathBuf, Timestamp)> {
    let made_at = read_head(path).ok()?.made_at;
    let mut text = Vec::new();
    write_to(state, made_at, &mut text).ok()?;
    (std::fs::read(path).ok()? == text).then(|| (path.to_owned(), made_at))
}

/// Writes an export to `out`.
pub fn write_to(state: &LiveState, made_at: Timestamp, out: &mut impl Write) -> std::io::Result<()> {
    let mut lines = Lines { out, sha256: Sha256::new(), count: 0 };
    let Snapshot { lanes, hold, newest, newest_build, deliveries, outbox } = &state.snapshot;
    let head = ExportHeader {
        format: FORMAT,
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        newest: *newest,
        newest_build: *newest_build,
        newest_notice: outbox.newest,
        hold: hold.clone(),
    };
    lines.write(&Line::Export(Cow::Owned(head)))?;
    for lane in lanes {
        let image = Cow::Borrowed(&lane.image);
        lines.write(&Line::Lane(Cow::Borrowed(lane)))?;
        for (git_ref, key) in &lane.keys {
            let (git_ref, key) = (Cow::Borrowed(git_ref), Cow::Borrowed(key));
            lines.write(&Line::Key { image: image.clone(), git_ref, key })?;
        }
        for (git_ref, commit) in lane.heads.as_ref() {
            let (git_ref, commit) = (Cow::Borrowed(git_ref), Cow::Borrowed(commit));
            lines.write(&Line::RemoteHead { image: image.clone(), git_ref, commit })?;
        }
    }
    for (fingerprint, remembered) in deliveries {
        let fingerprint = hex::encode(fingerprint.0);
        lines.write(&Line::Delivery { fingerprint, remembered: *remembered })?;
    }
    for notice in &outbox.pending {
        lines.write(&Line::Notice(Cow::Borrowed(notice)))?;
    }
    for event in &state.events {
        lines.write(&Line::Event(Cow::Borrowed(event)))?;
    }
    lines.end()
}

struct Lines<'a, W> {
    out: &'a mut W,
    sha256: Sha256,
    count: u64,
}

impl<W: Write> Lines<'_, W> {
    fn write(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.sha256.update(&text);
        self.count += 1;
        self.out.write_all(&text)
    }

    fn end(mut self) -> std::io::Result<()> {
        let sha256 = hex::encode(std::mem::take(&mut self.sha256).finalize());
        self.write(&Line::End { lines: self.count, sha256 })?;
        self.out.flush()
    }
}

/// Reads a file that must be a complete export.
pub fn read(path: &Path) -> Result<(ExportHeader, LiveState), JournalError> {
    let file = File::open(path).map_err(|error| io("open", path, error))?;
    read_from(BufReader::new(file), path)
}

/// Reads what must be a complete export; `path` is where it came from.
pub(super) fn read_from(lines: impl BufRead, path: &Path) -> Result<(ExportHeader, LiveState), JournalError> {
    let broken = |why: String| JournalError::BrokenExport { path: path.to_owned(), why };
    let mut reading = Reading::of(lines);
    let Some(Line::Export(head)) = reading.next().map_err(broken)? else {
        return Err(broken("it does not begin as an export".to_owned()));
    };
    let head = head.into_owned();
    if head.is_newer() {
        return Err(JournalError::NewerExport { path: path.to_owned(), version: head.version });
    }
    let snapshot = Snapshot {
        hold: head.hold.clone(),
        newest: head.newest,
        newest_build: head.newest_build,
        outbox: StoredOutbox { newest: head.newest_notice, pending: Vec::new() },
        ..Snapshot::default()
    };
    let mut state = LiveState { snapshot, events: Vec::new() };
    loop {
        match reading.next().map_err(broken)? {
            Some(Line::End { lines, sha256 }) => {
                if !reading.fits(lines, &sha256) {
                    return Err(broken("its checksum is not that of its content".to_owned()));
                }
                return match reading.next() {
                    Ok(None) => Ok((head, state)),
                    Ok(Some(_)) | Err(_) => Err(broken("something follows its end".to_owned())),
                };
            }
            Some(line) => state.take_in(line).map_err(broken)?,
            None => return Err(broken("it has no end".to_owned())),
        }
    }
}

/// Only the first line of an export, unverified.
pub(super) fn read_head(path: &Path) -> Result<ExportHeader, JournalError> {
    let broken = |why: String| JournalError::BrokenExport { path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| io("open", path, error))?;
    match Reading::of(BufReader::new(file)).next().map_err(broken)? {
        Some(Line::Export(head)) => Ok(head.into_owned()),
        _ => Err(broken("it does not begin as an export".to_owned())),
    }
}

/// The newest complete export, or None if there is none. One written by a newer coalesced is an error, since the older
/// ones are not what was asked for.
pub(super) fn newest_whole(exports: &Path) -> Result<Option<(PathBuf, ExportHeader, LiveState)>, JournalError> {
    for path in list(exports)?.into_iter().rev() {
        match read(&path) {
            Ok((head, state)) => return Ok(Some((path, head, state))),
            Err(error @ JournalError::NewerExport { .. }) => return Err(error),
            Err(error) => tracing::error!("{error}; an older export is looked for"),
        }
    }
    Ok(None)
}

/// Whether [`newest_whole`] would find one, by checksums alone: much faster than parsing an export.
pub(super) fn one_is_whole(exports: &Path) -> Result<bool, JournalError> {
    for path in list(exports)?.into_iter().rev() {
        if read_head(&path).is_ok_and(|head| head.is_newer()) {
            return Ok(false);
        }
        if checksum_is_right(&path).unwrap_or(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn checksum_is_right(path: &Path) -> Result<bool, String> {
    let mut reading = Reading::of(BufReader::new(File::open(path).map_err(|error| error.to_string())?));
    while reading.advance()? {}
    Ok(matches!(reading.line()?, Line::End { lines, sha256 } if reading.fits(lines, &sha256)))
}

/// Reads an export line by line.
struct Reading<R> {
    lines: R,
    /// The current line.
    text: Vec<u8>,
    /// Hash of all lines before the current one.
    sha256: Sha256,
    /// Lines so far, including the current one.
    count: u64,
}

impl<R: BufRead> Reading<R> {
    fn of(lines: R) -> Self {
        Self { lines, text: Vec::new(), sha256: Sha256::new(), count: 0 }
    }

    /// Advances to the next line; false if the current one is the last.
    fn advance(&mut self) -> Result<bool, String> {
        if self.lines.fill_buf().map_err(|error| error.to_string())?.is_empty() {
            return Ok(false);
        }
        self.sha256.update(&self.text);
        self.text.clear();
        let mut limited = self.lines.by_ref().take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut self.text).map_err(|error| error.to_string())?;
        self.count += 1;
        if self.text.last() != Some(&b'\n') {
            return Err(format!("line {} is cut off", self.count));
        }
        Ok(true)
    }

    fn line(&self) -> Result<Line<'static>, String> {
        serde_json::from_slice(&self.text).map_err(|error| format!("line {} can't be read: {error}", self.count))
    }

    /// The next line; None at the end of the file.
    fn next(&mut self) -> Result<Option<Line<'static>>, String> {
        if self.advance()? { self.line().map(Some) } else { Ok(None) }
    }

    /// Whether an end line with this content is right at this place.
    fn fits(&self, lines: u64, sha256: &str) -> bool {
        lines + 1 == self.count && sha256 == hex::encode(self.sha256.clone().finalize())
    }
}

impl LiveState {
    fn take_in(&mut self, content: Line<'_>) -> Result<(), String> {
        let lanes = &mut self.snapshot.lanes;
        let no_lane = || "a key stands before its lane".to_owned();
        let of = |image: &ImageName, lane: &LaneState| lane.image == *image;
        match content {
            Line::Lane(lane) => lanes.push(lane.into_owned()),
            Line::Key { image, git_ref, key } => {
                let lane = lanes.last_mut().filter(|lane| of(&image, lane)).ok_or_else(no_lane)?;
                lane.keys.insert(git_ref.into_owned(), key.into_owned());
            }
            Line::RemoteHead { image, git_ref, commit } => {
                let lane = lanes.last_mut().filter(|lane| of(&image, lane)).ok_or_else(no_lane)?;
                std::sync::Arc::make_mut(&mut lane.heads).insert(git_ref.into_owned(), commit.into_owned());
            }
            Line::Delivery { fingerprint, remembered } => {
                let mut bytes = [0; 16];
                hex::decode_to_slice(&fingerprint, &mut bytes).map_err(|error| error.to_string())?;
                self.snapshot.deliveries.push((Fingerprint(bytes), remembered));
            }
            Line::Event(event) => self.events.push(event.into_owned()),
            Line::Notice(notice) => self.snapshot.outbox.pending.push(notice.into_owned()),
            Line::Export(_) | Line::End { .. } => return Err("it begins anew in its middle".to_owned()),
        }
        Ok(())
    }
}
