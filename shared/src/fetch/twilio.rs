//! Twilio's media may ask for the account's password (<https://www.twilio.com/docs/messaging/api/media-resource>).
//! It is the key to everything of the account, so that where it goes is decided in one pure function.
use reqwest::Url;
use secrecy::SecretString;

/// Who we are at Twilio.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) sid: String,
    pub(super) token: SecretString,
}

/// The account to sign a request with: only the first request of a fetch, only to Twilio's own host by https, and only
/// for a medium of a message of this very account. A redirect leads to a storage that is not Twilio's API.
pub(super) fn account_for<'a>(account: Option<&'a Account>, url: &Url, redirects: usize) -> Option<&'a Account> {
    let account = account?;
    let twilio = url.scheme() == "https" && url.host_str() == Some("api.twilio.com") && url.port().is_none();
    let path: Vec<&str> = url.path_segments()?.collect();
    let id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let ours = match path[..] {
        ["2010-04-01", "Accounts", sid, "Messages", message, "Media", medium] => {
            sid == account.sid && id(message) && id(medium)
        }
        _ => false,
    };
    (redirects == 0 && twilio && ours).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "AC00000000000000000000000000000001";

    fn signed(url: &str, redirects: usize) -> bool {
        let account = Account { sid: SID.to_owned(), token: "t".to_owned().into() };
        account_for(Some(&account), &Url::parse(url).unwrap(), redirects).is_some()
    }

    #[test]
    fn the_password_goes_to_the_accounts_own_media_and_never_after_a_redirect() {
        let medium = format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1");
        assert!(signed(&medium, 0));
        assert!(signed(&medium.replace(".com/", ".com:443/"), 0), "443 is the port of https");
        for redirects in 1..=3 {
            assert!(!signed(&medium, redirects));
        }
        assert!(account_for(None, &Url::parse(&medium).unwrap(), 0).is_none());
    }

    #[test]
    fn the_password_goes_nowhere_else() {
        let path = format!("/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1");
        for place in [
            "http://api.twilio.com",
            "https://api.twilio.com:8443",
            "https://api.twilio.com.",
            "https://api.twilio.com.example.org",
            "https://xapi.twilio.com",
            "https://mms.twiliocdn.com",
            "https://api.twilio.com@example.org",
            "https://example.org/api.twilio.com",
            "https://example.org#api.twilio.com",
            "ftp://api.twilio.com",
        ] {
            assert!(!signed(&format!("{place}{path}"), 0), "{place}");
        }
        for path in [
            "",
            "/",
            "/2010-04-01/Accounts/AC00000000000000000000000000000002/Messages/MM1/Media/ME1",
            "/2010-04-01/Accounts/{SID}",
            "/2010-04-01/Accounts/{SID}/Messages/MM1/Media",
            "/2010-04-01/Accounts/{SID}/Messages/MM1/Media/",
            "/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1/more",
            "/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1/../../../../Keys/ME1",
            "/2010-04-01/Accounts/{SID}/Messages/..%2f..%2fCalls/Media/ME1",
            "/2010-04-01/Accounts/{SID}/Calls/MM1/Media/ME1",
            "/2010-04-01//Accounts/{SID}/Messages/MM1/Media/ME1",
        ] {
            let path = path.replace("{SID}", SID);
            assert!(!signed(&format!("https://api.twilio.com{path}"), 0), "{path}");
        }
    }
}
