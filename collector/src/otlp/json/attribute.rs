//! Attributes, resources and scopes.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::place::{Object, ShapeError};

pub(super) fn resource(object: &Object<'_, '_>) -> Result<Resource, ShapeError> {
    Ok(Resource {
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
        entity_refs: object.list("entityRefs", entity_ref)?,
    })
}

fn entity_ref(object: &Object<'_, '_>) -> Result<EntityRef, ShapeError> {
    Ok(EntityRef {
        schema_url: object.text("schemaUrl")?,
        r#type: object.text("type")?,
        id_keys: object.texts("idKeys")?,
        description_keys: object.texts("descriptionKeys")?,
    })
}

pub(super) fn scope(object: &Object<'_, '_>) -> Result<InstrumentationScope, ShapeError> {
    Ok(InstrumentationScope {
        name: object.text("name")?,
        version: object.text("version")?,
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
    })
}

pub(super) fn key_value(object: &Object<'_, '_>) -> Result<KeyValue, ShapeError> {
    Ok(KeyValue { key: object.text("key")?, value: object.child("value", any_value)?, ..Default::default() })
}

pub(super) fn any_value(object: &Object<'_, '_>) -> Result<AnyValue, ShapeError> {
    let value = if object.has("stringValue") {
        Some(Value::StringValue(object.text("stringValue")?))
    } else if object.has("boolValue") {
        Some(Value::BoolValue(object.boolean("boolValue")?))
    } else if object.has("intValue") {
        Some(int_value(object)?)
    } else if let Some(number) = object.double("doubleValue")? {
        Some(Value::DoubleValue(number))
    } else if object.has("bytesValue") {
        Some(Value::BytesValue(object.bytes("bytesValue")?))
    } else if let Some(array) = object.child("arrayValue", array)? {
        Some(Value::ArrayValue(array))
    } else {
        object.child("kvlistValue", key_value_list)?.map(Value::KvlistValue)
    };
    Ok(AnyValue { value })
}

/// JavaScript's exporter writes each whole number as `intValue`, one beyond 64 bits as well: that one is a double.
fn int_value(object: &Object<'_, '_>) -> Result<Value, ShapeError> {
    match object.i64("intValue") {
        Ok(number) => Ok(Value::IntValue(number)),
        Err(refused) => match object.number_beyond_i64("intValue") {
            Some(number) => Ok(Value::DoubleValue(number)),
            None => Err(refused),
        },
    }
}

fn array(object: &Object<'_, '_>) -> Result<ArrayValue, ShapeError> {
    Ok(ArrayValue { values: object.list("values", any_value)? })
}

fn key_value_list(object: &Object<'_, '_>) -> Result<KeyValueList, ShapeError> {
    Ok(KeyValueList { values: object.list("values", key_value)? })
}
