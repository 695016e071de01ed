//! Throwaway.
#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout)]
use xtask::servers::{RabbitMq, RabbitMqOptions};
fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let node = RabbitMq::start(&dir, RabbitMqOptions { management: true, ..RabbitMqOptions::default() }).unwrap();
    std::fs::write(dir.join("env"), format!("export TALKBACK_TEST_AMQP_URL={}\nexport TALKBACK_TEST_RABBIT_API={}\n", node.url(), node.api_url().unwrap())).unwrap();
    println!("ready");
    while !dir.join("stop").exists() { std::thread::sleep(std::time::Duration::from_millis(300)); }
    drop(node);
}
