//! Each fault, as the caller meets it.

use std::time::{Duration, Instant};

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::station::{BOT, GROUP, OTHER, SOON, client, post_json, post_text, started, texts};

fn status(code: u16, shown: bool) -> What {
    What::Status { code, retry_after: None, shown }
}

#[tokio::test]
async fn a_status_is_answered_once_with_retry_after_and_then_all_is_well() {
    let sim = started().await;
    sim.fault(Fault::once(What::Status { code: 420, retry_after: Some(7), shown: false }));
    let body = json!({"bot_id": BOT, "text": "x"});
    let answer = client().post(format!("{}/bots/post", sim.api_url())).json(&body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (420, "7"));
    let envelope: Value = answer.json().await.unwrap();
    assert_eq!(envelope["meta"]["code"], 420);
    assert_eq!(post_text(&sim, "y").await, 202);
    assert_eq!(texts(&sim), ["y"]);
    let posts = sim.posts();
    assert_eq!((posts[0].answer, posts[0].shown, posts[1].shown), (Some(420), false, true));
    assert!(sim.complaints().is_empty(), "what was ordered is no complaint");
}

#[tokio::test]
async fn a_500_may_have_been_shown() {
    let sim = started().await;
    sim.fault(Fault::once(status(500, true)));
    assert_eq!(post_text(&sim, "there").await, 500);
    assert_eq!(texts(&sim), ["there"]);
}

#[tokio::test]
async fn a_rate_limit_may_hide_inside_a_400() {
    let sim = started().await;
    sim.fault(Fault::once(What::MetaCode429));
    let body = json!({"bot_id": BOT, "text": "x"});
    let answer = client().post(format!("{}/bots/post", sim.api_url())).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["meta"]["code"], 429);
    assert!(texts(&sim).is_empty());
}

#[tokio::test]
async fn silence_holds_the_connection_until_the_caller_hangs_up() {
    let sim = started().await;
    for shown in [true, false] {
        sim.fault(Fault::once(What::Silence { shown }));
        let text = if shown { "shown" } else { "hidden" };
        let request = client().post(format!("{}/bots/post", sim.api_url())).timeout(Duration::from_millis(300));
        let error = request.json(&json!({"bot_id": BOT, "text": text})).send().await.unwrap_err();
        assert!(error.is_timeout());
    }
    assert_eq!(post_text(&sim, "after").await, 202);
    assert_eq!(texts(&sim), ["shown", "after"]);
    assert_eq!(sim.posts()[0].answer, None);
    assert!(sim.complaints().is_empty(), "who hung up may post again");
}

/// Sends a whole request by hand, and says how the connection ended.
async fn raw_post(sim: &groupme_sim::Sim, tcp: &mut TcpStream, text: &str) -> std::io::Result<String> {
    let host = sim.image_url().replace("http://", "");
    let body = json!({"bot_id": BOT, "text": text}).to_string();
    let length = body.len();
    let head = format!(
        "POST /v3/bots/post HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    tcp.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, tcp.read(&mut answer)).await.expect("an end in time")?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

async fn connected(sim: &groupme_sim::Sim) -> TcpStream {
    TcpStream::connect(sim.image_url().replace("http://", "")).await.unwrap()
}

#[tokio::test]
async fn a_connection_is_reset_before_or_after_the_request_is_read() {
    let sim = started().await;
    let cases = [
        (What::ResetBeforeRead, None, false),
        (What::ResetBeforeRead, Some("cut"), false),
        (What::ResetAfterRead { shown: false }, None, false),
        (What::ResetAfterRead { shown: true }, None, true),
    ];
    for (what, containing, shown) in cases {
        let before = sim.posts().len();
        sim.fault(Fault { containing: containing.map(str::to_owned), ..Fault::once(what.clone()) });
        let ended = raw_post(&sim, &mut connected(&sim).await, "cut").await;
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{what:?}");
        let posts = sim.posts();
        assert_eq!(posts.len(), before + 1);
        assert_eq!((posts[before].shown, posts[before].answer), (shown, None), "{what:?}");
        let unread = what == What::ResetBeforeRead && containing.is_none();
        assert_eq!(posts[before].text.is_none(), unread);
    }
    assert_eq!(post_text(&sim, "well again").await, 202);
    assert_eq!(texts(&sim), ["cut", "well again"]);
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn a_kept_connection_is_reset_too() {
    let sim = started().await;
    let mut tcp = connected(&sim).await;
    assert!(raw_post(&sim, &mut tcp, "one").await.unwrap().starts_with("HTTP/1.1 202"));
    sim.fault(Fault::once(What::ResetBeforeRead));
    assert_eq!(raw_post(&sim, &mut tcp, "two").await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(texts(&sim), ["one"]);
}

#[tokio::test]
async fn a_slow_answer_comes_after_its_line() {
    let sim = started().await;
    sim.fault(Fault::once(What::Slow(Duration::from_millis(300))));
    let begun = Instant::now();
    let answered = async { (post_text(&sim, "slow").await, begun.elapsed()) };
    let shown = async {
        sim.wait_for(|lines| lines.len() == 1, SOON).await.unwrap();
        sim.posts()[0].answer
    };
    let ((status, took), answer_when_shown) = tokio::join!(answered, shown);
    assert_eq!((status, answer_when_shown), (202, None));
    assert!(took >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_post_may_be_answered_202_and_never_appear() {
    let sim = started().await;
    sim.fault(Fault::once(What::NeverShown));
    assert_eq!(post_text(&sim, "gone").await, 202);
    assert_eq!(post_text(&sim, "here").await, 202);
    assert_eq!(texts(&sim), ["here"]);
    assert_eq!((sim.posts()[0].answer, sim.posts()[0].shown), (Some(202), false));
}

#[tokio::test]
async fn a_fault_of_one_bot_or_text_leaves_the_others_and_ends_when_cleared() {
    let sim = started().await;
    sim.fault(Fault { containing: Some("poison".into()), ..Fault::always(status(500, false)) });
    sim.fault(Fault { bot_id: Some(OTHER.into()), ..Fault::always(status(404, false)) });
    for _ in 0..3 {
        assert_eq!(post_text(&sim, "with poison in it").await, 500);
        assert_eq!(post_text(&sim, "good").await, 202);
        assert_eq!(post_json(&sim, &json!({"bot_id": OTHER, "text": "x"})).await, 404);
    }
    sim.clear_faults();
    assert_eq!(post_text(&sim, "poison").await, 202);
    assert_eq!(post_json(&sim, &json!({"bot_id": OTHER, "text": "x"})).await, 202);
    assert_eq!(sim.lines(GROUP).len(), 5);
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn who_waits_in_vain_is_told_what_was_there_instead() {
    let sim = started().await;
    post_text(&sim, "only this").await;
    let error = sim.wait_for(|lines| lines.len() == 2, Duration::from_millis(50)).await.unwrap_err();
    assert!(error.to_string().contains("only this"), "{error}");
}
