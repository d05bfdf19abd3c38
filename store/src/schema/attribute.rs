//! The attributes that have a column of their own, with the older names of the semantic conventions they also go by.
//!
//! An attribute under its present name moves into its column. Under an older name, or with a value of another type than the
//! column's, it fills the column and stays in the map too, so that nothing is lost. When both names are there, the present one wins.

/// Where an attribute is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeLevel {
    /// On the resource.
    Resource,
    /// On the span, log record or data point itself.
    Record,
}

/// The type of an attribute's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeType {
    /// Text.
    Text,
    /// A 64-bit integer.
    Integer,
}

/// One attribute with a column of its own.
#[derive(Debug, Clone, Copy)]
pub struct AttributeColumn {
    /// The column.
    pub column: &'static str,
    /// The attribute's present name.
    pub key: &'static str,
    /// Older names, the newest first.
    pub aliases: &'static [&'static str],
    /// The column's type.
    pub kind: AttributeType,
}

const fn text(column: &'static str, key: &'static str, aliases: &'static [&'static str]) -> AttributeColumn {
    AttributeColumn { column, key, aliases, kind: AttributeType::Text }
}

const fn integer(column: &'static str, key: &'static str, aliases: &'static [&'static str]) -> AttributeColumn {
    AttributeColumn { column, key, aliases, kind: AttributeType::Integer }
}

/// Resource attributes with a column in `spans`, `logs` and `metrics`.
pub const RESOURCE_COLUMNS: &[AttributeColumn] = &[
    text("service_name", "service.name", &[]),
    text("service_namespace", "service.namespace", &[]),
    text("service_version", "service.version", &[]),
    text("service_instance_id", "service.instance.id", &[]),
    text("deployment_environment_name", "deployment.environment.name", &["deployment.environment"]),
    text("host_name", "host.name", &[]),
    text("k8s_namespace_name", "k8s.namespace.name", &[]),
    text("k8s_pod_name", "k8s.pod.name", &[]),
    text("k8s_replicaset_name", "k8s.replicaset.name", &[]),
];

/// Record attributes with a column in `spans`, `logs` and `metrics`.
pub const SPAN_AND_LOG_COLUMNS: &[AttributeColumn] = &[
    text("http_request_method", "http.request.method", &["http.method"]),
    text("http_route", "http.route", &[]),
    integer("http_response_status_code", "http.response.status_code", &["http.status_code"]),
    text("url_path", "url.path", &[]),
    text("server_address", "server.address", &["net.peer.name", "net.host.name"]),
    text("error_type", "error.type", &[]),
    text("rpc_system_name", "rpc.system.name", &["rpc.system"]),
    text("rpc_method", "rpc.method", &[]),
    text("rpc_response_status_code", "rpc.response.status_code", &["rpc.status_code", "rpc.grpc.status_code"]),
    text("db_system_name", "db.system.name", &["db.system"]),
    text("messaging_destination_name", "messaging.destination.name", &["messaging.destination"]),
    text("exception_type", "exception.type", &[]),
    text("exception_message", "exception.message", &[]),
    text("exception_stacktrace", "exception.stacktrace", &[]),
    text("enduser_id", "enduser.id", &[]),
    text("session_id", "session.id", &[]),
];

/// Resource attributes that `red` and `errors` carry in `cohort_attributes` by default: what orchestrators and build systems write to
/// tell one release from another.
pub const COHORT_ATTRIBUTES: &[&str] = &[
    "k8s.pod.label.rollouts-pod-template-hash",
    "k8s.pod.labels.rollouts-pod-template-hash",
    "k8s.pod.label.pod-template-hash",
    "k8s.pod.labels.pod-template-hash",
    "k8s.pod.label.role",
    "k8s.pod.labels.role",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "app.kubernetes.io/version",
    "container.image.tags",
    "vcs.ref.head.revision",
    "deployment.id",
];

/// Attributes of spans and log records that they carry too.
pub const RECORD_COHORT_ATTRIBUTES: &[&str] = &["feature_flag.result.variant"];

/// The column an attribute key belongs to, and whether the key is its present name.
pub fn find(level: AttributeLevel, key: &str) -> Option<(usize, bool)> {
    let columns = match level {
        AttributeLevel::Resource => RESOURCE_COLUMNS,
        AttributeLevel::Record => SPAN_AND_LOG_COLUMNS,
    };
    columns
        .iter()
        .position(|column| column.key == key)
        .map(|at| (at, true))
        .or_else(|| columns.iter().position(|column| column.aliases.contains(&key)).map(|at| (at, false)))
}
