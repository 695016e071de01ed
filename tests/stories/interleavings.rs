//! The lanes under every order of what can happen: accepts, takes, claims, calls, records, crashes, freezes, callbacks and
//! sweeps of several holders, one statement at a time, in an order that follows from a seed; and after each step what must
//! hold. Time is moved by SQL. An order that breaks a rule is made as short as it goes before it is told.
mod chat;
mod holder;
mod reckoning;
mod town;

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;
use town::Town;

use crate::attack::{Tally, attack};
use crate::process::chance::Chance;
use crate::station::{Setup, Station};

/// Steps of one order of things; each draws all its choices from a number of its own, so that any may be left out.
const STEPS: usize = 90;

/// Orders of one round, on so many databases side by side.
const ORDERS: u64 = 30;
const TOWNS: u64 = 4;

/// On a busy machine fewer orders are begun: a round ends soon after this.
const ENOUGH: Duration = Duration::from_secs(12);

/// How often a shorter order is tried.
const TRIES: usize = 150;

fn steps(seed: u64) -> Vec<u64> {
    let mut chance = Chance::of(seed);
    (0..STEPS).map(|_| chance.within(0..u64::MAX)).collect()
}

/// Leaves out what is not needed for a rule to break: halves first, then less and less.
async fn shortest(town: &mut Town, seed: u64, mut steps: Vec<u64>, mut why: String) -> (Vec<u64>, String) {
    let (mut piece, mut tries) = (steps.len() / 2, 0);
    while piece > 0 && tries < TRIES {
        let mut at = 0;
        while at < steps.len() && tries < TRIES {
            let shorter: Vec<u64> = steps
                .iter()
                .enumerate()
                .filter(|(n, _)| !(at..at + piece).contains(n))
                .map(|(_, step)| *step)
                .collect();
            tries += 1;
            match town.play(seed, &shorter).await {
                Err(broken) => (steps, why) = (shorter, broken),
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    (steps, why)
}

/// What the orders of one database found.
async fn orders(seeds: Vec<u64>) -> Tally {
    let station = Station::with(Setup { callbacks: false, ..town::setup() }).await;
    let mut town = Town::of(&station).await;
    let mut tally = Tally::default();
    let begun = Instant::now();
    for seed in seeds {
        if begun.elapsed() > ENOUGH {
            break;
        }
        if let Err(why) = town.play(seed, &steps(seed)).await {
            let (steps, why) = shortest(&mut town, seed, steps(seed), why).await;
            tally.others.push(format!("order {seed}, {} of its steps: {why}", steps.len()));
            break;
        }
    }
    tally.messages = town.total.messages;
    tally.hits = town.total.hits;
    write!(
        tally.told,
        "{} orders, {} messages, {} calls, {} steps; cut off in mid-flight: {}; late answers: {}; seen twice where nothing could tell: {}",
        town.total.orders, town.total.messages, town.total.calls, town.total.steps, town.total.hits, town.total.late, town.total.twice
    )
    .unwrap();
    station.end().await;
    tally
}

async fn round(seed: u64) -> Tally {
    let all = (0..TOWNS).map(|town| {
        let seeds = (0..ORDERS).map(|n| seed.wrapping_mul(1000) + town * ORDERS + n).collect();
        tokio::spawn(orders(seeds))
    });
    let mut sum = Tally::default();
    for tally in all.collect::<Vec<_>>() {
        let tally = tally.await.unwrap();
        sum.messages += tally.messages;
        sum.hits += tally.hits;
        sum.others.extend(tally.others);
        sum.told += &format!("\n  {}", tally.told);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whatever_order_things_happen_nothing_is_lost_doubled_or_stuck() {
    attack("interleavings", &[1], round).await;
}
