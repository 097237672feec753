//! Connections as clients see them: over real loopback sockets, with limits of milliseconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use axum::routing::get;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Listen;

const SHORT: Duration = Duration::from_millis(150);
/// How long a test waits for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(5);

struct Server {
    address: SocketAddr,
    end: CancellationToken,
    served: JoinHandle<Drained>,
}

fn start(limits: Limits) -> Server {
    let listeners = Listeners::of(&[Listen::Tcp("127.0.0.1:0".parse().expect("an address"))]).expect("bound");
    let Listen::Tcp(address) = listeners.addresses()[0] else { panic!("not TCP") };
    let router = Router::new().route("/", get("hello")).route(
        "/slow",
        get(async || {
            tokio::time::sleep(SHORT * 2).await;
            "slow"
        }),
    );
    let end = CancellationToken::new();
    let served = tokio::spawn(serve(listeners, limits, router, end.clone()));
    Server { address, end, served }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Sends `bytes` and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &'static str) -> String {
    let talk = move || {
        let mut stream = connect(address);
        stream.write_all(bytes.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read to the end");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.expect("ended")
}

#[tokio::test]
async fn a_request_is_answered_and_the_end_is_graceful() {
    let server = start(Limits::DEFAULT);
    let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert!(
        exchange(server.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ends_with("hello")
    );
    tokio::time::sleep(SHORT).await;
    server.end.cancel();
    assert!(slow.await.expect("ended").ends_with("slow"), "the request under way got its answer");
    assert_eq!(server.served.await.expect("ended"), Drained::Whole);
    assert!(TcpStream::connect(server.address).is_err(), "the port is closed");
}

#[tokio::test]
async fn a_request_longer_than_the_drain_is_cut_off() {
    let server = start(Limits { drain: SHORT / 3, ..Limits::DEFAULT });
    let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"));
    tokio::time::sleep(SHORT).await;
    server.end.cancel();
    assert_eq!(server.served.await.expect("ended"), Drained::CutOff);
    slow.await.expect("ended");
}

#[tokio::test]
async fn clients_that_say_nothing_or_half_a_header_are_closed() {
    let server = start(Limits { header_time: SHORT, ..Limits::DEFAULT });
    for bytes in ["", "PRI", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let began = Instant::now();
        exchange(server.address, bytes).await;
        assert!((SHORT..PATIENCE).contains(&began.elapsed()), "{bytes:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn headers_beyond_the_limits_are_refused() {
    let server = start(Limits::DEFAULT);
    let many = "GET / HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(HEADER_FIELDS_MAX + 1) + "\r\n";
    let answer = exchange(server.address, many.leak()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_permit() {
    let server = start(Limits { connections: 1, ..Limits::DEFAULT });
    let idle = connect(server.address);
    tokio::time::sleep(SHORT).await;
    let second = tokio::spawn(exchange(server.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    tokio::time::sleep(SHORT).await;
    assert!(!second.is_finished());
    drop(idle);
    assert!(second.await.expect("ended").ends_with("hello"));
}

#[test]
fn an_address_has_so_many_connections_and_loopback_any_number() {
    let clients = Arc::new(Clients::default());
    let address: IpAddr = "192.0.2.7".parse().expect("an address");
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().expect("an address");
    let first = clients.reserve(address, 2).expect("let in");
    let _second = clients.reserve(mapped, 2).expect("let in");
    assert!(clients.reserve(address, 2).is_err());
    assert!(clients.reserve("192.0.2.8".parse().expect("an address"), 2).is_ok());
    drop(first);
    assert!(clients.reserve(address, 2).is_ok());
    for _ in 0..9 {
        assert!(matches!(clients.reserve("127.0.0.1".parse().expect("an address"), 2), Ok(None)));
    }
    assert_eq!(clients.0.lock().expect("whole").len(), 1);
}

#[tokio::test]
async fn a_unix_socket_is_for_its_group_replaces_a_stale_one_and_goes_with_the_daemon() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket that is left over"));
    let listeners = Listeners::of(&[Listen::Unix(path.clone())]).expect("bound");
    assert_eq!(listeners.addresses(), [Listen::Unix(path.clone())]);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
    assert!(Listeners::of(&[Listen::Unix(path.clone())]).is_err(), "a live one is not replaced");

    let end = CancellationToken::new();
    let router = Router::new().route("/", get("hello"));
    let served = tokio::spawn(serve(listeners, Limits::DEFAULT, router, end.clone()));
    let talk_path = path.clone();
    let talk = move || {
        let mut stream = UnixStream::connect(talk_path).expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read to the end");
        answer
    };
    assert!(tokio::task::spawn_blocking(talk).await.expect("ended").ends_with("hello"));
    end.cancel();
    served.await.expect("ended");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes");
    std::fs::write(&path, "keep me").expect("written");
    assert!(Listeners::of(&[Listen::Unix(path.clone())]).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "keep me");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    use std::future::poll_fn;
    let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair");
    let mut ours = StallLimit::new(ours, SHORT);
    let began = Instant::now();
    let error = loop {
        let written = poll_fn(|cx| std::pin::Pin::new(&mut ours).poll_write(cx, &[0; 4_096])).await;
        if let Err(error) = written {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() >= SHORT);
    drop(theirs);
}
