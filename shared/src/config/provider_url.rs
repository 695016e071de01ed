//! Addresses that secrets and messages are sent to.
use reqwest::Url;
use std::net::IpAddr;

/// An address to send to: https, or http on this machine; without user info.
pub(super) fn check(text: &str) -> Result<String, &'static str> {
    parse(text).map(|url| url.to_string())
}

/// An address that paths are put after: https, or http on this machine; without user info, query or fragment. Comes
/// without a slash at the end.
///
/// # Errors
/// What is wrong with it, without its text.
pub fn check_base(text: &str) -> Result<String, &'static str> {
    let url = parse(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must be an address without ? and #");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an address")?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        _ => return Err("must be an https address (http only on this machine)"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must be an address without a user and password in it");
    }
    Ok(url)
}
