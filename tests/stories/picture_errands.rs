//! Who brings a delivery's pictures, for how long, and what becomes of one who comes late.
use std::time::Duration;

use groupme_sim::{Endpoint, Fault, What};
use serde_json::{Value, json};
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::relay::dispatch::Budget;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::gallery::Gallery;
use crate::pictures::{standard, with_gallery};
use crate::send_door::send_as;
use crate::station::{KEY, MEMBER, OTHER_GROUP, PATIENCE, Setup, Station, texts, two_rooms};

fn uid() -> String {
    Uuid::new_v4().to_string()
}

/// Two rooms whose pictures hang in the gallery.
fn both(gallery: &Gallery, media: &str) -> Setup {
    let two = two_rooms();
    let vars = vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())];
    Setup { rooms: two.rooms.clone() + &gallery.media(media), vars, ..two }
}

/// The settings before the room `tech` was added, as a function still has them that started earlier.
fn without_tech(station: &Station) -> Settings {
    let mut vars = station.vars.clone();
    let config = vars["TALKBACK_CONFIG"].clone();
    let (before, rest) = config.split_once("[[rooms]]\nname = \"tech\"").unwrap();
    let (_, after) = rest.split_once("[media]").unwrap();
    vars.insert("TALKBACK_CONFIG".into(), format!("{before}\n[media]{after}").replace(", \"tech\"", ""));
    Settings::from_vars(&vars).unwrap()
}

fn to(room: &str, body: &str, images: &[String]) -> Value {
    let body = json!({ "body": body, "images": images, "rooms": [room], "wbor_message_id": uid() });
    Station::message("source.standard", &body)
}

/// A dispatcher at work for so long.
async fn dispatch(relay: &Relay, time: Duration) {
    relay.wake().await.unwrap();
    let now = Instant::now();
    let (end, poll) = (now + Duration::from_secs(60), Some(Duration::from_millis(50)));
    let budget = Budget {
        until: now + time,
        end,
        rooms: relay.room_names(),
        lanes: 4,
        poll,
        stop: talkback::relay::stop::Stop::default(),
    };
    relay.dispatch(&budget).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_the_dispatcher_does_not_know_yet_has_its_pictures_brought_by_the_next() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(both(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    dispatch(&Relay::new(without_tech(&station), "dispatcher").unwrap(), Duration::from_millis(500)).await;
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    assert_eq!(texts(&station.sim.lines(OTHER_GROUP)).len(), 2);
    // What one room's delivery had, the other's found.
    assert_eq!(station.column("select count(*)::text from api_calls where operation = 'upload'").await, ["1"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_picture_of_a_message_for_two_rooms_is_uploaded_once() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(both(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    assert_eq!(gallery.asked(), ["a.gif"]);
    assert_eq!(station.column("select count(*)::text from api_calls where operation = 'upload'").await, ["1"]);
    station.end().await;
}

/// Only a few large pictures are in memory at once; the others wait their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_large_pictures_than_fit_at_once_are_all_shown() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let large = vec![gallery.url("large.gif"); 10];
    station.take_in(&[standard(&uid(), "one", &large), standard(&uid(), "two", &large)]).await;
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    assert_eq!(station.sim.posts().iter().filter(|post| post.picture_url.is_some()).count(), 20);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_silent_pictures_of_one_room_do_not_hold_up_anothers_alarm() {
    let gallery = Gallery::open().await;
    let setup = both(&gallery, "timeout = \"8s\"\npatience = \"8s\"");
    // There is one dispatcher here, and the next begins when it ends: it must not end meanwhile.
    let mut station = Station::with(Setup { lanes: "stay_unknown_deadline = \"30s\"".to_owned(), ..setup }).await;
    let silent: Vec<Value> = (0..40).map(|n| to("staff", &format!("{n}"), &[gallery.url("gated.gif")])).collect();
    station.take_in(&silent).await;
    station.start_dispatcher();
    station.until("select (count(*) > 5)::text from deliveries where media_until is not null", &["true"]).await;
    station.take_in(&[to("tech", "the alarm", &[gallery.url("a.gif")])]).await;
    let alarm = |lines: &[groupme_sim::Line]| lines.iter().filter(|line| line.group_id == OTHER_GROUP).count() == 2;
    station.sim.wait_for(alarm, PATIENCE).await.unwrap();
    // None of the others has come or been given up yet.
    assert!(station.texts().is_empty(), "{:?}", station.texts());
    gallery.let_through();
    station.kill_dispatcher().await;
    station.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bringer_that_was_frozen_past_a_replay_changes_nothing() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let uid = uid();
    station.take_in(&[standard(&uid, "look", &[gallery.url("a.gif")])]).await;
    let store = station.relay("dispatcher").store;
    let rooms = ["staff".to_owned()];
    let (frozen, living) = (Uuid::new_v4(), Uuid::new_v4());
    let lease = Duration::from_secs(60);
    let taken = store.take_pictures(&rooms, 9, frozen, lease, 9).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert!(store.take_pictures(&rooms, 9, living, lease, 9).await.unwrap().is_empty(), "leased");
    station.db().await.batch_execute("update deliveries set state = 'expired', cause = 'too old'").await.unwrap();
    assert_eq!(store.replay(&uid).await.unwrap(), 1);
    assert_eq!(store.take_pictures(&rooms, 9, living, lease, 9).await.unwrap().len(), 1);
    let parts = json!([{ "kind": "text", "text": "wrong", "picture_url": null, "fingerprint": "" }]);
    assert!(!store.pictures_ready(taken[0].delivery, frozen, &parts).await.unwrap());
    assert_eq!(station.column("select awaits_media::text from deliveries").await, ["true"]);
    // Nor does it end the lease of the living one, whose time goes on.
    assert!(store.take_pictures(&rooms, 9, frozen, lease, 9).await.unwrap().is_empty());
    station.db().await.batch_execute("update deliveries set media_until = clock_timestamp()").await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said()[0], "look");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_from_a_clock_that_stepped_back_is_none() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    let leased =
        "update deliveries set media_until = clock_timestamp() + interval '1 h', media_mark = gen_random_uuid()";
    station.db().await.batch_execute(leased).await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_who_died_a_fourth_gives_the_picture_up_and_the_text_goes_on() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    let store = station.relay("dispatcher").store;
    for tries in 1..=3 {
        let taken = store.take_pictures(&["staff".to_owned()], 9, Uuid::new_v4(), Duration::ZERO, 9).await.unwrap();
        assert_eq!(taken[0].tries, tries);
    }
    station.start_dispatcher();
    let lines = station.lines(2).await;
    assert_eq!(lines[1].text.as_deref(), Some("1 picture could not be sent: Talkback had to give up."));
    assert!(gallery.asked().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_producer_has_taken_over_is_not_fetched_and_a_replay_fetches_it() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let uid = uid();
    station.take_in(&[standard(&uid, "look", &[gallery.url("a.gif")])]).await;
    let over = "update deliveries set deliver_by = clock_timestamp() - interval '1 ms'";
    station.db().await.batch_execute(over).await.unwrap();
    dispatch(&station.relay("dispatcher"), Duration::from_millis(300)).await;
    assert!(gallery.asked().is_empty());
    station.relay("dispatcher").tend_once().await.unwrap();
    station.until("select state from deliveries", &["withdrawn"]).await;
    station.relay("dispatcher").store.replay(&uid).await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert!(station.sim.posts().last().unwrap().picture_url.is_some());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_will_take_over_has_its_text_posted_before_whatever_the_pictures_do() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "timeout = \"20s\"\npatience = \"20s\"")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("silence")])]).await;
    let soon = "update deliveries set deliver_by = clock_timestamp() + interval '4 s'";
    station.db().await.batch_execute(soon).await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(station.texts()[1], "1 picture could not be sent: not there in time.");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_does_not_wait_for_strangers_pictures() {
    let gallery = Gallery::open().await;
    let station = Station::with(with_gallery(&gallery, "timeout = \"30s\"\npatience = \"30s\"")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("silence")])]).await;
    let relay = station.relay("send");
    let alarm = json!({ "source": "standard", "body": "the alarm", "priority": "urgent" });
    let answer = timeout(PATIENCE, send_as(&relay, KEY, &alarm)).await.expect("it waits");
    assert_eq!(answer.status, 202);
    assert_eq!(station.said(), ["the alarm"]);
    assert!(gallery.asked().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_service_that_says_when_to_come_back_is_not_asked_before() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let limited = What::Status { code: 429, retry_after: Some(60), shown: false };
    station.sim.fault_at(Endpoint::Pictures, Fault::always(limited));
    let images: Vec<String> = (0..3).map(|_| gallery.url("a.gif")).collect();
    station.take_in(&[standard(&uid(), "look", &images)]).await;
    station.start_dispatcher();
    station.lines(2).await;
    assert_eq!(station.column("select count(*)::text from api_calls where operation = 'upload'").await, ["3"]);
    assert!(station.texts()[1].starts_with("3 pictures could not be sent: GroupMe's picture service"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_two_brought_a_picture_the_first_ones_is_shown() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let uid = uid();
    station.take_in(&[standard(&uid, "look", &[gallery.url("gated.gif")])]).await;
    station.start_dispatcher();
    station.until("select (media_until is not null)::text from deliveries", &["true"]).await;
    let first = "https://i.groupme.com/1x1.gif.first";
    let noted = "insert into pictures (uid, channel, n, url) values ($1, 'groupme', 1, $2)";
    station.db().await.execute(noted, &[&uid, &first]).await.unwrap();
    gallery.let_through();
    let lines = station.lines(2).await;
    assert_eq!(lines[1].picture_url.as_deref(), Some(first));
    assert_eq!(station.column("select url from pictures").await, [first]);
    station.end().await;
}

/// The record settles its own room only; the original, which comes after it, is still to be posted in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_room_gets_text_and_pictures_whose_record_came_before_the_original() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(both(&gallery, "")).await;
    let uid = uid();
    let record = json!({ "text": "look", "bot_id": crate::station::BOT, "source": "standard", "code": 202, "wbor_message_id": uid });
    station.take_in(&[Station::message("source.groupme.msg", &record)]).await;
    station.take_in(&[standard(&uid, "look", &[gallery.url("a.gif")])]).await;
    station.start_dispatcher();
    station.until("select room || ' ' || state from deliveries order by room", &["staff sent", "tech confirmed"]).await;
    let lines = station.sim.lines(OTHER_GROUP);
    assert_eq!((lines.len(), lines[1].picture_url.is_some()), (2, true));
    assert!(station.texts().is_empty());
    station.end().await;
}

/// What a server sends counts against its time; what we have no room for does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_of_one_room_do_not_make_anothers_picture_late() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(both(&gallery, "timeout = \"500ms\"\npatience = \"9s\"")).await;
    station.sim.fault_at(Endpoint::Pictures, Fault::always(What::Slow(Duration::from_millis(900))));
    let large: Vec<Value> = (0..4).map(|n| to("staff", &format!("{n}"), &[gallery.url("large.gif")])).collect();
    station.take_in(&large).await;
    station.start_dispatcher();
    station.until("select count(*)::text from api_calls where operation = 'fetch'", &["4"]).await;
    station.take_in(&[to("tech", "look", &[gallery.url("large.gif")])]).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert!(station.sim.lines(OTHER_GROUP)[1].picture_url.is_some());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_behind_an_alarm_with_a_silent_picture_waits_only_a_moment() {
    let gallery = Gallery::open().await;
    let media = "timeout = \"20s\"\npatience = \"20s\"";
    let mut station = Station::with(with_gallery(&gallery, media)).await;
    let urgent = |body: &str, images: &[String]| {
        let body = json!({ "body": body, "images": images, "priority": "urgent", "wbor_message_id": uid() });
        Station::message("source.standard", &body)
    };
    station.take_in(&[urgent("first", &[gallery.url("silence")]), urgent("second", &[])]).await;
    station.start_dispatcher();
    // Well before what the settings leave a picture.
    timeout(Duration::from_secs(10), station.lines(3)).await.expect("an alarm waits for a stranger's server");
    assert!(station.said()[0] == "first" && station.said()[2] == "second", "{:?}", station.said());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_dispatcher_is_at_work_an_alarm_goes_at_once_without_its_pictures() {
    let gallery = Gallery::open().await;
    let station = Station::with(with_gallery(&gallery, "")).await;
    let alarm =
        json!({ "body": "alarm", "images": [gallery.url("a.gif")], "priority": "urgent", "wbor_message_id": uid() });
    station.consume(&[Station::message("source.standard", &alarm)]).await;
    assert_eq!(station.said(), ["alarm", "1 picture could not be sent: not there in time."]);
    assert!(gallery.asked().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_that_is_away_costs_pictures_and_not_the_room() {
    let gallery = Gallery::open().await;
    let station = Station::with(with_gallery(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    station.consume(&[standard(&uid(), "young", &[])]).await;
    assert!(station.texts().is_empty(), "its pictures may still come");
    let long_ago = "update deliveries set media_since = media_since - interval '1 min' where awaits_media";
    station.db().await.batch_execute(long_ago).await.unwrap();
    station.consume(&[standard(&uid(), "after it", &[])]).await;
    assert_eq!(station.said(), ["look", "1 picture could not be sent: not there in time.", "young", "after it"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_does_not_grow_too_old_while_it_waits_for_its_pictures() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "timeout = \"20s\"\npatience = \"20s\"")).await;
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4)).to_string();
    let look =
        json!({ "body": "look", "images": [gallery.url("silence")], "wbor_message_id": uid(), "expires_at": soon });
    station.take_in(&[Station::message("source.standard", &look)]).await;
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said(), ["look", "1 picture could not be sent: not there in time."]);
    station.end().await;
}
