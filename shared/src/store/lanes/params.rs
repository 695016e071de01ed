//! What the statements of the lane protocol are given, in the types of the wire.
use std::time::Duration;

use super::{Absent, CallReport};
use crate::config::Lanes;

/// The parameters of [`CLAIM`](super::statements::CLAIM), owned, in their wire types.
pub(super) struct Wanted<'a> {
    pub(super) lease: f64,
    window: f64,
    far: f64,
    set_aside_after: i32,
    delays: Vec<f64>,
    room: Option<&'a str>,
    attempt: Option<i32>,
    delivery: Option<i64>,
    part: Option<i16>,
}

pub(super) type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

impl<'r> Wanted<'r> {
    /// `room`: of the lane, where it is known.
    pub(super) fn of(lanes: &Lanes, room: Option<&'r str>, absent: Absent<'_>) -> Self {
        Self {
            lease: lanes.lease.as_secs_f64(),
            window: lanes.window.as_secs_f64(),
            far: lanes.unconfirmed_after.as_secs_f64(),
            set_aside_after: i32::try_from(lanes.set_aside_after).unwrap_or(i32::MAX),
            delays: lanes.set_aside_delays.iter().map(Duration::as_secs_f64).collect(),
            room,
            attempt: absent.map(|claimed| claimed.attempt),
            delivery: absent.map(|claimed| claimed.delivery),
            part: absent.map(|claimed| claimed.part),
        }
    }

    pub(super) fn params<'a>(&'a self, token: &'a &'a str) -> [Param<'a>; 10] {
        [
            token,
            &self.lease,
            &self.window,
            &self.far,
            &self.set_aside_after,
            &self.attempt,
            &self.delivery,
            &self.part,
            &self.delays,
            &self.room,
        ]
    }
}

/// The parameters of [`RECORD`](super::statements::RECORD), owned, in their wire types.
pub(super) struct Facts<'r> {
    report: &'r CallReport<'r>,
    outcome: &'static str,
    status: Option<i16>,
    latency: f64,
    pause: f64,
    window: f64,
    slow_for: f64,
}

impl<'r> Facts<'r> {
    pub(super) fn of(report: &'r CallReport<'r>, lanes: &Lanes) -> Self {
        Self {
            report,
            outcome: report.outcome.as_str(),
            status: report.status.and_then(|s| i16::try_from(s).ok()),
            latency: report.latency.as_secs_f64(),
            pause: report.pause.as_secs_f64(),
            window: lanes.window.as_secs_f64(),
            slow_for: lanes.slow_for.as_secs_f64(),
        }
    }

    pub(super) fn params<'a>(&'a self, token: &'a &'a str) -> [Param<'a>; 16] {
        let r = self.report;
        [
            token,
            &r.claimed.delivery,
            &r.claimed.part,
            &r.claimed.attempt,
            &r.channel,
            &self.outcome,
            &self.status,
            &self.latency,
            &r.request,
            &r.response,
            &r.error,
            &self.pause,
            &self.window,
            &self.slow_for,
            &r.room_fingerprint,
            &r.claimed.room,
        ]
    }
}
