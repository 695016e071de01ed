//! What is counted and measured: one table of definitions, written out as Prometheus reads it, and as CloudWatch's
//! embedded metric format.
//!
//! Ours and not a library's: the two that there are for the embedded format drop what was observed more than a hundred
//! times between two flushes, and two exporters behind a façade are twenty crates in functions that may have 8 MB.
//!
//! Names follow Prometheus (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for what only grows.
//! Labels are bounded: rooms and routes are configured, everything else is a word of the program. A metric that has more
//! series all the same counts the rest under `other`.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

mod embedded;
mod prometheus;
mod table;

pub use embedded::{embed, emit};
pub use prometheus::{CONTENT_TYPE, text};
pub use table::*;

/// The most series of one metric.
const SERIES: usize = 500;

/// What a value is, and how it is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, in the life of a process.
    Counter,
    /// Is what it is.
    Gauge,
    /// How often values fell into classes; their upper bounds.
    Histogram(&'static [f64]),
}

/// What a value is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// One metric: its definition and its values.
#[derive(Debug)]
pub struct Metric {
    /// As Prometheus names it.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What they are measured in.
    pub unit: Unit,
    /// What sets its series apart.
    pub labels: &'static [&'static str],
    values: Mutex<BTreeMap<Vec<String>, Value>>,
}

/// The value of one series.
#[derive(Debug, Clone, Default)]
pub(crate) struct Value {
    /// Of a counter or a gauge; of a histogram the sum of what was observed.
    pub(crate) number: f64,
    /// Of a histogram: how often a value fell into each class; the last is above all bounds.
    pub(crate) classes: Vec<u64>,
}

impl Metric {
    const fn new(
        name: &'static str,
        kind: Kind,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, help, kind, unit, labels, values: Mutex::new(BTreeMap::new()) }
    }

    const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(name, Kind::Counter, Unit::Count, labels, help)
    }

    /// Counts one more.
    pub fn increment(&self, labels: &[&str]) {
        self.change(labels, |value| value.number += 1.0);
    }

    /// Says what it is now.
    pub fn set(&self, labels: &[&str], number: f64) {
        self.change(labels, |value| value.number = number);
    }

    /// Says what all its series are now: those that are not among them are gone.
    pub fn set_all<'a, L: AsRef<[&'a str]>>(&self, series: impl IntoIterator<Item = (L, f64)>) {
        self.lock().clear();
        series.into_iter().for_each(|(labels, number)| self.set(labels.as_ref(), number));
    }

    /// Takes note of one value of a histogram.
    pub fn observe(&self, labels: &[&str], number: f64) {
        let Kind::Histogram(bounds) = self.kind else { return };
        self.change(labels, |value| {
            value.number += number;
            value.classes.resize(bounds.len() + 1, 0);
            let class = bounds.iter().position(|bound| number <= *bound).unwrap_or(bounds.len());
            value.classes[class] += 1;
        });
    }

    fn change(&self, labels: &[&str], change: impl FnOnce(&mut Value)) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        let mut values = self.lock();
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if values.len() >= SERIES && !values.contains_key(&key) {
            key.fill("other".to_owned());
        }
        change(values.entry(key).or_default());
    }

    /// Its series with their values, as they are now.
    fn series(&self) -> Vec<(Vec<String>, Value)> {
        self.lock().iter().map(|(labels, value)| (labels.clone(), value.clone())).collect()
    }

    /// Takes its series out: what is told of next is what came since.
    fn take(&self) -> BTreeMap<Vec<String>, Value> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Value>> {
        // Who panicked with it left a number that is whole.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
