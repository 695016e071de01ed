//! `GET /v3/bots`: the bots of the token's owner (<https://dev.groupme.com/docs/v3#bots_index>).

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{Value, json};

use super::{envelope, unauthorized};
use crate::world::World;

pub(super) async fn list(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = unauthorized(&world, &headers, None, "GET /v3/bots") {
        return refusal;
    }
    let bot = |bot: &crate::Bot| {
        json!({
            "bot_id": bot.bot_id, "group_id": bot.group_id, "name": bot.name, "avatar_url": null,
            "callback_url": bot.callback_url, "dm_notification": false, "active": true,
        })
    };
    let bots: Vec<Value> = world.bots().iter().map(bot).collect();
    envelope(StatusCode::OK, 200, Value::from(bots), &[])
}
