//! A disk to replay on: what a file held when it was last synced, and what was written since and may be gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use coalesced::random::Random;

use super::trace::Record;

/// What a disk loses of its own accord: what was not synced is lost, or kept, by the page.
const PAGE: u64 = 4_096;

/// What is left of what was written after the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// Nothing.
    Strict,
    /// Each page of each write with probability 1/2, so that files are torn anywhere.
    Torn(u64),
    /// Everything: the power stayed on.
    Whole,
}

/// Which syncs the disk, or the program, leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honours {
    Everything,
    /// As if fdatasync were never called: the database without our help.
    NotFdatasync,
    /// As if fsync were never called: nothing is settled after opening.
    NotFsync,
}

/// Files and directories by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) directories: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Disk {
    honours: Honours,
    names: BTreeMap<String, usize>,
    files: Vec<File>,
    directories: BTreeSet<String>,
    /// Syncs in flight, by thread: the file, and how much had been written when it began.
    syncs: BTreeMap<u32, (usize, u64)>,
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    written: u64,
    since: VecDeque<(u64, Change)>,
}

#[derive(Clone)]
enum Change {
    Data(u64, Vec<u8>),
    Length(u64),
}

impl Disk {
    pub(crate) fn new(honours: Honours) -> Self {
        let directories = BTreeSet::new();
        Self { honours, names: BTreeMap::new(), files: Vec::new(), directories, syncs: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Made { path, empties } => {
                let is_new = !self.names.contains_key(path);
                let file = self.file(path);
                if *empties && !is_new {
                    file.change(Change::Length(0));
                }
            }
            Record::MadeDirectory { path } => drop(self.directories.insert(path.clone())),
            Record::Written { path, offset, data } => self.file(path).change(Change::Data(*offset, data.clone())),
            Record::Length { path, length } => self.file(path).change(Change::Length(*length)),
            Record::Syncing { thread, path } => {
                if let Some(id) = self.names.get(path) {
                    self.syncs.insert(*thread, (*id, self.files[*id].written));
                }
            }
            Record::Synced { thread, data_only, .. } => {
                let left_out = if *data_only { Honours::NotFdatasync } else { Honours::NotFsync };
                if let Some((id, written)) = self.syncs.remove(thread)
                    && self.honours != left_out
                {
                    self.files[id].settle(written);
                }
            }
            Record::Renamed { from, to } => {
                if let Some(id) = self.names.remove(from) {
                    self.names.insert(to.clone(), id);
                } else {
                    self.rename_directory(from, to);
                }
            }
            Record::Removed { path } => {
                self.names.remove(path);
                self.directories.remove(path);
            }
            Record::Acknowledged { .. } | Record::Answered | Record::Ending => {}
        }
    }

    /// What is left if the power is cut now.
    pub(crate) fn image(&self, model: Model) -> Image {
        let mut random = Random::new(if let Model::Torn(seed) = model { seed } else { 0 });
        let files = self.names.iter().map(|(path, id)| (path.clone(), self.files[*id].after_a_cut(model, &mut random)));
        Image { files: files.collect(), directories: self.directories.clone() }
    }

    fn file(&mut self, path: &str) -> &mut File {
        let next = self.files.len();
        let id = *self.names.entry(path.to_owned()).or_insert(next);
        if id == next {
            self.files.push(File::default());
        }
        &mut self.files[id]
    }

    fn rename_directory(&mut self, from: &str, to: &str) {
        let moved = |path: &str| {
            let rest = path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            rest.map_or(path.to_owned(), |rest| format!("{to}{rest}"))
        };
        self.names = self.names.iter().map(|(path, id)| (moved(path), *id)).collect();
        self.directories = self.directories.iter().map(|path| moved(path)).collect();
    }
}

impl File {
    fn change(&mut self, change: Change) {
        self.since.push_back((self.written, change));
        self.written += 1;
    }

    /// What had been written by then is on disk.
    fn settle(&mut self, written: u64) {
        while self.since.front().is_some_and(|(number, _)| *number < written) {
            let (_, change) = self.since.pop_front().expect("it was there");
            apply(&mut self.durable, &change);
        }
    }

    fn after_a_cut(&self, model: Model, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (_, change) in &self.since {
            match (model, change) {
                (Model::Strict, _) => {}
                (Model::Whole, _) => apply(&mut content, change),
                (Model::Torn(_), Change::Length(_)) => {
                    if random.one_in(2) {
                        apply(&mut content, change);
                    }
                }
                (Model::Torn(_), Change::Data(offset, data)) => {
                    let mut at = 0;
                    while at < data.len() {
                        let begin = offset + at as u64;
                        let to_border = usize::try_from(PAGE - begin % PAGE).expect("a page is short");
                        let end = data.len().min(at + to_border);
                        if random.one_in(2) {
                            apply(&mut content, &Change::Data(begin, data[at..end].to_vec()));
                        }
                        at = end;
                    }
                }
            }
        }
        content
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(usize::try_from(*length).expect("it fits"), 0),
        Change::Data(offset, data) => {
            let begin = usize::try_from(*offset).expect("it fits");
            if content.len() < begin + data.len() {
                content.resize(begin + data.len(), 0);
            }
            content[begin..begin + data.len()].copy_from_slice(data);
        }
    }
}

impl Image {
    /// The data directory below `root`, unchanged.
    pub(crate) fn of(root: &Path) -> Self {
        let mut image = Self::default();
        let mut folders = vec![root.join("data")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let name = |path: &Path| path.strip_prefix(root).expect("below").to_str().expect("a text").to_owned();
            image.directories.insert(name(&folder));
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    image.files.insert(name(&path), std::fs::read(&path).expect("a file"));
                }
            }
        }
        image
    }

    pub(crate) fn write(&self, root: &Path) {
        for directory in &self.directories {
            std::fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        for (path, content) in &self.files {
            std::fs::write(root.join(path), content).expect("a file");
        }
    }

    /// Describes where two images differ.
    pub(crate) fn differences(&self, other: &Self) -> String {
        let paths: BTreeSet<&String> = self.files.keys().chain(other.files.keys()).collect();
        let differ = paths.into_iter().filter(|path| self.files.get(*path) != other.files.get(*path));
        let length = |image: &Self, path: &str| image.files.get(path).map(Vec::len);
        let words = differ.map(|path| format!("{path}: {:?} and {:?} bytes", length(self, path), length(other, path)));
        words.collect::<Vec<_>>().join("; ")
    }
}
