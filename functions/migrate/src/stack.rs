//! A stack of CloudFormation asks by an event that says where to put the answer, and waits an hour for it unless told
//! otherwise. So every request is answered: also what failed, what takes too long, and what cannot be begun since the
//! settings are wrong. The address is signed: who has it may answer. It is in no log and no error.
use std::time::Duration;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest as Request, CloudFormationCustomResourceResponse as Answer,
    CloudFormationCustomResourceResponseStatus as Status,
};
use lambda_runtime::LambdaEvent;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use talkback::relay::Relay;
use talkback::relay::dispatch::end_of;
use talkback::start::StartError;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{MigrateError, handle};

/// So often an answer is tried: to put it again changes nothing.
const TRIES: u32 = 3;
/// Hard limit of one try.
const TRY: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// What is left of the function's time for the answer.
const FOR_THE_ANSWER: Duration = Duration::from_secs(20);
/// CloudFormation takes 4 KiB in all.
const MAX_REASON: usize = 1500;

/// What is made, to CloudFormation: always the same thing, so that no update replaces it and deletes the one before.
const NAME: &str = "talkback-migration";

/// Whether a stack asks, and not a person.
#[must_use]
pub fn asks(payload: &Value) -> bool {
    payload.get("ResponseURL").is_some() || payload.get("RequestType").is_some()
}

/// Migrates for a stack that is made or updated, does nothing for one that is deleted, and answers it.
///
/// # Errors
/// It could not be answered. Lambda hands in the same request again then, twice.
pub async fn serve(relay: Result<&Relay, &StartError>, event: LambdaEvent<Value>) -> Result<Value, MigrateError> {
    // What serde says may quote what it read, and that may be the address.
    let request: Request = serde_json::from_value(event.payload).map_err(|_| MigrateError::Request)?;
    let (kind, url, answer) = match request {
        Request::Create(r) => {
            ("create", r.response_url, (NAME.to_owned(), r.stack_id, r.request_id, r.logical_resource_id))
        }
        Request::Update(r) => {
            ("update", r.response_url, (r.physical_resource_id, r.stack_id, r.request_id, r.logical_resource_id))
        }
        Request::Delete(r) => {
            ("delete", r.response_url, (r.physical_resource_id, r.stack_id, r.request_id, r.logical_resource_id))
        }
        _ => return Err(MigrateError::Request),
    };
    let (url, mut answer) = (SecretString::from(url), addressed(answer));
    let done = match kind {
        "delete" => Ok("the data stays".to_owned()),
        _ => migrate(relay, LambdaEvent::new(json!({}), event.context)).await,
    };
    match done {
        Ok(told) => answer.reason = Some(told),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the stack is told that it failed");
            answer.status = Status::Failed;
            answer.reason = Some(shortened(error.to_string()));
        }
    }
    put(&url, &answer).await?;
    let status = if answer.status == Status::Failed { "FAILED" } else { "SUCCESS" };
    tracing::info!(request = kind, status, "the stack is answered");
    Ok(json!({ "request": kind, "status": status }))
}

/// An answer of success to who asked.
fn addressed((name, stack, request, resource): (String, String, String, String)) -> Answer {
    let mut answer = Answer::default();
    answer.physical_resource_id = name;
    answer.stack_id = stack;
    answer.request_id = request;
    answer.logical_resource_id = resource;
    answer
}

/// Ends in time for the answer.
async fn migrate(relay: Result<&Relay, &StartError>, event: LambdaEvent<Value>) -> Result<String, MigrateError> {
    let relay = relay.map_err(|error| MigrateError::Start(error.to_string()))?;
    let began = Instant::now();
    let end = end_of(event.context.deadline()).map(|end| end.checked_sub(FOR_THE_ANSWER).unwrap_or(began));
    let done = match end {
        Some(end) => timeout_at(end, handle(relay, event)).await,
        None => Ok(handle(relay, event).await),
    };
    let done = done.map_err(|_| MigrateError::Late(began.elapsed().as_secs()))??;
    let applied = done["applied"].as_array().map_or(0, Vec::len);
    Ok(format!("{applied} migrations applied"))
}

async fn put(url: &SecretString, answer: &Answer) -> Result<(), MigrateError> {
    let url = checked(url)?;
    let client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TRY)
        .tls_backend_preconfigured(talkback::tls::web_client())
        .build()
        .map_err(|_| MigrateError::Unanswered("no client".to_owned()))?;
    let body = serde_json::to_vec(answer).map_err(|_| MigrateError::Request)?;
    let mut why = String::new();
    for again in 0..TRIES {
        if again > 0 {
            sleep(PAUSE).await;
        }
        // No content type: the address is signed for none.
        match client.put(url.clone()).body(body.clone()).send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                why = format!("HTTP {}", response.status().as_u16());
                if response.status().is_client_error() {
                    break;
                }
            }
            Err(error) if error.is_timeout() => "no answer in time".clone_into(&mut why),
            Err(_) => "no connection".clone_into(&mut why),
        }
    }
    Err(MigrateError::Unanswered(why))
}

fn checked(url: &SecretString) -> Result<Url, MigrateError> {
    let url = Url::parse(url.expose_secret()).map_err(|_| MigrateError::ResponseUrl)?;
    let here = ["127.0.0.1", "localhost", "[::1]"].contains(&url.host_str().unwrap_or_default());
    if url.scheme() == "https" || (url.scheme() == "http" && here) { Ok(url) } else { Err(MigrateError::ResponseUrl) }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
