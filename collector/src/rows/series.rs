//! What makes points those of one series.
//!
//! Two points are of one series when their metrics have the same name, unit, type, temporality and direction, and their resources, scopes and own
//! attributes are the same, in whatever order. The id is a published value: it must never change for the same input.

use crate::decode::metric::{Metric, Series};
use crate::decode::value::{Attribute, last_of_each_key};
use crate::hash::hash;

/// The part of an id that attributes make: a sum, so that their order says nothing.
pub(super) fn of_attributes(attributes: &[Attribute<'_>]) -> u64 {
    last_of_each_key(attributes).fold(0, |sum, attribute| {
        let value = attribute.value.to_text();
        let told = value.as_deref().map_or(&[][..], str::as_bytes);
        sum.wrapping_add(hash(attribute.key.iter().chain(&[0]).chain(told).copied()))
    })
}

/// The part that a metric makes, without its points.
pub(super) fn of_metric(metric: &Metric<'_>, series: Series<'_>) -> u64 {
    let temporality = series.temporality.unwrap_or_default().to_le_bytes();
    let kind = [0, u8::from(series.is_monotonic.unwrap_or_default()), 0];
    let texts = metric.name.iter().chain(&[0]).chain(metric.unit).chain(&[0]).chain(series.kind.name().as_bytes());
    hash(texts.chain(&kind).chain(&temporality).copied())
}

/// The part that a scope makes.
pub(super) fn of_scope(name: &[u8], version: &[u8], attributes: &[Attribute<'_>]) -> u64 {
    let names = hash(name.iter().chain(&[0]).chain(version).copied());
    together([names, of_attributes(attributes)])
}

/// The whole of several parts.
pub(super) fn together<const N: usize>(parts: [u64; N]) -> u64 {
    hash(parts.into_iter().flat_map(u64::to_le_bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::{json_rows, metrics, metrics_of, rows_of};
    use crate::tests::oracle::Records;
    use haldane_store::TableName;

    /// The values were computed by an independent implementation.
    #[test]
    fn an_id_is_the_same_for_ever() {
        assert_eq!(format!("{:016x}", hash(*b"")), "efd01f60ba992926");
        assert_eq!(format!("{:016x}", together([1, 2])), "0083950b668a424a");
    }

    #[test]
    fn order_says_nothing_and_everything_else_does() {
        let request = metrics_of(metrics());
        let ids = |change: &dyn Fn(&mut opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest)| {
            let mut request = request.clone();
            change(&mut request);
            let rows = json_rows(&rows_of(&[Records::Metrics(request)]), TableName::Metrics);
            rows.iter().map(|row| row["series_id"].clone()).collect::<Vec<_>>()
        };
        let all = ids(&|_| ());
        assert!(all.iter().all(|id| id.as_str().is_some_and(|id| id.len() == 16)) && all[0] != all[1], "{}", json!(all));
        assert_eq!(all, ids(&|request| request.resource_metrics[0].resource.as_mut().unwrap().attributes.reverse()));
        assert_ne!(all[0], ids(&|request| request.resource_metrics[0].resource.as_mut().unwrap().attributes.truncate(1))[0]);
        assert_ne!(all[0], ids(&|request| request.resource_metrics[0].scope_metrics[0].scope.as_mut().unwrap().name.push('x'))[0]);
        assert_ne!(all[0], ids(&|request| request.resource_metrics[0].scope_metrics[0].metrics[0].unit.push('x'))[0]);
    }
}
