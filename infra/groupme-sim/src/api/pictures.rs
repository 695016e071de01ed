//! The image service: `POST /pictures` takes one, `GET /pictures/:name` is for the page, which loads nothing from
//! outside.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use uuid::Uuid;

use super::{answer, content_type, error, picture_url, unauthorized};
use crate::{
    fault::Endpoint,
    picture::{Format, Picture},
    socket::Reset,
    world::World,
};

/// The largest picture; the caller's own limit is said to be 15 MB.
pub(super) const LIMIT: usize = 16 * 1024 * 1024;

pub(super) async fn upload(
    State(world): State<Arc<World>>,
    ConnectInfo(reset): ConnectInfo<Reset>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Some(refusal) = unauthorized(&world, &headers, None, "POST /pictures") {
        return refusal;
    }
    let content_type = content_type(&headers);
    let judged = match body {
        Ok(body) => {
            judge(&content_type, &body).map(|judged| (judged, body)).map_err(|why| (StatusCode::BAD_REQUEST, why))
        }
        Err(rejection) => Err((rejection.status(), "the body is too long or breaks off")),
    };
    let ((format, (width, height)), body) = match judged {
        Ok(judged) => judged,
        Err((status, why)) => {
            world.refuse(None, format!("POST /pictures: {why}"));
            return error(status, why);
        }
    };
    let name = format!("{width}x{height}.{}.{}", format.extension(), Uuid::new_v4().simple());
    let picture = Picture { name, format, bytes: body };
    let url = picture_url(&picture);
    let fault = world.take_fault(Endpoint::Pictures, None, &content_type);
    if fault.as_ref().is_none_or(|fault| fault.shows()) {
        world.keep_picture(picture);
    }
    answer(fault, &reset, Json(json!({"payload": {"url": url, "picture_url": url}})).into_response()).await
}

/// The picture's format and size, or what is wrong with it.
fn judge(content_type: &str, bytes: &[u8]) -> Result<(Format, (u32, u32)), &'static str> {
    let format = Format::of(bytes).ok_or("neither gif nor jpeg nor png")?;
    // One source says that png is taken as image/jpeg only, so that a caller may try this after the true type.
    let relabelled = format == Format::Png && content_type == "image/jpeg";
    if content_type != format.content_type() && !relabelled {
        return Err("the content type is not that of the bytes");
    }
    Ok((format, format.size(bytes).ok_or("the picture breaks off in its header")?))
}

pub(super) async fn show(State(world): State<Arc<World>>, Path(name): Path<String>) -> Response {
    let Some(picture) = world.picture(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, picture.format.content_type()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, max-age=86400"),
    ];
    (headers, picture.bytes).into_response()
}
