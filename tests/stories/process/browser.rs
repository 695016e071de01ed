//! The page of the simulator, looked at in a real browser while the real functions work.
mod webdriver;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use webdriver::{Browser, Screen};
use xtask::pids::Ledger;

use super::emulator::client;
use super::works::{PATIENCE, Setup, Works, bot, group};
use crate::station::{KEY, dressed};

const PHONE: Screen = Screen { name: "phone", width: 390, height: 844, phone: true };
const DESKTOP: Screen = Screen { name: "desktop", width: 1280, height: 800, phone: false };

/// Words that would be somebody's own page, if they were taken for HTML.
const HOSTILE: &str =
    "<b>bold</b><img src=x onerror=\"window.broken = true\"><script>window.broken = true</script>&amp;";

/// One room, at the pace that the configuration of stories has.
async fn works(story: &'static str) -> Works {
    let works = Works::start(Setup { story, rooms: 1, usual: true, slow: Duration::ZERO, ..Setup::default() }).await;
    works.sim.set_pace(&bot(0), Duration::from_millis(5), 3);
    works
}

/// Opens the page, and notes in it that it is this one: a page that was loaded anew would not know.
async fn look(works: &Works, screen: Screen) -> Browser {
    let ledger = Arc::new(Ledger::open(works.folder.join(format!("pids-{}", screen.name))).unwrap());
    let browser = Browser::open(screen, &works.folder, &ledger).await;
    browser.go_to(&works.sim.page_url()).await;
    browser.until("document.querySelector('#state').dataset.state === 'live'").await;
    browser.tell("window.theFirst = true").await;
    browser
}

/// Sends as `curl` would, by the emulator to the real function.
async fn send(works: &Works, document: serde_json::Value) {
    let request = client().post(format!("{}/send", works.emulator.url())).bearer_auth(KEY).timeout(PATIENCE);
    assert_eq!(request.json(&document).send().await.unwrap().status(), 202);
}

/// Posts by the bot past Talkback: what it would never do.
async fn post_past_talkback(works: &Works, text: &str) {
    let request = client().post(format!("{}/bots/post", works.sim.api_url())).timeout(PATIENCE);
    assert_eq!(request.json(&json!({ "bot_id": bot(0), "text": text })).send().await.unwrap().status(), 202);
}

/// Nothing hangs out of the window, and the newest line is in it.
async fn assert_in_sight(browser: &Browser) {
    browser.until("document.documentElement.scrollWidth <= innerWidth").await;
    browser
        .until(
            "[...document.querySelectorAll('#lines > li')].at(-1).getBoundingClientRect().bottom
                <= document.querySelector('#say').getBoundingClientRect().top + 1",
        )
        .await;
}

/// What is said in the room, by whomever, shows as it is said.
async fn a_chat_goes_on(works: &Works, browser: &Browser, screen: Screen) {
    let name = screen.name;
    let long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(2);
    send(works, json!({ "body": format!("{HOSTILE} {long} to the {name}") })).await;
    browser.until_shown(".bot .text", &format!("to the {name}")).await;
    browser.until_shown(".bot .text", HOSTILE).await;
    browser.until_shown(".bot .who", "Talkback").await;
    works.sim.say(&group(0), "7", HOSTILE, &format!("{HOSTILE} by the {name}")).await;
    browser.until_shown(".user .text", &format!("{HOSTILE} by the {name}")).await;
    browser.until_shown(".user .who", HOSTILE).await;
    works.sim.say_as_system(&group(0), &format!("{HOSTILE} left the {name}"), None).await;
    browser.until_shown(".system", &format!("{HOSTILE} left the {name}")).await;
    browser
        .until("!document.querySelector('#lines :is(.text *, .system *, .who img, .who script)') && !window.broken")
        .await;
    assert_in_sight(browser).await;

    let pongs = "[...document.querySelectorAll('.bot .text')].filter((text) => text.innerText === 'pong').length";
    let before = browser.tell(&format!("return {pongs}")).await;
    if screen.phone {
        browser.type_into("#text", "!ping").await;
        browser.press("#say button").await;
    } else {
        browser.type_into("#text", "!ping\u{E007}").await;
    }
    browser.until_shown(".user .text", "!ping").await;
    browser.until(&format!("{pongs} === {before} + 1")).await;

    send(works, json!({ "body": "", "images": ["https://i.groupme.com/480x320.jpeg.sample"] })).await;
    browser.until("[...document.querySelectorAll('.bot img.picture')].at(-1)?.naturalWidth === 480").await;
    browser.until_shown(".bot .text", "1 picture").await;
    assert_in_sight(browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_the_chat_as_it_goes_on_at_phone_and_desktop_width() {
    let works = works("page-chat").await;
    for screen in [PHONE, DESKTOP] {
        let browser = look(&works, screen).await;
        a_chat_goes_on(&works, &browser, screen).await;
        browser.until_shown("#verdict", "All well").await;
        let told = browser.tell("return [window.theFirst, innerWidth]").await;
        assert_eq!(told, json!([true, screen.width]), "not loaded anew, and as wide as it should be");
        browser.close().await;
    }
    assert_eq!(works.sim.complaints(), Vec::<String>::new());
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_told_and_marked_in_the_page_at_once() {
    let works = works("page-faults").await;
    for (screen, faults) in [(PHONE, "1 fault"), (DESKTOP, "2 faults")] {
        let browser = look(&works, screen).await;
        let twice = dressed("Said twice", &Uuid::new_v4().to_string());
        post_past_talkback(&works, &twice).await;
        post_past_talkback(&works, &twice).await;
        browser.until_shown("#verdict", faults).await;
        browser.until_shown(".faulty .mark", "Said twice: the same words with the same uid").await;
        works.sim.say(&group(0), "7", "Ada", &"and on ".repeat(400)).await;
        browser.until_shown(".user .text", "and on").await;

        browser.press("#verdict").await;
        browser.until_shown("#findings .fault", "Double").await;
        browser.press("#findings .fault button").await;
        browser.until("!document.querySelector('#watch').open && document.activeElement.matches('.faulty')").await;
        assert_eq!(browser.tell("return window.theFirst").await, true, "the page was not loaded anew");
        browser.close().await;
    }
    works.end().await;
}
