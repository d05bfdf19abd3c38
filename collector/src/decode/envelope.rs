//! What all three signals share: requests of resources, resources of scopes, scopes of records, with the same field numbers in each.

use serde_json::json;

use super::value::{Attribute, as_text, check_all, check_text};
use super::wire::{Fields, Irregular, length, once, once_text, varint};

const FIRST: u64 = length(1);
const SECOND: u64 = length(2);
const SCHEMA_URL: u64 = length(3);

/// A resource with the scopes under it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceGroup<'a> {
    /// The resource's own bytes; empty when it has none.
    pub(crate) resource: &'a [u8],
    pub(crate) schema_url: &'a [u8],
    message: &'a [u8],
}

/// A scope with its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeGroup<'a> {
    message: &'a [u8],
}

/// What stands around the records of a scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeFrame<'a> {
    /// The scope's own bytes; empty when it has none.
    pub(crate) scope: &'a [u8],
    pub(crate) schema_url: &'a [u8],
}

/// The resources of a request.
pub(crate) fn resources<'a, E: From<Irregular>>(
    body: &'a [u8],
    mut visit: impl FnMut(ResourceGroup<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut fields = Fields::of(body);
    while let Some(tag) = fields.tag()? {
        if tag == FIRST {
            visit(ResourceGroup::parse(fields.bytes()?)?)?;
        } else {
            fields.skip_unknown(tag, 1)?;
        }
    }
    Ok(())
}

/// Calls for each message in field 2, in order, and answers what stands around them: the own message and the schema URL, wherever those are.
#[inline]
fn each_of<'a, E: From<Irregular>>(message: &'a [u8], mut visit: impl FnMut(&'a [u8]) -> Result<(), E>) -> Result<(&'a [u8], &'a [u8]), E> {
    let (mut own, mut schema_url) = (None, None);
    let mut fields = Fields::of(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            FIRST => once(&mut own, fields.bytes()?)?,
            SECOND => visit(fields.bytes()?)?,
            SCHEMA_URL => once(&mut schema_url, fields.bytes()?)?,
            _ => fields.skip_unknown(tag, 3)?,
        }
    }
    Ok((own.unwrap_or_default(), schema_url.unwrap_or_default()))
}

impl<'a> ResourceGroup<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        let (resource, schema_url) = each_of(message, |_| Ok::<_, Irregular>(()))?;
        Ok(Self { resource, schema_url, message })
    }

    pub(crate) fn scopes<E: From<Irregular>>(self, mut visit: impl FnMut(ScopeGroup<'a>) -> Result<(), E>) -> Result<(), E> {
        each_of(self.message, |message| visit(ScopeGroup { message })).map(|_| ())
    }
}

impl<'a> ScopeGroup<'a> {
    /// Calls for each span, log record or metric, in order. It is one pass: what stands around them is known at its end.
    #[inline]
    pub(crate) fn records<E: From<Irregular>>(self, visit: impl FnMut(&'a [u8]) -> Result<(), E>) -> Result<ScopeFrame<'a>, E> {
        let (scope, schema_url) = each_of(self.message, visit)?;
        Ok(ScopeFrame { scope, schema_url })
    }
}

/// A resource's own fields.
#[derive(Debug, Default)]
pub(crate) struct Resource<'a> {
    /// As received, duplicates included.
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) dropped_attributes_count: u32,
    entity_refs: Vec<EntityRef<'a>>,
}

#[derive(Debug, Default)]
struct EntityRef<'a> {
    schema_url: &'a [u8],
    kind: &'a [u8],
    id_keys: Vec<&'a [u8]>,
    description_keys: Vec<&'a [u8]>,
}

impl<'a> Resource<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const DROPPED: u64 = varint(2);
        let mut resource = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                FIRST => Attribute::add_to(&mut resource.attributes, fields.bytes()?)?,
                DROPPED => resource.dropped_attributes_count = fields.uint32()?,
                SCHEMA_URL => resource.entity_refs.push(EntityRef::parse(fields.bytes()?)?),
                _ => fields.skip_unknown(tag, 3)?,
            }
        }
        Ok(resource)
    }

    pub(crate) fn check(&self) -> Result<(), Irregular> {
        check_all(&self.attributes)?;
        self.entity_refs.iter().try_for_each(EntityRef::check)
    }

    /// Entity references as a JSON list in OTLP's own key names, `None` when there are none.
    pub(crate) fn entity_refs(&self) -> Option<String> {
        if self.entity_refs.is_empty() {
            return None;
        }
        let texts = |keys: &[&[u8]]| keys.iter().map(|key| as_text(key).to_owned()).collect::<Vec<_>>();
        let list: Vec<_> = self
            .entity_refs
            .iter()
            .map(|entity| {
                json!({
                    "schemaUrl": as_text(entity.schema_url), "type": as_text(entity.kind),
                    "idKeys": texts(&entity.id_keys), "descriptionKeys": texts(&entity.description_keys),
                })
            })
            .collect();
        Some(serde_json::Value::from(list).to_string())
    }
}

impl<'a> EntityRef<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const DESCRIPTION_KEYS: u64 = length(4);
        let mut entity = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                FIRST => once_text(&mut entity.schema_url, fields.bytes()?)?,
                SECOND => once_text(&mut entity.kind, fields.bytes()?)?,
                SCHEMA_URL => entity.id_keys.push(fields.bytes()?),
                DESCRIPTION_KEYS => entity.description_keys.push(fields.bytes()?),
                _ => fields.skip_unknown(tag, 4)?,
            }
        }
        Ok(entity)
    }

    fn check(&self) -> Result<(), Irregular> {
        let keys = self.id_keys.iter().chain(&self.description_keys);
        [self.schema_url, self.kind].iter().chain(keys).try_for_each(|text| check_text(text))
    }
}

/// An instrumentation scope's own fields.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) version: &'a [u8],
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) dropped_attributes_count: u32,
}

impl<'a> Scope<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const ATTRIBUTES: u64 = length(3);
        const DROPPED: u64 = varint(4);
        let mut scope = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                FIRST => once_text(&mut scope.name, fields.bytes()?)?,
                SECOND => once_text(&mut scope.version, fields.bytes()?)?,
                ATTRIBUTES => Attribute::add_to(&mut scope.attributes, fields.bytes()?)?,
                DROPPED => scope.dropped_attributes_count = fields.uint32()?,
                _ => fields.skip_unknown(tag, 4)?,
            }
        }
        Ok(scope)
    }

    pub(crate) fn check(&self) -> Result<(), Irregular> {
        check_text(self.name)?;
        check_text(self.version)?;
        check_all(&self.attributes)
    }
}
