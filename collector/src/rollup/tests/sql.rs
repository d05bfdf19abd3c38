//! What the roll-ups say, and what SQL finds in the raw tables: the same, bucket by bucket, however late and in whichever batch a record came.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use haldane_store::TableName;
use proptest::prelude::*;

use crate::tests::fixture::{published, rows_of};
use crate::tests::generate;
use crate::tests::oracle::Records;

const RED: &str = "
    SELECT time, service_version, cohort_attributes['feature_flag.result.variant'] AS variant, operation, span_kind,
        sum(requests) AS requests, sum(errors) AS errors, min(duration_min_ns) AS least, max(duration_max_ns) AS most
    FROM red GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

const RED_FROM_SPANS: &str = "
    SELECT date_bin(INTERVAL '10 seconds', time) AS time, nullif(service_version, '') AS service_version,
        feature_flag_result_variant AS variant,
        CASE WHEN http_route IS NULL THEN name WHEN http_request_method IS NULL THEN http_route
            ELSE http_request_method || ' ' || http_route END AS operation, kind AS span_kind,
        count(*) AS requests,
        sum(CASE WHEN status_code = 'ERROR' OR kind = 'SERVER' AND http_response_status_code >= 500 THEN 1 ELSE 0 END) AS errors,
        min(duration_ns) AS least, max(duration_ns) AS most
    FROM spans GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

const ERRORS: &str = "
    SELECT time, service_version, cohort_attributes['feature_flag.result.variant'] AS variant, source, error_type, sum(count) AS count
    FROM errors GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

const ERRORS_FROM_RECORDS: &str = "
    WITH numbered AS (SELECT *, row_number() OVER () AS number FROM spans),
    events AS (SELECT number, time, service_version, feature_flag_result_variant, unnest(events) AS event FROM numbered),
    exceptions AS (SELECT * FROM events WHERE event['name'] = 'exception'),
    seen AS (
        SELECT time, service_version, feature_flag_result_variant, 'exception' AS source,
            coalesce(nullif(event['attributes']['exception.type'], ''), 'exception') AS error_type
        FROM exceptions
        UNION ALL
        SELECT time, service_version, feature_flag_result_variant, 'status',
            coalesce(error_type, CAST(http_response_status_code AS VARCHAR), 'error')
        FROM numbered WHERE status_code = 'ERROR' AND number NOT IN (SELECT number FROM exceptions)
        UNION ALL
        SELECT time, service_version, feature_flag_result_variant, 'log', coalesce(error_type, nullif(event_name, ''), 'log')
        FROM logs WHERE severity_number >= 17 AND exception_type IS NULL AND exception_message IS NULL
        UNION ALL
        SELECT time, service_version, feature_flag_result_variant, 'exception', coalesce(nullif(exception_type, ''), 'exception')
        FROM logs WHERE exception_type IS NOT NULL OR exception_message IS NOT NULL
    )
    SELECT date_bin(INTERVAL '10 seconds', time) AS time, nullif(service_version, '') AS service_version,
        feature_flag_result_variant AS variant, source, error_type, count(*) AS count
    FROM seen GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

/// The answer as a table of text, without the types, which differ where text is in a dictionary.
async fn answer(parts: &[(TableName, RecordBatch)], sql: &str) -> String {
    let session = SessionContext::new();
    for table in TableName::ALL {
        let rows = parts.iter().filter(|(name, _)| *name == table).map(|(_, rows)| published(table, rows)).collect();
        session.register_table(table.as_str(), Arc::new(MemTable::try_new(table.schema(), vec![rows]).unwrap())).unwrap();
    }
    let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn roll_ups_say_what_sql_finds_in_the_raw_tables(
        traces in prop::collection::vec(generate::traces(), 1..4),
        logs in prop::collection::vec(generate::logs(), 1..4),
    ) {
        // Each request in a batch of its own: what comes late adds to what is there.
        let parts: Vec<_> = traces.into_iter().chain(logs).flat_map(|records: Records| rows_of(&[records])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            prop_assert_eq!(answer(&parts, RED).await, answer(&parts, RED_FROM_SPANS).await);
            prop_assert_eq!(answer(&parts, ERRORS).await, answer(&parts, ERRORS_FROM_RECORDS).await);
            Ok(())
        })?;
    }
}
