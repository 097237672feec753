//! The way in for all others, and the answers that don't need the driver.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Configuration, Message};
use crate::clock::wall;
use crate::command::Command;
use crate::config::Rules;
use crate::event::{Closure, Delivery, Disposition, End, Event};
use crate::journal::{BuildQuery, EventQuery, Fate, HistoryError, JournalError, LIST_LIMIT_MAX, Reader, Vitals};
use crate::model::{BuildId, EventId, ImageName, Seq};
use crate::scheduler::Decision;
use crate::scheduler::record::BuildRecord;
use crate::status::{self, BuildView, Health, HealthStatus, LaneView, Picture, Receipt, RestoredView};
use crate::telemetry;

/// Everyone else's handle to the driver: cheap to clone, shared by all requests.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    rules: watch::Receiver<Arc<Rules>>,
    picture: watch::Receiver<Picture>,
    metrics: Arc<Registry>,
    reader: Reader,
    vitals: Arc<Vitals>,
    receipts_url: String,
}

/// A delivery that is on disk.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// One receipt for each event, in order.
    pub receipts: Vec<Receipt>,
    /// A repeated delivery: these are the receipts of the first one.
    pub repeated: bool,
    /// Part of it asks for a build, whatever becomes of that.
    pub builds: bool,
}

/// Why nothing was accepted. Clients see both as a 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("too many requests wait to be written; try again in a second")]
    Full,
    #[error("the daemon is ending")]
    Ending,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no image '{0}' is configured")]
    UnknownImage(ImageName),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The most event ids that a build shows.
const BUILD_EVENTS_MAX: usize = 200;

impl Handle {
    pub(super) fn new(
        inbox: mpsc::Sender<Message>,
        rules: watch::Receiver<Arc<Rules>>,
        picture: watch::Receiver<Picture>,
        metrics: Registry,
        (reader, vitals): (Reader, Arc<Vitals>),
        receipts_url: String,
    ) -> Self {
        Self { inbox, rules, picture, metrics: Arc::new(metrics), reader, vitals, receipts_url }
    }

    /// What is published after each step; exports use it.
    pub fn watch(&self) -> (watch::Receiver<Picture>, Reader, Arc<Vitals>) {
        (self.picture.clone(), self.reader.clone(), self.vitals.clone())
    }

    /// Hands in a delivery and waits until it is on disk.
    pub async fn accept(&self, delivery: Delivery) -> Result<Acceptance, Unavailable> {
        let wants_build = delivery.new_events.iter().any(|new| matches!(new.disposition, Disposition::Build { .. }));
        match self.ask(|answer| Message::Deliver(delivery, answer)).await? {
            Decision::Recorded { events } => {
                let (picture, now) = (self.picture.borrow(), wall());
                let receipt = |event: &Event| status::receipt(event, None, None, &picture, &self.receipts_url, now);
                let receipts = events.iter().map(|event| receipt(event)).collect();
                let builds = events.iter().any(|event| event.verdict.asks_for_build());
                Ok(Acceptance { receipts, repeated: false, builds })
            }
            Decision::Repeated { first, count } => {
                let numbers: Vec<Seq> = (0..u64::from(count)).map(|n| Seq(first.0 + n)).collect();
                let first = self.read(move |handle| handle.first_time(&numbers)).await;
                let (receipts, wanted) = first.unwrap_or_default();
                Ok(Acceptance { receipts, repeated: true, builds: wants_build || wanted })
            }
            Decision::Executed { .. } | Decision::UnknownImage(_) => {
                Ok(Acceptance { receipts: Vec::new(), repeated: false, builds: false })
            }
        }
    }

    /// Carries out a person's command and returns the lanes it applied to, in their new state.
    pub async fn command(&self, command: Command) -> Result<Vec<LaneView>, CommandError> {
        match self.ask(|answer| Message::Command(command, answer)).await? {
            Decision::Executed { images } => Ok(images.iter().filter_map(|image| self.lane(image)).collect()),
            Decision::UnknownImage(image) => Err(CommandError::UnknownImage(image)),
            Decision::Recorded { .. } | Decision::Repeated { .. } => Ok(Vec::new()),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }

    /// Puts a configuration in force, and waits until it is.
    pub async fn configure(&self, configuration: Configuration) -> Result<(), Unavailable> {
        let (answer, in_force) = oneshot::channel();
        self.send(Message::Configure(Box::new(configuration), answer))?;
        in_force.await.map_err(|_| Unavailable::Ending)
    }

    /// Reports that something changed at the back-end. Only a hint: dropped if the inbox is full.
    pub fn hint(&self, image: ImageName) {
        let _ = self.inbox.try_send(Message::Hint(image));
    }

    /// Every lane, in the order of image names.
    pub fn lanes(&self) -> Vec<LaneView> {
        let (picture, now) = (self.picture.borrow(), wall());
        picture.lanes.keys().filter_map(|image| status::lane_view(image, &picture, now)).collect()
    }

    pub fn lane(&self, image: &ImageName) -> Option<LaneView> {
        status::lane_view(image, &self.picture.borrow(), wall())
    }

    pub fn health(&self) -> Health {
        let picture = self.picture.borrow();
        let blocked: Vec<ImageName> = picture
            .lanes
            .values()
            .filter(|lane| lane.refusal.as_ref().is_some_and(|refusal| refusal.blocked))
            .map(|lane| lane.image.clone())
            .collect();
        let restored = self.vitals.restored().map(RestoredView::of);
        let is_well = blocked.is_empty() && restored.is_none();
        Health {
            status: if is_well { HealthStatus::Ok } else { HealthStatus::Degraded },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            images: picture.lanes.len(),
            open_events: picture.open_events(),
            blocked,
            restored,
        }
    }

    /// The events that match, newest first.
    pub async fn events(&self, mut query: EventQuery) -> Result<Vec<Receipt>, HistoryError> {
        query.limit = query.limit.min(LIST_LIMIT_MAX);
        self.read(move |handle| {
            let events = handle.reader.events(&query)?;
            events.iter().map(|event| handle.receipt_of(event)).collect()
        })
        .await
    }

    pub async fn event(&self, id: EventId) -> Result<Option<Receipt>, HistoryError> {
        self.read(move |handle| {
            let event = handle.reader.event(id.seq)?.filter(|event| event.id() == id);
            event.map(|event| handle.receipt_of(&event)).transpose()
        })
        .await
    }

    /// The builds that match, newest first.
    pub async fn builds(&self, mut query: BuildQuery) -> Result<Vec<BuildView>, HistoryError> {
        query.limit = query.limit.min(LIST_LIMIT_MAX);
        self.read(move |handle| {
            let builds = handle.reader.builds(&query)?;
            builds.iter().map(|record| handle.build_of(record)).collect()
        })
        .await
    }

    pub async fn build(&self, id: BuildId) -> Result<Option<BuildView>, HistoryError> {
        self.read(move |handle| handle.reader.build(id)?.map(|record| handle.build_of(&record)).transpose()).await
    }

    /// The driver's counters as Prometheus text.
    pub fn metrics(&self) -> String {
        telemetry::exposition(&self.metrics)
    }

    async fn ask(&self, message: impl FnOnce(oneshot::Sender<Decision>) -> Message) -> Result<Decision, Unavailable> {
        let (answer, decision) = oneshot::channel();
        self.send(message(answer))?;
        // The driver drops the ticket only if it ends before the step is written.
        decision.await.map_err(|_| Unavailable::Ending)
    }

    fn send(&self, message: Message) -> Result<(), Unavailable> {
        self.inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Full,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Ending,
        })
    }

    /// Reads the history on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let handle = self.clone();
        let answer = tokio::task::spawn_blocking(move || question(&handle)).await;
        match answer {
            Ok(answer) => answer.map_err(|error| HistoryError(error.to_string())),
            Err(error) => Err(HistoryError(error.to_string())),
        }
    }

    /// The receipts of a repeated delivery, as far as they are remembered, and whether any of them asks for a build.
    fn first_time(&self, numbers: &[Seq]) -> Result<(Vec<Receipt>, bool), JournalError> {
        let mut receipts = Vec::with_capacity(numbers.len());
        let mut asked = false;
        for seq in numbers {
            if let Some(event) = self.reader.event(*seq)? {
                asked |= event.verdict.asks_for_build();
                receipts.push(self.receipt_of(&event)?);
            }
        }
        Ok((receipts, asked))
    }

    fn receipt_of(&self, event: &Event) -> Result<Receipt, JournalError> {
        let (closure, build) = self.end_of(event)?;
        let picture = self.picture.borrow();
        Ok(status::receipt(event, closure.as_ref(), build.as_ref(), &picture, &self.receipts_url, wall()))
    }

    fn end_of(&self, event: &Event) -> Result<(Option<Closure>, Option<BuildRecord>), JournalError> {
        let (Some(image), Some(git_ref)) = (&event.image, &event.git_ref) else { return Ok((None, None)) };
        let Fate::Ended(closure) = self.reader.fate(image, git_ref, event.seq)? else { return Ok((None, None)) };
        let build = match closure.end {
            End::BuiltBy(id) | End::Cancelled { build: id, .. } => self.reader.build(id)?,
            End::DroppedBy { .. } | End::RefDeleted => None,
        };
        Ok((Some(closure), build))
    }

    fn build_of(&self, record: &BuildRecord) -> Result<BuildView, JournalError> {
        let events = match (&record.git_ref, record.span) {
            (Some(git_ref), Some(span)) => self.reader.span(&record.image, git_ref, span, BUILD_EVENTS_MAX)?,
            _ => Vec::new(),
        };
        let ids = events.iter().map(|event| event.id().to_string()).collect();
        Ok(status::build_view(record, ids, &self.picture.borrow()))
    }
}
