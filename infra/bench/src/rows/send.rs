//! From `POST /send` until the post is in the chat: nothing else is going on, one client.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median, quantile};
use crate::floor::Floor;
use crate::station::{KEY, OFF, Plan, Station, body, start};

/// p50 and p99, each the median of the rounds'.
pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Figure>> {
    let requests = bench.size(300, 40);
    bench.database("send").await?;
    let station = Station::start(bench, Plan { database: "send", rooms: 1, pace: OFF, amqp_url: None }).await?;
    let send = start(bench, "send", "send", &station.environment).await?;
    let floor = Floor::new(bench, "send").await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut sent, mut inserted) = (Vec::new(), Vec::new());
        for n in 0..requests {
            let event = Bytes::from(event(n).to_string());
            let before = bench.chat.post_count();
            let began = Instant::now();
            let answer: Value = serde_json::from_slice(&send.invoke(event).await?)?;
            if answer["statusCode"] != 202 {
                bail!("POST /send was answered {}", answer["statusCode"]);
            }
            sent.push(seen(bench, before, began).await?);
            let before = bench.chat.post_count();
            let began = Instant::now();
            floor.send(&body(n)).await?;
            inserted.push(seen(bench, before, began).await?);
        }
        // The first is the warming up.
        if round > 0 {
            ours.push(sent);
            bare.push(inserted);
        }
    }
    let of = |rounds: &[Vec<f64>], share| median(&rounds.iter().map(|r| quantile(r, share)).collect::<Vec<_>>());
    let figure = |share: f64, target| {
        let name = format!("POST /send to seen, idle, one client, p{:.0}", share * 100.0);
        let peer = ("bare insert + post", of(&bare, share));
        Figure::beside(&name, "ms", of(&ours, share), peer, target, !bench.quick)
    };
    Ok(vec![figure(0.5, Target::None), figure(0.99, Target::UnderTimes(4.0))])
}

/// The milliseconds until the one post after `before` arrived.
async fn seen(bench: &Bench, before: usize, began: Instant) -> Result<f64> {
    bench.posts(before + 1, Duration::from_secs(10)).await?;
    let posts = bench.chat.posts_from(before);
    let post = posts.first().context("no post")?;
    Ok(post.at.duration_since(began).as_secs_f64() * 1e3)
}

/// The event of a function URL.
fn event(n: usize) -> Value {
    let text = json!({ "body": body(n), "source": "bench.room0", "uid": Uuid::new_v4().to_string() }).to_string();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/send", "rawQueryString": "",
        "headers": { "authorization": format!("Bearer {KEY}"), "content-type": "application/json", "host": "bench" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "bench", "domainName": "bench", "domainPrefix": "bench",
            "http": { "method": "POST", "path": "/send", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.17",
                      "userAgent": "bench" },
            "requestId": "bench", "routeKey": "$default", "stage": "$default", "time": "20/Nov/2026:13:20:00 +0000",
            "timeEpoch": 1_795_180_800_000_i64,
        },
        "body": text, "isBase64Encoded": false,
    })
}
