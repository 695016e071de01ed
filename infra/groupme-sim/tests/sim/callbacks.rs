//! The callback: what it says, to whom, and how it fails on order.

use std::{collections::HashSet, time::Duration};

use groupme_sim::CallbackMode;
use serde_json::json;

use crate::station::{BOT, GROUP, Listener, OTHER, SOON, post_json, post_text, started};

#[tokio::test]
async fn every_line_is_called_back_with_the_body_that_groupme_sends() {
    let (sim, listener) = (started().await, Listener::answering(&[]).await);
    sim.set_callback_url(BOT, &listener.url);
    let said = sim.say(GROUP, "77", "Ana", "!ping").await;
    let picture = "https://i.groupme.com/1x1.png.0";
    post_json(&sim, &json!({"bot_id": BOT, "text": "pong", "picture_url": picture})).await;
    let event = json!({"type": "bot.del", "data": {"bot": "Studio"}});
    sim.say_as_system(GROUP, "Ana removed Studio", Some(event.clone())).await;
    let heard = listener.hear(3).await;
    let lines = sim.lines(GROUP);
    assert_eq!(lines[0].id, said);
    assert_eq!(
        heard[0].body,
        json!({
            "attachments": [], "avatar_url": null, "created_at": lines[0].created_at, "group_id": GROUP,
            "id": said, "name": "Ana", "sender_id": "77", "sender_type": "user",
            "source_guid": lines[0].source_guid, "system": false, "text": "!ping", "user_id": "77",
        })
    );
    assert_eq!(heard[1].body["sender_type"], "bot");
    assert_eq!(heard[1].body["text"], "pong");
    assert_eq!(heard[1].body["attachments"], json!([{"type": "image", "url": picture}]));
    assert_eq!(heard[2].body["event"], event);
    assert_eq!(heard[2].body["system"], true);
    for heard in &heard {
        assert_eq!(heard.headers["user-agent"], "GroupMeBotNotifier/1.0");
        assert_eq!(heard.headers["content-type"], "application/json");
        assert!(!heard.body.to_string().contains(BOT), "the bot's id is a secret");
    }
    assert!(lines.is_sorted_by_key(|line| line.id.parse::<u64>().unwrap()));
    let attempts = sim.wait_for_callbacks(|tries| tries.len() == 3, SOON).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.status == Some(200) && !attempt.retry));
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn two_bots_of_one_group_are_both_called_and_others_are_not() {
    let (sim, one, two) = (started().await, Listener::answering(&[]).await, Listener::answering(&[]).await);
    let far = Listener::answering(&[]).await;
    for (bot, listener) in [(BOT, &one), (OTHER, &two), ("bot-far", &far)] {
        sim.set_callback_url(bot, &listener.url);
    }
    post_text(&sim, "to all").await;
    assert_eq!(one.hear_texts(1).await, ["to all"]);
    assert_eq!(two.hear_texts(1).await, ["to all"]);
    sim.say("9", "1", "Bo", "far away").await;
    assert_eq!(far.hear_texts(1).await, ["far away"]);
}

#[tokio::test]
async fn a_callback_that_fails_is_tried_once_more_and_holds_nothing_up() {
    let (sim, listener) = (started().await, Listener::answering(&[503, 200, 500, 500]).await);
    sim.set_callback_url(BOT, &listener.url);
    sim.say(GROUP, "1", "Bo", "one").await;
    sim.say(GROUP, "1", "Bo", "two").await;
    assert_eq!(listener.hear_texts(3).await, ["one", "two", "one"]);
    let attempts = sim.wait_for_callbacks(|tries| tries.len() == 3, SOON).await.unwrap();
    assert_eq!(
        attempts.iter().map(|a| (a.status, a.retry)).collect::<Vec<_>>(),
        [(Some(503), false), (Some(200), false), (Some(500), true)]
    );
    sim.say(GROUP, "1", "Bo", "three").await;
    sim.say(GROUP, "1", "Bo", "four").await;
    assert_eq!(listener.hear_texts(6).await[3..], ["three", "four", "three"], "no third try of one");
}

#[tokio::test]
async fn a_callback_without_an_answer_is_given_up_after_three_seconds_and_tried_again() {
    let (sim, listener) = (started().await, Listener::answering(&[0]).await);
    sim.set_callback_url(BOT, &listener.url);
    sim.say(GROUP, "1", "Bo", "slow").await;
    assert_eq!(listener.hear_texts(2).await, ["slow", "slow"]);
    let attempts = sim.wait_for_callbacks(|tries| tries.len() == 2, SOON).await.unwrap();
    assert_eq!((attempts[0].status, attempts[1].status), (None, Some(200)));
    assert!(attempts[0].elapsed >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_callback_url_with_nobody_behind_it_is_written_down_as_no_answer() {
    let sim = started().await;
    let nobody = Listener::answering(&[]).await.url.clone();
    sim.set_callback_url(BOT, nobody);
    let line = sim.say(GROUP, "1", "Bo", "hello?").await;
    let attempts = sim.wait_for_callbacks(|tries| tries.len() == 2, SOON).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.line_id == line && attempt.status.is_none()));
}

#[tokio::test]
async fn callbacks_come_never_twice_late_or_with_gaps_on_order() {
    let (sim, listener) = (started().await, Listener::answering(&[]).await);
    sim.set_callback_url(BOT, &listener.url);
    sim.callbacks_mode(BOT, CallbackMode::Never);
    sim.say(GROUP, "1", "Bo", "lost").await;
    sim.callbacks_mode(BOT, CallbackMode::Twice);
    sim.say(GROUP, "1", "Bo", "double").await;
    assert_eq!(listener.hear_texts(2).await, ["double", "double"]);

    sim.callbacks_mode(BOT, CallbackMode::LoseEvery(3));
    for text in ["1", "2", "3", "4", "5", "6", "7"] {
        sim.say(GROUP, "1", "Bo", text).await;
    }
    assert_eq!(listener.hear_texts(7).await[2..], ["1", "2", "4", "5", "7"]);

    sim.callbacks_mode(BOT, CallbackMode::Late(Duration::from_millis(300)));
    sim.say(GROUP, "1", "Bo", "late").await;
    let shown = sim.lines(GROUP).last().unwrap().at;
    let heard = listener.hear(8).await;
    assert!(heard[7].at.duration_since(shown) >= Duration::from_millis(300));

    sim.callbacks_mode(BOT, CallbackMode::Normal);
    sim.say(GROUP, "1", "Bo", "plain").await;
    assert_eq!(listener.hear_texts(9).await[8], "plain");
    assert_eq!(listener.count(), 9);
}

#[tokio::test]
async fn shuffled_callbacks_lose_nothing_and_keep_no_order() {
    let (sim, listener) = (started().await, Listener::answering(&[]).await);
    sim.set_callback_url(BOT, &listener.url);
    sim.callbacks_mode(BOT, CallbackMode::Shuffled);
    let said: Vec<String> = (0..7).map(|n| n.to_string()).collect();
    for text in &said {
        sim.say(GROUP, "1", "Bo", text).await;
    }
    let heard = listener.hear_texts(7).await;
    assert_ne!(heard, said);
    assert_eq!(heard.into_iter().collect::<HashSet<_>>(), said.into_iter().collect::<HashSet<_>>());
}
