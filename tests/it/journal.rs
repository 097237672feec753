//! The stored state of the real binary: exports, damage and restore, storage that fails, a start that is killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::BINARY;
use crate::daemon::{PATIENCE, Push, Stage, Wanted, builds_take, quiet, run_in, text};

fn data(stage: &Stage) -> PathBuf {
    stage.daemon.directory.path().join("data")
}

fn exports(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("exports")).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = entries.into_iter().flatten().collect();
    // One still being written has another name.
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state-")));
    paths.sort();
    paths
}

fn aside(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).expect("a data directory").flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".corrupt-"));
    entries.filter(is_one).collect()
}

/// The files below, with their content.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            files.extend(content(&entry.path()));
        } else {
            files.push((entry.path(), std::fs::read(entry.path()).expect("readable")));
        }
    }
    files.sort();
    files
}

fn strace_is_usable() -> bool {
    let usable = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).stdout(Stdio::null()).status();
    let usable = usable.is_ok_and(|status| status.success());
    if !usable {
        println!("skipped: strace is missing here, or may not trace");
    }
    usable
}

/// Starts the daemon under strace, with calls of `what` made to fail or wait.
fn under_strace(inject: &str) -> Vec<String> {
    let call = inject.split(':').next().expect("a call");
    let options =
        ["strace", "-D", "-f", "-o", "trace", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")];
    options.map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_there_when_the_daemon_has_ended_and_none_while_nothing_happens() {
    let mut stage = Stage::set(builds_take(100), quiet("15s")).await;
    assert_eq!(stage.daemon.terminate(), Some(0), "{}", stage.daemon.log());
    assert!(exports(&data(&stage)).is_empty(), "nothing had happened");
    stage.daemon.restart().await;
    stage.push(&Push::to_branch("master", 1)).await;
    assert_eq!(stage.daemon.terminate(), Some(0), "{}", stage.daemon.log());
    let made = exports(&data(&stage));
    assert_eq!(made.len(), 1);
    let lines = std::fs::read_to_string(&made[0]).expect("text");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&lines[0]["export"]["newest"], lines[lines.len() - 1]["end"]["lines"].as_u64()),
        (&Value::from(1), Some(lines.len() as u64 - 1))
    );
    assert!(lines.iter().any(|line| line["event"]["commit"] == Push::to_branch("master", 1).after.as_str()));
    let checked = stage.daemon.run(&["journal", "check", "--json"]);
    let findings: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((checked.status.code(), &findings["ok"]), (Some(0), &Value::Bool(true)), "{findings:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_follows_a_change_soon_and_a_kill_leaves_it() {
    let mut stage = Stage::set(builds_take(100), quiet("15s")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    let begun = Instant::now();
    while exports(&data(&stage)).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no export: {}", stage.daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The file has its name a moment before its directory is synced, and only then it counts.
    let counts = |metrics: &Value| !metrics.as_str().expect("text").contains("export_timestamp_seconds 0\n");
    let metrics = stage.daemon.until("/metrics", "counted", counts).await;
    assert!(metrics.as_str().expect("text").contains("\ncoalesced_journal_restored 0\n"), "{metrics}");
    stage.daemon.kill();
    // The next process exports what the last one did between its export and its end.
    let before = exports(&data(&stage)).len();
    stage.daemon.restart().await;
    let (status, _) = stage.daemon.post("/v1/pause", &json!({ "reason": "a reason to look for" })).await;
    assert_eq!(status, 200);
    stage.daemon.kill();
    stage.daemon.restart().await;
    let begun = Instant::now();
    while exports(&data(&stage)).len() == before {
        assert!(begun.elapsed() < PATIENCE, "no export: {}", stage.daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.daemon.kill();
    let out = stage.daemon.run(&["journal", "export", "--newest"]);
    assert!(text(&out.stdout).contains("a reason to look for"), "{}", text(&out.stdout));
    assert!(out.status.success() && text(&out.stdout).starts_with("{\"export\":"), "{}", text(&out.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_were_open_when_the_journal_was_damaged_are_built() {
    let mut stage = Stage::set(builds_take(200), quiet("3s")).await;
    let answer = stage.push(&Push::to_branch("master", 1)).await;
    let id = answer["receipts"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(stage.daemon.terminate(), Some(0));
    let database = data(&stage).join("journal/db");
    let length = std::fs::metadata(&database).expect("a file").len();
    std::fs::write(&database, vec![0x5a; usize::try_from(length).expect("small")]).expect("written");

    stage.daemon.restart().await;
    let log = stage.daemon.log();
    assert_eq!(aside(&data(&stage)).len(), 1);
    assert!(log.contains("was damaged") && log.contains("journal.corrupt-") && log.contains("exports/state-"), "{log}");
    let (_, health) = stage.daemon.get("/health").await;
    assert_eq!(health["status"], "degraded", "{health:#}");
    assert!(health["restored"]["why"].as_str().expect("a sentence").contains("may be lost"), "{health:#}");
    let (_, metrics) = stage.daemon.get("/metrics").await;
    assert!(metrics.as_str().expect("text").contains("\ncoalesced_journal_restored 1\n"));
    // The delivery is still known, and its receipt complete.
    let (status, again) = stage.daemon.push(&Push::to_branch("master", 1)).await;
    assert_eq!((status, &again["repeated"]), (202, &Value::Bool(true)));
    stage.daemon.until_at_rest().await;
    assert!(stage.has_built(&Push::to_branch("master", 1).after));
    let (_, receipt) = stage.daemon.get(&format!("/v1/events/{id}")).await;
    assert_eq!(receipt["state"], "built", "{receipt:#}");
    // A new event has a number that was never used before.
    let answer = stage.push(&Push::to_branch("master", 2)).await;
    assert!(answer["receipts"][0]["id"].as_str().expect("an id") > id.as_str());

    // Once acknowledged, health is good again.
    assert_eq!(stage.daemon.terminate(), Some(0));
    std::fs::remove_dir_all(&aside(&data(&stage))[0]).expect("removed");
    stage.daemon.restart().await;
    assert_eq!(stage.daemon.get("/health").await.1["status"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_export_a_damaged_journal_ends_the_start_and_stays_as_it_is() {
    let mut stage = Stage::set(builds_take(200), quiet("15s")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    assert_eq!(stage.daemon.terminate(), Some(0));
    std::fs::remove_dir_all(data(&stage).join("exports")).expect("removed");
    let database = data(&stage).join("journal/db");
    for damage in ["short", "missing"] {
        if damage == "short" {
            std::fs::OpenOptions::new().write(true).open(&database).expect("a file").set_len(100).expect("cut");
        } else {
            std::fs::remove_file(&database).expect("removed");
        }
        let before = content(&data(&stage).join("journal"));
        let refused = stage.daemon.run(&["serve", "--config", "coalesced.toml"]);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(74), "{told}");
        assert!(told.contains("is damaged") && told.contains("no whole export"), "{told}");
        assert!(content(&data(&stage).join("journal")) == before, "{damage}: it was changed");
        assert!(aside(&data(&stage)).is_empty());
        let checked = stage.daemon.run(&["journal", "check"]);
        assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stdout));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_moves_from_one_directory_to_another() {
    let mut stage = Stage::set(builds_take(200), quiet("15s")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    let running = stage.daemon.run(&["journal", "export"]);
    assert_eq!(running.status.code(), Some(74));
    assert!(text(&running.stderr).contains("another coalesced (process "), "{}", text(&running.stderr));
    assert_eq!(stage.daemon.terminate(), Some(0));
    let exported = stage.daemon.run(&["journal", "export", "--output", "moved.jsonl"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let directory = stage.daemon.directory.path().to_owned();
    let import = |into: &str| run_in(&directory, &["--data-dir", into, "journal", "import", "moved.jsonl"]);

    let before = content(&data(&stage));
    let refused = import("data");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(content(&data(&stage)) == before, "it was changed");

    let imported = import("elsewhere");
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert_eq!(import("elsewhere").status.code(), Some(1));
    let back = run_in(&directory, &["--data-dir", "elsewhere", "journal", "export"]);
    assert!(text(&back.stdout).contains(&Push::to_branch("master", 1).after));
    let checked = run_in(&directory, &["--data-dir", "elsewhere", "journal", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_finds_a_flipped_byte_in_an_export_and_tells_which_is_whole() {
    let mut stage = Stage::set(builds_take(100), quiet("15s")).await;
    for number in 1..=2 {
        stage.push(&Push::to_branch("master", number)).await;
        assert_eq!(stage.daemon.terminate(), Some(0));
        stage.daemon.restart().await;
    }
    stage.daemon.kill();
    let made = exports(&data(&stage));
    let newest = made.last().expect("two");
    let mut bytes = std::fs::read(newest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).expect("written");
    let checked = stage.daemon.run(&["journal", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stdout).contains("is not whole"), "{}", text(&checked.stdout));
    let whole = made[0].file_name().expect("a name").to_string_lossy();
    assert!(text(&checked.stderr).contains(&format!("{whole} is intact")), "{}", text(&checked.stderr));
    let nowhere = run_in(stage.daemon.directory.path(), &["--data-dir", "nowhere", "journal", "check"]);
    assert_eq!(nowhere.status.code(), Some(74));
}

/// The disk fails once: waiting senders get 503, the process ends, and the next one has all that was answered 202.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_fails_ends_the_process_and_loses_nothing_that_was_answered() {
    if !strace_is_usable() {
        return;
    }
    let first = Wanted { under: under_strace("fdatasync:error=EIO:when=8"), ..quiet("15s") };
    let mut stage = Stage::set(builds_take(200), first).await;
    let mut accepted = 0;
    let refused = loop {
        let (status, _) = stage.daemon.push(&Push::to_branch("master", accepted + 1)).await;
        if status != 202 {
            break status;
        }
        accepted += 1;
        assert!(accepted < 20, "the failure never came");
    };
    assert_eq!((refused, stage.daemon.ended()), (503, Some(74)), "{}", stage.daemon.log());
    stage.daemon.restart_under(Vec::new()).await;
    let (_, events) = stage.daemon.get("/v1/events?limit=1000").await;
    assert!(events.as_array().expect("a list").len() >= accepted as usize);
}

/// A daemon whose disk hangs stops notifying the service manager, which ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_stops_the_feeding_of_the_watchdog() {
    if !strace_is_usable() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let socket = std::os::unix::net::UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(2_500))).expect("set");
    let notify = directory.path().join("notify").to_string_lossy().into_owned();
    let mut under = under_strace("fdatasync:delay_enter=12000000:when=3+");
    let env = ["env".to_owned(), format!("NOTIFY_SOCKET={notify}"), "WATCHDOG_USEC=1000000".to_owned()];
    under.splice(0..0, env);
    let stage = Stage::set(builds_take(200), Wanted { under, ..quiet("15s") }).await;
    let heard = || {
        let mut buffer = [0; 512];
        socket.recv(&mut buffer).map(|length| text(&buffer[..length]))
    };
    let begun = Instant::now();
    let mut fed = 0;
    while fed < 3 {
        assert!(begun.elapsed() < PATIENCE, "never fed: {}", stage.daemon.log());
        fed += u32::from(heard().is_ok_and(|word| word.contains("WATCHDOG=1")));
    }
    // One of the first pushes hangs, and its answer never comes.
    let push = |number| {
        let body = Push::to_branch("master", number).body();
        let signature = crate::daemon::sign(crate::daemon::SECRET, body.as_bytes());
        let request = stage.daemon.request(reqwest::Method::POST, "/hooks/github").body(body);
        let request = request.header("content-type", "application/json").header("x-github-event", "push");
        request.header("x-github-delivery", format!("d-{number}")).header("x-hub-signature-256", signature)
    };
    let pushes: Vec<_> = (1..=4).map(push).collect();
    let pushing = tokio::spawn(async move {
        for push in pushes {
            assert_eq!(push.send().await.expect("an answer").status(), 202);
        }
    });
    // The push may cost one turn more; then silence for many of its periods.
    let begun = Instant::now();
    while heard().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(8), "it is fed though nothing is written");
    }
    assert!(!pushing.is_finished(), "nothing hung");
    pushing.abort();
}

/// A start that compacts a large journal is killed at each file move; what was stored is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_journal_is_made_small_loses_nothing() {
    if !strace_is_usable() {
        return;
    }
    let mut stage = Stage::set(builds_take(200), quiet("15s")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    assert_eq!(stage.daemon.terminate(), Some(0));
    let journal = data(&stage).join("journal");
    bloat(&journal);
    let large = std::fs::metadata(journal.join("db")).expect("a file").len();
    assert!(large > 64 * 1024 * 1024, "{large} bytes only");
    std::fs::remove_dir_all(data(&stage).join("exports")).expect("removed");
    for (path, kill) in [
        ("data/journal.new", "fsync:signal=KILL:when=1"),
        ("data/journal", "rename:signal=KILL:when=1"),
        ("data/journal.new", "rename:signal=KILL:when=1"),
    ] {
        let mut line = under_strace(kill);
        // A descriptor is known by its full path, an argument as written.
        let whole = stage.daemon.directory.path().join(path);
        line.extend(["-P", path, "-P", whole.to_str().expect("text")].map(str::to_owned));
        line.extend([BINARY, "serve", "--config", "coalesced.toml"].map(str::to_owned));
        let mut start = Command::new("timeout");
        start.args(["--signal=TERM", "20"]).args(line).current_dir(stage.daemon.directory.path());
        let ended = start.stdout(Stdio::null()).output().expect("it runs");
        assert_ne!(ended.status.code(), Some(124), "{kill}: it was never killed: {}", text(&ended.stderr));
        let left = ["journal", "journal.new", "journal.old"].map(|name| data(&stage).join(name).exists());
        let between = path == "data/journal.new" && kill.starts_with("rename");
        let expected = if between { [false, true, true] } else { [true, true, false] };
        assert_eq!(left, expected, "{path} {kill}");
        let checked = stage.daemon.run(&["journal", "check"]);
        assert_eq!(checked.status.code(), Some(0), "{kill}: {}", text(&checked.stdout));
    }
    stage.daemon.restart().await;
    assert!(stage.daemon.log().contains("made the journal small"), "{}", stage.daemon.log());
    assert!(std::fs::metadata(journal.join("db")).expect("a file").len() < large / 8);
    let (_, events) = stage.daemon.get("/v1/events").await;
    assert_eq!(events.as_array().expect("a list").len(), 1);
    assert!(!data(&stage).join("journal.old").exists() && !data(&stage).join("journal.new").exists());
}

/// Entries that come and go, as years of pushes: the file grows and never shrinks.
fn bloat(journal: &Path) {
    let db = sled::Config::new().path(journal).flush_every_ms(None).open().expect("it opens");
    for round in 0..10_u32 {
        let mut batch = sled::Batch::default();
        for number in 0..1_200_u32 {
            batch.insert([b"z", &round.to_be_bytes()[..], &number.to_be_bytes()].concat(), vec![7; 8_000]);
        }
        db.apply_batch(batch).expect("written");
    }
    for key in db.scan_prefix(b"z").keys() {
        db.remove(key.expect("readable")).expect("removed");
    }
    db.flush().expect("flushed");
}
