//! The real `talkback-send` beside the real functions: these are stopped, frozen, slow and come back, while it is killed
//! at random moments. Who started a program that was killed starts it again, under the same uid.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::desk::{NOWHERE, folder, texts};
use crate::attack::{Tally, attack};
use crate::process::chance::Chance;
use crate::process::works::{PATIENCE, Setup, Works, bot, eventually, group};
use crate::station::{MEMBER, required};

const MESSAGES: u64 = 16;

/// How long messages are said.
const SAYING: Duration = Duration::from_secs(7);

/// Words of messages of one, two and three parts.
const WORDS: [u64; 3] = [8, 150, 240];

/// `talkback-send`, as a script calls it.
fn program(works: &Works, spool: &Path, amqp_url: &str) -> Command {
    let mut command = Command::new(PathBuf::from(required("TALKBACK_TEST_BIN")).join("talkback-send"));
    command
        .env_clear()
        .env("AMQP_URL", amqp_url)
        .env("GROUPME_BOT_ID", bot(0))
        .env("GROUPME_API_URL", works.sim.api_url())
        .env("GROUPME_ACCESS_TOKEN", MEMBER)
        .env("GROUPME_GROUP_ID", group(0))
        .env("TALKBACK_SEND_PACE", "5ms")
        .env("TALKBACK_SEND_SPOOL", spool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

struct Said {
    uid: Uuid,
    body: String,
    at: Duration,
    /// When it is killed, the first times; not, after that.
    kills: Vec<Duration>,
    /// The broker is out of its reach the first time.
    cut_off: bool,
}

impl Said {
    fn draw(number: u64, chance: &mut Chance) -> Self {
        let times = chance.one_of(&[0, 0, 1, 1, 2]);
        Self {
            uid: Uuid::parse_str(&chance.uuid()).unwrap(),
            body: (0..chance.one_of(&WORDS)).map(|w| format!("m{number:02}w{w:03}")).collect::<Vec<_>>().join(" "),
            at: SAYING * u32::try_from(number).unwrap() / u32::try_from(MESSAGES).unwrap(),
            kills: (0..times).map(|_| Duration::from_millis(chance.within(20..3600))).collect(),
            cut_off: chance.within(0..5) == 0,
        }
    }

    /// Says it until a program ended by itself and said that it is said; what it said, each time.
    async fn say(&self, works: &Works, spool: &Path, kills: &AtomicUsize) -> Vec<String> {
        sleep(self.at).await;
        let mut told = Vec::new();
        let mut ways = [self.cut_off.then_some(NOWHERE)].into_iter().flatten();
        let mut moments = self.kills.iter();
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "{} was never said: {told:?}", self.uid);
            let url = works.vhost.url();
            let mut command = program(works, spool, ways.next().unwrap_or(&url));
            let mut child = command.args(["--patience", "2s", "--uid", &self.uid.to_string(), "-"]).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(self.body.as_bytes()).await.unwrap();
            drop(input);
            if let Some(moment) = moments.next()
                && timeout(*moment, child.wait()).await.is_err()
            {
                child.start_kill().unwrap();
                child.wait().await.unwrap();
                kills.fetch_add(1, Ordering::Relaxed);
                told.push("killed".to_owned());
                continue;
            }
            let ended = child.wait_with_output().await.unwrap();
            let (said, why) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            told.push(format!("{} {}", said.trim(), why.trim()));
            match ended.status.code() {
                Some(0) => return told,
                Some(3) => {}
                code => panic!("exit code {code:?}: {told:?}"),
            }
        }
    }
}

/// Stops, freezes and lets go, again and again.
async fn trouble(works: &Works, chance: &mut Chance) {
    let begun = Instant::now();
    while begun.elapsed() < SAYING + Duration::from_secs(2) {
        let long = Duration::from_millis(chance.within(500..3500));
        if chance.within(0..2) == 0 {
            let both = ["rabbitmq-consumer", "dispatcher"];
            both.iter().for_each(|function| works.functions.hold_down(function));
            // The moments are what the story is about: no condition is waited for.
            sleep(long).await;
            both.iter().for_each(|function| works.functions.let_up(function));
        } else {
            let frozen = [("rabbitmq-consumer", 0), ("dispatcher", 0), ("dispatcher", 1)];
            for (function, which) in frozen {
                works.functions.freeze(function, which);
            }
            sleep(long).await;
            for (function, which) in frozen {
                works.functions.thaw(function, which);
            }
        }
        sleep(Duration::from_millis(chance.within(300..2500))).await;
    }
}

/// Calls that may have posted.
const POSTS: &str = "operation = 'post' and outcome in ('posted', 'recorded', 'unknown')";

async fn round(seed: u64) -> Tally {
    let mut chance = Chance::of(seed);
    let slow = Duration::from_millis(chance.within(5..120));
    let setup = Setup { story: "producers", rooms: 1, dispatchers: 2, slow, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    let spool = folder(&format!("processes-{seed}")).join("spool");
    let plans: Vec<Arc<Said>> = (0..MESSAGES).map(|number| Arc::new(Said::draw(number, &mut chance))).collect();
    let kills = Arc::new(AtomicUsize::new(0));
    let mut said = JoinSet::new();
    for plan in &plans {
        let (works, plan, kills, spool) = (Arc::clone(&works), Arc::clone(plan), Arc::clone(&kills), spool.clone());
        said.spawn(async move { (plan.uid, plan.say(&works, &spool, &kills).await) });
    }
    let (said, ()) = tokio::join!(said.join_all(), trouble(&works, &mut chance));
    let told: BTreeMap<Uuid, Vec<String>> = said.into_iter().collect();
    let flushed = async || {
        let url = works.vhost.url();
        let flushed = program(&works, &spool, &url).arg("--flush").stdin(Stdio::null()).status().await.unwrap();
        flushed.success().then_some(())
    };
    eventually("an empty spool", flushed).await;
    works.until("select state from deliveries where state not in ('sent', 'confirmed') limit 1", &[]).await;
    works.until("select state from parts where state = 'posting' limit 1", &[]).await;
    // The records of the last ones may still be on their way.
    let ours = |told: &[String]| told.last().is_some_and(|last| last.starts_with("posted"));
    let posts_of = |wanted: &[String]| {
        let posts = works.sim.posts();
        posts.iter().filter(|post| post.text.as_ref().is_some_and(|text| wanted.contains(text))).count()
    };
    for plan in &plans {
        let posts = posts_of(&texts(plan.uid, &plan.body));
        let recorded =
            format!("select (count(*) >= {posts})::text from api_calls where uid = '{}' and {POSTS}", plan.uid);
        works.until(&recorded, &["true"]).await;
    }

    let mut tally = Tally { messages: plans.len(), ..Tally::default() };
    let lines: Vec<String> = works.sim.lines(&group(0)).into_iter().filter_map(|line| line.text).collect();
    let (mut taken_over, mut shown) = (0, 0);
    for plan in &plans {
        let wanted = texts(plan.uid, &plan.body);
        shown += wanted.len();
        let times: Vec<usize> = wanted.iter().map(|text| lines.iter().filter(|line| *line == text).count()).collect();
        let lost = times.iter().filter(|times| **times == 0).count();
        let doubled: usize = times.iter().map(|times| times.saturating_sub(1)).sum();
        shown += doubled;
        let places: Vec<_> = wanted.iter().filter_map(|text| lines.iter().position(|line| line == text)).collect();
        let posts = posts_of(&wanted);
        let calls = works
            .column(&format!(
                "select outcome || coalesce(' ' || status, '') from api_calls where uid = '{}' and {POSTS} order by id",
                plan.uid
            ))
            .await;
        // A call that was cut off, or whose caller was killed, may never have come.
        let unknown = calls.iter().filter(|call| !call.ends_with(" 202")).count();
        let is_recorded = (posts..=posts + unknown).contains(&calls.len());
        tally.lost += lost;
        tally.doubled += doubled;
        tally.unrecorded += usize::from(!is_recorded);
        tally.disordered += usize::from(!places.is_sorted());
        taken_over += usize::from(ours(&told[&plan.uid]));
        if lost + doubled > 0 || !is_recorded {
            let told = &told[&plan.uid];
            tally.others.push(format!("{}: lines {times:?}, {posts} posts, calls {calls:?}, {told:?}", plan.uid));
        }
    }
    if lines.len() != shown {
        tally.others.push(format!("{} lines, {shown} of them known", lines.len()));
    }
    let kills = kills.load(Ordering::Relaxed);
    tally.hits = kills + taken_over;
    tally.told = format!(
        "{} messages, {} lines, {kills} programs killed, {taken_over} messages taken over\nlogs in {}",
        plans.len(),
        lines.len(),
        works.folder.display()
    );
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_are_killed_beside_functions_that_stop_say_everything_once() {
    attack("producers-processes", &[1], round).await;
}

/// What a script sees: one word and the uid, and a code that says whether to worry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_learns_from_the_code_what_became_of_its_message() {
    let desk = super::desk::Desk::open("script").await;
    let run = async |vars: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(PathBuf::from(required("TALKBACK_TEST_BIN")).join("talkback-send"));
        let told = super::desk::Told { amqp_url: Some(NOWHERE), ..Default::default() };
        command.env_clear().envs(desk.vars(told)).envs(vars.iter().copied()).args(arguments).stdin(Stdio::null());
        let ended = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.code().unwrap(), text(&ended.stdout), text(&ended.stderr))
    };
    let uid = Uuid::new_v4().to_string();
    let (code, said, why) = run(&[], &["--uid", &uid, "Signal lost."]).await;
    assert_eq!((code, said), (0, format!("posted {uid}\n")));
    assert!(why.contains("its record waits in the spool"), "{why}");
    // The broker is still away.
    let (code, said, _) = run(&[], &["--flush"]).await;
    assert_eq!((code, said.as_str()), (3, "flushed 0, failed 0, left 1\n"));
    let url = desk.vhost.url();
    let (code, said, why) = run(&[("AMQP_URL", &url)], &["--flush"]).await;
    assert_eq!((code, said.as_str(), why.as_str()), (0, "flushed 1, failed 0, left 0\n", ""));
    // Nothing that is wrong is tried, and no value is quoted.
    let secret = "s3cr3t-s3cr3t";
    for (vars, arguments, wanted) in [
        (vec![("GROUPME_BOT_ID", ""), ("AMQP_URL", secret)], vec!["x"], "GROUPME_BOT_ID: missing; AMQP_URL: is not"),
        (vec![], vec!["--priority", secret, "x"], "--priority"),
        (vec![], vec![" "], "there is nothing to say"),
    ] {
        let (code, said, why) = run(&vars, &arguments).await;
        assert_eq!((code, said.as_str()), (2, ""), "{why}");
        assert!(why.contains(wanted) && !why.contains(secret), "{why}");
    }
    let broken = desk.folder.join("no-folder");
    std::fs::write(&broken, "").unwrap();
    let (code, _, why) = run(&[("TALKBACK_SEND_SPOOL", broken.to_str().unwrap())], &["Signal lost."]).await;
    assert_eq!(code, 4, "{why}");
    assert!(why.contains("THERE IS NO RECORD OF IT"), "{why}");
    assert_eq!(desk.lines().len(), 2);
    desk.end().await;
}
