//! Measures what is not counted as it happens: how much waits and for how long, which rooms are not well, whether the
//! dependencies answer.
use std::time::Duration;

use tokio::time::timeout;

use super::Relay;
use crate::broker::{Broker, BrokerError, DEAD, QUEUE, RETRY};
use crate::store::gauges::Gauges;
use crate::telemetry::metrics;

/// How long a dependency may take. Prometheus waits ten seconds for all.
const PATIENCE: Duration = Duration::from_secs(4);

impl Relay {
    /// Brings every gauge up to date. Of a dependency that does not answer only that is known; what it told before would
    /// look like news.
    pub async fn measure(&self) {
        metrics::BUILD_INFO.set(&[env!("CARGO_PKG_VERSION")], 1.0);
        let rooms = self.room_names();
        let depths = async {
            match &self.broker {
                Some(broker) => Some(timeout(PATIENCE, depths(broker)).await),
                None => None,
            }
        };
        let (gauges, depths) = tokio::join!(timeout(PATIENCE, self.store.gauges(&rooms)), depths);
        let gauges = gauges.ok().and_then(Result::ok);
        metrics::UP.set(&["postgres"], f64::from(u8::from(gauges.is_some())));
        tell(gauges.as_ref());
        let Some(depths) = depths else { return };
        let depths = depths.ok().and_then(Result::ok);
        metrics::UP.set(&["rabbitmq"], f64::from(u8::from(depths.is_some())));
        let depths = depths.iter().flatten().map(|(queue, depth)| (vec![*queue], f64::from(*depth)));
        set_all(&metrics::BROKER_QUEUE, depths);
    }
}

async fn depths(broker: &Broker) -> Result<[(&'static str, u32); 3], BrokerError> {
    Ok([(QUEUE, broker.depth(QUEUE).await?), (RETRY, broker.depth(RETRY).await?), (DEAD, broker.depth(DEAD).await?)])
}

fn tell(gauges: Option<&Gauges>) {
    let rooms = || gauges.iter().flat_map(|gauges| &gauges.rooms);
    let queues = || gauges.iter().flat_map(|gauges| &gauges.queues);
    #[allow(clippy::cast_precision_loss)]
    let number = |count: i64| count as f64;
    set_all(&metrics::QUEUE_DEPTH, queues().map(|(room, depth, _)| (vec![room.as_str()], number(*depth))));
    set_all(&metrics::QUEUE_OLDEST, queues().map(|(room, _, age)| (vec![room.as_str()], *age)));
    set_all(&metrics::ROOM_PAUSED, rooms().map(|of| (vec![of.room.as_str()], of.paused)));
    set_all(&metrics::ROOM_SUSPENDED, rooms().map(|of| (vec![of.room.as_str()], f64::from(u8::from(of.suspended)))));
    set_all(&metrics::CONFIRMATIONS_MISSING, rooms().map(|of| (vec![of.room.as_str()], number(of.unconfirmed))));
    set_all(&metrics::DELIVERIES_FAILED, rooms().map(|of| (vec![of.room.as_str()], number(of.failed))));
    let heard = rooms().filter_map(|of| Some((vec![of.room.as_str()], of.callback_age?)));
    set_all(&metrics::CALLBACK_AGE, heard);
    let functions = gauges.iter().flat_map(|gauges| &gauges.functions);
    set_all(&metrics::FUNCTION_AGE, functions.map(|(function, age)| (vec![function.as_str()], *age)));
    let server = |value: fn(&Gauges) -> f64| gauges.map(|gauges| (Vec::new(), value(gauges)));
    set_all(&metrics::DATABASE_CONNECTIONS, server(|gauges| gauges.server.0));
    set_all(&metrics::DATABASE_CONNECTIONS_MAX, server(|gauges| gauges.server.1));
    set_all(&metrics::DATABASE_SIZE, server(|gauges| gauges.server.2));
}

fn set_all<'a>(metric: &metrics::Metric, series: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
    let series: Vec<(Vec<&str>, f64)> = series.into_iter().collect();
    metric.set_all(series.iter().map(|(labels, value)| (labels.as_slice(), *value)));
}
