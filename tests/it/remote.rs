//! A bare Git repository, and the real programs that serve it on this machine: `git http-backend` behind a server
//! of a few lines, and `git daemon`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

/// A repository `web.git` in a directory of its own.
pub(crate) struct Repository {
    pub(crate) root: TempDir,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().expect("a directory");
        let repository = Self { root };
        let path = repository.path();
        git(repository.root.path(), &["init", "--quiet", "--bare", "--initial-branch=master", &path.to_string_lossy()]);
        repository
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("web.git")
    }

    /// A new commit; answers with its name.
    pub(crate) fn commit(&self, message: &str) -> String {
        let tree = git(&self.path(), &["mktree"]);
        git(&self.path(), &["commit-tree", &tree, "-m", message])
    }

    /// Moves a ref, as a push does.
    pub(crate) fn set(&self, git_ref: &str, commit: &str) {
        git(&self.path(), &["update-ref", git_ref, commit]);
    }

    pub(crate) fn annotate(&self, tag: &str, commit: &str) {
        git(&self.path(), &["tag", "-a", tag, "-m", tag, commit]);
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.org")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = command.args(arguments).current_dir(directory).stdin(Stdio::null()).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// Serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// How many questions came: a question is one request for the list of what the server can do.
    pub(crate) questions: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// HTTP, by `git http-backend`. With `authorization`, a client that doesn't send that header gets a 401.
    pub(crate) fn http(root: &Path, authorization: Option<&str>) -> Self {
        let (root, authorization) = (root.to_owned(), authorization.map(ToOwned::to_owned));
        Self::serve(move |connection, questions| http(connection, &root, authorization.as_deref(), questions))
    }

    /// Git's own protocol, by `git daemon`.
    pub(crate) fn git(root: &Path) -> Self {
        let root = root.to_owned();
        Self::serve(move |connection, questions| {
            questions.fetch_add(1, Ordering::SeqCst);
            let input = connection.try_clone().expect("a second handle");
            let mut child = Command::new("git")
                .args(["daemon", "--inetd", "--export-all"])
                .arg(format!("--base-path={}", root.display()))
                .stdin(std::os::fd::OwnedFd::from(input))
                .stdout(std::os::fd::OwnedFd::from(connection))
                .spawn()
                .expect("git daemon runs");
            child.wait().expect("it was ours");
        })
    }

    fn serve(answer: impl Fn(TcpStream, &AtomicUsize) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (questions, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, told) = (questions.clone(), ending.clone());
        let body = move || {
            for connection in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                answer(connection.expect("a connection"), &counted);
            }
        };
        Self { address, questions, ending, thread: Some(std::thread::spawn(body)) }
    }

    /// Returns when every connection that came before has been served: they are served one by one.
    pub(crate) fn await_idle(&self) {
        let mut connection = TcpStream::connect(self.address).expect("a connection");
        connection.shutdown(std::net::Shutdown::Write).expect("an end");
        let _ = connection.read_to_end(&mut Vec::new());
    }

    pub(crate) fn asked(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request, handed to `git http-backend` as a web server does.
fn http(connection: TcpStream, root: &Path, authorization: Option<&str>, questions: &AtomicUsize) {
    let mut reader = BufReader::new(connection);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let Some(request) = lines.first() else { return };
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let header = |name: &str| {
        let found = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).expect("the body");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    questions.fetch_add(usize::from(path.ends_with("/info/refs")), Ordering::SeqCst);
    let mut connection = reader.into_inner();
    if authorization.is_some() && header("authorization").as_deref() != authorization {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\
                       Connection: close\r\n\r\n";
        connection.write_all(refusal.as_bytes()).expect("an answer");
        return;
    }
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git http-backend runs");
    child.stdin.take().expect("a pipe").write_all(&body).expect("the body is taken");
    let output = child.wait_with_output().expect("it was ours").stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the head");
    let head = String::from_utf8_lossy(&output[..end]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\n{head}\r\n\r\n").expect("an answer");
    // A client that disconnects is not our failure.
    let _ = connection.write_all(&output[end + 4..]);
}
