//! What the shop offers: its services, their operations with usual durations, and the ways a visit goes through them.

use std::time::Duration;

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// What browsers talk to.
    Frontend,
    /// Carts and orders.
    Checkout,
    /// Charges, refunds and the payment provider's webhooks: the service whose releases are judged.
    Payment,
    /// Stock.
    Inventory,
}

impl Service {
    /// `service.name`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Checkout => "checkout",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
        }
    }

    /// The port it listens on, for `server.port`.
    pub(crate) const fn port(self) -> i64 {
        match self {
            Self::Frontend => 8080,
            Self::Checkout => 8081,
            Self::Payment => 8082,
            Self::Inventory => 8083,
        }
    }
}

/// One HTTP operation of a service.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Who serves it.
    pub(crate) service: Service,
    /// `http.request.method`.
    pub(crate) method: &'static str,
    /// `http.route`.
    pub(crate) route: &'static str,
    /// The method and the route: the name of its span.
    pub(crate) name: &'static str,
    /// How long its own work takes in the middle; lognormal around that.
    pub(crate) median: Duration,
    /// Standard deviation of the logarithm of that.
    pub(crate) spread: f64,
    /// A statement it runs against its database, if it does.
    pub(crate) statement: Option<&'static str>,
    /// What it calls, one after the other.
    pub(crate) calls: &'static [&'static Operation],
}

static RESERVE: Operation = Operation {
    service: Service::Inventory,
    method: "POST",
    route: "/v1/reservations/{sku}",
    name: "POST /v1/reservations/{sku}",
    median: Duration::from_millis(9),
    spread: 0.4,
    statement: None,
    calls: &[],
};

/// Charging a card: the operation that a purchase reaches through three services.
pub(crate) static CHARGE: Operation = Operation {
    service: Service::Payment,
    method: "POST",
    route: "/v1/payments",
    name: "POST /v1/payments",
    median: Duration::from_millis(110),
    spread: 0.35,
    statement: Some("INSERT payments"),
    calls: &[&RESERVE],
};

/// Paying back: the slow route.
pub(crate) static REFUND: Operation = Operation {
    service: Service::Payment,
    method: "POST",
    route: "/v1/refunds",
    name: "POST /v1/refunds",
    median: Duration::from_millis(420),
    spread: 0.3,
    statement: None,
    calls: &[],
};

/// Asking how a payment stands; merchants do it all day, without tracing of their own.
pub(crate) static STATUS: Operation = Operation {
    service: Service::Payment,
    method: "GET",
    route: "/v1/payments/{payment_id}",
    name: "GET /v1/payments/{payment_id}",
    median: Duration::from_millis(12),
    spread: 0.45,
    statement: None,
    calls: &[],
};

/// What the payment provider reports back.
pub(crate) static WEBHOOK: Operation = Operation {
    service: Service::Payment,
    method: "POST",
    route: "/v1/webhooks/stripe",
    name: "POST /v1/webhooks/stripe",
    median: Duration::from_millis(28),
    spread: 0.4,
    statement: None,
    calls: &[],
};

static ORDER: Operation = Operation {
    service: Service::Checkout,
    method: "POST",
    route: "/v1/orders",
    name: "POST /v1/orders",
    median: Duration::from_millis(14),
    spread: 0.35,
    statement: None,
    calls: &[&CHARGE],
};

static BUY: Operation = Operation {
    service: Service::Frontend,
    method: "POST",
    route: "/checkout",
    name: "POST /checkout",
    median: Duration::from_millis(8),
    spread: 0.35,
    statement: None,
    calls: &[&ORDER],
};

static RETURN: Operation = Operation {
    service: Service::Frontend,
    method: "POST",
    route: "/account/returns",
    name: "POST /account/returns",
    median: Duration::from_millis(9),
    spread: 0.35,
    statement: None,
    calls: &[&REFUND],
};

/// How many visits of each kind there are, relative to each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    /// A purchase through all four services: eight spans.
    pub(crate) buy: f64,
    /// A return, through the frontend to the slow route: three spans.
    pub(crate) refund: f64,
    /// A merchant's question about a payment: one span.
    pub(crate) status: f64,
    /// A webhook of the payment provider: one span.
    pub(crate) webhook: f64,
}

impl Mix {
    /// An ordinary day. Webhooks are the share that fails when their secret is missing.
    pub(crate) const USUAL: Self = Self { buy: 0.12, refund: 0.06, status: 0.704, webhook: 0.116 };

    /// A day on which many buy.
    pub(crate) const SALE: Self = Self { buy: 0.25, status: 0.574, ..Self::USUAL };

    /// The ways in, in the order of [`Mix::weights`].
    pub(crate) fn entries() -> [&'static Operation; 4] {
        [&BUY, &RETURN, &STATUS, &WEBHOOK]
    }

    /// The weights, in the order of [`Mix::entries`].
    pub(crate) fn weights(&self) -> [f64; 4] {
        [self.buy, self.refund, self.status, self.webhook]
    }
}
