//! A disk that is full, and one that can't be written. Needs the right to mount; without it the tests say so.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::crash::{Load, Process, World};

/// A file system in memory of so many bytes, below the world's directory; dropping this value unmounts it.
struct SmallDisk(PathBuf);

const SIZE: &str = "size=4m";
/// More pushes than fit.
const PUSHES_MAX: usize = 20_000;
/// How long a daemon that can't write may live on.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

impl SmallDisk {
    /// None, with a note, if mounting is not permitted.
    fn mount(world: &World) -> Option<Self> {
        let at = world.directory.path().join("data");
        std::fs::create_dir(&at).expect("a directory");
        let mounted = mount(&["-t", "tmpfs", "-o", SIZE, "tmpfs"], &at);
        if !mounted {
            println!("skipped: nothing may be mounted here");
        }
        mounted.then_some(Self(at))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Writes until the disk is full.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("a file");
        for length in [64 * 1024, 4_096, 512, 1] {
            while file.write_all(&vec![1; length]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

fn mount(options: &[&str], at: &Path) -> bool {
    let done = Command::new("mount").args(options).arg(at).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_never_answered_202_and_loses_nothing() {
    let world = World::new().await;
    let Some(disk) = SmallDisk::mount(&world) else { return };
    let directory = world.directory.path();
    let mut process = Process::start(directory).await;
    let load = Load::default();
    for _ in 0..20 {
        assert_eq!(load.push_next(&process.url).await, Some(202));
    }
    disk.fill();
    let mut refusal = Some(202);
    for _ in 0..PUSHES_MAX {
        refusal = load.push_next(&process.url).await;
        if refusal != Some(202) {
            break;
        }
    }
    assert!(matches!(refusal, None | Some(503)), "{refusal:?}");
    let status = process.until_ended(ENDS_WITHIN).await.expect("a daemon that can't write ends");
    assert_eq!(status.code(), Some(74), "{}", process.log());
    println!("full: {} events acknowledged, then {refusal:?} and {status}", load.events());

    // Started while the disk is still full, it serves or says why it can't.
    let mut process = Process::spawn(directory, &[]);
    match process.until_ready().await {
        Ok(_) => load.check_listed(&process.url).await,
        Err(status) => {
            assert_eq!(status.code(), Some(74), "{}", process.log());
            let said = process.log().lines().last().unwrap_or_default().to_owned();
            assert!(said.starts_with("coalesced: failed to "), "{said}");
            println!("while it is full: {said}");
            0
        }
    };
    process.kill();

    std::fs::remove_file(disk.ballast()).expect("it is there");
    let mut process = Process::start(directory).await;
    load.check_repeated(0, &process.url).await;
    load.check_listed(&process.url).await;
    assert_eq!(load.push_next(&process.url).await, Some(202));
    assert!(process.terminate().await.is_some_and(|status| status.success()), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cant_be_written_is_told_at_the_start() {
    let world = World::new().await;
    let Some(disk) = SmallDisk::mount(&world) else { return };
    let directory = world.directory.path();
    let load = Load::default();
    let mut process = Process::start(directory).await;
    for _ in 0..5 {
        assert_eq!(load.push_next(&process.url).await, Some(202));
    }
    process.kill();
    assert!(mount(&["-o", "remount,ro"], &disk.0), "it was mounted before");
    let mut process = Process::spawn(directory, &[]);
    let status = process.until_ready().await.expect_err("it can't serve");
    assert_eq!(status.code(), Some(74), "{}", process.log());
    let said = process.log().lines().last().unwrap_or_default().to_owned();
    assert!(said.starts_with("coalesced: failed to "), "{said}");
    println!("read-only: {said}");
    assert!(mount(&["-o", "remount,rw"], &disk.0), "it was mounted before");
    let process = Process::start(directory).await;
    load.check_repeated(0, &process.url).await;
    load.check_listed(&process.url).await;
}
