//! What is found where, and who gets a token.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const URL: &str = "http://127.0.0.1:8484";

fn data_dir_with(url: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let file = ClientFile { url: url.to_owned(), token: Secret::new("test-token-file".to_owned()), pid: 123 };
    file.write(dir.path()).expect("write the file");
    dir
}

fn reach(url: Option<&str>, token: Option<&str>) -> Reach {
    Reach { url: url.map(str::to_owned), token: token.map(|text| Secret::new(text.to_owned())), data_dir: None }
}

fn shown(target: &Target) -> (&str, Option<&str>) {
    (&target.url, target.token.as_ref().map(Secret::expose))
}

#[test]
fn the_file_is_for_its_owner_only_and_comes_back_as_it_was() {
    let dir = data_dir_with(URL);
    let path = dir.path().join("client.json");
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("its text");
    assert_eq!(text, "{\"url\":\"http://127.0.0.1:8484\",\"token\":\"test-token-file\",\"pid\":123}\n");
    let file = ClientFile::read(dir.path()).expect("readable").expect("there");
    assert_eq!((file.url.as_str(), file.token.expose(), file.pid), (URL, "test-token-file", 123));
    assert!(!format!("{file:?}").contains("test-token"), "a token has no Debug");
}

#[test]
fn writing_again_replaces_the_file_and_leaves_nothing_else_behind() {
    let dir = data_dir_with(URL);
    let next = ClientFile { url: URL.to_owned(), token: Secret::new("test-token-next".to_owned()), pid: 124 };
    next.write(dir.path()).expect("write again");
    assert_eq!(ClientFile::read(dir.path()).expect("readable").expect("there").pid, 124);
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1);
    ClientFile::remove(dir.path()).expect("remove");
    ClientFile::remove(dir.path()).expect("remove what is gone");
    assert!(ClientFile::read(dir.path()).expect("readable").is_none());
}

#[test]
fn the_first_directory_with_a_file_names_the_daemon() {
    let empty = tempfile::tempdir().expect("a directory");
    let first = data_dir_with(URL);
    let second = data_dir_with("http://127.0.0.1:9");
    let places = [empty.path().to_owned(), first.path().to_owned(), second.path().to_owned()];
    let target = reach(None, None).find_in(&places).expect("found");
    assert_eq!(shown(&target), (URL, Some("test-token-file")));
}

#[test]
fn what_is_given_by_hand_goes_first() {
    let dir = data_dir_with(URL);
    let target = reach(None, Some("test-token-hand")).find_in(&[dir.path().to_owned()]).expect("found");
    assert_eq!(shown(&target), (URL, Some("test-token-hand")));
    let target = reach(Some("https://builds.example.org/"), Some("test-token-hand")).find_in(&[]).expect("given");
    assert_eq!(shown(&target), ("https://builds.example.org", Some("test-token-hand")));
}

#[test]
fn a_token_from_the_file_is_never_shown_to_another_address() {
    let dir = data_dir_with(URL);
    let places = [dir.path().to_owned()];
    let elsewhere = reach(Some("https://builds.example.org"), None).find_in(&places).expect("given");
    assert_eq!(shown(&elsewhere), ("https://builds.example.org", None));
    let same = reach(Some("http://127.0.0.1:8484/"), None).find_in(&places).expect("given");
    assert_eq!(shown(&same), (URL, Some("test-token-file")));
}

#[test]
fn an_empty_variable_counts_as_none() {
    let dir = data_dir_with(URL);
    let target = reach(Some(""), Some("")).find_in(&[dir.path().to_owned()]).expect("found");
    assert_eq!(shown(&target), (URL, Some("test-token-file")));
}

#[test]
fn where_no_file_is_the_places_are_named() {
    let error = reach(None, None).find_in(&["/nowhere/a".into(), "/nowhere/b".into()]).expect_err("nothing there");
    assert_eq!(error.exit_code(), 69);
    assert_eq!(
        error.to_string(),
        "no daemon found: there is no client.json in /nowhere/a, /nowhere/b; start one with 'coalesced serve', or pass \
         --url and --token"
    );
}

#[test]
fn a_daemon_on_a_unix_socket_only_is_told_as_that() {
    let dir = data_dir_with("unix:/run/coalesced.sock");
    let error = reach(None, None).find_in(&[dir.path().to_owned()]).expect_err("no TCP address");
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains("/run/coalesced.sock"), "{error}");
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    for bad in ["https://me:hunter2@example.org", "https://example.org/?token=hunter2", "ftp://example.org", "hunter2"]
    {
        let error = reach(Some(bad), None).find_in(&[]).expect_err(bad);
        assert_eq!(error.exit_code(), 2, "{bad}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_garbled_file_is_named_and_not_quoted() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("client.json"), "{\"token\":\"test-token-half").expect("write half a file");
    let error = reach(None, None).find_in(&[dir.path().to_owned()]).expect_err("half a file");
    assert_eq!(error.exit_code(), 74);
    assert!(!error.to_string().contains("test-token"), "{error}");
}

#[test]
fn a_named_data_directory_is_the_only_one_asked() {
    let mut reach = reach(None, None);
    let state = OsStr::new("/var/lib/unit:/var/lib/other");
    let usual = ["/var/lib/unit", "./coalesced-data", "/var/lib/coalesced"].map(PathBuf::from);
    assert_eq!(reach.places(Some(state)), usual);
    assert_eq!(reach.places(None), usual[1..]);
    reach.data_dir = Some("/srv/data".into());
    assert_eq!(reach.places(Some(state)), [PathBuf::from("/srv/data")]);
}

#[test]
fn a_file_closed_to_us_is_not_allowed() {
    let error = LocateError::File(ClientFileError::Unreadable {
        path: "/var/lib/coalesced/client.json".into(),
        source: io::ErrorKind::PermissionDenied.into(),
    });
    assert_eq!(error.exit_code(), 77);
}
