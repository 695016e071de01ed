//! A function behind Lambda's HTTP interface, with state: it remembers its events and answers as it is told.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::{Json, Router, routing::post};
use serde_json::Value;
use talkback::amqp_event::{Delivery, Record, read_event};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::vhost::eventually;

/// How an invocation is answered.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Ok,
    /// As the emulator says that a function failed.
    Status(u16),
    /// As AWS says it.
    FunctionError,
    /// Not before [`Function::release`].
    Hold,
}

#[derive(Default)]
struct Seen {
    answers: VecDeque<Answer>,
    events: Vec<(String, Value)>,
    running: usize,
    most_running: usize,
}

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Seen>>,
    released: Arc<Semaphore>,
}

pub(crate) struct Function {
    pub(crate) base: String,
    shared: Shared,
}

impl Function {
    /// Answers in this order, then always well.
    pub(crate) async fn answering(answers: &[Answer]) -> Self {
        let seen = Seen { answers: answers.iter().copied().collect(), ..Seen::default() };
        let shared = Shared { seen: Arc::new(Mutex::new(seen)), released: Arc::new(Semaphore::new(0)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoked))
            .layer(axum::extract::DefaultBodyLimit::max(bridge::event::LARGEST))
            .with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { base, shared }
    }

    /// The events so far, each with its function's name.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        self.shared.seen.lock().unwrap().events.clone()
    }

    /// The messages of each event so far.
    pub(crate) fn batches(&self) -> Vec<Vec<Delivery>> {
        self.events().iter().map(|(_, event)| messages(event)).collect()
    }

    /// How many ran at once at most.
    pub(crate) fn most_running(&self) -> usize {
        self.shared.seen.lock().unwrap().most_running
    }

    /// Lets one held invocation end.
    pub(crate) fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// Waits until so many events came.
    pub(crate) async fn reached(&self, count: usize) {
        eventually(&format!("{count} invocations"), async || (self.events().len() >= count).then_some(())).await;
    }

    /// Waits until so many messages came, in however many events.
    pub(crate) async fn received(&self, count: usize) -> Vec<Delivery> {
        let enough = async || {
            let all: Vec<Delivery> = self.batches().concat();
            (all.len() >= count).then_some(all)
        };
        eventually(&format!("{count} messages"), enough).await
    }
}

/// The messages of an event, read as the function reads them.
pub(crate) fn messages(event: &Value) -> Vec<Delivery> {
    let message = |record| match record {
        Record::Delivery(delivery) => *delivery,
        Record::Odd(odd) => panic!("{odd:?}"),
    };
    read_event(event).unwrap().into_iter().map(message).collect()
}

async fn invoked(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(event): Json<Value>,
) -> (StatusCode, HeaderMap, &'static str) {
    let answer = {
        let mut seen = shared.seen.lock().unwrap();
        seen.events.push((name, event));
        seen.running += 1;
        seen.most_running = seen.most_running.max(seen.running);
        seen.answers.pop_front().unwrap_or(Answer::Ok)
    };
    let mut headers = HeaderMap::new();
    let status = match answer {
        Answer::Ok => StatusCode::OK,
        Answer::Status(code) => StatusCode::from_u16(code).unwrap(),
        Answer::FunctionError => {
            headers.insert(HeaderName::from_static("x-amz-function-error"), "Unhandled".parse().unwrap());
            StatusCode::OK
        }
        Answer::Hold => {
            shared.released.acquire().await.unwrap().forget();
            StatusCode::OK
        }
    };
    shared.seen.lock().unwrap().running -= 1;
    (status, headers, "null")
}
