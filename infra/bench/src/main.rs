//! Measures the relay beside its peers and its targets. Started by `cargo xtask bench`, which builds everything first.
mod apprise;
mod bench;
mod figure;
mod floor;
mod function;
mod invoke_api;
mod machine;
mod rows;
mod runtime_api;
mod station;
mod turns;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use xtask::progress::{flush, print, say};

use crate::apprise::Apprise;
use crate::bench::Bench;
use crate::figure::{Figure, markdown};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let done = run().await;
    flush(std::time::Duration::from_secs(2));
    done
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, programs, python, rest @ ..] = arguments.as_slice() else {
        bail!("usage: bench DIR PROGRAMS PYTHON [--quick] [ROW…]; `cargo xtask bench` calls it")
    };
    let (quick, chosen): (Vec<_>, Vec<_>) = rest.iter().map(String::as_str).partition(|word| *word == "--quick");
    talkback::tls::install_ring();
    let begun = Instant::now();
    let (dir, quick) = (PathBuf::from(dir), !quick.is_empty());
    let mut bench = Bench::start(quick, &dir, PathBuf::from(programs), PathBuf::from(python)).await?;
    let figures = measure(&mut bench, &chosen).await?;
    let version = bench.postgres.psql("postgres", "show server_version")?;
    let machine = machine::describe(&dir, &format!("PostgreSQL {}", version.trim()));
    let sizes = if quick { "small sizes: nothing is judged by them" } else { "full sizes" };
    let table = format!(
        "{}\n{machine}; static release build; {sizes}; {:.0} s.\n",
        markdown(&figures),
        begun.elapsed().as_secs_f64()
    );
    std::fs::write(dir.join("bench.json"), serde_json::to_string_pretty(&figures)? + "\n").context("bench.json")?;
    std::fs::write(dir.join("bench.md"), &table).context("bench.md")?;
    print(format!("\n{table}"));
    print(format!("written to {} and bench.md beside it", dir.join("bench.json").display()));
    Ok(())
}

/// Every row, or those whose word was given.
async fn measure(bench: &mut Bench, chosen: &[&str]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for word in
        ["throughput", "send", "urgent", "accept", "growth", "stats", "rooms", "start", "memory", "binary", "paced"]
    {
        if !chosen.is_empty() && !chosen.contains(&word) {
            continue;
        }
        let start = Instant::now();
        say(format!("  … {word}"));
        let rows = match word {
            "throughput" => {
                let mut apprise = Apprise::start(bench).await?;
                rows::throughput::rows(bench, &mut apprise).await
            }
            "send" => rows::send::rows(bench).await,
            "urgent" => rows::urgent::rows(bench).await,
            "accept" => rows::accept::rows(bench).await,
            "growth" => rows::growth::rows(bench).await,
            "stats" => rows::stats::rows(bench).await,
            "rooms" => rows::rooms::row(bench).await.map(|row| vec![row]),
            "start" => rows::size::start(bench).await.map(|row| vec![row]),
            "memory" => rows::size::memory(bench).await.map(|row| vec![row]),
            "binary" => rows::size::binary(bench).map(|row| vec![row]),
            _ => rows::paced::rows(bench).await,
        };
        let rows = rows.with_context(|| format!("the row {word}"))?;
        for row in &rows {
            let beside = row.peer_value.map_or(String::new(), |peer| format!(" beside {peer}"));
            say(format!("    {}: {} {}{beside}", row.figure, row.value, row.unit));
        }
        say(format!("  ok {word} ({:.1} s)", start.elapsed().as_secs_f64()));
        figures.extend(rows);
    }
    Ok(figures)
}
