//! What OpenAPI says of texts and maps that the derive cannot say: what a name is, what picks a cohort, what metadata may hold.
//!
//! Lengths are checked in bytes and described in characters: only a text that is not ASCII can be short enough here and too long there.

use std::borrow::Cow;

use haldane_analyzer::cohort::MATCHERS_MAX;
use haldane_analyzer::rollout::EventKind;
use haldane_store::name::NAME_BYTES_MAX;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::rollouts::{ACTOR_BYTES_MAX, METADATA_KEY_MAX, METADATA_MAX, METADATA_VALUE_MAX, REASON_BYTES_MAX};

/// No control characters.
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// … and something to read.
const ONE_LINE_OF_TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
fn line(max: usize, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(max)).pattern(Some(pattern))
}

/// The name of a service or an environment.
pub(super) struct Name;

/// Attributes that pick a cohort.
pub(super) struct SelectorMap;

/// The same as one text.
pub(super) struct SelectorText;

/// What a caller wants to find again.
pub(super) struct Metadata;

/// Why somebody decided.
pub(super) struct Reason;

/// Who decided.
pub(super) struct Actor;

/// The kind of an entry of the trail.
pub(super) struct EventWord;

/// A span of time, as people write it.
pub(super) struct Span;

/// A CDEvent, or a CloudEvent with one as its data.
pub(super) struct CdEvent;

macro_rules! described {
    ($($type:ident => $schema:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T($schema.into())
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    )*};
}

described! {
    Name => line(NAME_BYTES_MAX, ONE_LINE);
    SelectorMap => map(line(NAME_BYTES_MAX, ONE_LINE), line(NAME_BYTES_MAX, ONE_LINE)).min_properties(Some(1)).max_properties(Some(MATCHERS_MAX));
    SelectorText => ObjectBuilder::new().schema_type(Type::String).pattern(Some(pairs()));
    Metadata => map(
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(METADATA_KEY_MAX)),
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(METADATA_VALUE_MAX)),
    ).max_properties(Some(METADATA_MAX));
    Reason => line(REASON_BYTES_MAX, ONE_LINE_OF_TEXT);
    Actor => line(ACTOR_BYTES_MAX, ONE_LINE_OF_TEXT);
    EventWord => ObjectBuilder::new().schema_type(Type::String).enum_values(Some(EventKind::ALL.iter().map(|kind| kind.as_str())));
    Span => ObjectBuilder::new().schema_type(Type::String).pattern(Some("^([0-9]{1,4}(ms|s|m|min|h)){1,4}$|^[0-9]{1,3}d$|^[0-9]{1,8}$"));
    CdEvent => AnyOfBuilder::new().item(service_event()).item(other_event()).item(enveloped(service_event())).item(enveloped(other_event()));
}

/// `key=value,key=value`, with spaces around.
fn pairs() -> String {
    let key = r" *[^\s=,\u0000-\u001f\u007f-\u009f][^=,\u0000-\u001f\u007f-\u009f]*";
    let value = r" *[^\s,\u0000-\u001f\u007f-\u009f][^,\u0000-\u001f\u007f-\u009f]*";
    format!("^{key}={value}(,{key}={value}){{0,{}}}$", MATCHERS_MAX - 1)
}

fn map(keys: ObjectBuilder, values: ObjectBuilder) -> ObjectBuilder {
    ObjectBuilder::new().property_names(Some(keys)).additional_properties(Some(AdditionalProperties::from(Schema::from(values))))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))
}

/// One that is noted.
fn service_event() -> ObjectBuilder {
    let kind = text().pattern(Some(r"^dev\.cdevents\.service\.(deployed|upgraded|rolledback|removed)(\.[0-9]+){3}(-[0-9A-Za-z.]+)?$"));
    let context = having("id", text()).property("type", kind).required("type");
    let service = line(NAME_BYTES_MAX, r"^[^\u0000-\u001f\u007f-\u009f]*[^/\u0000-\u001f\u007f-\u009f]$");
    having("context", context).property("subject", having("id", service)).required("subject")
}

/// One that is taken, and not noted.
fn other_event() -> ObjectBuilder {
    let kind = text().pattern(Some(r"^dev\.cdevents\.(?!service\.(deployed|upgraded|rolledback|removed)(\.|$))"));
    having("context", having("type", kind))
}

/// As the data of a structured CloudEvent.
fn enveloped(event: ObjectBuilder) -> ObjectBuilder {
    having("specversion", ObjectBuilder::new().schema_type(SchemaType::AnyValue)).property("data", event).required("data")
}

fn having(name: &str, value: ObjectBuilder) -> ObjectBuilder {
    ObjectBuilder::new().property(name, value).required(name)
}
