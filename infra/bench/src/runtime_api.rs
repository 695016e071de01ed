//! The Runtime API of Lambda, as small as it can be: one instance of one function, one event at a time. The emulator's
//! own cost would otherwise be measured with the functions.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// An event that waits for the function.
struct Call {
    event: Bytes,
    limit: Duration,
    answer: oneshot::Sender<Result<Bytes, Bytes>>,
}

/// What the server knows.
struct Known {
    calls: tokio::sync::Mutex<mpsc::UnboundedReceiver<Call>>,
    answers: Mutex<HashMap<String, oneshot::Sender<Result<Bytes, Bytes>>>>,
    polled: watch::Sender<Option<Instant>>,
}

/// Where one function asks for its events.
pub(crate) struct RuntimeApi {
    address: String,
    calls: mpsc::UnboundedSender<Call>,
    polled: watch::Receiver<Option<Instant>>,
}

impl RuntimeApi {
    /// Starts to listen.
    pub(crate) async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port on 127.0.0.1")?;
        let address = listener.local_addr()?.to_string();
        let (calls, waiting) = mpsc::unbounded_channel();
        let (polled, first) = watch::channel(None);
        let known = Arc::new(Known { calls: tokio::sync::Mutex::new(waiting), answers: Mutex::default(), polled });
        let app = axum::Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(known);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, calls, polled: first })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the function asks for its first event; when that was.
    pub(crate) async fn first_poll(&self) -> Result<Instant> {
        let mut polled = self.polled.clone();
        let asked = tokio::time::timeout(Duration::from_secs(30), polled.wait_for(Option::is_some));
        let at = asked.await.context("the function did not ask for an event")??;
        at.context("no time")
    }

    /// Invokes the function, which has `limit` for it, and waits for its answer.
    pub(crate) async fn invoke(&self, event: Bytes, limit: Duration) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { event, limit, answer }).ok().context("the Runtime API has ended")?;
        let answer = tokio::time::timeout(limit + Duration::from_secs(5), answered);
        match answer.await.context("the function does not answer")?? {
            Ok(answer) => Ok(answer),
            Err(error) => bail!("the function failed: {}", String::from_utf8_lossy(&error)),
        }
    }
}

async fn next(State(known): State<Arc<Known>>) -> axum::response::Response {
    known.polled.send_if_modified(|at| at.is_none() && at.replace(Instant::now()).is_none());
    let Some(call) = known.calls.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    let id = Uuid::new_v4().to_string();
    known.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), call.answer);
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + call.limit;
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, call.event).into_response()
}

async fn response(State(known): State<Arc<Known>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    tell(&known, &id, Ok(body))
}

async fn error(State(known): State<Arc<Known>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    tell(&known, &id, Err(body))
}

fn tell(known: &Known, id: &str, answer: Result<Bytes, Bytes>) -> StatusCode {
    match known.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
        Some(waiting) => {
            // Who asked may have given up.
            drop(waiting.send(answer));
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}
