//! Every order of original, record and reply: Talkback is there, late or away; the way to the broker is cut before the
//! original, mute or cut after it; what waited comes in any order, in batches of any size, again and again.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::Value;
use talkback::message::Priority;
use talkback_producer::{Because, Message, Outcome, Producer, Recorded};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

use super::desk::{Desk, NOWHERE, Told, is_record, texts, uid_in};
use super::proxy::{Harm, Proxy};
use crate::attack::{Tally, attack};
use crate::process::chance::Chance;

const MESSAGES: usize = 18;

const PATIENCE: Duration = Duration::from_secs(2);

/// Words of messages of one, two and three parts.
const WORDS: [u64; 3] = [8, 150, 240];

/// What becomes of the original on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing.
    Free,
    /// The broker is not there at all.
    None,
    /// Something, when it goes out; undone after a while, or not while the producer waits.
    Harmed(Harm, Option<Duration>),
}

/// When Talkback takes it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// So long after it is on the queue.
    After(Duration),
    /// When all is over, with everything else that waited.
    AtTheEnd,
}

struct Plan {
    uid: Uuid,
    body: String,
    way: Way,
    when: When,
    priority: Option<Priority>,
}

impl Plan {
    fn draw(number: usize, chance: &mut Chance) -> Self {
        let soon = Some(Duration::from_millis(chance.within(100..1200)));
        let ways = [
            Way::Free,
            Way::Free,
            Way::None,
            Way::Harmed(Harm::CutBefore, None),
            Way::Harmed(Harm::Mute, soon),
            Way::Harmed(Harm::Mute, None),
            Way::Harmed(Harm::CutAfter, soon),
            Way::Harmed(Harm::CutAfter, None),
        ];
        // Around the end of the patience too: Talkback is late, and returns.
        let whens = [
            When::After(Duration::ZERO),
            When::After(Duration::ZERO),
            When::After(Duration::from_millis(chance.within(0..4000))),
            When::AtTheEnd,
            When::AtTheEnd,
        ];
        let words = chance.one_of(&WORDS);
        Self {
            uid: Uuid::parse_str(&chance.uuid()).unwrap(),
            body: (0..words).map(|word| format!("m{number:02}w{word:03}")).collect::<Vec<_>>().join(" "),
            way: chance.one_of(&ways),
            when: chance.one_of(&whens),
            priority: chance.one_of(&[None, None, Some(Priority::Urgent)]),
        }
    }
}

/// One producer says one message.
async fn say(desk: Arc<Desk>, plan: Arc<Plan>) -> (Outcome, bool) {
    let url = desk.vhost.url();
    let (harm, heals) = match plan.way {
        Way::Harmed(harm, heals) => (Some(harm), heals),
        Way::Free | Way::None => (None, None),
    };
    let proxy = Proxy::open(&url, &plan.uid.to_string(), harm, heals).await;
    let way = match plan.way {
        Way::None => NOWHERE.to_owned(),
        _ => proxy.url(&url),
    };
    let producer = desk.producer(Told { amqp_url: Some(&way), is_blind: false }, PATIENCE);
    let message = Message::new("source.standard", &plan.body).unwrap().under(plan.uid);
    let message = plan.priority.map_or(message.clone(), |priority| message.of(priority));
    let outcome = producer.send(&message).await;
    producer.close().await;
    (outcome, proxy.has_struck())
}

/// Takes from the queue what comes, and hands over what is to be handed over while producers wait; keeps the rest.
async fn lead(desk: Arc<Desk>, plans: HashMap<String, Arc<Plan>>, mut over: watch::Receiver<bool>) -> Vec<Value> {
    let (mut kept, mut due): (Vec<Value>, Vec<(Instant, Value)>) = (Vec::new(), Vec::new());
    let mut handed = JoinSet::new();
    let mut look = interval(Duration::from_millis(15));
    loop {
        look.tick().await;
        let is_over = *over.borrow_and_update();
        let form = desk.take().await;
        let is_empty = form.is_none();
        if let Some(form) = form {
            let plan = uid_in(&form).and_then(|uid| plans.get(&uid));
            match plan.map_or(When::After(Duration::ZERO), |plan| plan.when) {
                When::After(wait) if !is_record(&form) => due.push((Instant::now() + wait, form)),
                _ => kept.push(form),
            }
        }
        let now = Instant::now();
        for (_, form) in due.extract_if(.., |(at, _)| *at <= now) {
            let desk = Arc::clone(&desk);
            handed.spawn(async move { desk.consume(&desk.station.relay("rabbitmq-consumer"), &[form]).await });
        }
        if is_over && is_empty {
            kept.extend(due.into_iter().map(|(_, form)| form));
            handed.join_all().await;
            return kept;
        }
    }
}

/// Hands over what waited: shuffled, some of it again, in batches, two consumers at once.
async fn return_of_talkback(desk: &Desk, mut waiting: Vec<Value>, chance: &mut Chance) {
    for at in 0..waiting.len() {
        if chance.within(0..3) == 0 {
            waiting.push(waiting[at].clone());
        }
    }
    for at in (1..waiting.len()).rev() {
        waiting.swap(at, usize::try_from(chance.within(0..at as u64 + 1)).unwrap());
    }
    while !waiting.is_empty() {
        let mut batch = || {
            let count = usize::try_from(chance.within(1..7)).unwrap().min(waiting.len());
            waiting.split_off(waiting.len() - count)
        };
        let (one, other) = (batch(), batch());
        let relays = (desk.station.relay("rabbitmq-consumer"), desk.station.relay("rabbitmq-consumer"));
        tokio::join!(desk.consume(&relays.0, &one), desk.consume(&relays.1, &other));
    }
}

async fn round(seed: u64) -> Tally {
    let mut chance = Chance::of(seed);
    let mut desk = Desk::open(&format!("orders-{seed}")).await;
    desk.station.sim.fault(Fault::always(What::Slow(Duration::from_millis(chance.within(1..150)))));
    desk.station.start_dispatcher();
    let desk = Arc::new(desk);
    let plans: Vec<Arc<Plan>> = (0..MESSAGES).map(|number| Arc::new(Plan::draw(number, &mut chance))).collect();
    let by_uid = plans.iter().map(|plan| (plan.uid.to_string(), Arc::clone(plan))).collect();
    let (over, is_over) = watch::channel(false);
    let leader = tokio::spawn(lead(Arc::clone(&desk), by_uid, is_over));
    let mut said = JoinSet::new();
    for plan in &plans {
        let (desk, plan) = (Arc::clone(&desk), Arc::clone(plan));
        let wait = Duration::from_millis(chance.within(0..1500));
        said.spawn(async move {
            sleep(wait).await;
            (plan.uid, say(desk, plan).await)
        });
    }
    let outcomes: HashMap<Uuid, (Outcome, bool)> = said.join_all().await.into_iter().collect();
    // What could not be recorded then is recorded now, by two at once.
    let (one, other) = (desk.producer(Told::default(), PATIENCE), desk.producer(Told::default(), PATIENCE));
    let limit = Duration::from_secs(20);
    let (flushed, again) = tokio::join!(one.flush(limit), other.flush(limit));
    one.close().await;
    other.close().await;
    over.send_replace(true);
    let waiting = leader.await.unwrap();
    return_of_talkback(&desk, waiting, &mut chance).await;
    // What a slow database put off comes again.
    let (over, is_over) = watch::channel(false);
    let leader = tokio::spawn(lead(Arc::clone(&desk), HashMap::new(), is_over));
    let settled = "select count(*)::text from deliveries where state not in ('sent', 'confirmed')";
    desk.station.until(settled, &["0"]).await;
    desk.station.until(IN_THE_AIR, &[]).await;
    over.send_replace(true);
    leader.await.unwrap();

    let mut tally = reckon(&desk, &plans, &outcomes).await;
    if !desk.spooled().is_empty() {
        tally.unrecorded += 1;
        tally.others.push(format!("the spool still has {:?}; {flushed:?}; {again:?}", desk.spooled()));
    }
    let rejected = desk.station.column("select reason from rejected").await;
    tally.others.extend(rejected.into_iter().map(|reason| format!("rejected: {reason}")));
    Arc::into_inner(desk).unwrap().end().await;
    tally
}

/// Calls that are not recorded yet.
const IN_THE_AIR: &str =
    "select uid from deliveries join parts on parts.delivery = deliveries.id where parts.state = 'posting'";

/// What the room shows and what the rows say, message by message.
async fn reckon(desk: &Desk, plans: &[Arc<Plan>], outcomes: &HashMap<Uuid, (Outcome, bool)>) -> Tally {
    let mut tally = Tally { messages: plans.len(), ..Tally::default() };
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    let lines: Vec<String> = desk.lines().into_iter().map(|line| line.text.unwrap_or_default()).collect();
    lines.iter().for_each(|text| *shown.entry(text.clone()).or_default() += 1);
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for plan in plans {
        let (outcome, struck) = &outcomes[&plan.uid];
        let wanted = texts(plan.uid, &plan.body);
        let who = format!("{:.3} {:?} {:?}: {outcome}", plan.body, plan.way, plan.when);
        let (mut lost, mut doubled) = (0, 0);
        for text in &wanted {
            match shown.remove(text).unwrap_or(0) {
                0 => lost += 1,
                1 => {}
                _ => doubled += 1,
            }
        }
        let places: Vec<usize> = wanted.iter().filter_map(|text| lines.iter().position(|line| line == text)).collect();
        if !places.is_sorted() {
            tally.disordered += 1;
            tally.others.push(format!("{who}: its parts stand in another order"));
        }
        tally.lost += lost;
        tally.doubled += doubled;
        let calls = format!(
            "select outcome || coalesce(' ' || status, '') from api_calls
             where uid = '{}' and operation = 'post' and outcome in ('posted', 'recorded', 'unknown') order by id",
            plan.uid
        );
        let calls = desk.station.column(&calls).await;
        let state = desk.station.column(&format!("select state from deliveries where uid = '{}'", plan.uid)).await;
        // A row for each call, ours or Talkback's, and one delivery that says that it is in the room. A call that was
        // cut off may never have come.
        let posts = desk.station.sim.posts();
        let posts = posts.iter().filter(|post| post.text.as_ref().is_some_and(|text| wanted.contains(text))).count();
        let unknown = calls.iter().filter(|call| call.starts_with("unknown")).count();
        let own = calls.iter().filter(|call| *call == "recorded 202").count();
        let is_recorded = (posts..=posts + unknown).contains(&calls.len()) && state.len() == 1;
        if !is_recorded {
            tally.unrecorded += 1;
        }
        let is_right = match outcome {
            Outcome::Talkback { .. } => own == 0,
            Outcome::Posted { recorded: Recorded::Published | Recorded::Spooled { .. }, .. } => own == wanted.len(),
            _ => false,
        };
        if lost + doubled > 0 || !is_recorded || !is_right {
            tally.others.push(times(desk, plan, &wanted).await);
            tally.others.push(format!("{who}: {lost} lost, {doubled} doubled, calls {calls:?}, state {state:?}"));
        }
        // In flight: the line was cut or mute with the original on it, or it was taken over with an original out there.
        let taken_over =
            matches!(outcome, Outcome::Posted { because: Because::Silence { .. } | Because::Withdrawn, .. });
        tally.hits += usize::from(*struck || taken_over);
        kinds.insert(format!("{:?}/{}", plan.way, outcome.to_string().split(',').next().unwrap_or_default()));
    }
    tally.doubled += shown.len();
    tally.others.extend(shown.into_keys().map(|text| format!("a line that nobody said: {text:.60}")));
    tally.told = format!(
        "{} messages, {} lines, {} kinds of way and end, {} hits",
        plans.len(),
        lines.len(),
        kinds.len(),
        tally.hits
    );
    tally
}

/// When what was done about a message, in seconds before now: to tell which came first.
async fn times(desk: &Desk, plan: &Plan, wanted: &[String]) -> String {
    let of_it = |post: &groupme_sim::Post| post.text.as_ref().is_some_and(|text| wanted.contains(text));
    let posts: Vec<String> = desk
        .station
        .sim
        .posts()
        .iter()
        .filter(|post| of_it(post))
        .map(|post| format!("{:.2} {:?}", post.at.elapsed().as_secs_f64(), post.answer))
        .collect();
    let told = format!(
        "select concat_ws(' ', what, round(extract(epoch from clock_timestamp() - at), 2)) from (
           select 'accepted' as what, accepted_at as at from messages where uid = '{0}'
           union all select 'deliver_by', deliver_by from deliveries where uid = '{0}'
           union all select 'call ' || operation || ' ' || outcome, at from api_calls where uid = '{0}'
           union all select 'event ' || new_state, e.at from delivery_events e join deliveries d on d.id = e.delivery
                     where d.uid = '{0}') x order by at",
        plan.uid
    );
    format!("  in seconds ago: posts {posts:?}, {:?}", desk.station.column(&told).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_order_of_original_record_and_reply_a_message_is_seen_once_and_recorded_once() {
    attack("producers", &[2, 1], round).await;
}

/// A producer that says many messages over one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_producer_says_many_messages_at_once() {
    let mut desk = Desk::open("many").await;
    desk.station.start_dispatcher();
    let desk = Arc::new(desk);
    let (over, is_over) = watch::channel(false);
    let mut chance = Chance::of(7);
    let plans: Vec<Arc<Plan>> = (0..20)
        .map(|number| {
            let plan = Plan::draw(number, &mut chance);
            Arc::new(Plan { way: Way::Free, when: When::After(Duration::ZERO), ..plan })
        })
        .collect();
    let by_uid = plans.iter().map(|plan| (plan.uid.to_string(), Arc::clone(plan))).collect();
    let leader = tokio::spawn(lead(Arc::clone(&desk), by_uid, is_over));
    let producer: Arc<Producer> = Arc::new(desk.producer(Told::default(), Duration::from_secs(15)));
    let mut said = JoinSet::new();
    for plan in &plans {
        let (producer, plan) = (Arc::clone(&producer), Arc::clone(plan));
        let message = Message::new("source.standard", &plan.body).unwrap().under(plan.uid);
        said.spawn(async move { producer.send(&message).await });
    }
    for outcome in said.join_all().await {
        assert!(matches!(outcome, Outcome::Talkback { .. }), "{outcome}");
    }
    producer.close().await;
    over.send_replace(true);
    leader.await.unwrap();
    let queues = desk.vhost.listed("queues").await;
    let own = queues.iter().filter(|queue| queue["name"].as_str().unwrap().starts_with("talkback.reply")).count();
    assert_eq!(own, 0, "a producer takes its queue away");
    let wanted: usize = plans.iter().map(|plan| texts(plan.uid, &plan.body).len()).sum();
    assert_eq!(desk.station.lines(wanted).await.len(), wanted);
    Arc::into_inner(desk).unwrap().end().await;
}
