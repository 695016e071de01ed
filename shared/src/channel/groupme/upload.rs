//! GroupMe's picture service (<https://dev.groupme.com/docs/image_service>): takes a file with a member's token, and
//! says where it lies from then on.
use std::time::Duration;

use reqwest::{StatusCode, Url, header};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;

use super::{GroupMe, inner_code, name_of, read_body, retry_after};
use crate::channel::{UploadCall, Uploaded};
use crate::picture::{Kind, Missing, Picture};

/// Where GroupMe's pictures lie.
const PICTURE_HOST: &str = "i.groupme.com";

/// The longest address that is believed.
const MAX_URL: usize = 1000;

/// Uploads a picture; a png that is refused once more as jpeg, because one source says that png is taken only so.
pub(super) async fn upload(groupme: &GroupMe, picture: &Picture, limit: Duration) -> Uploaded {
    let until = Instant::now() + limit;
    let mut calls = Vec::new();
    let (mut result, mut after) = (Err(Missing::NoToken), None);
    if groupme.token.is_none() {
        return Uploaded { result, calls, after };
    }
    for kind in [Some(picture.kind), (picture.kind == Kind::Png).then_some(Kind::Jpeg)].into_iter().flatten() {
        let call;
        (result, call, after) = one_call(groupme, picture, kind, until).await;
        calls.push(call);
        if result != Err(Missing::Refused) || calls.iter().any(|call| call.status == Some(401)) {
            break;
        }
    }
    Uploaded { result, calls, after }
}

async fn one_call(
    groupme: &GroupMe,
    picture: &Picture,
    kind: Kind,
    until: Instant,
) -> (Result<String, Missing>, UploadCall, Option<Duration>) {
    let started = Instant::now();
    let mut request = groupme
        .client
        .post(format!("{}/pictures", groupme.image_url))
        .timeout(until.saturating_duration_since(started))
        .header(header::CONTENT_TYPE, kind.media_type())
        .body(picture.bytes.clone());
    if let Some(token) = &groupme.token {
        request = request.header("X-Access-Token", token.expose_secret());
    }
    let mut after = None;
    let (result, status, error) = match request.send().await {
        Ok(response) => {
            let status = response.status();
            after = retry_after(&response);
            let result = classify(status, &read_body(response).await, &groupme.image_url);
            let error = result.is_err().then(|| {
                let strange = if status.is_success() { ", and no address of a picture" } else { "" };
                format!("HTTP {}{strange}", status.as_u16())
            });
            (result, Some(status.as_u16()), error)
        }
        Err(error) => (Err(Missing::Unavailable), None, Some(name_of(&error))),
    };
    (result, UploadCall { status, latency: started.elapsed(), media_type: kind.media_type(), error }, after)
}

/// What an answer means; pure, so that every status can be tested.
pub(super) fn classify(status: StatusCode, body: &[u8], image_url: &str) -> Result<String, Missing> {
    if matches!(inner_code(body), Some(420 | 429)) {
        return Err(Missing::Unavailable);
    }
    match status.as_u16() {
        200..=299 => address(body, image_url).ok_or(Missing::Unavailable),
        413 => Err(Missing::TooLarge),
        // 403 is an update limit by GroupMe's page, not a judgement on the picture.
        403 | 408 | 420 | 429 => Err(Missing::Unavailable),
        400..=499 => Err(Missing::Refused),
        _ => Err(Missing::Unavailable),
    }
}

/// The address in an answer, if it is one to show in a room: on GroupMe's own host, or where the configured service is.
fn address(body: &[u8], image_url: &str) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let payload = &json["payload"];
    let text = payload["picture_url"].as_str().or(payload["url"].as_str())?;
    let url = Url::parse(text).ok()?;
    let groupmes = url.scheme() == "https" && url.host_str() == Some(PICTURE_HOST) && url.port().is_none();
    let ours = Url::parse(image_url).is_ok_and(|service| service.origin() == url.origin());
    let plain = text.len() <= MAX_URL && text.bytes().all(|b| b.is_ascii_graphic());
    let nobody = url.username().is_empty() && url.password().is_none();
    (plain && nobody && url.path().len() > 1 && (groupmes || ours)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "https://image.groupme.com";
    const BODY: &[u8] =
        br#"{"payload":{"url":"https://i.groupme.com/1x1.gif.a","picture_url":"https://i.groupme.com/1x1.gif.a"}}"#;

    #[test]
    fn every_status_is_classified() {
        for code in 100..=999 {
            let want = match code {
                200..=299 => Ok("https://i.groupme.com/1x1.gif.a".to_owned()),
                413 => Err(Missing::TooLarge),
                403 | 408 | 420 | 429 => Err(Missing::Unavailable),
                400..=499 => Err(Missing::Refused),
                _ => Err(Missing::Unavailable),
            };
            assert_eq!(classify(StatusCode::from_u16(code).unwrap(), BODY, SERVICE), want, "{code}");
            let limited = br#"{"meta":{"code":429}}"#;
            let limited = classify(StatusCode::from_u16(code).unwrap(), limited, SERVICE);
            assert_eq!(limited, Err(Missing::Unavailable), "{code} with a rate limit within");
        }
    }

    #[test]
    fn only_an_address_of_the_picture_service_is_believed() {
        let believed = |url: &str, service: &str| {
            let body = serde_json::json!({"payload": {"picture_url": url}}).to_string();
            classify(StatusCode::OK, body.as_bytes(), service).is_ok()
        };
        assert!(believed("https://i.groupme.com/1024x768.jpeg.e8dcb1", SERVICE));
        assert!(believed("http://127.0.0.1:9000/pictures/a", "http://127.0.0.1:9000"));
        for url in [
            "",
            "a.gif",
            "https://i.groupme.com",
            "https://i.groupme.com/",
            "http://i.groupme.com/a.gif",
            "https://i.groupme.com:8443/a.gif",
            "https://u:p@i.groupme.com/a.gif",
            "https://i.groupme.com.example.org/a.gif",
            "https://example.org/i.groupme.com/a.gif",
            "https://i.groupme.com/a b.gif",
            "https://i.groupme.com/a\n.gif",
            "javascript:alert(1)",
            &format!("https://i.groupme.com/{}", "a".repeat(1000)),
        ] {
            assert!(!believed(url, SERVICE), "{url}");
        }
        for body in ["", "[]", "no JSON", r#"{"payload":null}"#, r#"{"payload":{"url":7}}"#] {
            assert_eq!(classify(StatusCode::OK, body.as_bytes(), SERVICE), Err(Missing::Unavailable), "{body}");
        }
        let only_url = br#"{"payload":{"url":"https://i.groupme.com/a.gif"}}"#;
        assert_eq!(classify(StatusCode::OK, only_url, SERVICE), Ok("https://i.groupme.com/a.gif".to_owned()));
    }
}
