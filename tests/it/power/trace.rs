//! What the kernel was asked to do with the data directory, read from strace's words, in order.
//!
//! strace sees what a library in front of libc would not: some of our crates make raw system calls. A call that was
//! interrupted by another thread's stands there twice. A write counts from its end, a sync covers what had ended when
//! it began, and an answer counts as given from the beginning of its write: each to our disadvantage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The calls that are watched. What changes a file in a way that is not understood here fails the reading.
pub(crate) const WATCHED: &str = "trace=open,openat,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,\
     ftruncate,truncate,fallocate,copy_file_range,sendfile,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,\
     unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat";

/// One thing that happened. Paths begin at the watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Opened so that it is there from now on, and empty where `empties`.
    Made {
        path: String,
        empties: bool,
    },
    MadeDirectory {
        path: String,
    },
    Written {
        path: String,
        offset: u64,
        data: Vec<u8>,
    },
    Length {
        path: String,
        length: u64,
    },
    /// A sync of this thread began.
    Syncing {
        thread: u32,
        path: String,
    },
    /// It ended well. `data_only`: it was fdatasync.
    Synced {
        thread: u32,
        path: String,
        data_only: bool,
    },
    Renamed {
        from: String,
        to: String,
    },
    Removed {
        path: String,
    },
    /// A 202 with the receipts of these events began to be written.
    Acknowledged {
        events: Vec<String>,
    },
    /// Any other answer: the server is ready.
    Answered,
    /// It was asked to end.
    Ending,
}

/// What one process did.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) records: Vec<Record>,
    /// Calls that had begun when the process died. Each may have happened.
    pub(crate) unfinished: Vec<Record>,
}

struct Reader<'a> {
    root: &'a Path,
    /// Where the next write without an offset goes, by the number of the descriptor.
    descriptors: BTreeMap<String, (String, u64)>,
    /// Calls that have begun, by thread.
    begun: BTreeMap<u32, String>,
    reading: Reading,
}

/// Reads the words of strace about a process that worked in `root`; what is not below `root` is left out.
pub(crate) fn read(text: &str, root: &Path) -> Reading {
    let mut reader = Reader { root, descriptors: BTreeMap::new(), begun: BTreeMap::new(), reading: Reading::default() };
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').expect("a thread");
        reader.line(thread.parse().expect("a thread's number"), rest.trim_start());
    }
    let begun = std::mem::take(&mut reader.begun);
    for (thread, call) in begun {
        let so_far = reader.reading.records.len();
        reader.ended(thread, &format!("{call}) = 0"), true);
        let last = reader.reading.records.split_off(so_far);
        reader.reading.unfinished.extend(last);
    }
    reader.reading
}

impl Reader<'_> {
    fn line(&mut self, thread: u32, rest: &str) {
        if rest.starts_with("--- SIGTERM") {
            self.reading.records.push(Record::Ending);
        } else if rest.starts_with("---") || rest.starts_with("+++") {
        } else if let Some(call) = rest.strip_suffix(" <unfinished ...>") {
            self.began(thread, call);
            self.begun.insert(thread, call.to_owned());
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").expect("a call that goes on");
            let Some(call) = self.begun.remove(&thread) else { return };
            self.or_unfinished(thread, &format!("{call}{end}"));
        } else {
            self.began(thread, rest);
            self.or_unfinished(thread, rest);
        }
    }

    /// A call whose end was never reported may have happened.
    fn or_unfinished(&mut self, thread: u32, call: &str) {
        if let Some((call, _)) = call.rsplit_once(" = ?") {
            let call = call.trim_end().trim_end_matches(')').trim_end_matches("<unfinished ...>");
            self.begun.insert(thread, call.trim_end().to_owned());
        } else {
            self.ended(thread, call, false);
        }
    }

    fn began(&mut self, thread: u32, call: &str) {
        let (name, arguments) = call.split_once('(').expect("a call");
        match name {
            "fsync" | "fdatasync" => {
                if let Some(path) = self.file_of(arguments) {
                    self.reading.records.push(Record::Syncing { thread, path });
                }
            }
            "sendto" | "sendmsg" | "write" | "writev" if self.file_of(arguments).is_none() => {
                let data = strings(arguments).concat();
                if data.starts_with(b"HTTP/1.1 202") {
                    self.reading.records.push(Record::Acknowledged { events: receipts(&data) });
                } else if data.starts_with(b"HTTP/1.1 ") {
                    self.reading.records.push(Record::Answered);
                }
            }
            _ => {}
        }
    }

    /// `presumed`: its end is unknown; it is assumed to have done all that it was asked.
    fn ended(&mut self, thread: u32, call: &str, presumed: bool) {
        let (call, result) = call.rsplit_once(" = ").expect("a result");
        if result.starts_with('-') {
            return;
        }
        let (name, arguments) = call.split_once('(').expect("a call");
        let arguments = arguments.trim_end().trim_end_matches(')');
        let fields: Vec<&str> = arguments.split(", ").collect();
        let file = self.file_of(arguments);
        let record = match name {
            "open" | "openat" | "creat" => {
                let flags = fields.iter().find(|field| field.starts_with("O_")).copied().unwrap_or("O_CREAT|O_TRUNC");
                let (descriptor, _) = result.split_once('<').unwrap_or((result, ""));
                let Some(path) = self.path(arguments, 0) else {
                    self.descriptors.remove(descriptor);
                    return;
                };
                self.descriptors.insert(descriptor.to_owned(), (path.clone(), 0));
                assert!(!flags.contains("O_APPEND"), "appending to {path} is not understood");
                let empties = flags.contains("O_TRUNC");
                if !empties && !flags.contains("O_CREAT") {
                    return;
                }
                Record::Made { path, empties }
            }
            "lseek" => {
                let descriptor = descriptor(arguments);
                if let Some((_, offset)) = self.descriptors.get_mut(descriptor) {
                    *offset = if presumed { *offset } else { result.parse().expect("an offset") };
                }
                return;
            }
            "write" | "writev" | "pwrite64" => {
                let Some(path) = file else { return };
                let mut data = strings(arguments).concat();
                if !presumed {
                    data.truncate(result.parse().expect("a length"));
                }
                let offset = if name == "pwrite64" {
                    fields[3].parse().expect("an offset")
                } else {
                    let (_, next) = self.descriptors.get_mut(descriptor(arguments)).expect("it was opened");
                    *next += data.len() as u64;
                    *next - data.len() as u64
                };
                Record::Written { path, offset, data }
            }
            "ftruncate" => {
                let Some(path) = file else { return };
                Record::Length { path, length: fields[1].parse().expect("a length") }
            }
            "fsync" | "fdatasync" => {
                let Some(path) = file.filter(|_| !presumed) else { return };
                Record::Synced { thread, path, data_only: name == "fdatasync" }
            }
            "rename" | "renameat" | "renameat2" => {
                let (Some(from), Some(to)) = (self.path(arguments, 0), self.path(arguments, 1)) else { return };
                Record::Renamed { from, to }
            }
            "unlink" | "unlinkat" | "rmdir" => {
                let Some(path) = self.path(arguments, 0) else { return };
                Record::Removed { path }
            }
            "mkdir" | "mkdirat" => {
                let Some(path) = self.path(arguments, 0) else { return };
                Record::MadeDirectory { path }
            }
            // To start what was written on its way is no promise.
            "sync_file_range" | "sendto" | "sendmsg" => return,
            _ => {
                assert!(file.is_none() && self.path(arguments, 0).is_none(), "{name} is not understood: {call}");
                return;
            }
        };
        self.reading.records.push(record);
    }

    /// The watched file that a call's descriptor, its first argument, refers to.
    fn file_of(&self, arguments: &str) -> Option<String> {
        let (_, path) = arguments.split_once('<').filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))?;
        self.below(&PathBuf::from(text(path.split_once('>')?.0)))
    }

    /// The n-th path that a call names, if it is below the root.
    fn path(&self, arguments: &str, index: usize) -> Option<String> {
        let mut at = self.root.to_owned();
        let mut seen = 0;
        for field in arguments.split(", ") {
            if let Some(quoted) = field.strip_prefix('"') {
                if seen == index {
                    return self.below(&at.join(text(quoted.trim_end_matches('"'))));
                }
                seen += 1;
            } else if let Some((_, directory)) = field.split_once('<') {
                at = PathBuf::from(text(directory.trim_end_matches('>')));
            }
        }
        None
    }

    fn below(&self, path: &Path) -> Option<String> {
        let path = path.strip_prefix(self.root).ok()?.to_str().expect("a path of text");
        path.starts_with("data").then(|| path.to_owned())
    }
}

fn descriptor(arguments: &str) -> &str {
    arguments.split_once('<').map_or("", |(number, _)| number)
}

/// All quoted strings of a call: nothing in them is left as it is, so that quotes are quotes.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(bytes).collect()
}

fn text(escaped: &str) -> String {
    String::from_utf8(bytes(escaped)).expect("a path of text")
}

/// `\x2f\x74` as bytes.
fn bytes(escaped: &str) -> Vec<u8> {
    let digits: String = escaped.split("\\x").collect();
    hex::decode(&digits).unwrap_or_else(|_| panic!("not in hexadecimal digits: {escaped}"))
}

/// The events that an answer names; none where it is no receipt of a delivery.
fn receipts(answer: &[u8]) -> Vec<String> {
    let answer = String::from_utf8_lossy(answer);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: Value = serde_json::from_str(body).expect("a 202 is written whole");
    let receipts = body["receipts"].as_array().expect("receipts");
    receipts.iter().map(|receipt| receipt["id"].as_str().expect("an id").to_owned()).collect()
}
