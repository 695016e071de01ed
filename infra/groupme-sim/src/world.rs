//! What the simulated GroupMe knows: rooms, posts, callbacks, faults, complaints. Knows nothing of HTTP.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::sync::{mpsc::UnboundedSender, watch};
use uuid::Uuid;

use crate::{
    api::picture_name,
    callback::{CallbackAttempt, CallbackMode, Parcel, parcels},
    config::{Bot, SimConfig, check_callback_url},
    fault::{Endpoint, Fault, Faults, What},
    finding::{Finding, Kind, Sight},
    line::{Line, SenderType},
    picture::Picture,
    post::{Post, Posts},
    sample,
    watch::{Pace, PostedPicture, Watch},
};

/// Everything behind one lock, and a bell that rings at each change.
pub(crate) struct World {
    pub(crate) access_token: Option<String>,
    /// Another one after each start.
    pub(crate) run: String,
    started: Instant,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    members: Vec<Member>,
    lines: Vec<Line>,
    last_id: u64,
    posts: Posts,
    callbacks: Vec<CallbackAttempt>,
    complaints: Vec<String>,
    findings: Vec<Finding>,
    faults: Faults,
    pictures: Vec<Picture>,
}

/// A bot in the world.
struct Member {
    bot: Bot,
    mode: CallbackMode,
    lines_seen: u32,
    watch: Watch,
    courier: UnboundedSender<Parcel>,
}

/// What is said, before the room gives it an id and a time.
pub(crate) struct Saying {
    pub(crate) group_id: String,
    pub(crate) sender_type: SenderType,
    pub(crate) sender_id: String,
    pub(crate) name: String,
    pub(crate) text: Option<String>,
    pub(crate) picture_url: Option<String>,
    pub(crate) bot_id: Option<String>,
    pub(crate) event: Option<Value>,
}

impl Saying {
    /// A member says something.
    pub(crate) fn of_member(group_id: &str, user_id: &str, name: &str, text: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            sender_type: SenderType::User,
            sender_id: user_id.to_owned(),
            name: name.to_owned(),
            text: Some(text.to_owned()),
            picture_url: None,
            bot_id: None,
            event: None,
        }
    }
}

impl World {
    /// A world of empty rooms; each bot comes with the way to its courier.
    pub(crate) fn new(config: &SimConfig, couriers: Vec<UnboundedSender<Parcel>>) -> Self {
        let members = config.bots.iter().zip(couriers).map(|(bot, courier)| Member {
            bot: bot.clone(),
            mode: CallbackMode::default(),
            lines_seen: 0,
            watch: Watch::default(),
            courier,
        });
        // GroupMe's ids grow with time; so do these, also over a restart.
        let last_id = u64::try_from(unix_time().as_millis()).unwrap_or_default() * 100_000;
        Self {
            access_token: config.access_token.clone(),
            run: Uuid::new_v4().simple().to_string(),
            started: Instant::now(),
            known: Mutex::new(Known { members: members.collect(), last_id, ..Known::default() }),
            changes: watch::Sender::new(0),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and rings the bell.
    fn change<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        let result = with(&mut self.known());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Hears of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Puts a line into its room and sends the callbacks on their way.
    pub(crate) fn show(&self, saying: Saying) -> Line {
        self.change(|known| known.show(saying))
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.known().lines.clone()
    }

    pub(crate) fn line_count(&self) -> usize {
        self.known().lines.len()
    }

    /// The line of that number, counted from 0 over all rooms.
    pub(crate) fn line(&self, number: usize) -> Option<Line> {
        self.known().lines.get(number).cloned()
    }

    /// Milliseconds since the start: an instant for other processes.
    pub(crate) fn millis_at(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// The bot with that secret.
    pub(crate) fn bot(&self, bot_id: &str) -> Option<Bot> {
        self.known().members.iter().find(|member| member.bot.bot_id == bot_id).map(|member| member.bot.clone())
    }

    /// All bots in the order of the configuration.
    pub(crate) fn bots(&self) -> Vec<Bot> {
        self.known().members.iter().map(|member| member.bot.clone()).collect()
    }

    pub(crate) fn callback_url(&self, bot_id: &str) -> Option<String> {
        self.bot(bot_id)?.callback_url
    }

    pub(crate) fn set_callback_url(&self, bot_id: &str, url: String) -> Result<(), &'static str> {
        check_callback_url(&url)?;
        self.with_member(bot_id, |member| member.bot.callback_url = Some(url))
    }

    pub(crate) fn set_callbacks_mode(&self, bot_id: &str, mode: CallbackMode) -> Result<(), &'static str> {
        self.with_member(bot_id, |member| {
            member.mode = mode;
            member.lines_seen = 0;
        })
    }

    fn with_member(&self, bot_id: &str, act: impl FnOnce(&mut Member)) -> Result<(), &'static str> {
        let mut known = self.known();
        let member = known.members.iter_mut().find(|member| member.bot.bot_id == bot_id);
        member.map(act).ok_or("no such bot")
    }

    pub(crate) fn callback_attempted(&self, attempt: CallbackAttempt) {
        self.change(|known| known.callbacks.push(attempt));
    }

    pub(crate) fn callbacks(&self) -> Vec<CallbackAttempt> {
        self.known().callbacks.clone()
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.known().posts.all.clone()
    }

    pub(crate) fn post_count(&self) -> usize {
        self.known().posts.all.len()
    }

    pub(crate) fn posts_from(&self, number: usize) -> Vec<Post> {
        self.known().posts.all.get(number..).unwrap_or_default().to_vec()
    }

    /// Takes a post that has arrived; the number is for [`World::end_post`].
    pub(crate) fn begin_post(&self, post: Post) -> usize {
        self.change(|known| known.posts.begin(post))
    }

    /// A post was answered.
    pub(crate) fn end_post(&self, number: usize, status: u16) {
        self.change(|known| known.end_post(number, Some(status)));
    }

    /// The connection of a post is gone; nothing changes if that was after its answer.
    pub(crate) fn hung_up(&self, number: usize) {
        self.change(|known| {
            if known.posts.all[number].answer.is_none() {
                known.end_post(number, None);
            }
        });
    }

    /// Shows the line of a post.
    pub(crate) fn show_post(&self, number: usize, saying: Saying) {
        self.change(|known| {
            let line = known.show(saying);
            let post = &mut known.posts.all[number];
            post.shown = true;
            post.line_id = Some(line.id);
        });
    }

    pub(crate) fn complain(&self, complaint: impl Into<String>) {
        self.change(|known| known.complaints.push(complaint.into()));
    }

    /// Complains of a request to GroupMe, and lets people see it; `group_id` is the room that it was for, if any.
    pub(crate) fn refuse(&self, group_id: Option<String>, complaint: String) {
        self.find(group_id, Sight::fault(Kind::Refused, complaint.as_str()));
        self.complain(complaint);
    }

    /// The same of a post.
    pub(crate) fn refuse_post(&self, number: usize, complaint: String) {
        let bot_id = self.known().posts.all[number].bot_id.clone();
        let bot = bot_id.and_then(|bot_id| self.bot(&bot_id));
        self.refuse(bot.map(|bot| bot.group_id), complaint);
    }

    /// Lets people see something that is wrong.
    pub(crate) fn find(&self, group_id: Option<String>, sight: Sight) {
        self.change(|known| known.find(group_id, None, sight));
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.known().findings.clone()
    }

    /// The finding of that number, counted from 0.
    pub(crate) fn finding(&self, number: usize) -> Option<Finding> {
        self.known().findings.get(number).cloned()
    }

    pub(crate) fn set_pace(&self, bot_id: &str, pace: Pace) -> Result<(), &'static str> {
        self.with_member(bot_id, |member| member.watch.set_pace(pace))
    }

    /// Looks at a post whose fate is settled, though it may not have been answered yet.
    pub(crate) fn judge_post(&self, number: usize, fault: Option<&What>) {
        self.change(|known| known.judge_post(number, fault));
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        let known = self.known();
        let overlaps = known.posts.overlaps(Instant::now());
        let overlap = || "a post came while another of the same bot was in the air".to_owned();
        known.complaints.iter().cloned().chain(std::iter::repeat_with(overlap).take(overlaps)).collect()
    }

    pub(crate) fn forget_complaints(&self) {
        let mut known = self.known();
        known.complaints.clear();
        known.posts.forget_overlaps(Instant::now());
    }

    pub(crate) fn order_fault(&self, endpoint: Endpoint, fault: Fault) {
        self.known().faults.push(endpoint, fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.known().faults.clear();
    }

    pub(crate) fn take_fault(&self, endpoint: Endpoint, bot_id: Option<&str>, text: &str) -> Option<What> {
        self.known().faults.take(endpoint, bot_id, text)
    }

    pub(crate) fn take_reset_before_read(&self) -> bool {
        let reset = self.known().faults.take_reset_before_read();
        if reset {
            let at = Instant::now();
            let post =
                Post { at, bot_id: None, text: None, picture_url: None, answer: None, shown: false, line_id: None };
            self.begin_post(post);
        }
        reset
    }

    pub(crate) fn keep_picture(&self, picture: Picture) {
        self.change(|known| known.pictures.push(picture));
    }

    pub(crate) fn picture(&self, name: &str) -> Option<Picture> {
        self.known().pictures.iter().find(|picture| picture.name == name).cloned().or_else(|| sample::kept(name))
    }
}

impl Known {
    fn find(&mut self, group_id: Option<String>, line_id: Option<String>, sight: Sight) {
        let at_ms = u64::try_from(unix_time().as_millis()).unwrap_or_default();
        let Sight { kind, weight, what } = sight;
        self.findings.push(Finding { kind, weight, what, group_id, line_id, at_ms });
    }

    fn end_post(&mut self, number: usize, answer: Option<u16>) {
        for hasty in self.posts.end(number, answer, Instant::now()) {
            let post = &self.posts.all[hasty];
            let bot = self.members.iter().find(|member| Some(&member.bot.bot_id) == post.bot_id.as_ref());
            let (group_id, line_id) = (bot.map(|member| member.bot.group_id.clone()), post.line_id.clone());
            let what = "Posted before the post before it was answered.";
            self.find(group_id, line_id, Sight::fault(Kind::Pace, what));
        }
    }

    fn judge_post(&mut self, number: usize, fault: Option<&What>) {
        let post = &self.posts.all[number];
        let Some(member) = self.members.iter_mut().find(|member| Some(&member.bot.bot_id) == post.bot_id.as_ref())
        else {
            return;
        };
        let mut sights = member.watch.arrives(post.at);
        if let Some(pause) = fault.and_then(What::rate_limit) {
            member.watch.limited(post.at, pause);
        } else if post.shown || fault.is_some_and(What::settles) {
            let url = post.picture_url.as_deref();
            let uploaded =
                url.and_then(picture_name).is_some_and(|name| self.pictures.iter().any(|picture| picture.name == name));
            let picture = url.map(|url| PostedPicture { url, uploaded });
            sights.extend(member.watch.taken(post.text.as_deref().unwrap_or_default(), picture, post.shown));
        }
        let (group_id, line_id) = (member.bot.group_id.clone(), post.line_id.clone());
        for sight in sights {
            self.find(Some(group_id.clone()), line_id.clone(), sight);
        }
    }

    fn show(&mut self, saying: Saying) -> Line {
        self.last_id += 1;
        let line = Line {
            id: self.last_id.to_string(),
            group_id: saying.group_id,
            sender_type: saying.sender_type,
            user_id: saying.sender_id.clone(),
            sender_id: saying.sender_id,
            name: saying.name,
            text: saying.text,
            picture_url: saying.picture_url,
            created_at: i64::try_from(unix_time().as_secs()).unwrap_or_default(),
            source_guid: Uuid::new_v4().simple().to_string(),
            at: Instant::now(),
            bot_id: saying.bot_id,
            event: saying.event,
        };
        for member in self.members.iter_mut().filter(|member| member.bot.group_id == line.group_id) {
            member.lines_seen += 1;
            for parcel in parcels(member.mode, &line, member.lines_seen) {
                // The courier is gone only when the simulator is.
                let _ = member.courier.send(parcel);
            }
        }
        self.lines.push(line.clone());
        line
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
