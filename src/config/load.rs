//! From a file to a [`Config`]: the top level of the file, and the order in which the rest is read.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::backend::{Accounts, BackendKind};
use super::policy::{self, PolicyKeys};
use super::reader::address::{self, Listen};
use super::reader::diagnostic::{ConfigError, Report, place};
use super::reader::reserved;
use super::reader::section::{Reader, Section};
use super::rules::{Fixed, Rules};
use super::{Config, FILE_HERE, FILE_OF_SYSTEM, access, image};

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The permission bit that lets every user of the machine read.
const READABLE_BY_OTHERS: u32 = 0o004;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8484);
/// Where state is kept if neither the file nor systemd says.
const DATA_DIR_DEFAULT: &str = "./coalesced-data";
/// Where systemd puts the directories of `StateDirectory=`, separated by colons.
const STATE_VARIABLE: &str = "STATE_DIRECTORY";
/// The most simultaneous connections by default, and the highest allowed setting.
const CONNECTIONS_DEFAULT: usize = 1_024;
const CONNECTIONS_MAX: u32 = 100_000;
/// How long events and builds are kept (semantics §4).
const HISTORY_DEFAULT: Duration = Duration::from_hours(90 * 24);
const HISTORY_MIN: Duration = Duration::from_hours(1);
/// The most events, and the most builds, that are kept.
const HISTORY_EVENTS_DEFAULT: u32 = 200_000;
const HISTORY_EVENTS_MIN: u32 = 1_000;
const HISTORY_EVENTS_MAX: u32 = 100_000_000;
/// The kinds that a file may name.
pub(crate) struct Kinds {
    pub(crate) backends: Vec<&'static dyn BackendKind>,
    pub(crate) sources: Vec<&'static str>,
}

impl Config {
    /// Which file to load: the named one, else the first of [`FILE_HERE`] and [`FILE_OF_SYSTEM`] that exists.
    pub fn find(explicit: Option<&Path>) -> Result<PathBuf, ConfigError> {
        if let Some(path) = explicit {
            return Ok(path.to_owned());
        }
        let known = [FILE_HERE, FILE_OF_SYSTEM].into_iter().map(PathBuf::from);
        known.into_iter().find(|path| path.exists()).ok_or(ConfigError::NotFound)
    }
}

/// Reads and checks the file at `path`, with this process's environment.
pub(crate) fn load(kinds: &Kinds, path: &Path) -> Result<Config, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let exposed = file.metadata().map_err(failed)?.permissions().mode() & READABLE_BY_OTHERS != 0;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::Error::other("it is larger than 1 MiB")));
    }
    let file_name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let readable = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let text = "this is not UTF-8, save the file as UTF-8";
        ConfigError::Mistakes(vec![place(&file_name, &readable, readable.len(), text)])
    })?;
    let base_dir = path.parent().unwrap_or(Path::new(""));
    let mut config = parse(kinds, &text, &file_name, base_dir, &|name| std::env::var(name).ok(), exposed)?;
    config.file = Some(path.to_owned());
    Ok(config)
}

/// Checks a text. `exposed`: other users of the machine can read the file.
pub(crate) fn parse(
    kinds: &Kinds,
    text: &str,
    file_name: &str,
    base_dir: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    exposed: bool,
) -> Result<Config, ConfigError> {
    let mut report = Report::new(file_name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Recovered content is a guess; checking a guess would report mistakes that aren't there.
        for error in errors {
            report.mistake(error.span().map_or(text.len(), |span| span.start), not_toml(error.message()));
        }
        return Err(report.finish().expect_err("a mistake was just put in"));
    }
    let mut reader = Reader { report, base_dir, variable, exposed };
    let config = top(&mut reader, kinds, Section::new(table.get_ref(), 0).reserving(reserved::TOP));
    let warnings = reader.report.finish()?;
    Ok(Config { warnings, ..config })
}

/// The parser's message, and the fix for the mistake that image names invite.
fn not_toml(message: &str) -> String {
    let names = if message.contains("unquoted key") {
        "; put a name with '/' in quotes, as in [image.\"namespace/name\"]"
    } else {
        ""
    };
    format!("not TOML: {message}{names}")
}

/// Reads everything. If there were mistakes the result is unusable and discarded.
fn top(reader: &mut Reader<'_>, kinds: &Kinds, mut section: Section<'_>) -> Config {
    let listen = listen(reader, &mut section);
    let data_dir = data_dir(reader, &mut section);
    let public_url = section.checked(reader, "public_url", address::public_url);
    let connections = section.integer(reader, "connections_max", 1..=CONNECTIONS_MAX);
    let connections_max = connections.and_then(|n| usize::try_from(n).ok()).unwrap_or(CONNECTIONS_DEFAULT);
    let (rules, history, history_events) = defaults(reader, &mut section);
    let images = image::read_all(reader, &kinds.backends, &mut section, &rules);
    let sources = access::sources(reader, &kinds.sources, &mut section);
    let buttons = access::buttons(reader, &mut section, &images);
    let tokens = access::tokens(reader, &mut section, &images);
    let accounts = Accounts::read(reader, &kinds.backends, &mut section);
    if images.named.is_empty() {
        reader.report.warn(0, "no image is configured, so nothing will be built; write [image.\"NAMESPACE/NAME\"]");
    } else if sources.is_empty() && images.whole.values().any(|image| image.repository.is_some()) {
        let form = kinds.sources.join("] or [source.");
        reader.report.warn(0, format!("no source is configured, so no push can arrive; write [source.{form}]"));
    }
    section.finish(reader);
    Config {
        file: None,
        fixed: Fixed { listen, data_dir, public_url, connections_max, history, history_events },
        rules: Rules { images: images.whole, sources, buttons, tokens, accounts },
        warnings: Vec::new(),
    }
}

fn listen(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Vec<Listen> {
    let Some(texts) = section.strings(reader, "listen") else {
        return vec![Listen::Tcp(LISTEN_DEFAULT)];
    };
    if texts.is_empty() {
        reader.report.mistake(section.key_at("listen"), "'listen' is empty, write \"127.0.0.1:8484\"");
    }
    let mut seen = HashSet::new();
    let mut addresses = Vec::new();
    for text in texts {
        match address::listen(text.text, reader.base_dir) {
            // Port 0 is a new port every time.
            Ok(address) if !seen.insert(text.text) && !matches!(&address, Listen::Tcp(tcp) if tcp.port() == 0) => {
                let shown = text.text.escape_debug();
                reader.report.mistake(text.at, format!("'{shown}' is in 'listen' twice, write it once"));
            }
            Ok(address) => addresses.push(address),
            Err(why) => reader.report.mistake(text.at, why),
        }
    }
    addresses
}

fn data_dir(reader: &mut Reader<'_>, section: &mut Section<'_>) -> PathBuf {
    if let Some(path) = section.string(reader, "data_dir") {
        if path.text.is_empty() {
            reader.report.mistake(path.at, "'data_dir' is empty, write a directory, or remove it for the default");
        }
        return reader.base_dir.join(path.text);
    }
    let of_systemd = (reader.variable)(STATE_VARIABLE).unwrap_or_default();
    let first = of_systemd.split(':').find(|path| !path.is_empty());
    PathBuf::from(first.unwrap_or(DATA_DIR_DEFAULT))
}

fn defaults(reader: &mut Reader<'_>, top: &mut Section<'_>) -> (PolicyKeys, Duration, u32) {
    let mut section = match top.table(reader, "defaults") {
        Some((table, at)) => Section::new(table, at),
        None => Section::absent(),
    };
    let rules = policy::read(reader, &mut section, &PolicyKeys::DEFAULT);
    let history = section.duration(reader, "history", HISTORY_MIN).unwrap_or(HISTORY_DEFAULT);
    let events = section.integer(reader, "history_events", HISTORY_EVENTS_MIN..=HISTORY_EVENTS_MAX);
    section.finish(reader);
    (rules, history, events.unwrap_or(HISTORY_EVENTS_DEFAULT))
}
