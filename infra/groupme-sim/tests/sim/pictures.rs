//! The image service.

use groupme_sim::{Endpoint, Fault, Sim, What};
use serde_json::{Value, json};

use crate::station::{BOT, GROUP, TOKEN, client, post_json, started};

pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
const GIF: &[u8] = b"GIF89a\x0a\x00\x14\x00\x80\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xc0\0\x0b\x08\x00\x1e\x00\x28\x01\x01\x11\0";

/// The status, and the URL that was given.
pub(crate) async fn upload(sim: &Sim, content_type: Option<&str>, bytes: &[u8]) -> (u16, String) {
    let request = client().post(format!("{}/pictures", sim.image_url())).header("X-Access-Token", TOKEN);
    let request = content_type.into_iter().fold(request, |request, value| request.header("Content-Type", value));
    let answer = request.body(bytes.to_vec()).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["payload"]["url"], body["payload"]["picture_url"]);
    (status, body["payload"]["url"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_picture_gets_a_url_of_groupme_that_a_post_may_carry_and_the_page_can_show() {
    let sim = started().await;
    for (content_type, bytes, size) in
        [("image/png", PNG, "640x480.png."), ("image/gif", GIF, "10x20.gif."), ("image/jpeg", JPEG, "40x30.jpeg.")]
    {
        let (status, url) = upload(&sim, Some(content_type), bytes).await;
        assert_eq!(status, 200);
        let name = url.strip_prefix("https://i.groupme.com/").unwrap();
        assert!(name.starts_with(size), "{name}");
        assert_eq!(post_json(&sim, &json!({"bot_id": BOT, "text": "", "picture_url": url})).await, 202);
        let kept = client().get(format!("{}/pictures/{name}", sim.image_url())).send().await.unwrap();
        assert_eq!(kept.headers()["content-type"], content_type);
        assert_eq!(kept.bytes().await.unwrap(), bytes);
    }
    assert_eq!(sim.lines(GROUP).len(), 3);
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn samples_can_be_fetched_and_one_lies_with_the_image_service() {
    let sim = started().await;
    for (name, content_type) in
        [("turntable.jpg", "image/jpeg"), ("tower.png", "image/png"), ("on-air.gif", "image/gif")]
    {
        let sample = client().get(format!("{}/_sim/samples/{name}", sim.image_url())).send().await.unwrap();
        assert_eq!(sample.headers()["content-type"], content_type);
        let (status, _) = upload(&sim, Some(content_type), &sample.bytes().await.unwrap()).await;
        assert_eq!(status, 200);
    }
    let film = client().get(format!("{}/_sim/samples/film.mp4", sim.image_url())).send().await.unwrap();
    assert_eq!(film.headers()["content-type"], "video/mp4");
    assert_eq!(client().get(format!("{}/_sim/samples/x", sim.image_url())).send().await.unwrap().status(), 404);
    let kept = client().get(format!("{}/pictures/480x320.jpeg.sample", sim.image_url())).send().await.unwrap();
    assert_eq!(kept.headers()["content-type"], "image/jpeg");
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn what_is_no_picture_or_under_another_name_is_refused() {
    let sim = started().await;
    for (content_type, bytes, complaint) in [
        (Some("image/webp"), b"RIFF\0\0\0\0WEBPVP8 ".as_slice(), "neither gif nor jpeg nor png"),
        (Some("image/png"), b"<svg/>", "neither gif nor jpeg nor png"),
        (Some("image/png"), GIF, "not that of the bytes"),
        (None, GIF, "not that of the bytes"),
        (Some("image/png"), &PNG[..12], "breaks off"),
        (Some("image/gif"), &[], "neither gif nor jpeg nor png"),
        (Some("image/gif"), &[0; 17 * 1024 * 1024], "too long"),
    ] {
        assert!(upload(&sim, content_type, bytes).await.0 >= 400, "{complaint}");
        let told = sim.take_complaints();
        assert!(told.len() == 1 && told[0].contains(complaint), "{told:?}");
    }
}

#[tokio::test]
async fn a_png_that_is_refused_by_its_true_type_may_come_as_jpeg() {
    let sim = started().await;
    let picky = What::Status { code: 415, retry_after: None, shown: false };
    sim.fault_at(Endpoint::Pictures, Fault { containing: Some("image/png".into()), ..Fault::always(picky) });
    assert_eq!(upload(&sim, Some("image/png"), PNG).await.0, 415);
    let (status, url) = upload(&sim, Some("image/jpeg"), PNG).await;
    assert_eq!(status, 200);
    assert!(url.contains(".png."), "the bytes say what it is");
    assert!(sim.complaints().is_empty());
}

#[tokio::test]
async fn pictures_need_the_members_token() {
    let sim = started().await;
    let request =
        || client().post(format!("{}/pictures", sim.image_url())).header("Content-Type", "image/gif").body(GIF);
    assert_eq!(request().header("X-Access-Token", "wrong").send().await.unwrap().status(), 401);
    assert!(sim.complaints().is_empty());
    assert_eq!(request().send().await.unwrap().status(), 401);
    assert!(sim.take_complaints()[0].contains("no token"));
}
