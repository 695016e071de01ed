//! What was built, as a table.

use anyhow::Result;

use super::{IMAGES, Tool, measure::Start};

/// A line for each image: its name and size, and how long its program takes to start if that was measured.
pub(super) fn rows(tool: &Tool, starts: Vec<Start>) -> Result<String> {
    let mut lines = vec!["| image | size |".to_owned(), "| --- | --- |".to_owned()];
    if !starts.is_empty() {
        let run = format!("started by {}", tool.name());
        lines = vec![format!("| image | size | program ready | {run} |"), "| --- | --- | --- | --- |".to_owned()];
    }
    for image in IMAGES {
        let size = tool.inspect(&image)?.size as f64 / 1e6;
        let mut line = format!("| `{}` | {size:.1} MB |", image.tag());
        for start in starts.iter().filter(|start| start.image == image) {
            let program = start.program.map_or("–".to_owned(), |took| format!("{took:.1} ms"));
            line += &format!(" {program} | {:.0} ms |", start.container);
        }
        lines.push(line);
    }
    Ok(lines.join("\n"))
}
