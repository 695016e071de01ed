//! The handle on a running simulator. It runs on a thread of its own, so that a test that blocks, or pauses its
//! clock, does not stop GroupMe.

use std::{
    fmt::{self, Write as _},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{Router, middleware};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
    time::timeout,
};

use crate::{
    api,
    callback::{CallbackAttempt, CallbackMode, Parcel, client, courier},
    config::{SimConfig, check_callback_url},
    control,
    fault::{Endpoint, Fault},
    finding::Finding,
    guard,
    line::{Line, SenderType},
    page,
    post::Post,
    socket::{Door, Reset},
    watch::Pace,
    world::{Saying, World},
};

/// A GroupMe that runs until it is stopped or dropped; then its port is free.
pub struct Sim {
    world: Arc<World>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts listening on 127.0.0.1.
    ///
    /// # Errors
    /// If the port is taken, or a bot's callback URL is not plain http.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        for url in config.bots.iter().filter_map(|bot| bot.callback_url.as_deref()) {
            check_callback_url(url).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        }
        let (senders, receivers) = config.bots.iter().map(|_| mpsc::unbounded_channel()).unzip();
        let world = Arc::new(World::new(&config, senders));
        let (stop, stopped) = oneshot::channel();
        let (report, ready) = oneshot::channel();
        let served = Arc::clone(&world);
        let thread = std::thread::Builder::new()
            .name("groupme-sim".to_owned())
            .spawn(move || run(config.port, served, receivers, report, stopped))?;
        let address = ready.await.unwrap_or_else(|_| Err(io::Error::other("the simulator ended while it started")))?;
        Ok(Self { world, address, stop: Some(stop), thread: Some(thread) })
    }

    /// The value for `GROUPME_API_URL`.
    pub fn api_url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// The value for `GROUPME_IMAGE_URL`: `/pictures` comes after it.
    pub fn image_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The page that shows the chat.
    pub fn page_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The lines of a room in the order shown.
    pub fn lines(&self, group_id: &str) -> Vec<Line> {
        self.world.lines().into_iter().filter(|line| line.group_id == group_id).collect()
    }

    /// Every request to `POST /bots/post` in the order of arrival.
    pub fn posts(&self) -> Vec<Post> {
        self.world.posts()
    }

    /// How many requests to `POST /bots/post` have come: what [`posts`](Self::posts) would copy all of them for.
    pub fn post_count(&self) -> usize {
        self.world.post_count()
    }

    /// Those requests from this number on, counted from 0.
    pub fn posts_from(&self, number: usize) -> Vec<Post> {
        self.world.posts_from(number)
    }

    /// Every try of a callback that has ended, in the order of ending.
    pub fn callbacks(&self) -> Vec<CallbackAttempt> {
        self.world.callbacks()
    }

    /// Every request that GroupMe does not promise to take. A test ends by asserting that there is none.
    pub fn complaints(&self) -> Vec<String> {
        self.world.complaints()
    }

    /// The complaints so far, which a test expected; from here on there are none.
    pub fn take_complaints(&self) -> Vec<String> {
        let complaints = self.world.complaints();
        self.world.forget_complaints();
        complaints
    }

    /// What Talkback did wrong so far, also where a test provoked it: what the page shows.
    pub fn findings(&self) -> Vec<Finding> {
        self.world.findings()
    }

    /// How fast the bot may post before that is a finding: one post in `every`, and `burst` at once after a silence.
    /// Where nothing is said, 1 s and 3.
    pub fn set_pace(&self, bot_id: &str, every: Duration, burst: u32) {
        if let Err(why) = self.world.set_pace(bot_id, Pace { every, burst }) {
            self.world.complain(why);
        }
    }

    /// Waits until the lines of all rooms, in the order shown, are as wanted, and returns them.
    ///
    /// # Errors
    /// What was there instead when the time was over.
    pub async fn wait_for(&self, wanted: impl Fn(&[Line]) -> bool, within: Duration) -> Result<Vec<Line>, NotYet> {
        self.wait(|| self.world.lines(), wanted, within).await.map_err(|lines| self.not_yet(lines))
    }

    /// Waits until the posts are as wanted, and returns them.
    ///
    /// # Errors
    /// The lines that were there when the time was over.
    pub async fn wait_for_posts(
        &self,
        wanted: impl Fn(&[Post]) -> bool,
        within: Duration,
    ) -> Result<Vec<Post>, NotYet> {
        self.wait(|| self.world.posts(), wanted, within).await.map_err(|_| self.not_yet(self.world.lines()))
    }

    /// Waits until the tries of callbacks are as wanted, and returns them.
    ///
    /// # Errors
    /// The lines that were there when the time was over.
    pub async fn wait_for_callbacks(
        &self,
        wanted: impl Fn(&[CallbackAttempt]) -> bool,
        within: Duration,
    ) -> Result<Vec<CallbackAttempt>, NotYet> {
        self.wait(|| self.world.callbacks(), wanted, within).await.map_err(|_| self.not_yet(self.world.lines()))
    }

    async fn wait<T>(
        &self,
        look: impl Fn() -> Vec<T>,
        wanted: impl Fn(&[T]) -> bool,
        within: Duration,
    ) -> Result<Vec<T>, Vec<T>> {
        let mut changes = self.world.changes();
        let until_wanted = async {
            loop {
                let seen = look();
                if wanted(&seen) {
                    return seen;
                }
                // The sender lives in the world that we hold.
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(within, until_wanted).await.map_err(|_| look())
    }

    fn not_yet(&self, lines: Vec<Line>) -> NotYet {
        NotYet { lines, posts: self.world.posts(), complaints: self.world.complaints() }
    }

    /// A member says something; its callbacks are on their way when this returns the line's id.
    pub async fn say(&self, group_id: &str, user_id: &str, name: &str, text: &str) -> String {
        self.world.show(Saying::of_member(group_id, user_id, name, text)).id
    }

    /// GroupMe says something, with the event that it reports (`{"type": "bot.del", "data": …}`); returns the line's
    /// id.
    pub async fn say_as_system(&self, group_id: &str, text: &str, event: Option<Value>) -> String {
        let saying =
            Saying { sender_type: SenderType::System, event, ..Saying::of_member(group_id, "system", "GroupMe", text) };
        self.world.show(saying).id
    }

    /// Where the lines of the bot's group are sent to from now on; plain http only.
    pub fn set_callback_url(&self, bot_id: &str, url: impl Into<String>) {
        if let Err(why) = self.world.set_callback_url(bot_id, url.into()) {
            self.world.complain(why);
        }
    }

    /// How the callbacks of lines shown from now on go.
    pub fn callbacks_mode(&self, bot_id: &str, mode: CallbackMode) {
        if let Err(why) = self.world.set_callbacks_mode(bot_id, mode) {
            self.world.complain(why);
        }
    }

    /// Orders a fault of posts.
    pub fn fault(&self, fault: Fault) {
        self.world.order_fault(Endpoint::Post, fault);
    }

    /// Orders a fault of some other request.
    pub fn fault_at(&self, endpoint: Endpoint, fault: Fault) {
        self.world.order_fault(endpoint, fault);
    }

    /// Takes back all faults; those that are happening go on.
    pub fn clear_faults(&self) {
        self.world.clear_faults();
    }

    /// Ends every connection and frees the port.
    pub async fn stop(self) {
        drop(self);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked but by a fault of its own, which the test has seen as silence.
            let _ = thread.join();
        }
    }
}

/// What was there when the time to wait was over.
pub struct NotYet {
    /// The lines of all rooms.
    pub lines: Vec<Line>,
    /// The posts so far.
    pub posts: Vec<Post>,
    /// The complaints so far.
    pub complaints: Vec<String>,
}

impl fmt::Display for NotYet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = format!("not there in time; instead {} lines, {} posts:", self.lines.len(), self.posts.len());
        for line in &self.lines {
            write!(told, "\n  {} {}: {:?}", line.group_id, line.name, line.text)?;
        }
        for post in self.posts.iter().filter(|post| !post.shown) {
            write!(told, "\n  not shown, answer {:?}: {:?}", post.answer, post.text)?;
        }
        for complaint in &self.complaints {
            write!(told, "\n  complaint: {complaint}")?;
        }
        out.write_str(&told)
    }
}

impl fmt::Debug for NotYet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for NotYet {}

/// The life of the simulator's thread.
fn run(
    port: u16,
    world: Arc<World>,
    parcels: Vec<UnboundedReceiver<Parcel>>,
    report: oneshot::Sender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(report.send(Err(error))),
    };
    // When this is over the runtime is dropped, and with it every task, connection and timer.
    runtime.block_on(async {
        let started = async {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            io::Result::Ok((tcp.local_addr()?, tcp, client()?))
        };
        let (address, tcp, client) = match started.await {
            Ok(started) => started,
            Err(error) => return drop(report.send(Err(error))),
        };
        for (bot, parcels) in world.bots().into_iter().zip(parcels) {
            tokio::spawn(courier(Arc::clone(&world), client.clone(), bot.bot_id, parcels));
        }
        let service = routes(Arc::clone(&world), address).into_make_service_with_connect_info::<Reset>();
        if report.send(Ok(address)).is_err() {
            return;
        }
        tokio::select! {
            _ = axum::serve(Door { tcp, world }, service) => {}
            _ = stopped => {}
        }
    });
}

/// Everything that is served.
fn routes(world: Arc<World>, address: SocketAddr) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(control::routes())
        .merge(page::routes())
        .fallback(api::unknown_path)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(middleware::from_fn_with_state(address, guard::only_from_here))
        .with_state(world)
}
