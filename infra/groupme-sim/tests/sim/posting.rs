//! `POST /bots/post`, taken and refused.

use groupme_sim::SenderType;
use serde_json::{Value, json};

use crate::station::{BOT, GROUP, OTHER, client, post_json, post_text, started, texts};

#[tokio::test]
async fn a_post_is_answered_202_without_a_body_and_shown() {
    let sim = started().await;
    let url = format!("{}/bots/post", sim.api_url());
    let body = json!({"bot_id": BOT, "text": "On air\nin 5"});
    let answer = client().post(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.text().await.unwrap(), "");
    let lines = sim.lines(GROUP);
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!((line.name.as_str(), line.text.as_deref()), ("Studio", Some("On air\nin 5")));
    assert_eq!((line.sender_type, line.bot_id.as_deref()), (SenderType::Bot, Some(BOT)));
    assert_ne!(line.sender_id, BOT, "a bot's id is a secret");
    let posts = sim.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!((posts[0].answer, posts[0].shown), (Some(202), true));
    assert_eq!(posts[0].line_id.as_ref(), Some(&line.id));
    assert!(sim.lines("9").is_empty());
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn a_picture_may_come_alone_by_url_or_as_an_attachment() {
    let sim = started().await;
    let url = "https://i.groupme.com/640x480.png.0123456789abcdef";
    let by_url = json!({"bot_id": BOT, "text": "", "picture_url": url});
    let attached = json!({"bot_id": BOT, "text": "", "attachments": [{"type": "image", "url": url}]});
    for body in [by_url, attached] {
        assert_eq!(post_json(&sim, &body).await, 202);
    }
    assert!(sim.lines(GROUP).iter().all(|line| line.picture_url.as_deref() == Some(url)));
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn the_longest_text_is_1000_in_code_points_and_in_utf16_units() {
    let sim = started().await;
    assert_eq!(post_text(&sim, &"ä".repeat(1000)).await, 202);
    assert_eq!(post_text(&sim, &"📻".repeat(500)).await, 202);
    assert!(sim.complaints().is_empty());
    assert_eq!(post_text(&sim, &"ä".repeat(1001)).await, 400);
    assert_eq!(post_text(&sim, &"📻".repeat(501)).await, 400);
    assert_eq!(sim.lines(GROUP).len(), 2);
    let told = sim.take_complaints();
    assert!(told[0].contains("1001 code points") && told[1].contains("1002 UTF-16 units"), "{told:?}");
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn what_facts_do_not_promise_is_refused_in_the_envelope_and_complained_of() {
    let sim = started().await;
    let url = "https://i.groupme.com/1x1.png.0";
    let image = json!({"type": "image", "url": url});
    let cases: [(Value, u16, &str); 14] = [
        (json!({"bot_id": "nobody", "text": "x"}), 404, "unknown bot_id"),
        (json!({"text": "x"}), 400, "missing field bot_id"),
        (json!({"bot_id": BOT, "text": "x", "mood": "good"}), 400, "unknown field mood"),
        (json!({"bot_id": BOT, "text": 7}), 400, "unreadable JSON"),
        (json!({"bot_id": BOT}), 400, "neither text nor picture"),
        (json!({"bot_id": BOT, "text": ""}), 400, "neither text nor picture"),
        (json!({"bot_id": BOT, "text": " \n "}), 400, "neither text nor picture"),
        (json!({"bot_id": BOT, "text": "x", "picture_url": "https://example.org/a.png"}), 400, "not on i.groupme.com"),
        (
            json!({"bot_id": BOT, "text": "x", "picture_url": "https://i.groupme.com.evil.org/a"}),
            400,
            "not on i.groupme",
        ),
        (json!({"bot_id": BOT, "text": "x", "picture_url": "http://i.groupme.com/a"}), 400, "not on i.groupme.com"),
        (json!({"bot_id": BOT, "text": "x", "attachments": [image, image]}), 400, "more than one picture"),
        (json!({"bot_id": BOT, "text": "x", "attachments": [image], "picture_url": url}), 400, "more than one picture"),
        (json!({"bot_id": BOT, "text": "x", "attachments": [{"type": "video", "url": url}]}), 400, "unreadable JSON"),
        (json!([1]), 400, "unreadable JSON"),
    ];
    for (body, status, complaint) in cases {
        let answer = client().post(format!("{}/bots/post", sim.api_url())).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let envelope: Value = answer.json().await.unwrap();
        assert_eq!(envelope["meta"]["code"], status, "{body}");
        assert!(envelope["meta"]["errors"][0].is_string() && envelope["response"].is_null(), "{body}");
        let told = sim.take_complaints();
        assert!(told.len() == 1 && told[0].contains(complaint), "{body}: {told:?}");
    }
    assert!(sim.lines(GROUP).is_empty());
    assert!(sim.posts().iter().all(|post| !post.shown && post.answer >= Some(400)));
}

#[tokio::test]
async fn a_wrong_content_type_path_method_or_query_is_complained_of() {
    let sim = started().await;
    let (http, api) = (client(), sim.api_url());
    let body = json!({"bot_id": BOT, "text": "x"}).to_string();
    let post = |url: String| http.post(url).body(body.clone());
    let json = "application/json";
    let cases = [
        (post(format!("{api}/bots/post")), 400, "no content type"),
        (post(format!("{api}/bots/post")).header("content-type", "text/plain"), 400, "not application/json"),
        (post(format!("{api}/bots/post?token=x")).header("content-type", json), 400, "a query"),
        (post(format!("{api}/bots/posts")).header("content-type", json), 404, "no such path"),
        (post(format!("{api}/v3/bots/post")).header("content-type", json), 404, "no such path"),
        (http.get(format!("{api}/bots/post")), 405, "wrong method"),
    ];
    for (request, status, complaint) in cases {
        assert_eq!(request.send().await.unwrap().status(), status, "{complaint}");
        let told = sim.take_complaints();
        assert!(told.len() == 1 && told[0].contains(complaint), "{told:?}");
    }
    let charset = post(format!("{api}/bots/post")).header("content-type", "application/json; charset=utf-8");
    assert_eq!(charset.send().await.unwrap().status(), 202);
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn two_posts_of_one_bot_in_the_air_at_once_are_complained_of() {
    use groupme_sim::{Fault, What};
    use std::time::Duration;

    let sim = started().await;
    sim.fault(Fault::once(What::Slow(Duration::from_millis(400))));
    let slow = post_text(&sim, "first");
    let early = async {
        sim.wait_for_posts(|posts| posts.len() == 1, crate::station::SOON).await.unwrap();
        post_text(&sim, "second").await
    };
    assert_eq!(tokio::join!(slow, early), (202, 202));
    let told = sim.take_complaints();
    assert!(told.len() == 1 && told[0].contains("in the air"), "{told:?}");

    sim.fault(Fault::once(What::Slow(Duration::from_millis(400))));
    let slow = post_text(&sim, "third");
    let other = async {
        sim.wait_for_posts(|posts| posts.len() == 3, crate::station::SOON).await.unwrap();
        post_json(&sim, &json!({"bot_id": OTHER, "text": "fourth"})).await
    };
    assert_eq!(tokio::join!(slow, other), (202, 202));
    assert!(sim.complaints().is_empty());
    assert_eq!(texts(&sim), ["first", "second", "third", "fourth"]);
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port_also_with_silent_calls_open() {
    use groupme_sim::{Fault, Sim, SimConfig, What};

    let sim = started().await;
    sim.fault(Fault::once(What::Silence { shown: false }));
    let port = sim.page_url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let request = client().post(format!("{}/bots/post", sim.api_url())).json(&json!({"bot_id": BOT, "text": "x"}));
    let silent = tokio::spawn(request.send());
    sim.wait_for_posts(|posts| posts.len() == 1, crate::station::SOON).await.unwrap();
    drop(sim);
    assert!(silent.await.unwrap().is_err());
    let again = Sim::start(SimConfig { port, ..SimConfig::default() }).await.unwrap();
    assert!(Sim::start(SimConfig { port, ..SimConfig::default() }).await.is_err(), "now it is taken");
    again.stop().await;
}
