//! What all records of one resource and scope share: prepared once, appended for each row.

use std::sync::Arc;

use arrow::array::{Int64Builder, StringBuilder};
use haldane_store::schema::RESOURCE_COLUMNS;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::{Attributes, Entries, entries};
use super::columns::{Columns, MapColumn, PromotedColumns, append_text};
use super::series;
use super::value::entity_refs;

/// A resource, ready to be appended.
#[derive(Debug)]
pub(crate) struct ResourceView<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) series: u64,
    dropped_attributes_count: u32,
    entity_refs: Option<String>,
    schema_url: &'a str,
}

impl<'a> ResourceView<'a> {
    pub(crate) fn new(resource: Option<&'a Resource>, schema_url: &'a str) -> Self {
        let received = resource.map_or(&[][..], |resource| &resource.attributes);
        Self {
            attributes: Attributes::of_resource(received),
            series: series::of_attributes(received),
            dropped_attributes_count: resource.map_or(0, |resource| resource.dropped_attributes_count),
            entity_refs: resource.and_then(|resource| entity_refs(&resource.entity_refs)),
            schema_url,
        }
    }
}

/// A scope, ready to be appended.
#[derive(Debug)]
pub(crate) struct ScopeView<'a> {
    name: &'a str,
    version: &'a str,
    attributes: Entries<'a>,
    pub(crate) series: u64,
    dropped_attributes_count: u32,
    schema_url: &'a str,
}

impl<'a> ScopeView<'a> {
    pub(crate) fn new(scope: Option<&'a InstrumentationScope>, schema_url: &'a str) -> Self {
        Self {
            name: scope.map_or("", |scope| &scope.name),
            version: scope.map_or("", |scope| &scope.version),
            attributes: scope.map_or_else(Vec::new, |scope| entries(&scope.attributes)),
            series: series::of_scope(scope),
            dropped_attributes_count: scope.map_or(0, |scope| scope.dropped_attributes_count),
            schema_url,
        }
    }
}

/// A resource and a scope of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) resource: &'a ResourceView<'a>,
    pub(crate) scope: &'a ScopeView<'a>,
}

/// The columns of the resource and the scope.
#[derive(Debug)]
pub(crate) struct OriginColumns {
    promoted: PromotedColumns,
    resource_attributes: MapColumn,
    resource_dropped_attributes_count: Int64Builder,
    resource_schema_url: StringBuilder,
    resource_entity_refs: StringBuilder,
    scope_name: StringBuilder,
    scope_version: StringBuilder,
    scope_attributes: MapColumn,
    scope_dropped_attributes_count: Int64Builder,
    scope_schema_url: StringBuilder,
}

impl OriginColumns {
    pub(crate) fn new() -> Self {
        Self {
            promoted: PromotedColumns::new(RESOURCE_COLUMNS),
            resource_attributes: MapColumn::new(),
            resource_dropped_attributes_count: Int64Builder::new(),
            resource_schema_url: StringBuilder::new(),
            resource_entity_refs: StringBuilder::new(),
            scope_name: StringBuilder::new(),
            scope_version: StringBuilder::new(),
            scope_attributes: MapColumn::new(),
            scope_dropped_attributes_count: Int64Builder::new(),
            scope_schema_url: StringBuilder::new(),
        }
    }

    pub(crate) fn append(&mut self, Origin { resource, scope }: Origin<'_>) {
        self.promoted.append(&resource.attributes.columns);
        self.resource_attributes.append(&resource.attributes.rest);
        self.resource_dropped_attributes_count.append_value(i64::from(resource.dropped_attributes_count));
        append_text(&mut self.resource_schema_url, resource.schema_url);
        self.resource_entity_refs.append_option(resource.entity_refs.as_deref());
        append_text(&mut self.scope_name, scope.name);
        append_text(&mut self.scope_version, scope.version);
        self.scope_attributes.append(&scope.attributes);
        self.scope_dropped_attributes_count.append_value(i64::from(scope.dropped_attributes_count));
        append_text(&mut self.scope_schema_url, scope.schema_url);
    }

    /// The columns with a name of their own, which stand near the beginning of a table.
    pub(crate) fn finish_promoted_into(&mut self, columns: &mut Columns) {
        self.promoted.finish_into(columns);
    }

    /// The others, which stand at its end.
    pub(crate) fn finish_rest_into(&mut self, columns: &mut Columns) {
        columns.push(self.resource_attributes.finish());
        columns.push(Arc::new(self.resource_dropped_attributes_count.finish()));
        columns.push(Arc::new(self.resource_schema_url.finish()));
        columns.push(Arc::new(self.resource_entity_refs.finish()));
        columns.push(Arc::new(self.scope_name.finish()));
        columns.push(Arc::new(self.scope_version.finish()));
        columns.push(self.scope_attributes.finish());
        columns.push(Arc::new(self.scope_dropped_attributes_count.finish()));
        columns.push(Arc::new(self.scope_schema_url.finish()));
    }
}
