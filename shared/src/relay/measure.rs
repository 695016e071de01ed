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
        let depths = depths.iter().flatten().map(|(queue, depth)| ([*queue], f64::from(*depth)));
        metrics::BROKER_QUEUE.set_all(depths);
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
    metrics::QUEUE_DEPTH.set_all(queues().map(|(room, depth, _)| ([room.as_str()], number(*depth))));
    metrics::QUEUE_OLDEST.set_all(queues().map(|(room, _, age)| ([room.as_str()], *age)));
    metrics::ROOM_PAUSED.set_all(rooms().map(|of| ([of.room.as_str()], of.paused)));
    metrics::ROOM_SUSPENDED.set_all(rooms().map(|of| ([of.room.as_str()], f64::from(u8::from(of.suspended)))));
    metrics::CONFIRMATIONS_MISSING.set_all(rooms().map(|of| ([of.room.as_str()], number(of.unconfirmed))));
    metrics::DELIVERIES_FAILED.set_all(rooms().map(|of| ([of.room.as_str()], number(of.failed))));
    let heard = rooms().filter_map(|of| Some(([of.room.as_str()], of.callback_age?)));
    metrics::CALLBACK_AGE.set_all(heard);
    let functions = gauges.iter().flat_map(|gauges| &gauges.functions);
    metrics::FUNCTION_AGE.set_all(functions.map(|(function, age)| ([function.as_str()], *age)));
    let server = |value: fn(&Gauges) -> f64| gauges.map(|gauges| ([], value(gauges)));
    metrics::DATABASE_CONNECTIONS.set_all(server(|gauges| gauges.server.0));
    metrics::DATABASE_CONNECTIONS_MAX.set_all(server(|gauges| gauges.server.1));
    metrics::DATABASE_SIZE.set_all(server(|gauges| gauges.server.2));
}
