//! What the tests of crashes share: the real binary in a world whose pushes make three events each, clients that
//! note what was acknowledged, and the check that all of it survives.
//!
//! The counts are small here; each test names a variable that makes it longer (docs/durability.md). `CRASH_SEED` says which
//! places are hit; it is printed on failure.

mod load;
mod process;

use std::process::{Command, Stdio};
use std::time::Duration;

use coalesced::emulator::{EmulatedHub, HubSettings};
use coalesced::model::ImageName;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) use self::load::Load;
pub(crate) use self::process::Process;
use crate::daemon::Wanted;

/// One push goes to each of them: a delivery is three events, all of them on disk or none.
pub(crate) const IMAGES: [&str; 3] = ["acme/web", "acme/docs", "acme/api"];
const HUB_USER: &str = "acme";
const HUB_PASSWORD: &str = "test-password-of-docker-hub";

/// A Docker Hub, and a directory with a configuration that names it.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) hub: EmulatedHub,
}

impl World {
    /// In its own directory, which is removed with it.
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let settings = HubSettings { build_time: Duration::from_millis(100), ..HubSettings::default() };
        let hub = EmulatedHub::serve(listener, settings, HUB_USER, HUB_PASSWORD).expect("it serves");
        let world = Self { directory: TempDir::new().expect("a directory"), hub };
        world.configure(world.directory.path());
        world
    }

    /// Writes the configuration into another directory, for another daemon in the same world.
    pub(crate) fn configure(&self, directory: &std::path::Path) {
        let trigger_url = |name: &str| self.hub.register(&name.parse::<ImageName>().expect("an image")).current;
        let others = IMAGES[1..].iter().map(|name| {
            format!(
                "\n[image.\"{name}\"]\nrepository = \"github.com/acme/web\"\nbranches = [\"master\", \"dev\"]\n\
                 tags = [\"v*\"]\n[image.\"{name}\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"{}\"\n\
                 username = \"{HUB_USER}\"\ntoken = \"{HUB_PASSWORD}\"\n",
                trigger_url(name)
            )
        });
        let wanted = Wanted {
            trigger_url: trigger_url(IMAGES[0]),
            hub: self.hub.url().to_owned(),
            login: Some((HUB_USER.to_owned(), HUB_PASSWORD.to_owned())),
            quiet: "150ms",
            // Nothing is forgotten, however long a run is.
            defaults: "history_events = 10000000",
            more: others.collect(),
            ..Wanted::default()
        };
        std::fs::write(directory.join("coalesced.toml"), wanted.to_toml()).expect("a configuration");
    }
}

/// How often, or from which seed: the variable's number, else `usual`.
pub(crate) fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// Whether strace is installed and may trace; prints a note if not.
pub(crate) fn can_trace() -> bool {
    let usable = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).stdout(Stdio::null()).status();
    let usable = usable.is_ok_and(|status| status.success());
    if !usable {
        println!("skipped: strace is missing here, or may not trace");
    }
    usable
}

/// A directory in memory, if the machine has a place for one.
pub(crate) fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a directory")
}
