//! What the simulator finds wrong in what a bot does, and whom it tells.

use std::time::Duration;

use groupme_sim::{Fault, Finding, Kind, Line, NotYet, Sim, Weight, What};
use serde_json::{Value, json};

use crate::{
    pictures::{PNG, upload},
    station::{BOT, GROUP, OTHER, SOON, TOKEN, client, post_json, post_text, started},
};

/// What was found, without its words.
fn found(sim: &Sim) -> Vec<(Weight, Kind)> {
    sim.findings().iter().map(|finding| (finding.weight, finding.kind)).collect()
}

/// A simulator whose first bot may post as fast as it likes.
async fn unhurried() -> Sim {
    let sim = started().await;
    sim.set_pace(BOT, Duration::ZERO, 1);
    sim
}

fn dressed(text: &str) -> String {
    format!("\"{text}\"\n---UID---\n0badcafe\n---------")
}

#[tokio::test]
async fn a_line_that_is_shown_twice_is_found_and_named() {
    let sim = unhurried().await;
    for text in ["once", "twice", "twice"] {
        assert_eq!(post_text(&sim, &dressed(text)).await, 202);
    }
    let findings = sim.findings();
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Double)]);
    assert_eq!(findings[0].line_id.as_deref(), Some(sim.lines(GROUP)[2].id.as_str()));
    assert_eq!(findings[0].group_id.as_deref(), Some(GROUP));
    assert!(!format!("{findings:?}").contains("twice\"") && !format!("{findings:?}").contains(BOT));
    assert!(sim.complaints().is_empty(), "GroupMe itself would not mind");
}

#[tokio::test]
async fn a_line_that_groupme_did_not_show_may_come_again() {
    let sim = unhurried().await;
    sim.fault(Fault::once(What::NeverShown));
    sim.fault(Fault::once(What::Status { code: 503, retry_after: None, shown: false }));
    for _ in 0..3 {
        post_text(&sim, &dressed("again")).await;
    }
    assert_eq!(found(&sim), []);
    sim.fault(Fault::once(What::Status { code: 503, retry_after: None, shown: true }));
    post_text(&sim, &dressed("shown, and not said so")).await;
    post_text(&sim, &dressed("shown, and not said so")).await;
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Double)], "its callback told of it");
}

#[tokio::test]
async fn posts_faster_than_the_pace_are_found_for_the_bot_that_made_them() {
    let sim = started().await;
    for text in ["1", "2", "3", "4"] {
        post_text(&sim, text).await;
        post_json(&sim, &json!({"bot_id": OTHER, "text": text})).await;
        if text == "3" {
            sim.set_pace(OTHER, Duration::from_millis(1), 10);
        }
    }
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Pace)]);
    let line = sim.lines(GROUP).into_iter().find(|line| line.bot_id.as_deref() == Some(BOT) && said(line, "4"));
    assert_eq!(sim.findings()[0].line_id, line.map(|line| line.id));
}

fn said(line: &Line, text: &str) -> bool {
    line.text.as_deref() == Some(text)
}

#[tokio::test]
async fn a_rate_limit_that_is_not_waited_out_is_found() {
    let sim = started().await;
    sim.fault(Fault::once(What::Status { code: 429, retry_after: Some(30), shown: false }));
    assert_eq!([post_text(&sim, "a").await, post_text(&sim, "a").await], [429, 202]);
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Pace)]);
    assert!(sim.findings()[0].what.contains("rate limit"), "{:?}", sim.findings());
}

#[tokio::test]
async fn parts_out_of_order_are_found_also_where_one_was_refused() {
    let sim = unhurried().await;
    for text in ["(1/3):\na", "(3/3):\nc"] {
        post_text(&sim, text).await;
    }
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Order)]);
    sim.fault(Fault {
        containing: Some("(2/3)".to_owned()),
        ..Fault::once(What::Status { code: 400, retry_after: None, shown: false })
    });
    for text in ["(1/3):\na", "(2/3):\nb", "(3/3):\nc"] {
        post_text(&sim, text).await;
    }
    assert_eq!(found(&sim).len(), 1, "the part that GroupMe refused is not missing");
}

#[tokio::test]
async fn a_post_that_does_not_wait_for_the_answer_before_it_is_found() -> Result<(), NotYet> {
    let sim = unhurried().await;
    sim.fault(Fault::once(What::Slow(Duration::from_millis(300))));
    let (slow, _) = tokio::join!(post_text(&sim, "slow"), async {
        sim.wait_for(|lines| lines.len() == 1, SOON).await?;
        post_text(&sim, "hasty").await;
        Ok::<_, NotYet>(())
    });
    assert_eq!(slow, 202);
    let findings: Vec<Finding> = sim.findings();
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Pace)]);
    assert_eq!(findings[0].line_id.as_deref(), Some(sim.lines(GROUP)[1].id.as_str()), "the hasty one");
    Ok(())
}

#[tokio::test]
async fn an_upload_that_is_shown_twice_is_found() {
    let sim = unhurried().await;
    let (_, url) = upload(&sim, Some("image/png"), PNG).await;
    for url in ["https://i.groupme.com/1x1.gif.before", "https://i.groupme.com/1x1.gif.before", &url, &url] {
        assert_eq!(post_json(&sim, &json!({"bot_id": BOT, "text": "", "picture_url": url})).await, 202);
    }
    assert_eq!(found(&sim), [(Weight::Fault, Kind::Double)]);
}

#[tokio::test]
async fn what_groupme_would_not_take_is_found_and_what_a_browser_looks_for_is_not() {
    let sim = started().await;
    post_text(&sim, "").await;
    post_json(&sim, &json!({"bot_id": "nobody", "text": "x"})).await;
    let base = sim.image_url();
    for path in ["/v3/groups/4711/messages", "/v3/groups/4711/messages?token=wrong", "/v3/users", "/.well-known/x.json"]
    {
        client().get(format!("{base}{path}")).send().await.unwrap();
    }
    let what: Vec<String> = sim.findings().into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        what,
        [
            "POST /v3/bots/post: neither text nor picture",
            "POST /v3/bots/post: unknown bot_id",
            "GET /v3/groups/:id/messages: no token",
            "GET /v3/groups/:id/messages: not the member's token",
            "GET /v3/users: no such path",
        ]
    );
    assert_eq!(sim.findings()[0].group_id.as_deref(), Some(GROUP));
    assert_eq!(sim.complaints().len(), 5, "a wrong token is no complaint, an unknown path is");
}

#[tokio::test]
async fn the_bots_are_listed_for_their_owner_alone() {
    let sim = started().await;
    let ask = |token: &str| client().get(format!("{}/bots", sim.api_url())).header("X-Access-Token", token).send();
    assert_eq!(ask("nobodys").await.unwrap().status(), 401);
    let answer = ask(TOKEN).await.unwrap();
    assert_eq!(answer.status(), 200);
    let told: Value = answer.json().await.unwrap();
    let bot = &told["response"][0];
    assert_eq!((&bot["bot_id"], &bot["group_id"]), (&json!(BOT), &json!(GROUP)));
    assert!(bot.as_object().unwrap().contains_key("callback_url"), "{bot}");
}

#[tokio::test]
async fn other_processes_read_the_findings_and_set_the_pace() {
    let sim = started().await;
    let control = |path: &str| format!("{}_sim/{path}", sim.page_url());
    let order = |body: Value| client().post(control("pace")).json(&body).send();
    assert_eq!(order(json!({"bot_id": BOT, "every": 0, "burst": 1})).await.unwrap().status(), 204);
    assert_eq!(order(json!({"bot_id": "nobody", "every": 0, "burst": 1})).await.unwrap().status(), 400);
    for _ in 0..5 {
        post_text(&sim, "(2/2):\nx").await;
    }
    let told: Value = client().get(control("findings")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&told[0]["weight"], &told[0]["kind"]), (&json!("notice"), &json!("order")), "{told}");
    assert_eq!(told[0]["line_id"], json!(sim.lines(GROUP)[0].id));
    let said = client().get(format!("{}said.js", sim.page_url())).send().await.unwrap().text().await.unwrap();
    assert!(said.contains(r#""findings":[{"#) && !said.contains(BOT), "{said}");
}
