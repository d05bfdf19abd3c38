//! The queries for evidence.

/// A request is a span of these kinds; a service that has none of them is judged by its internal spans.
pub(super) const REQUEST_KINDS: &str = "('SERVER', 'CONSUMER')";

pub(super) fn red_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, operation, service_instance_id, requests, errors, duration_scale, duration_zero_count, duration_offset,
         duration_counts, error_trace_id, slow_trace_id FROM red
         WHERE {chosen} AND {range} AND span_kind IN {REQUEST_KINDS}"
    )
}

/// What selectors ask of a roll-up, for rows that are told apart after they were read.
const PLACE: &str = "service_name, coalesce(deployment_environment_name, 'default') AS environment, service_version, service_namespace, service_instance_id,
         deployment_environment_name, cohort_attributes";

/// As [`red_sql`], with [`PLACE`].
pub(super) fn shared_red_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT {PLACE}, time, operation, requests, errors, duration_scale, duration_zero_count, duration_offset,
         duration_counts, error_trace_id, slow_trace_id FROM red
         WHERE {chosen} AND {range} AND span_kind IN {REQUEST_KINDS}"
    )
}

/// As [`errors_sql`], with [`PLACE`].
pub(super) fn shared_errors_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT {PLACE}, time, operation, fingerprint, source, error_type, message, count, trace_id FROM errors WHERE {chosen} AND {range}"
    )
}

/// As [`calls_sql`], not added up, with [`PLACE`].
pub(super) fn shared_calls_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT {PLACE}, time, span_kind, CASE WHEN span_kind = 'INTERNAL' THEN '' ELSE operation END AS name,
         requests AS count, errors FROM red
         WHERE {chosen} AND {range} AND span_kind IN ('CLIENT', 'PRODUCER', 'INTERNAL')"
    )
}

/// The same columns, one row a span, as the roll-up would have made them.
pub(super) fn spans_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, CASE WHEN http_route IS NULL THEN name WHEN http_request_method IS NULL THEN http_route
           ELSE http_request_method || ' ' || http_route END AS operation,
         coalesce(service_instance_id, k8s_pod_name, host_name) AS service_instance_id,
         CAST(1 AS BIGINT) AS requests, CAST(status_code = 'ERROR' OR (kind = 'SERVER' AND coalesce(http_response_status_code, 0) >= 500)
           AS BIGINT) AS errors,
         duration_ns, trace_id FROM spans
         WHERE {chosen} AND {range} AND kind IN {REQUEST_KINDS}"
    )
}

pub(super) fn errors_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, operation, service_instance_id, fingerprint, source, error_type, message, count, trace_id FROM errors
         WHERE {chosen} AND {range}"
    )
}

/// What was called while requests were served. Functions within the service are counted together: their names are its own business.
pub(super) fn calls_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, span_kind, CASE WHEN span_kind = 'INTERNAL' THEN '' ELSE operation END AS name, service_instance_id,
         CAST(sum(requests) AS BIGINT) AS count, CAST(sum(errors) AS BIGINT) AS errors FROM red
         WHERE {chosen} AND {range} AND span_kind IN ('CLIENT', 'PRODUCER', 'INTERNAL') GROUP BY 1, 2, 3, 4"
    )
}
