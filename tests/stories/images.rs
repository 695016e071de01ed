//! The container images: what is in them, and the stories told by programs that run from them.
use std::sync::OnceLock;

use xtask::children::Child;
use xtask::images::{Container, IMAGES, Tool};
use xtask::pids::family;

mod contents;
mod functions;
mod host;

/// Who has the images. The first who asks builds them; a run of everything has done so before, without its own noise
/// beside them.
async fn built() -> Tool {
    static BUILT: OnceLock<Tool> = OnceLock::new();
    tokio::task::spawn_blocking(|| BUILT.get_or_init(|| xtask::images::build().unwrap()).clone()).await.unwrap()
}

/// Something to run an image in.
async fn container(name: &'static str, story: &'static str) -> Container {
    let tool = built().await;
    let image = IMAGES.iter().find(|image| image.name == name).unwrap();
    tool.container(image, &format!("talkback-{story}-{}", std::process::id())).unwrap()
}

/// What the kernel says of a process.
fn status(pid: i32, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The process of an image's program, where what runs it started it; itself where that would be told of signals or there
/// is no image.
pub fn inside(child: &Child) -> i32 {
    let program = |pid: &i32| status(*pid, "Name").as_deref() == Some("talkback");
    family(child.pid()).into_iter().find(program).unwrap_or(child.pid())
}
