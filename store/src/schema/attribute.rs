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
    /// Text of which there are few.
    Text,
    /// Text that seldom repeats.
    FreeText,
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

const fn free(column: &'static str, key: &'static str, aliases: &'static [&'static str]) -> AttributeColumn {
    AttributeColumn { column, key, aliases, kind: AttributeType::FreeText }
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
    text("k8s_deployment_name", "k8s.deployment.name", &[]),
    text("k8s_container_name", "k8s.container.name", &[]),
    text("k8s_node_name", "k8s.node.name", &[]),
    text("k8s_cluster_name", "k8s.cluster.name", &[]),
    text("k8s_pod_uid", "k8s.pod.uid", &[]),
    text("container_id", "container.id", &[]),
    text("container_image_name", "container.image.name", &[]),
    text("host_id", "host.id", &[]),
    text("host_arch", "host.arch", &[]),
    text("os_type", "os.type", &[]),
    integer("process_pid", "process.pid", &[]),
    text("process_runtime_name", "process.runtime.name", &[]),
    text("process_runtime_version", "process.runtime.version", &[]),
    text("telemetry_sdk_name", "telemetry.sdk.name", &[]),
    text("telemetry_sdk_language", "telemetry.sdk.language", &[]),
    text("telemetry_sdk_version", "telemetry.sdk.version", &[]),
    text("cloud_provider", "cloud.provider", &[]),
    text("cloud_region", "cloud.region", &[]),
    text("cloud_availability_zone", "cloud.availability_zone", &[]),
    text("vcs_ref_head_revision", "vcs.ref.head.revision", &[]),
];

/// Record attributes with a column in `spans`, `logs` and `metrics`.
pub const SPAN_AND_LOG_COLUMNS: &[AttributeColumn] = &[
    text("http_request_method", "http.request.method", &["http.method"]),
    text("http_route", "http.route", &[]),
    integer("http_response_status_code", "http.response.status_code", &["http.status_code"]),
    free("url_path", "url.path", &[]),
    text("server_address", "server.address", &["net.peer.name", "net.host.name"]),
    text("error_type", "error.type", &[]),
    text("rpc_system_name", "rpc.system.name", &["rpc.system"]),
    text("rpc_method", "rpc.method", &[]),
    text("rpc_response_status_code", "rpc.response.status_code", &["rpc.status_code", "rpc.grpc.status_code"]),
    text("db_system_name", "db.system.name", &["db.system"]),
    text("messaging_destination_name", "messaging.destination.name", &["messaging.destination"]),
    text("exception_type", "exception.type", &[]),
    free("exception_message", "exception.message", &[]),
    free("exception_stacktrace", "exception.stacktrace", &[]),
    text("enduser_id", "enduser.id", &[]),
    text("session_id", "session.id", &[]),
    text("url_scheme", "url.scheme", &["http.scheme"]),
    free("url_query", "url.query", &[]),
    free("url_full", "url.full", &["http.url"]),
    integer("server_port", "server.port", &["net.peer.port", "net.host.port"]),
    text("client_address", "client.address", &["http.client_ip", "net.sock.peer.addr"]),
    integer("client_port", "client.port", &[]),
    text("network_peer_address", "network.peer.address", &[]),
    integer("network_peer_port", "network.peer.port", &["net.sock.peer.port"]),
    text("network_protocol_name", "network.protocol.name", &["net.protocol.name"]),
    text("network_protocol_version", "network.protocol.version", &["net.protocol.version", "http.flavor"]),
    text("network_transport", "network.transport", &["net.transport"]),
    text("user_agent_original", "user_agent.original", &["http.user_agent"]),
    integer("http_request_body_size", "http.request.body.size", &["http.request_content_length"]),
    integer("http_response_body_size", "http.response.body.size", &["http.response_content_length"]),
    text("user_id", "user.id", &[]),
    text("rpc_service", "rpc.service", &[]),
    text("db_namespace", "db.namespace", &["db.name"]),
    text("db_collection_name", "db.collection.name", &["db.sql.table", "db.mongodb.collection"]),
    text("db_operation_name", "db.operation.name", &["db.operation"]),
    free("db_query_text", "db.query.text", &["db.statement"]),
    text("messaging_system", "messaging.system", &[]),
    text("messaging_operation_type", "messaging.operation.type", &["messaging.operation"]),
    text("peer_service", "peer.service", &[]),
    text("thread_name", "thread.name", &[]),
    integer("thread_id", "thread.id", &[]),
    text("code_function_name", "code.function.name", &["code.function"]),
    text("feature_flag_key", "feature_flag.key", &[]),
    text("feature_flag_result_variant", "feature_flag.result.variant", &["feature_flag.variant"]),
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
