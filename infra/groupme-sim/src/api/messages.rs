//! `GET /v3/groups/:id/messages`: a member reads the room back.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{ConnectInfo, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{answer, envelope, error, unauthorized};
use crate::{fault::Endpoint, line::Line, socket::Reset, world::World};

/// Lines of a page where the caller does not say, and at most.
const USUAL: usize = 20;
const MOST: usize = 100;

/// Which lines are asked for.
#[derive(Clone, Copy)]
enum Place {
    /// The newest.
    End,
    /// The newest of those before it.
    Before(u64),
    /// The newest of those after it.
    Since(u64),
    /// The oldest of those after it, oldest first.
    After(u64),
}

pub(super) async fn read(
    State(world): State<Arc<World>>,
    ConnectInfo(reset): ConnectInfo<Reset>,
    Path(group_id): Path<String>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let what = "GET /v3/groups/:id/messages";
    if let Some(refusal) = unauthorized(&world, &headers, query.get("token").map(String::as_str), what) {
        return refusal;
    }
    let (place, limit) = match asked(&query) {
        Ok(asked) => asked,
        Err(why) => {
            world.refuse(Some(group_id), format!("{what}: {why}"));
            return error(StatusCode::BAD_REQUEST, &why);
        }
    };
    if !world.bots().iter().any(|bot| bot.group_id == group_id) {
        world.refuse(None, format!("{what}: no such group"));
        return error(StatusCode::NOT_FOUND, "group not found");
    }
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let fault = world.take_fault(Endpoint::Messages, None, path);
    let lines: Vec<Line> = world.lines().into_iter().filter(|line| line.group_id == group_id).collect();
    let page = page(&lines, place, limit);
    let usual = if page.is_empty() {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let messages: Vec<_> = page.into_iter().map(Line::history_entry).collect();
        envelope(StatusCode::OK, 200, json!({"count": lines.len(), "messages": messages}), &[])
    };
    answer(fault, &reset, usual).await
}

/// The question, or what is wrong with it.
fn asked(query: &BTreeMap<String, String>) -> Result<(Place, usize), String> {
    let (mut place, mut limit) = (None, USUAL);
    for (name, value) in query {
        let number = || value.parse::<u64>().map_err(|_| format!("{name} is no number"));
        let asked = match name.as_str() {
            "token" => continue,
            "limit" => {
                limit = usize::try_from(number()?).unwrap_or(usize::MAX);
                continue;
            }
            "before_id" => Place::Before(number()?),
            "since_id" => Place::Since(number()?),
            "after_id" => Place::After(number()?),
            _ => return Err(format!("unknown parameter {name}")),
        };
        if place.replace(asked).is_some() {
            return Err("more than one of before_id, since_id, after_id".to_owned());
        }
    }
    if !(1..=MOST).contains(&limit) {
        return Err(format!("limit is not within 1 and {MOST}"));
    }
    Ok((place.unwrap_or(Place::End), limit))
}

/// The page of a room's lines (oldest first) that is asked for.
fn page(lines: &[Line], place: Place, limit: usize) -> Vec<&Line> {
    let id = |line: &Line| line.id.parse::<u64>().unwrap_or_default();
    let newest_first = lines.iter().rev();
    match place {
        Place::End => newest_first.take(limit).collect(),
        Place::Before(than) => newest_first.filter(|line| id(line) < than).take(limit).collect(),
        Place::Since(than) => newest_first.filter(|line| id(line) > than).take(limit).collect(),
        Place::After(than) => lines.iter().filter(|line| id(line) > than).take(limit).collect(),
    }
}
