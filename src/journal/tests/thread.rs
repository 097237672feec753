//! A thread that fails: nothing is written after it, and those who wait get an error.

use super::*;

/// Writes with `F`, and tidies up with this outcome.
struct Told<F>(F, Result<(), JournalError>);

impl<F: FnMut(Vec<Put>, Retention) -> Result<(), JournalError>> Writer for Told<F> {
    fn write(&mut self, puts: Vec<Put>, retention: Retention) -> Result<(), JournalError> {
        self.0(puts, retention)
    }

    fn after_commit(&mut self) -> Result<(), JournalError> {
        self.1.clone()
    }
}

/// A journal whose thread does what `write` says.
fn served(write: impl FnMut(Vec<Put>, Retention) -> Result<(), JournalError> + Send + 'static) -> Journal {
    served_by(Told(write, Ok(())))
}

fn served_by(mut writer: impl Writer + Send + 'static) -> Journal {
    let (commands, inbox) = std::sync::mpsc::sync_channel(COMMANDS_MAX);
    let vitals = Arc::new(quiet());
    let of_thread = vitals.clone();
    let thread = std::thread::spawn(move || serve(&mut writer, &inbox, &of_thread));
    Journal { commands, thread, vitals }
}

async fn commit_one(journal: &Journal) -> Result<Committed, JournalError> {
    journal.commit(vec![Put { key: b"h".to_vec(), value: Some(Vec::new()) }], Retention::NOTHING).await
}

#[tokio::test]
async fn a_write_that_fails_is_the_last_one() {
    let journal = served(|_, _| Err(JournalError::Write("no space".to_owned())));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Write(_))));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}

#[tokio::test]
async fn a_failure_after_a_step_is_reported_to_the_next_and_ends_the_thread() {
    let mut steps = 0;
    let write = move |_, _| {
        steps += 1;
        assert_eq!(steps, 1, "nothing is written after a failure");
        Ok(())
    };
    let journal = served_by(Told(write, Err(JournalError::Write("not readable".to_owned()))));
    assert!(commit_one(&journal).await.is_ok(), "it is on disk");
    match commit_one(&journal).await {
        Err(JournalError::Write(why)) => assert_eq!(why, "not readable"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}

#[tokio::test]
async fn a_panic_of_the_thread_is_an_error_for_the_waiting_caller() {
    let journal = served(|_, _| panic!("as sled may"));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}
