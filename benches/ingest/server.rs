//! A server to compare with the daemon: this program again, in its own process, like the daemon.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// It ends with this process.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) child: Child,
}

impl Server {
    /// Starts this program with a word that says which server it is to be; it prints its address when it is ready.
    pub(super) fn start(role: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        // Its log goes to a file, as the daemon's does.
        let log = tempfile::tempfile().expect("a log");
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let said = child.stdout.take().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("a line");
        Self { address: line.trim().parse().expect("an address"), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Serves, with as many workers as the daemon has, until its parent is gone.
pub(super) fn serve_until_left_alone(server: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.spawn(server);
    let _end = std::io::stdin().read_to_end(&mut Vec::new());
}
