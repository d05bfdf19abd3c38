//! A selector as an SQL condition.

use haldane_store::schema::{
    AttributeLevel, AttributeType, COHORT_ATTRIBUTES, RECORD_COHORT_ATTRIBUTES, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS, find_attribute,
};
use haldane_store::{Environment, ServiceName};

use super::selector::Selector;
use crate::query::literal;

/// Which table answers for a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `red` and `errors`.
    Rollups,
    /// `spans`, for attributes that the roll-ups do not carry.
    Spans,
}

/// The conditions that pick a cohort, for either source.
pub(super) struct Conditions {
    pub(super) rollups: String,
    pub(super) spans: String,
}

/// The resource attributes that are columns of `red`.
pub(super) const ROLLUP_COLUMNS: &[(&str, &str)] = &[
    ("service.version", "service_version"),
    ("service.namespace", "service_namespace"),
    ("service.instance.id", "service_instance_id"),
    ("service.name", "service_name"),
    ("deployment.environment.name", "deployment_environment_name"),
];

pub(super) fn source_of(selector: &Selector) -> Source {
    let carried = |key: &String| {
        ROLLUP_COLUMNS.iter().any(|(name, _)| name == key)
            || [COHORT_ATTRIBUTES, RECORD_COHORT_ATTRIBUTES].iter().any(|keys| keys.contains(&key.as_str()))
    };
    if selector.matchers().keys().all(carried) { Source::Rollups } else { Source::Spans }
}

pub(super) fn where_clause(service: &ServiceName, environment: &Environment, selector: &Selector) -> Conditions {
    let place = format!(
        "service_name = {} AND coalesce(deployment_environment_name, 'default') = {}",
        literal(service.as_str()),
        literal(environment.as_str())
    );
    let both = |one: fn(&str, &str) -> String| {
        selector.matchers().iter().fold(place.clone(), |so_far, (key, value)| format!("{so_far} AND {}", one(key, value)))
    };
    Conditions { rollups: both(rollup_condition), spans: both(spans_condition) }
}

fn rollup_condition(key: &str, value: &str) -> String {
    match ROLLUP_COLUMNS.iter().find(|(name, _)| *name == key) {
        Some((_, column)) => format!("{column} = {}", literal(value)),
        None => format!("cohort_attributes[{}] = {}", literal(key), literal(value)),
    }
}

/// An attribute may stand on the resource or on the span, in its column or in the map.
pub(crate) fn spans_condition(key: &str, value: &str) -> String {
    let value = literal(value);
    let in_column = |level, columns: &[haldane_store::schema::AttributeColumn]| {
        find_attribute(level, key).map(|(at, _)| match columns[at].kind {
            AttributeType::Text | AttributeType::FreeText => format!("{} = {value}", columns[at].column),
            AttributeType::Integer => format!("CAST({} AS VARCHAR) = {value}", columns[at].column),
        })
    };
    let mut ways = vec![format!("resource_attributes[{}] = {value}", literal(key)), format!("attributes[{}] = {value}", literal(key))];
    ways.extend(in_column(AttributeLevel::Resource, RESOURCE_COLUMNS));
    ways.extend(in_column(AttributeLevel::Record, SPAN_AND_LOG_COLUMNS));
    format!("({})", ways.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(selector: &str) -> Conditions {
        let service = ServiceName::parse("it's").unwrap();
        where_clause(&service, &Environment::unnamed(), &Selector::parse(selector).unwrap())
    }

    #[test]
    fn quotes_in_names_stay_inside_the_literal() {
        let sql = conditions("service.version=1' OR '1'='1").rollups;
        assert!(sql.contains("service_name = 'it''s'"), "{sql}");
        assert!(sql.ends_with("service_version = '1'' OR ''1''=''1'"), "{sql}");
    }

    #[test]
    fn an_attribute_that_the_rollups_lack_is_looked_for_on_resource_and_span() {
        assert_eq!(source_of(&Selector::parse("service.version=2").unwrap()), Source::Rollups);
        assert_eq!(source_of(&Selector::parse("tenant=a").unwrap()), Source::Spans);
        let sql = conditions("host.name=h1").spans;
        assert!(sql.contains("host_name = 'h1'") && sql.contains("attributes['host.name'] = 'h1'"), "{sql}");
    }
}
