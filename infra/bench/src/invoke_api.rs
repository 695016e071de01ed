//! Where the bridge invokes the consumer, as it would on AWS.
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::task::JoinHandle;

use crate::function::Function;

/// The interface. It ends when this is dropped.
pub(crate) struct InvokeApi {
    /// What `bridge --invoke` is told.
    pub(crate) url: String,
    serving: JoinHandle<()>,
}

impl InvokeApi {
    /// Listens for invocations of this function, whatever name is asked for.
    pub(crate) async fn start(function: Arc<Function>) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port on 127.0.0.1")?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = axum::Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .layer(axum::extract::DefaultBodyLimit::max(bridge::event::LARGEST))
            .with_state(function);
        let serving = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, serving })
    }
}

impl Drop for InvokeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn invoke(State(function): State<Arc<Function>>, event: Bytes) -> Response {
    match function.invoke(event).await {
        Ok(answer) => answer.into_response(),
        Err(error) => ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response(),
    }
    .into_response()
}
