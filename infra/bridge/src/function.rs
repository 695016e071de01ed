//! Invoking a function: over Lambda's own HTTP interface, as the emulator and AWS have it, or however a host does it.
use std::time::Duration;

use serde_json::Value;

/// Why an invocation counts as failed. Holds no word of the function's answer: it may quote what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The function said so, by a header as on AWS.
    #[error("the function failed")]
    Function,
    /// The status was not 2xx; the emulator says 500 for a failed function, 408 for one that took too long.
    #[error("the invocation was answered {0}")]
    Status(u16),
    /// Nothing answered, or the connection broke.
    #[error("no answer: {0}")]
    NoAnswer(&'static str),
}

/// Who can invoke functions.
pub trait Invoke {
    /// Invokes a function with an event and waits for its end, at most for `limit`.
    fn invoke(&self, function: &str, event: &Value, limit: Duration) -> impl Future<Output = Result<(), Failed>>;
}

/// Where functions are invoked.
#[derive(Debug, Clone)]
pub struct Functions {
    base: String,
    client: reqwest::Client,
}

impl Functions {
    /// `base` is the address of the emulator, such as `http://127.0.0.1:9000`.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(talkback::tls::web_client())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client })
    }
}

impl Invoke for Functions {
    async fn invoke(&self, function: &str, event: &Value, limit: Duration) -> Result<(), Failed> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.base);
        let answer = self.client.post(url).timeout(limit).json(event).send().await.map_err(no_answer)?;
        let failed = answer.headers().contains_key("x-amz-function-error");
        let status = answer.status();
        // To the end, so that the connection is used again, and a function that breaks off in its answer has failed.
        answer.bytes().await.map_err(no_answer)?;
        match status {
            status if !status.is_success() => Err(Failed::Status(status.as_u16())),
            _ if failed => Err(Failed::Function),
            _ => Ok(()),
        }
    }
}

fn no_answer(error: reqwest::Error) -> Failed {
    Failed::NoAnswer(match error {
        error if error.is_timeout() => "it took too long",
        error if error.is_connect() => "nothing listens there",
        _ => "the connection broke",
    })
}
