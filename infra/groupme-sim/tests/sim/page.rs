//! The page, its stream, the control paths, and who may use them.

use groupme_sim::{CallbackMode, Sim};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::station::{BOT, GROUP, Listener, SOON, client, post_text, started, texts};

/// Every path for people and programs of this machine, and one of GroupMe's.
fn every_door(sim: &Sim) -> Vec<RequestBuilder> {
    let (http, base) = (client(), sim.image_url());
    let get =
        ["/", "/page.js", "/_sim/groups", "/_sim/lines", "/_sim/posts", "/_sim/stream", "/pictures/x", "/nowhere"];
    let line = json!({"group_id": GROUP, "user_id": "1", "name": "Eve", "text": "!stop"});
    let mut doors: Vec<_> = get.iter().map(|path| http.get(format!("{base}{path}"))).collect();
    doors.push(http.post(format!("{base}/_sim/say")).json(&line));
    doors.push(http.post(format!("{base}/_sim/clear_faults")).json(&json!({})));
    doors.push(http.post(format!("{base}/v3/bots/post")).json(&json!({"bot_id": BOT, "text": "x"})));
    doors.push(http.delete(format!("{base}/_sim/say")));
    doors
}

fn port(sim: &Sim) -> String {
    sim.image_url().rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_foreign_host_is_refused_at_every_door() {
    let sim = started().await;
    let port = port(&sim);
    let hosts = [
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1:{port}0"),
        "127.0.0.1:1".to_owned(),
        "127.0.0.1".to_owned(),
        String::new(),
    ];
    for host in hosts {
        for door in every_door(&sim) {
            let request = door.header("Host", &host).build().unwrap();
            let path = request.url().path().to_owned();
            assert_eq!(client().execute(request).await.unwrap().status(), 403, "{host} {path}");
        }
    }
    assert!(sim.lines(GROUP).is_empty());
}

#[tokio::test]
async fn a_foreign_origin_is_refused_at_every_door() {
    let sim = started().await;
    let port = port(&sim);
    let origins = [
        "null".to_owned(),
        "http://evil.example".to_owned(),
        format!("http://evil.example:{port}"),
        format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1:1".to_owned(),
        "http://localhost".to_owned(),
    ];
    for origin in origins {
        for door in every_door(&sim) {
            let request = door.header("Origin", &origin).build().unwrap();
            let path = request.url().path().to_owned();
            assert_eq!(client().execute(request).await.unwrap().status(), 403, "{origin} {path}");
        }
    }
    assert!(sim.lines(GROUP).is_empty());
}

#[tokio::test]
async fn every_name_of_this_machine_is_served() {
    let sim = started().await;
    let port = port(&sim);
    for name in ["127.0.0.1", "localhost", "[::1]"] {
        let here = format!("{name}:{port}");
        let request = client().get(sim.page_url()).header("Host", &here).header("Origin", format!("http://{here}"));
        assert_eq!(request.send().await.unwrap().status(), 200, "{here}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_outside_and_runs_nothing_inline() {
    let sim = started().await;
    for path in ["", "page.css", "page.js", "findings.js", "said.js", "icon.svg"] {
        let answer = client().get(format!("{}{path}", sim.page_url())).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let text = answer.text().await.unwrap().replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "innerHTML", "style=", "onclick", "javascript:"] {
            assert!(!text.contains(outside), "{path}: {outside}");
        }
    }
    assert_eq!(client().get(format!("{}favicon.ico", sim.page_url())).send().await.unwrap().status(), 204);
    assert!(sim.complaints().is_empty());
}

/// Reads a stream of events until it holds a text.
async fn read_until(mut answer: reqwest::Response, text: &str) -> String {
    let reading = async {
        let mut read = String::new();
        while !read.contains(text) {
            read.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
        }
        read
    };
    tokio::time::timeout(SOON, reading).await.unwrap()
}

#[tokio::test]
async fn the_stream_tells_what_was_said_what_is_said_and_after_a_break_only_the_rest() {
    let sim = started().await;
    let url = format!("{}_sim/stream", sim.page_url());
    sim.say(GROUP, "1", "Ana", "before").await;
    let answer = client().get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let live = tokio::spawn(read_until(answer, "after"));
    post_text(&sim, "after <b>").await;
    let read = live.await.unwrap();
    assert!(read.starts_with("event: run") && read.contains("before") && !read.contains(BOT), "{read}");

    let first_id = read.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let rest = read_until(client().get(&url).header("Last-Event-ID", first_id).send().await.unwrap(), "after").await;
    assert!(!rest.contains("before"), "{rest}");
    let again = client().get(format!("{url}?last={first_id}")).send().await.unwrap();
    assert!(!read_until(again, "after").await.contains("before"), "a new stream goes on, too");
    let at_first = client().get(format!("{}said.js", sim.page_url())).send().await.unwrap().text().await.unwrap();
    assert!(at_first.contains("before") && at_first.contains("after") && !at_first.contains(BOT), "{at_first}");
    let last = rest.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    post_text(&sim, " ").await;
    let found = read_until(client().get(format!("{url}?last={last}")).send().await.unwrap(), "neither text").await;
    assert!(found.contains("event: finding") && !found.contains("after"), "{found}");
    let other_run = client().get(&url).header("Last-Event-ID", "other-2").send().await.unwrap();
    assert!(read_until(other_run, "after").await.contains("before"));
}

async fn told(sim: &Sim, path: &str) -> Value {
    client().get(format!("{}_sim/{path}", sim.page_url())).send().await.unwrap().json().await.unwrap()
}

async fn order(sim: &Sim, path: &str, body: Value) -> u16 {
    let request = client().post(format!("{}_sim/{path}", sim.page_url())).json(&body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn another_process_can_say_look_and_order_faults() {
    let (sim, listener) = (started().await, Listener::answering(&[]).await);
    assert_eq!(
        told(&sim, "groups").await,
        json!([{"group_id": GROUP, "bots": ["Studio", "Alarm"]}, {"group_id": "9", "bots": ["Far"]}])
    );
    assert_eq!(order(&sim, "callback_url", json!({"bot_id": BOT, "url": listener.url})).await, 204);
    let line = json!({"group_id": GROUP, "user_id": "7", "name": "Ana", "text": "!ping"});
    assert_eq!(order(&sim, "say", line).await, 201);
    assert_eq!(listener.hear_texts(1).await, ["!ping"]);
    assert_eq!(order(&sim, "callbacks_mode", json!({"bot_id": BOT, "mode": {"lose_every": 1}})).await, 204);
    assert_eq!(order(&sim, "say_as_system", json!({"group_id": GROUP, "text": "Ana joined"})).await, 201);

    let fault = json!({"times": 1, "containing": "b", "what": {"status": {"code": 429, "retry_after": 2}}});
    assert_eq!(order(&sim, "fault", fault).await, 204);
    assert_eq!(order(&sim, "fault", json!({"what": "never_shown"})).await, 204);
    let posted = [post_text(&sim, "a").await, post_text(&sim, "b").await, post_text(&sim, "c").await];
    assert_eq!(posted, [202, 429, 202]);
    assert_eq!(order(&sim, "clear_faults", json!({})).await, 204);
    post_text(&sim, "d").await;
    assert_eq!(texts(&sim), ["!ping", "Ana joined", "d"]);

    let lines = told(&sim, &format!("lines?group={GROUP}")).await;
    assert_eq!((&lines[2]["text"], &lines[2]["bot_id"]), (&json!("d"), &json!(BOT)));
    assert_eq!(told(&sim, "lines?group=9").await, json!([]));
    let posts = told(&sim, "posts").await;
    assert_eq!((&posts[1]["answer"], &posts[1]["shown"]), (&json!(429), &json!(false)));
    sim.wait_for_callbacks(|tries| tries.len() == 1, SOON).await.unwrap();
    assert_eq!(told(&sim, "callbacks").await[0]["status"], 200);
    assert_eq!(told(&sim, "complaints").await, json!([]));
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let sim = started().await;
    for (path, body) in [
        ("say", json!({"group_id": "4712", "user_id": "7", "name": "Ana", "text": "x"})),
        ("say", json!({"group_id": GROUP, "user_id": "7", "name": "Ana", "text": " "})),
        ("say", json!({"group_id": GROUP, "text": "x"})),
        ("fault", json!({"what": "explode"})),
        ("fault", json!({"what": "never_shown", "time": 1})),
        ("callbacks_mode", json!({"bot_id": "nobody", "mode": "never"})),
        ("callback_url", json!({"bot_id": BOT, "url": "https://example.org/"})),
    ] {
        let status = order(&sim, path, body.clone()).await;
        assert!((400..500).contains(&status), "{path} {body}: {status}");
    }
    sim.callbacks_mode("nobody", CallbackMode::Never);
    sim.set_callback_url(BOT, "https://example.org/");
    assert_eq!(sim.complaints().len(), 2);
    let form =
        client().post(format!("{}_sim/clear_faults", sim.page_url())).header("Content-Type", "text/plain").body("{}");
    assert_eq!(form.send().await.unwrap().status(), 415, "any page can send such a form");
}
