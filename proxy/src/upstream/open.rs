//! Connections on which no HTTP is spoken: the end of a tunnel (CONNECT with `connect_config`).

use super::answer::Flight;
use super::changed::{Changed, Side};
use super::connect::Want;
use super::errand::Errand;
use super::request::Parcel;
use super::{CONNECT_TRIES, Upstream};
use crate::error::ProxyError;
use crate::listener::stream::Stream;
use bytes::Bytes;

impl Upstream {
    /// Opens a connection to an endpoint; it counts as a request.
    ///
    /// # Errors
    /// When there is no endpoint, none can be connected to, or a threshold is reached.
    pub async fn open(&self, parcel: &Parcel, errand: &Errand<'_>) -> Result<Changed, ProxyError> {
        self.stats.requests.add(1);
        let lane = self.lane(errand.high_priority);
        let mut flight = Flight::start(&self.stats, &lane.active, errand.limits.arrived);
        if lane.active.get() > lane.breaker.max_requests {
            return Err(flight.fail(ProxyError::Overflow));
        }
        match self.reach(parcel, errand, &mut flight).await {
            Ok(stream) => Ok(Changed { stream: Side::Own(stream), read: Bytes::new(), flight, idle: errand.limits.idle }),
            Err(why) => {
                self.failed_at.set(flight.address());
                Err(flight.fail(why))
            }
        }
    }

    async fn reach(&self, parcel: &Parcel, errand: &Errand<'_>, flight: &mut Flight) -> Result<Stream, ProxyError> {
        let lane = self.lane(errand.high_priority);
        flight.hold(match lane.slots.try_take() {
            Some(slot) => slot,
            None => lane.slots.wait(lane.breaker.max_pending_requests).await?,
        });
        let (mut tried, mut error) = (None, ProxyError::NoHealthyUpstream);
        for _ in 0..CONNECT_TRIES {
            let endpoint = match &self.destinations {
                Some(_) if tried.is_some() => break,
                Some(destinations) => destinations.choose(parcel.as_ref())?,
                None => match self.pick(errand, tried) {
                    Some(endpoint) => endpoint,
                    None => break,
                },
            };
            flight.towards(&endpoint);
            tried = Some(endpoint.address);
            match self.connector.open(endpoint.address, &Want::default()).await {
                Ok(opened) => return Ok(opened.stream),
                Err(why) => {
                    endpoint.ended(why);
                    error = why;
                }
            }
        }
        Err(error)
    }
}
