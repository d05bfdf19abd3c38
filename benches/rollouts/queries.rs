//! Heavy questions over the PostgreSQL wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Asks heavy questions until it is dropped.
pub(crate) async fn ask(address: String, answered: Arc<AtomicU64>) {
    let quantile = "duration_quantile(0.99, duration_scale, duration_zero_count, duration_offset, duration_counts)";
    let questions = [
        format!("SELECT service_name, operation, service_instance_id, sum(requests), {quantile} FROM red GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 100"),
        "SELECT a.service_name, b.name, count(*), max(a.duration_ns) FROM spans a JOIN spans b ON a.trace_id = b.trace_id GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100"
            .to_owned(),
    ];
    let url = format!(
        "host={} port={} user=anybody dbname=haldane",
        address.split(':').next().unwrap_or_default(),
        address.split(':').nth(1).unwrap_or_default()
    );
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the SQL door is open");
    let connection = async { drop(connection.await) };
    let asking = async {
        for question in questions.iter().cycle() {
            // One that takes too long is refused: that is what the limits are for.
            if client.simple_query(question).await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    tokio::join!(connection, asking);
}
