//! The Twilio front end as it waits for acknowledgements: answers each `POST ACK_URL` as told, and remembers it.
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

#[derive(Clone)]
struct Desk {
    statuses: Arc<Mutex<Vec<u16>>>,
    heard: Arc<Mutex<Vec<Value>>>,
}

pub struct FrontEnd {
    url: String,
    desk: Desk,
}

impl FrontEnd {
    /// Answers with these statuses in turn, and with the last for ever.
    pub async fn answering(statuses: &[u16]) -> Self {
        let desk = Desk { statuses: Arc::new(Mutex::new(statuses.to_vec())), heard: Arc::default() };
        let app = Router::new().route("/ack", post(acknowledge)).with_state(desk.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ack", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, desk }
    }

    /// The value for `ACK_URL`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// What was said to it, in order.
    pub fn heard(&self) -> Vec<Value> {
        self.desk.heard.lock().unwrap().clone()
    }
}

async fn acknowledge(State(desk): State<Desk>, Json(body): Json<Value>) -> StatusCode {
    desk.heard.lock().unwrap().push(body);
    let mut statuses = desk.statuses.lock().unwrap();
    let status = if statuses.len() > 1 { statuses.remove(0) } else { statuses[0] };
    StatusCode::from_u16(status).unwrap()
}
