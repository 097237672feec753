//! Pushes passed over for what they touch or for their authors, as GitHub reports them, through the real
//! binary and an emulated Docker Hub (R10).

use serde_json::{Value, json};

use crate::daemon::{Push, SECRET, Stage, Wanted, builds_take, commit, quiet, run_in, sign, text};

const RULES: &str = "paths = { exclude = [\"drafts/**\", \"**/*.txt\"] }\nignore_authors = [\"renovate[bot]\"]";

/// A push with one commit, as GitHub's request body.
struct Told {
    push: Push,
    body: Value,
}

impl Told {
    /// The `number`-th push to master: Ada changes `files`.
    fn new(number: u32, files: &[&str]) -> Self {
        Self::by("ada", number, files)
    }

    fn by(author: &str, number: u32, files: &[&str]) -> Self {
        let push = Push::to_branch("master", number);
        let mut body: Value = serde_json::from_str(&push.body()).expect("JSON");
        for commit in ["/commits/0", "/head_commit"] {
            let commit = body.pointer_mut(commit).expect("a commit");
            commit["author"] = json!({"name": author, "email": "x@example.org", "username": author});
            commit["committer"] = json!({"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"});
            commit["modified"] = json!(files);
        }
        body["sender"] = json!({"login": author, "type": "User"});
        body["pusher"] = json!({"name": author, "email": null});
        Self { push, body }
    }

    fn with(mut self, place: &str, value: Value) -> Self {
        *self.body.pointer_mut(place).expect("a place in the body") = value;
        self
    }

    fn saying(self, message: &str) -> Self {
        self.with("/commits/0/message", json!(message)).with("/head_commit/message", json!(message))
    }
}

async fn stage() -> Stage {
    Stage::set(builds_take(100), Wanted { image: RULES.to_owned(), ..quiet("200ms") }).await
}

/// Moves the tip and delivers the push; returns the status, and the receipt's state and words.
async fn tell(world: &Stage, told: &Told) -> (u16, String, String) {
    world.tip(&told.push);
    let body = told.body.to_string();
    let signature = sign(SECRET, body.as_bytes());
    let (status, answer) =
        world.daemon.hook(&body, "application/json", "push", &told.push.delivery, Some(&signature)).await;
    let field = |key: &str| answer["receipts"][0][key].as_str().unwrap_or_default().to_owned();
    if status == 200 {
        assert_eq!(answer["reason"], field("why"), "{answer:#}");
    }
    (status, field("state"), field("why"))
}

async fn assert_built(world: &Stage, told: &Told) {
    let (status, state, why) = tell(world, told).await;
    assert_eq!((status, state.as_str()), (202, "waiting"), "{why}: {:#}", told.body);
    world.daemon.until_at_rest().await;
    assert!(world.has_built(&told.push.after));
}

async fn assert_passed_over(world: &Stage, told: &Told, expected: &str) {
    let answered = tell(world, told).await;
    assert_eq!(answered, (200, "skipped".to_owned(), expected.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_make_no_builds_and_what_waits_behind_them_is_not_forgotten() {
    let mut world = stage().await;
    // Nothing was built before, so what is missing is unknown.
    assert_built(&world, &Told::new(1, &["drafts/a.md"])).await;
    let two = Told::new(2, &["drafts/a.md", "notes/b.txt"]);
    assert_passed_over(&world, &two, "no file matches `paths`: drafts/a.md and 1 more").await;
    assert_built(&world, &Told::new(3, &["drafts/a.md", "index.md"])).await;
    assert_eq!(world.builds().len(), 2);

    // A marked push changes the page. Then the daemon is killed, and a draft comes: its build includes the page.
    let marked = Told::new(4, &["index.md"]).saying("Not now [skip ci]");
    assert_passed_over(&world, &marked, "every commit of the push has a skip marker: [skip ci]").await;
    world.daemon.kill();
    world.daemon.restart().await;
    assert_built(&world, &Told::new(5, &["drafts/a.md"])).await;
    let outside = "no file matches `paths`: drafts/a.md";
    assert_passed_over(&world, &Told::new(6, &["drafts/a.md"]), outside).await;
    assert_eq!(world.builds().len(), 3);
    let explained = text(&world.daemon.run(&["explain", &commit(6)]).stdout);
    assert!(explained.contains(outside), "{explained}");
    // Redelivered, it is answered as before.
    assert_passed_over(&world, &Told::new(6, &["drafts/a.md"]), outside).await;

    // A page is pushed and dropped by a person; the next draft's build includes it.
    let (status, state, _) = tell(&world, &Told::new(7, &["index.md"])).await;
    assert_eq!((status, state.as_str()), (202, "waiting"));
    assert!(world.daemon.run(&["drop", "acme/web"]).status.success());
    assert_built(&world, &Told::new(8, &["drafts/a.md"])).await;

    // The webhook of push 9 never arrives.
    world.tip(&Told::new(9, &["index.md"]).push);
    assert_built(&world, &Told::new(10, &["drafts/a.md"])).await;
    assert_passed_over(&world, &Told::new(11, &["drafts/a.md"]), outside).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_for_certain_is_built() {
    let world = stage().await;
    let draft = |number| Told::new(number, &["drafts/a.md"]);
    assert_built(&world, &draft(1)).await;
    assert_built(&world, &draft(2).with("/forced", json!(true))).await;
    assert_built(&world, &draft(3).with("/commits", json!([]))).await;
    assert_built(&world, &draft(4).with("/commits/0/modified", json!([]))).await;
    let one = draft(5).body["commits"][0].clone();
    assert_built(&world, &draft(5).with("/commits", json!(vec![one; 2_048]))).await;
    assert_passed_over(&world, &draft(6), "no file matches `paths`: drafts/a.md").await;
    let mut branch = draft(7).with("/before", json!("0".repeat(40))).with("/ref", json!("refs/heads/dev"));
    branch.push.git_ref = "refs/heads/dev".to_owned();
    assert_built(&world, &branch).await;
    let mut tag = draft(8).with("/ref", json!("refs/tags/v1"));
    tag.push.git_ref = "refs/tags/v1".to_owned();
    let (status, state, _) = tell(&world, &tag).await;
    assert_eq!((status, state.as_str()), (202, "queued"), "a tag is built at once");
    world.daemon.until_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_pushes_waits_for_a_person() {
    let world = stage().await;
    assert_built(&world, &Told::new(1, &["index.md"])).await;
    let by = "all commits are by `ignore_authors`: renovate[bot]";
    assert_passed_over(&world, &Told::by("renovate[bot]", 2, &["go.mod"]), by).await;
    // A person merges what it proposed.
    let merged = Told::by("renovate[bot]", 3, &["go.mod"]).with("/sender/login", json!("ada"));
    assert_built(&world, &merged).await;
    // It pushes once more, and then a person a draft: the build holds both.
    assert_passed_over(&world, &Told::by("renovate[bot]", 4, &["go.mod"]), by).await;
    assert_built(&world, &Told::new(5, &["drafts/a.md"])).await;
    // Its own drafts leave nothing to build.
    assert_passed_over(&world, &Told::by("renovate[bot]", 6, &["drafts/b.md"]), by).await;
    let outside = "no file matches `paths`: drafts/a.md";
    assert_passed_over(&world, &Told::new(7, &["drafts/a.md"]), outside).await;
    assert_eq!(world.builds().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_after_a_restart_look_anew_at_what_was_passed_over() {
    let mut world = stage().await;
    assert_built(&world, &Told::new(1, &["index.md"])).await;
    let outside = "no file matches `paths`: drafts/a.md";
    assert_passed_over(&world, &Told::new(2, &["drafts/a.md"]), outside).await;
    assert_eq!(world.daemon.terminate(), Some(0));
    let file = world.daemon.directory.path().join("coalesced.toml");
    let config = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, config.replace("\"drafts/**\", ", "")).expect("writable");
    world.daemon.restart().await;
    // What push 2 touched is within the new paths.
    assert_built(&world, &Told::new(3, &["notes/b.txt"])).await;
    let outside = "no file matches `paths`: notes/b.txt";
    assert_passed_over(&world, &Told::new(4, &["notes/b.txt"]), outside).await;
}

#[test]
fn check_shows_the_filters_and_points_at_mistakes_in_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = run_in(directory.path(), &["init", "--image", "acme/web", "--repository", "github.com/acme/web"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let path = directory.path().join("coalesced.toml");
    let written = std::fs::read_to_string(&path).expect("it was written");
    let trigger = "https://hub.docker.com/u/acme/web/trigger/test-token-trigger/";
    let written = written.replace("PASTE-THE-TRIGGER-URL-OF-DOCKER-HUB-HERE", trigger);
    let table = "[image.\"acme/web\"]\n";
    let check = |rules: &str| {
        std::fs::write(&path, written.replacen(table, &format!("{table}{rules}\n"), 1)).expect("writable");
        let checked = run_in(directory.path(), &["check"]);
        (checked.status.code(), text(&checked.stdout), text(&checked.stderr))
    };
    let (code, shown, said) = check(RULES);
    assert_eq!(code, Some(0), "{said}");
    for line in ["include = [\"**\"]", "\"drafts/**\"", "ignore_authors = [\"renovate[bot]\"]"] {
        assert!(shown.contains(line), "{line} in:\n{shown}");
    }
    let (code, _, said) = check("paths = { include = [\"!drafts/**\"] }");
    assert_eq!(code, Some(78));
    assert!(said.contains("coalesced.toml:") && said.contains("under 'exclude' instead"), "{said}");
}
