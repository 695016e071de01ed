//! Several programs at one spool: what one has done the others know.
use std::time::Duration;

use groupme_sim::{Fault, What};
use talkback_producer::{Because, Flushed, Message, Outcome, Producer, Recorded, Settings};
use tokio::time::interval;

use super::desk::{Desk, NOWHERE, Told, texts};
use super::proxy::{Harm, Proxy};
use crate::station::PATIENCE;

const CUT_OFF: Told<'static> = Told { amqp_url: Some(NOWHERE), is_blind: true };

fn message(text: &str) -> Message {
    Message::new("source.standard", text).unwrap()
}

fn busy() -> What {
    What::Status { code: 429, retry_after: Some(30), shown: false }
}

fn hasty(desk: &Desk, told: Told<'_>) -> Producer {
    let settings = desk.settings(told, Duration::from_secs(1));
    Producer::new(Settings { effort: Duration::from_secs(2), ..settings }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_say_the_same_under_one_uid_post_it_once_and_so_does_who_repeats_it() {
    let desk = Desk::open("same-uid").await;
    let said = message("Signal lost.");
    let (one, other) = (hasty(&desk, CUT_OFF), hasty(&desk, CUT_OFF));
    let (first, second) = tokio::join!(one.send(&said), other.send(&said));
    assert!(matches!(first, Outcome::Posted { .. }) && matches!(second, Outcome::Posted { .. }), "{first} / {second}");
    assert_eq!((desk.lines().len(), desk.spooled().len()), (1, 1));
    let connected = hasty(&desk, Told::default());
    assert_eq!(connected.flush(PATIENCE).await, Flushed { done: 1, ..Flushed::default() });
    assert!(desk.spooled().is_empty());
    let again = one.send(&said).await;
    assert!(matches!(again, Outcome::Posted { recorded: Recorded::Published, .. }), "{again}");
    assert_eq!((desk.lines().len(), desk.spooled().len()), (1, 0));
    connected.close().await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_posts_while_the_records_of_the_first_part_go_out_is_not_written_over() {
    let desk = Desk::open("written-over").await;
    desk.station.sim.fault(Fault { containing: Some("(2/3)".into()), ..Fault::once(busy()) });
    let heals = Some(Duration::from_millis(1500));
    let proxy = Proxy::open(&desk.vhost.url(), "alreadysent", Some(Harm::Mute), heals).await;
    let url = proxy.url(&desk.vhost.url());
    let slow = hasty(&desk, Told { amqp_url: Some(&url), is_blind: true });
    let text = "All work and no play makes Jack a dull boy. ".repeat(50).trim().to_owned();
    let said = message(&text);
    let quick = hasty(&desk, Told::default());
    let going_on = async {
        let mut look = interval(Duration::from_millis(10));
        while !proxy.has_struck() {
            look.tick().await;
        }
        std::fs::remove_file(desk.folder.join("spool/pace")).unwrap();
        quick.flush(PATIENCE).await
    };
    let (kept, flushed) = tokio::join!(slow.send(&said), going_on);
    assert!(matches!(kept, Outcome::Kept { posted: 1, parts: 3, .. }), "{kept}");
    assert_eq!(flushed, Flushed { done: 1, ..Flushed::default() });
    assert!(desk.spooled().is_empty(), "what was done with is there again");
    assert_eq!(quick.flush(PATIENCE).await, Flushed::default());
    assert_eq!(desk.station.texts(), texts(said.uid(), &text));
    slow.close().await;
    quick.close().await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_while_another_failed_a_message_does_not_say_that_it_was_posted() {
    let desk = Desk::open("failed-elsewhere").await;
    desk.station.sim.fault(Fault::once(busy()));
    let kept = hasty(&desk, CUT_OFF).send(&message("No.")).await;
    assert!(matches!(kept, Outcome::Kept { because: Because::Broker(_), posted: 0, parts: 1, .. }), "{kept}");
    std::fs::remove_file(desk.folder.join("spool/pace")).unwrap();
    desk.station.sim.fault(Fault::once(What::Status { code: 400, retry_after: None, shown: false }));
    let (one, other) = (hasty(&desk, Told::default()), hasty(&desk, Told::default()));
    let (first, second) = tokio::join!(one.flush(PATIENCE), other.flush(PATIENCE));
    assert_eq!((first.failed, second.failed), (1, 1), "{first:?} {second:?}");
    assert!(desk.lines().is_empty() && desk.spooled().is_empty());
    one.close().await;
    other.close().await;
    desk.end().await;
}
