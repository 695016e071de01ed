//! `GET /groups/:id/messages`: a member reads the room.

use groupme_sim::{Endpoint, Fault, What};
use serde_json::{Value, json};

use crate::station::{BOT, GROUP, Listener, TOKEN, client, post_json, post_text, started};

/// The status and the texts of a page.
async fn page(sim: &groupme_sim::Sim, group: &str, query: &str) -> (u16, Vec<String>) {
    let url = format!("{}/groups/{group}/messages{query}", sim.api_url());
    let answer = client().get(url).header("X-Access-Token", TOKEN).send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return (status, vec![]) };
    let messages = body["response"]["messages"].as_array().cloned().unwrap_or_default();
    (status, messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn pages_lead_from_the_newest_line_to_the_end_and_back() {
    let sim = started().await;
    assert_eq!(page(&sim, GROUP, "").await.0, 304, "nothing said yet");
    let mut ids = Vec::new();
    for text in ["1", "2", "3", "4", "5"] {
        ids.push(sim.say(GROUP, "1", "Bo", text).await);
    }
    sim.say("9", "1", "Bo", "elsewhere").await;
    let (first, third, last) = (&ids[0], &ids[2], &ids[4]);
    for (query, status, texts) in [
        (String::new(), 200, vec!["5", "4", "3", "2", "1"]),
        ("?limit=2".to_owned(), 200, vec!["5", "4"]),
        (format!("?limit=2&before_id={third}"), 200, vec!["2", "1"]),
        (format!("?before_id={first}"), 304, vec![]),
        (format!("?limit=1&since_id={third}"), 200, vec!["5"]),
        (format!("?limit=1&after_id={third}"), 200, vec!["4"]),
        (format!("?after_id={first}"), 200, vec!["2", "3", "4", "5"]),
        (format!("?since_id={last}"), 304, vec![]),
    ] {
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        assert_eq!(page(&sim, GROUP, &query).await, (status, texts), "{query}");
    }
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn a_page_has_twenty_lines_unless_told_and_a_hundred_at_most() {
    let sim = started().await;
    for n in 0..120 {
        sim.say(GROUP, "1", "Bo", &n.to_string()).await;
    }
    assert_eq!(page(&sim, GROUP, "").await.1.len(), 20);
    assert_eq!(page(&sim, GROUP, "?limit=100").await.1.len(), 100);
    assert_eq!(page(&sim, GROUP, "?limit=101").await.0, 400);
    assert_eq!(sim.take_complaints().len(), 1);
}

#[tokio::test]
async fn a_line_reads_as_its_callback_said_it() {
    let (sim, listener) = (started().await, Listener::answering(&[]).await);
    sim.set_callback_url(BOT, &listener.url);
    post_json(&sim, &json!({"bot_id": BOT, "text": "", "picture_url": "https://i.groupme.com/1x1.png.0"})).await;
    let mut told = listener.hear(1).await[0].body.clone();
    let url = format!("{}/groups/{GROUP}/messages?limit=1&token={TOKEN}", sim.api_url());
    let body: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    told["favorited_by"] = json!([]);
    assert_eq!(body["response"]["messages"], json!([told]));
    assert_eq!((&body["response"]["count"], &body["meta"]["code"]), (&json!(1), &json!(200)));
    assert!(!body.to_string().contains(BOT));
}

#[tokio::test]
async fn who_has_no_token_or_a_wrong_one_reads_nothing() {
    let sim = started().await;
    post_text(&sim, "secret").await;
    let url = format!("{}/groups/{GROUP}/messages", sim.api_url());
    let wrong = client().get(&url).header("X-Access-Token", "wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(sim.complaints().is_empty(), "a token can be revoked");
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    assert!(sim.take_complaints()[0].contains("no token"));
}

#[tokio::test]
async fn wrong_questions_are_complained_of() {
    let sim = started().await;
    post_text(&sim, "x").await;
    for (group, query, status, complaint) in [
        (GROUP, "?page=2", 400, "unknown parameter page"),
        (GROUP, "?before_id=abc", 400, "before_id is no number"),
        (GROUP, "?before_id=1&since_id=1", 400, "more than one"),
        (GROUP, "?limit=0", 400, "limit is not within"),
        ("4712", "", 404, "no such group"),
    ] {
        assert_eq!(page(&sim, group, query).await.0, status, "{query}");
        let told = sim.take_complaints();
        assert!(told.len() == 1 && told[0].contains(complaint), "{told:?}");
    }
}

#[tokio::test]
async fn reading_fails_on_order_too() {
    let sim = started().await;
    post_text(&sim, "x").await;
    let down = What::Status { code: 502, retry_after: None, shown: false };
    sim.fault_at(Endpoint::Messages, Fault::once(down));
    assert_eq!(page(&sim, GROUP, "").await.0, 502);
    assert_eq!(page(&sim, GROUP, "").await.0, 200);
}
