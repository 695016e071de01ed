//! One request that may be made: a URL that is allowed, and the addresses that it may be asked of.
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::address::is_public;
use super::{Names, Site};
use crate::picture::Missing;

/// The longest name that DNS knows.
const MAX_HOST: usize = 253;

/// A URL that may be asked.
pub(super) struct Target {
    pub(super) url: Url,
    host: String,
    port: u16,
    /// `[media] allow` names it: its addresses are not judged.
    opened: bool,
}

impl Target {
    /// Judges the URL that somebody gave us. `asked` becomes its host, allowed or not.
    pub(super) fn first(url: Url, opened: &[Site], asked: &mut Option<String>) -> Result<Self, Missing> {
        let host = url.host_str().filter(|host| !host.is_empty() && host.len() <= MAX_HOST);
        *asked = host.map(str::to_owned);
        let opened = opened.iter().any(|site| site.is_of(&url));
        let (Some(host), Some(port)) = (asked.clone(), url.port_or_known_default()) else {
            return Err(Missing::Address);
        };
        let way = match url.scheme() {
            "https" => opened || port == 443,
            "http" => opened,
            _ => false,
        };
        let target = Self { host, port, opened, url };
        let nobody = target.url.username().is_empty() && target.url.password().is_none();
        let public = target.literal().is_none_or(|ip| opened || is_public(ip));
        if way && nobody && public { Ok(target) } else { Err(Missing::Address) }
    }

    /// Judges where a redirect leads: as any URL, and never from https to http.
    pub(super) fn next(
        &self,
        location: Option<&str>,
        opened: &[Site],
        asked: &mut Option<String>,
    ) -> Result<Self, Missing> {
        let url = location.and_then(|location| self.url.join(location).ok()).ok_or(Missing::Address)?;
        let next = Self::first(url, opened, asked)?;
        if self.url.scheme() == "https" && next.url.scheme() != "https" { Err(Missing::Address) } else { Ok(next) }
    }

    /// The addresses to connect to. One forbidden among them spoils all: a name of both kinds is an attack.
    pub(super) async fn addresses(&self, names: &Names) -> Result<Vec<SocketAddr>, Missing> {
        if let Some(ip) = self.literal() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let mut addresses = names.resolve(&self.host, self.port).await.map_err(|_| Missing::Unreachable)?;
        addresses.iter_mut().for_each(|address| address.set_port(self.port));
        if addresses.is_empty() {
            return Err(Missing::Unreachable);
        }
        let all_public = addresses.iter().all(|address| is_public(address.ip()));
        if self.opened || all_public { Ok(addresses) } else { Err(Missing::Address) }
    }

    /// The address that stands in the URL instead of a name: no resolver is asked for it. The URL's parser has already
    /// read the odd spellings (`0x7f.1`, `2130706433`).
    fn literal(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(url: &str, open: &[Site]) -> Result<Target, Missing> {
        Target::first(Url::parse(url).unwrap(), open, &mut None)
    }

    /// A redirect from https needs a certificate that is trusted, which no server of a test has.
    #[test]
    fn a_redirect_never_leads_from_https_to_http() {
        let open = ["a.example.org", "127.0.0.1:8081"].map(|site| Site::parse(site).unwrap());
        let mut asked = None;
        let start = judge("https://a.example.org/1.gif", &open).unwrap();
        for downgrade in ["http://a.example.org/2.gif", "http://127.0.0.1:8081/2.gif"] {
            assert!(judge(downgrade, &open).is_ok(), "by itself {downgrade} is open");
            assert_eq!(start.next(Some(downgrade), &open, &mut asked).err(), Some(Missing::Address), "{downgrade}");
        }
        assert_eq!(asked.as_deref(), Some("127.0.0.1"));
        let start = judge("http://a.example.org/1.gif", &open).unwrap();
        for (location, follows) in [
            ("https://a.example.org/2.gif", true),
            ("https://b.example.org/2.gif", true),
            ("http://b.example.org/2.gif", false),
            ("2.gif", true),
        ] {
            assert_eq!(start.next(Some(location), &open, &mut asked).is_ok(), follows, "{location}");
        }
        assert_eq!(start.next(None, &open, &mut asked).err(), Some(Missing::Address));
    }

    #[tokio::test]
    async fn the_port_is_the_one_that_was_judged_whatever_the_resolver_says() {
        let names = Names::new(|_, _| async { Ok(vec![SocketAddr::from(([93, 184, 215, 14], 22))]) });
        let target = judge("https://a.example.org/1.gif", &[]).unwrap();
        assert_eq!(target.addresses(&names).await.unwrap(), [SocketAddr::from(([93, 184, 215, 14], 443))]);
    }
}
