//! `cargo xtask images`: a container image of each program that is deployed. The programs are built here, statically,
//! and only copied into their images, from a folder that holds nothing else.

mod context;
mod measure;
mod table;
mod tool;

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};

pub use context::Revision;
pub use tool::{Config, Container, Tool};

use crate::{
    deployed,
    progress::{flush, print, step},
};

/// How to call it.
pub const USAGE: &str = "cargo xtask images [--measure]";

/// An image, and the program in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// What the image is called after `talkback-`.
    pub name: &'static str,
    /// The name of its program.
    pub program: &'static str,
    /// The stage of `infra/Containerfile`.
    pub stage: &'static str,
}

/// Every image there is.
pub const IMAGES: [Image; 6] = [
    function("send"),
    function("groupme-callback"),
    function("rabbitmq-consumer"),
    function("dispatcher"),
    function("migrate"),
    Image { name: "host", program: "talkback-host", stage: "host" },
];

const fn function(name: &'static str) -> Image {
    Image { name, program: name, stage: "function" }
}

impl Image {
    /// Its name with the version: `localhost/talkback-send:0.1.0`.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("localhost/{}:{VERSION}", self.title())
    }

    /// Its name alone.
    #[must_use]
    pub fn title(&self) -> String {
        format!("talkback-{}", self.name)
    }
}

/// The version of the whole workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the programs and their images with the tool that is there; with `--measure` it also takes how long each takes
/// to start.
///
/// # Errors
/// If something cannot be built, installed or measured.
pub fn run(arguments: &[String]) -> Result<()> {
    let measured = match arguments {
        [] => false,
        [word] if word == "--measure" => true,
        _ => bail!("usage: {USAGE}"),
    };
    let tool = build()?;
    let rows = table::rows(&tool, if measured { measure::starts(&tool)? } else { Vec::new() })?;
    flush(Duration::from_secs(2));
    print(rows);
    Ok(())
}

/// Builds the programs and their images, and gives the tool that has them.
///
/// # Errors
/// If something cannot be built or installed.
pub fn build() -> Result<Tool> {
    let tool = Tool::find()?;
    let programs = step("build what is deployed, static and optimized", deployed::build)?;
    step(&format!("build {} images with {}", IMAGES.len(), tool.name()), || of(&tool, &programs))?;
    Ok(tool)
}

fn of(tool: &Tool, programs: &Path) -> Result<()> {
    let revision = Revision::of_checkout();
    let folder = context::make(programs)?;
    IMAGES.iter().try_for_each(|image| tool.build(image, &folder, &revision))
}
