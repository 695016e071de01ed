//! As much of W3C WebDriver as a story needs, over the HTTP client that is here anyway: the crates for it bring ten
//! others, or licences that deny.toml does not allow. Every wait has a limit, and Chromium ends with its driver.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::children::Child;
use xtask::pids::Ledger;
use xtask::{ports, programs};

use crate::process::emulator::{program, start};
use crate::process::works::eventually;

/// The key under which an element's id stands; WebDriver's own number for it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One request to the driver.
const LIMIT: Duration = Duration::from_secs(30);

/// What one looks at the page with.
#[derive(Clone, Copy)]
pub struct Screen {
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
    /// With fingers instead of a mouse, and as narrow as it says: a window of Chromium is at least 500 wide.
    pub phone: bool,
}

pub struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    /// Opens a browser with a profile of its own in the folder.
    pub async fn open(screen: Screen, folder: &Path, ledger: &Arc<Ledger>) -> Self {
        let needed = |name: &str, package: &str| {
            programs::find(name).unwrap_or_else(|| {
                panic!("no `{name}`: install the Debian package {package}, or run `cargo xtask test`")
            })
        };
        let (chromium, chromedriver) = (needed("chromium", "chromium"), needed("chromedriver", "chromium-driver"));
        let port = ports::free().unwrap();
        let mut command = program(&chromedriver);
        command.arg(format!("--port={port}")).env("HOME", folder);
        let driver = start(&format!("chromedriver-{}", screen.name), command, folder, ledger);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(talkback::tls::web_client())
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .unwrap();
        let mut browser = Self { driver, client, session: format!("http://127.0.0.1:{port}") };
        eventually("chromedriver", async || {
            let status = browser.client.get(format!("{}/status", browser.session)).send().await.ok()?;
            status.json::<Value>().await.ok()?["value"]["ready"].as_bool().filter(|ready| *ready)
        })
        .await;
        let opened = browser
            .ask("session", &json!({ "capabilities": { "alwaysMatch": capabilities(screen, &chromium, folder) } }))
            .await;
        browser.session = format!("{}/session/{}", browser.session, opened["sessionId"].as_str().unwrap());
        browser
    }

    /// The value of the answer to a command.
    async fn ask(&self, command: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{command}", self.session)).json(body);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{command}: {error}"));
        let (good, mut answer) = (answer.status().is_success(), answer.json::<Value>().await.unwrap());
        assert!(good, "{command}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    pub async fn go_to(&self, url: &str) {
        self.ask("url", &json!({ "url": url })).await;
    }

    /// What a function of JavaScript with this body returns.
    pub async fn tell(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression of JavaScript is true.
    pub async fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        eventually(expression, async || (self.tell(&script).await == true).then_some(())).await;
    }

    /// Waits until an element has this in its text.
    pub async fn until_shown(&self, css: &str, text: &str) {
        let all = format!("[...document.querySelectorAll({})]", json!(css));
        self.until(&format!("{all}.some((element) => element.innerText.includes({}))", json!(text))).await;
    }

    /// Presses an element, as a finger or a mouse would: it must be in sight, and nothing may lie over it.
    pub async fn press(&self, css: &str) {
        self.on(css, "click", &json!({})).await;
    }

    /// Types into an element. Enter is `\u{E007}`.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.on(css, "value", &json!({ "text": text })).await;
    }

    async fn on(&self, css: &str, act: &str, body: &Value) {
        let element = self.ask("element", &json!({ "using": "css selector", "value": css })).await;
        let id = element[ELEMENT].as_str().unwrap();
        self.ask(&format!("element/{id}/{act}"), body).await;
    }

    /// Closes the browser in order.
    pub async fn close(self) {
        self.client.delete(&self.session).send().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // With all that it started: a story that failed leaves no browser behind.
        self.driver.kill();
    }
}

fn capabilities(screen: Screen, chromium: &Path, folder: &Path) -> Value {
    let profile = folder.join(format!("profile-{}", screen.name));
    let mut arguments: Vec<String> = [
        "--headless=new",
        // As root, in a container, without a graphics card.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        // Nothing but the page.
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-proxy-server",
        // It ends when its driver does, however that ended.
        "--remote-debugging-pipe",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--window-size={},{}", screen.width, screen.height));
    let mut options = json!({ "binary": chromium, "args": arguments });
    if screen.phone {
        let metrics = json!({ "width": screen.width, "height": screen.height, "pixelRatio": 2, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    json!({ "browserName": "chrome", "goog:chromeOptions": options })
}
