//! What all records of one resource and scope share: prepared once, given to all their rows at once.

use haldane_store::schema::RESOURCE_COLUMNS;

use super::attributes::{PromotedColumns, ResourceAttributes};
use super::columns::{Columns, DictionaryColumn, IntegerColumn, MapColumn, Seal};
use super::series;
use crate::decode::Irregular;
use crate::decode::envelope::{Resource, ResourceGroup, Scope, ScopeFrame};
use crate::decode::value::{Attribute, as_text, last_of_each_key};

/// A resource, ready for its rows.
#[derive(Debug, Default)]
pub(crate) struct ResourceOrigin {
    pub(crate) attributes: ResourceAttributes,
    /// Its part of the ids of series.
    pub(super) series: u64,
    dropped_attributes_count: u32,
    entity_refs: Option<String>,
    schema_url: String,
}

impl ResourceOrigin {
    pub(crate) fn new(group: ResourceGroup<'_>, resource: &Resource<'_>) -> Self {
        Self {
            attributes: ResourceAttributes::of(&resource.attributes),
            series: series::of_attributes(&resource.attributes),
            dropped_attributes_count: resource.dropped_attributes_count,
            entity_refs: resource.entity_refs(),
            schema_url: as_text(group.schema_url).to_owned(),
        }
    }
}

/// A scope, ready for its rows.
#[derive(Debug)]
pub(crate) struct ScopeOrigin<'a> {
    name: &'a [u8],
    version: &'a [u8],
    attributes: Vec<Attribute<'a>>,
    dropped_attributes_count: u32,
    schema_url: &'a [u8],
}

impl<'a> ScopeOrigin<'a> {
    pub(crate) fn parse(frame: ScopeFrame<'a>) -> Result<Self, Irregular> {
        let scope = Scope::parse(frame.scope)?;
        Ok(Self {
            name: scope.name,
            version: scope.version,
            attributes: last_of_each_key(&scope.attributes).collect(),
            dropped_attributes_count: scope.dropped_attributes_count,
            schema_url: frame.schema_url,
        })
    }
}

impl ScopeOrigin<'_> {
    /// Its part of the ids of series.
    pub(super) fn series(&self) -> u64 {
        series::of_scope(self.name, self.version, &self.attributes)
    }
}

/// The columns of the resource and the scope.
#[derive(Debug)]
pub(crate) struct OriginColumns {
    promoted: PromotedColumns,
    resource_attributes: MapColumn,
    resource_dropped_attributes_count: IntegerColumn,
    resource_schema_url: DictionaryColumn,
    resource_entity_refs: DictionaryColumn,
    scope_name: DictionaryColumn,
    scope_version: DictionaryColumn,
    scope_attributes: MapColumn,
    scope_dropped_attributes_count: IntegerColumn,
    scope_schema_url: DictionaryColumn,
}

impl OriginColumns {
    pub(crate) fn new() -> Self {
        Self {
            promoted: PromotedColumns::new(RESOURCE_COLUMNS),
            resource_attributes: MapColumn::new(),
            resource_dropped_attributes_count: IntegerColumn::new(),
            resource_schema_url: DictionaryColumn::new(),
            resource_entity_refs: DictionaryColumn::new(),
            scope_name: DictionaryColumn::new(),
            scope_version: DictionaryColumn::new(),
            scope_attributes: MapColumn::new(),
            scope_dropped_attributes_count: IntegerColumn::new(),
            scope_schema_url: DictionaryColumn::new(),
        }
    }

    /// Gives all rows from the last one of the origin before up to `end` this origin.
    pub(crate) fn set_until(&mut self, end: usize, resource: &ResourceOrigin, scope: &ScopeOrigin<'_>) {
        let start = self.resource_attributes.rows();
        if start >= end {
            return;
        }
        for (column, value) in resource.attributes.columns.iter().enumerate() {
            if let Some(value) = value {
                self.promoted.set_run(column, start..end, value);
            }
        }
        let count = end - start;
        for row in start..end {
            for (key, value) in &resource.attributes.rest {
                self.resource_attributes.push(key.as_bytes(), value.as_deref().map(str::as_bytes));
            }
            self.resource_attributes.end_row(row);
            for attribute in &scope.attributes {
                self.scope_attributes.push(attribute.key, attribute.value.to_text().as_deref().map(str::as_bytes));
            }
            self.scope_attributes.end_row(row);
        }
        self.resource_dropped_attributes_count.set_run(start, i64::from(resource.dropped_attributes_count), count);
        self.scope_dropped_attributes_count.set_run(start, i64::from(scope.dropped_attributes_count), count);
        let texts = [
            (&mut self.resource_schema_url, resource.schema_url.as_bytes()),
            (&mut self.resource_entity_refs, resource.entity_refs.as_deref().unwrap_or_default().as_bytes()),
            (&mut self.scope_name, scope.name),
            (&mut self.scope_version, scope.version),
            (&mut self.scope_schema_url, scope.schema_url),
        ];
        for (column, text) in texts {
            if !text.is_empty() {
                column.set_run(start, text, count);
            }
        }
    }

    /// Bytes of what is written out for each row.
    pub(crate) fn repeated_bytes(&self) -> usize {
        self.resource_attributes.bytes() + self.scope_attributes.bytes()
    }

    /// The columns with a name of their own, which stand near the beginning of a table.
    pub(crate) fn finish_promoted_into(&mut self, columns: &mut Columns, seal: &Seal) {
        self.promoted.finish_into(columns, seal);
    }

    /// The others, which stand at its end.
    pub(crate) fn finish_rest_into(&mut self, columns: &mut Columns, seal: &Seal) {
        columns.push(self.resource_attributes.finish(seal));
        columns.push(self.resource_dropped_attributes_count.finish(seal));
        columns.push(self.resource_schema_url.finish(seal));
        columns.push(self.resource_entity_refs.finish(seal));
        columns.push(self.scope_name.finish(seal));
        columns.push(self.scope_version.finish(seal));
        columns.push(self.scope_attributes.finish(seal));
        columns.push(self.scope_dropped_attributes_count.finish(seal));
        columns.push(self.scope_schema_url.finish(seal));
    }
}
