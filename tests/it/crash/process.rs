//! Starts and ends the real binary in these tests: at any moment, and under a tracer if wanted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::binary::{found, serve};
use crate::daemon::PATIENCE;

/// The daemon gives up a database that does not answer after a minute.
const START_PATIENCE: Duration = Duration::from_secs(75);

/// A daemon in a directory that outlives it.
pub(crate) struct Process {
    pub(crate) directory: PathBuf,
    pub(crate) url: String,
    child: Child,
    begun: Instant,
}

impl Process {
    /// Starts it without waiting. `under`: a program to run it under, with its arguments.
    pub(crate) fn spawn(directory: &Path, under: &[String]) -> Self {
        let begun = Instant::now();
        let child = serve(directory, under).spawn().expect("the binary runs");
        Self { directory: directory.to_owned(), url: String::new(), child, begun }
    }

    /// Starts it on its own and waits until it is ready.
    pub(crate) async fn start(directory: &Path) -> Self {
        let mut process = Self::spawn(directory, &[]);
        if let Err(status) = process.until_ready().await {
            panic!("it ended with {status}: {}", process.log());
        }
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long it took to be ready, or the status with which it ended before.
    pub(crate) async fn until_ready(&mut self) -> Result<Duration, ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Err(status);
            }
            if self.is_ready() {
                return Ok(self.begun.elapsed());
            }
            assert!(self.begun.elapsed() < START_PATIENCE, "neither ready nor ended: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The file for clients is written when it listens.
    fn is_ready(&mut self) -> bool {
        let Some((url, _)) = found(&self.directory).filter(|(_, pid)| *pid == self.pid()) else { return false };
        self.url = url;
        true
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it was ours")
    }

    /// Waits until it has ended by itself; None if it lives longer than that.
    pub(crate) async fn until_ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if begun.elapsed() > limit {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Asks it to end and returns at once.
    pub(crate) fn ask_to_end(&self) {
        // It may have ended already.
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).stderr(Stdio::null()).status();
    }

    /// Asks it to end, and waits.
    pub(crate) async fn terminate(&mut self) -> Option<ExitStatus> {
        self.ask_to_end();
        self.until_ended(PATIENCE).await
    }

    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
