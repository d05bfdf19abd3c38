//! A release of the payment service and what is wrong with it.

use super::catalog::{Operation, STATUS, Service, WEBHOOK};
use super::chance::Chance;

/// Share of requests that fail in every version, with nothing wrong.
pub(crate) const BASE_ERROR_RATE: f64 = 0.005;

/// The 95 % point of the standard normal: requests beyond it are the tail that [`Defect::SlowTail`] slows down.
const TAIL: f64 = 1.645;

/// A version and its defect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    /// `service.version`.
    pub(crate) version: &'static str,
    /// What is wrong with it.
    pub(crate) defect: Defect,
}

/// What a release brought with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Defect {
    /// Nothing.
    None,
    /// The secret that signs webhooks is not set: every webhook fails, which is about 12 % of all requests.
    WebhookSecretMissing,
    /// The slowest twentieth of one operation takes this many times as long: its p99 moves, its median does not.
    SlowTail {
        /// Which operation.
        operation: &'static Operation,
        /// How many times as long.
        factor: f64,
    },
    /// This share of the failures of [`STATUS`] turns into an exception that was never seen before; no more requests fail.
    NewException {
        /// Share of the failures.
        share: f64,
    },
    /// Connections leak: this share of all requests fails instead of the usual one.
    ConnectionLeak {
        /// Share of all requests.
        rate: f64,
    },
}

/// How a request failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    /// `exception.type` and `error.type`.
    pub(crate) error_type: &'static str,
    /// `exception.message`.
    pub(crate) message: &'static str,
    /// Where in the code, the innermost frame.
    pub(crate) frame: &'static str,
    /// `http.response.status_code`.
    pub(crate) status: i64,
}

/// The failures that every version of the payment service has.
const USUAL: [(f64, Failure); 2] = [
    (
        0.6,
        Failure {
            error_type: "CardNetworkTimeout",
            message: "the card network did not answer within 3000 ms",
            frame: "shop.payment.network.Client.send(Client.java:214)",
            status: 504,
        },
    ),
    (
        0.4,
        Failure {
            error_type: "ConnectionResetError",
            message: "connection to 10.20.4.17:5432 reset by peer",
            frame: "shop.payment.store.Pool.acquire(Pool.java:88)",
            status: 500,
        },
    ),
];

/// The failure of the services around the payment service.
const OVERLOADED: Failure = Failure {
    error_type: "RequestTimeout",
    message: "the request was not served within 5000 ms",
    frame: "shop.http.Server.handle(Server.java:77)",
    status: 503,
};

/// What a webhook fails with when its secret is missing.
pub(crate) const WEBHOOK_SECRET_MISSING: Failure = Failure {
    error_type: "StripeWebhookSecretMissing",
    message: "STRIPE_WEBHOOK_SECRET is not set, the signature of the event cannot be verified",
    frame: "shop.payment.webhook.Signature.verify(Signature.java:41)",
    status: 500,
};

/// The exception that only [`Defect::NewException`] has.
pub(crate) const UNKNOWN_STATE: Failure = Failure {
    error_type: "UnknownPaymentState",
    message: "no mapping for payment state requires_capture",
    frame: "shop.payment.status.StateMapper.map(StateMapper.java:67)",
    status: 500,
};

/// What [`Defect::ConnectionLeak`] fails with.
const POOL_EXHAUSTED: Failure = Failure {
    error_type: "ConnectionPoolExhausted",
    message: "no connection became free within 2000 ms, 20 of 20 in use",
    frame: "shop.payment.store.Pool.acquire(Pool.java:94)",
    status: 503,
};

impl Release {
    /// Whether and how a request to `operation` fails; `drift` multiplies the usual rate.
    pub(crate) fn failure(&self, operation: &'static Operation, drift: f64, chance: &mut Chance) -> Option<Failure> {
        let failed = chance.happens(BASE_ERROR_RATE * drift);
        if operation.service != Service::Payment {
            return failed.then_some(OVERLOADED);
        }
        match self.defect {
            Defect::WebhookSecretMissing if is(operation, &WEBHOOK) => return Some(WEBHOOK_SECRET_MISSING),
            Defect::ConnectionLeak { rate } if chance.happens(rate - BASE_ERROR_RATE) => return Some(POOL_EXHAUSTED),
            Defect::NewException { share } if failed && is(operation, &STATUS) && chance.happens(share) => return Some(UNKNOWN_STATE),
            Defect::None
            | Defect::WebhookSecretMissing
            | Defect::SlowTail { .. }
            | Defect::NewException { .. }
            | Defect::ConnectionLeak { .. } => {}
        }
        failed.then(|| USUAL[chance.pick(&USUAL.map(|(weight, _)| weight))].1)
    }

    /// How many times as long a request takes whose own work lies `deviation` standard deviations from the median.
    pub(crate) fn slowdown(&self, operation: &'static Operation, deviation: f64) -> f64 {
        match self.defect {
            Defect::SlowTail { operation: slow, factor } if is(operation, slow) && deviation > TAIL => factor,
            Defect::None
            | Defect::WebhookSecretMissing
            | Defect::SlowTail { .. }
            | Defect::NewException { .. }
            | Defect::ConnectionLeak { .. } => 1.0,
        }
    }
}

fn is(one: &'static Operation, other: &'static Operation) -> bool {
    std::ptr::eq(one, other)
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{CHARGE, Mix, REFUND};
    use super::*;

    const SERVED: [&Operation; 4] = [&CHARGE, &REFUND, &STATUS, &WEBHOOK];

    /// Share of requests that fail, and of those with the given error, in a usual mix.
    fn rates(defect: Defect, error_type: &str) -> (f64, f64) {
        let (release, mut chance) = (Release { version: "1.5.0", defect }, Chance::new(3, "rates"));
        let failures: Vec<Failure> =
            (0..100_000).filter_map(|_| release.failure(SERVED[chance.pick(&Mix::USUAL.weights())], 1.0, &mut chance)).collect();
        let named = failures.iter().filter(|failure| failure.error_type == error_type).count();
        (failures.len() as f64 / 1e5, named as f64 / 1e5)
    }

    #[test]
    fn a_missing_secret_fails_twelve_percent_of_all_requests() {
        let (all, named) = rates(Defect::WebhookSecretMissing, "StripeWebhookSecretMissing");
        assert!((all - 0.12).abs() < 0.004, "{all}");
        assert!(named / all > 0.94, "{named}");
    }

    #[test]
    fn a_new_exception_does_not_make_more_requests_fail() {
        let (all, named) = rates(Defect::NewException { share: 0.6 }, "UnknownPaymentState");
        assert!((all - BASE_ERROR_RATE).abs() < 0.001, "{all}");
        assert!((0.0015..0.0028).contains(&named), "{named}");
        assert_eq!(rates(Defect::None, "UnknownPaymentState").1, 0.0);
    }

    #[test]
    fn a_leak_fails_six_percent() {
        let (all, _) = rates(Defect::ConnectionLeak { rate: 0.06 }, "");
        assert!((all - 0.06).abs() < 0.003, "{all}");
    }

    #[test]
    fn only_the_tail_of_the_slow_operation_is_slower() {
        let release = Release { version: "1.5.0", defect: Defect::SlowTail { operation: &CHARGE, factor: 1.4 } };
        assert_eq!(release.slowdown(&CHARGE, 2.33), 1.4);
        assert_eq!(release.slowdown(&CHARGE, 1.0), 1.0);
        assert_eq!(release.slowdown(&STATUS, 2.33), 1.0);
    }
}
