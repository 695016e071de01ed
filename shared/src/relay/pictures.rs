//! Pictures that lie elsewhere: fetched, and uploaded to where the chat can show them, before their message is begun.
//! Beside the lanes, so that a silent server holds up no room but for the equals behind its message; an alarm waits for
//! pictures only a moment, and whoever finds nobody at work on them goes on without.
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Relay;
use super::accept::part;
use super::dispatch::{Budget, News};
use crate::channel::{Channel, UploadCall};
use crate::compose::{Medium, Said, compose};
use crate::config::Room;
use crate::fetch::{Fetched, Fetcher};
use crate::message::Media;
use crate::picture::{Missing, Picture};
use crate::route::RoutingKey;
use crate::seal::Place;
use crate::store::StoreError;
use crate::store::answers::CallNote;
use crate::store::pictures::{Brought, Errand};
use crate::telemetry::metrics;

/// Errands of one dispatcher at a time, and of one room: one room's pictures leave hands for the others'.
const ERRANDS: usize = 40;
const OF_A_ROOM: i64 = 20;

/// So long an alarm waits for its pictures: what is behind it may be another.
const URGENT_PATIENCE: Duration = Duration::from_secs(2);

/// Pictures of one message that are brought at a time.
const PICTURES: usize = 5;

/// How often bringing a delivery's pictures is begun, should those who do it die.
const TRIES: i16 = 3;

/// Between the first two tries of an upload that the provider could not take; doubled from then on.
const UPLOAD_PAUSE: Duration = Duration::from_millis(500);

/// What pictures are brought with, for one dispatch: after a thaw kept-alive connections are dead.
struct Tools {
    fetcher: Option<Fetcher>,
    channels: HashMap<String, Box<dyn Channel>>,
}

impl Tools {
    fn of(&self, channel: &str) -> Option<(&Fetcher, &dyn Channel)> {
        self.fetcher.as_ref().zip(self.channels.get(channel).map(AsRef::as_ref))
    }
}

impl Relay {
    /// Brings pictures while a budget that polls lasts. A door does not, since while it waited for a stranger's server an
    /// alarm would lie unaccepted; but where nobody has brought them, it ends the waiting. Whether it did.
    pub(super) async fn bring(&self, budget: &Budget, news: &mpsc::UnboundedSender<News>) -> bool {
        let Some(poll) = budget.poll else {
            return self.give_up_overdue(budget).await.unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "pictures wait");
                false
            });
        };
        // Made for the first errand: most dispatches have none.
        let tools = OnceLock::new();
        let mut running = FuturesUnordered::new();
        let finished = |done: Result<bool, StoreError>| match done {
            Ok(true) => drop(news.send(News::Ready)),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "pictures are brought again later");
            }
        };
        loop {
            let may_begin = self.may_begin(budget);
            if running.is_empty() && !may_begin {
                return false;
            }
            let room = ERRANDS - running.len().min(ERRANDS);
            let next = async { if may_begin && room > 0 { Some(self.errands(budget, room).await) } else { None } };
            let mut next = std::pin::pin!(next);
            // Who runs is polled also while more are looked for: they hold connections that everybody waits for.
            let found = loop {
                tokio::select! {
                    found = &mut next => break found,
                    Some(done) = running.next(), if !running.is_empty() => finished(done),
                }
            };
            match found {
                Some(Ok((mark, errands))) => {
                    running.extend(errands.into_iter().map(|errands| self.run_errands(errands, mark, Some(&tools))));
                }
                Some(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "pictures wait"),
                None => {}
            }
            tokio::select! {
                Some(done) = running.next(), if !running.is_empty() => finished(done),
                () = budget.rest(poll), if may_begin => {}
                else => {}
            }
        }
    }

    /// Whether what is begun now ends before the function does.
    fn may_begin(&self, budget: &Budget) -> bool {
        !budget.is_over() && Instant::now() + self.settings.media.patience + self.settings.lanes.margin <= budget.end
    }

    /// Goes on without the pictures that nobody has brought in twice the time that it may take; for an alarm at once
    /// where no dispatcher is at work. A dispatcher that is away costs pictures, not the room.
    async fn give_up_overdue(&self, budget: &Budget) -> Result<bool, StoreError> {
        if !self.store.awaits_pictures(&budget.rooms).await? {
            return Ok(false);
        }
        let margin = self.settings.lanes.margin;
        let alarms = if self.dispatcher_works().await? { URGENT_PATIENCE * 2 + margin } else { Duration::ZERO };
        let (mark, others) = (Uuid::new_v4(), self.settings.media.patience * 2 + margin);
        let overdue = self.store.take_overdue_pictures(&budget.rooms, mark, alarms, others, margin).await?;
        let mut ready = false;
        for errands in self.together(overdue) {
            ready |= self.run_errands(errands, mark, None).await?;
        }
        Ok(ready)
    }

    async fn errands(&self, budget: &Budget, at_most: usize) -> Result<(Uuid, Vec<Vec<Errand>>), StoreError> {
        let (mark, at_most) = (Uuid::new_v4(), i64::try_from(at_most).unwrap_or(1));
        let lease = self.settings.media.patience + self.settings.lanes.margin;
        let errands = self.store.take_pictures(&budget.rooms, at_most, mark, lease, OF_A_ROOM).await?;
        Ok((mark, self.together(errands)))
    }

    /// Those of one message and channel together: their pictures are brought once.
    fn together(&self, errands: Vec<Errand>) -> Vec<Vec<Errand>> {
        let mut together: Vec<Vec<Errand>> = Vec::new();
        let channel = |errand: &Errand| self.room(&errand.room).map(|room| room.channel.as_str());
        for errand in errands {
            let fits = |group: &&mut Vec<Errand>| group[0].uid == errand.uid && channel(&group[0]) == channel(&errand);
            match together.iter_mut().find(fits) {
                Some(group) => group.push(errand),
                None => together.push(vec![errand]),
            }
        }
        together
    }

    /// How long the pictures of these may take. Half of what is left until a message is too old, or until its producer
    /// takes over, is for posting it.
    fn patience(&self, errands: &[Errand]) -> Duration {
        let left = errands.iter().map(|errand| errand.left).min().unwrap_or_default() / 2;
        let urgent = errands.iter().any(|errand| errand.urgent);
        let most = if urgent { URGENT_PATIENCE } else { Duration::MAX };
        self.settings.media.patience.min(left).min(most)
    }

    /// Brings the pictures of deliveries of one message and channel (or, without `tools`, takes those that are there),
    /// and makes their parts of what came of it.
    async fn run_errands(
        &self,
        errands: Vec<Errand>,
        mark: Uuid,
        tools: Option<&OnceLock<Tools>>,
    ) -> Result<bool, StoreError> {
        let began = Instant::now();
        let Some(first) = errands.first() else { return Ok(false) };
        let Some(channel) = self.room(&first.room).map(|room| room.channel.as_str()) else { return Ok(false) };
        let Some(limits) = crate::channel::limits(channel) else { return Ok(false) };
        let until = began + self.patience(&errands);
        let tools = tools.map(|tools| (tools.get_or_init(|| self.tools()), until));
        let media = match self.media_of(first) {
            Some(media) => self.bring_all(first, &media, channel, tools).await?,
            // How many there were is not known; that there were some must be said.
            None => vec![Medium::Missing(Missing::GaveUp)],
        };
        let mut ready = false;
        for errand in &errands {
            let Some(room) = self.room(&errand.room) else { continue };
            let said = Said { short_uid: &errand.short_uid, body: &errand.body, media: &media };
            let parts: Vec<Value> = compose(&said, self.dress_of(errand, room), limits).iter().map(part).collect();
            ready |= self.store.pictures_ready(errand.delivery, mark, &Value::Array(parts)).await?;
        }
        let fetch = tools.is_some();
        let (duration_ms, rooms) = (super::lane::millis(began.elapsed()), errands.len());
        tracing::info!(uid = first.uid, media = media.len(), rooms, fetch, ready, duration_ms, "pictures brought");
        Ok(ready)
    }

    /// What its route says of the dress, and else its room.
    fn dress_of(&self, errand: &Errand, room: &Room) -> crate::compose::Dress {
        let source = RoutingKey::parse(&errand.source).ok();
        let route = source.and_then(|source| self.settings.routes.find(&source));
        route.and_then(|route| route.dress).unwrap_or(room.dress)
    }

    /// Its media; `None` where they cannot be unsealed any more.
    fn media_of(&self, errand: &Errand) -> Option<Vec<Media>> {
        let place = Place { table: "messages", column: "media_sealed", row: &errand.uid };
        let plain = errand.media_sealed.as_ref().and_then(|sealed| self.settings.data_keys.open(place, sealed).ok());
        let media = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        if media.is_none() {
            tracing::error!(uid = errand.uid, "the message's pictures cannot be unsealed: is a data key missing?");
        }
        media
    }

    async fn bring_all(
        &self,
        errand: &Errand,
        media: &[Media],
        channel: &str,
        tools: Option<(&Tools, Instant)>,
    ) -> Result<Vec<Medium>, StoreError> {
        let known = self.store.known_pictures(&errand.uid, channel).await?;
        let uploads = self.settings.groupme.access_token.is_some();
        let tools = tools.map(|(tools, until)| (tools.of(channel), until));
        let one = |(index, media): (usize, &Media)| {
            let n = i16::try_from(index + 1).unwrap_or(i16::MAX);
            let known = known.iter().find(|(at, _)| *at == n).map(|(_, url)| url.clone());
            let media = media.clone();
            async move {
                match (Medium::of(&media, uploads), known, tools) {
                    (Medium::Coming, Some(url), _) => Ok(Medium::There(url)),
                    (Medium::Coming, None, _) if errand.tries > TRIES => Ok(Medium::Missing(Missing::GaveUp)),
                    (Medium::Coming, None, None) => Ok(Medium::Missing(Missing::Silent)),
                    (Medium::Coming, None, Some((None, _))) => Ok(Medium::Missing(Missing::Unavailable)),
                    (Medium::Coming, None, Some((Some((fetcher, channel)), until))) => {
                        self.bring_one(errand, n, &media.url, fetcher, channel, until).await
                    }
                    (other, ..) => Ok(other),
                }
            }
        };
        let all: Vec<Result<Medium, StoreError>> =
            stream::iter(media.iter().enumerate().map(one)).buffered(PICTURES).collect().await;
        all.into_iter().collect()
    }

    /// Clients for the channels of all rooms. What cannot be built is said, and its pictures are missing.
    fn tools(&self) -> Tools {
        let fetcher = Fetcher::new(&self.settings, self.names.clone()).ok();
        let make = |room: &Room| Some((room.channel.clone(), self.channel(room).ok()?));
        let mut channels = HashMap::new();
        for room in &self.settings.rooms {
            if !channels.contains_key(&room.channel) {
                channels.extend(make(room));
            }
        }
        if fetcher.is_none() || self.settings.rooms.iter().any(|room| !channels.contains_key(&room.channel)) {
            tracing::error!("the HTTP client for pictures cannot be built");
        }
        Tools { fetcher, channels }
    }

    async fn bring_one(
        &self,
        errand: &Errand,
        n: i16,
        url: &str,
        fetcher: &Fetcher,
        channel: &dyn Channel,
        until: Instant,
    ) -> Result<Medium, StoreError> {
        let started = Instant::now();
        let fetched = fetcher.picture(url, until).await;
        self.note_fetch(errand, n, &fetched, started.elapsed()).await?;
        let picture = match &fetched.result {
            Ok(picture) => picture.clone(),
            Err(missing) => return self.brought(errand, n, channel, None, Err(*missing)).await,
        };
        let result = self.upload(errand, n, channel, &picture, until).await?;
        self.brought(errand, n, channel, Some(&picture), result).await
    }

    /// Uploads until it is taken, refused, or too late; one that came in time to be fetched, and no more, is not there in
    /// time.
    async fn upload(
        &self,
        errand: &Errand,
        n: i16,
        channel: &dyn Channel,
        picture: &Picture,
        until: Instant,
    ) -> Result<Result<String, Missing>, StoreError> {
        let (mut pause, mut result) = (UPLOAD_PAUSE, Err(Missing::Silent));
        loop {
            let limit = until.saturating_duration_since(Instant::now()).min(self.settings.lanes.http);
            if limit.is_zero() {
                return Ok(result);
            }
            let uploaded = channel.upload(picture, limit).await;
            for call in &uploaded.calls {
                self.note_upload(errand, n, channel.name(), picture, call).await?;
            }
            result = uploaded.result;
            let wait = uploaded.after.unwrap_or_default().max(pause);
            if result != Err(Missing::Unavailable) || Instant::now() + wait >= until {
                return Ok(result);
            }
            sleep(wait).await;
            pause *= 2;
        }
    }

    /// Writes down what became of a picture. Where somebody else had brought it already, theirs is the one.
    async fn brought(
        &self,
        errand: &Errand,
        n: i16,
        channel: &dyn Channel,
        picture: Option<&Picture>,
        result: Result<String, Missing>,
    ) -> Result<Medium, StoreError> {
        let content =
            picture.map(|p| (&p.sha256[..], i64::try_from(p.bytes.len()).unwrap_or(i64::MAX), p.kind.media_type()));
        let told = result.as_ref().map(String::as_str).map_err(|missing| missing.as_str());
        let brought = Brought { uid: &errand.uid, channel: channel.name(), n, content, result: told };
        let url = self.store.note_picture(&brought).await?;
        if let (None, Err(missing)) = (&url, &result) {
            tracing::warn!(uid = errand.uid, picture = n, missing = missing.as_str(), "picture not brought");
        }
        Ok(url.map_or_else(|| result.map_or_else(Medium::Missing, Medium::There), Medium::There))
    }

    async fn note_fetch(
        &self,
        errand: &Errand,
        n: i16,
        fetched: &Fetched,
        latency: Duration,
    ) -> Result<(), StoreError> {
        let mut request = json!({ "picture": n, "host": fetched.host });
        let missing = match &fetched.result {
            Ok(picture) => {
                describe(&mut request, picture);
                None
            }
            Err(missing) => {
                if [Missing::Unreachable, Missing::Silent].contains(missing) {
                    metrics::DEPENDENCY_ERRORS.increment(&["pictures"]);
                }
                Some(missing.as_str())
            }
        };
        let note = CallNote {
            uid: Some(&errand.uid),
            room: None,
            channel: "http",
            operation: "fetch",
            status: fetched.status,
            ok: missing.is_none(),
            latency,
            request: &request,
            error: missing,
        };
        self.store.note_call(&note).await
    }

    async fn note_upload(
        &self,
        errand: &Errand,
        n: i16,
        channel: &str,
        picture: &Picture,
        call: &UploadCall,
    ) -> Result<(), StoreError> {
        let mut request = json!({ "picture": n });
        describe(&mut request, picture);
        request["type"] = json!(call.media_type);
        let note = CallNote {
            uid: Some(&errand.uid),
            room: None,
            channel,
            operation: "upload",
            status: call.status,
            ok: call.error.is_none(),
            latency: call.latency,
            request: &request,
            error: call.error.as_deref(),
        };
        self.store.note_call(&note).await
    }
}

/// A picture is written down by hash, size and type, not by content.
fn describe(request: &mut Value, picture: &Picture) {
    request["sha256"] = json!(STANDARD.encode(picture.sha256));
    request["bytes"] = json!(picture.bytes.len());
    request["type"] = json!(picture.kind.media_type());
}
