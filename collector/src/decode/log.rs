//! A log record, seen in place.

use super::value::{TakeAttributes, Value, check_text};
use super::wire::{Fields, Irregular, fixed32, fixed64, length, once, once_text, varint};

/// A log record without its attributes, which somebody takes while it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRecord<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) observed_time_unix_nano: u64,
    pub(crate) severity_number: i32,
    pub(crate) severity_text: &'a [u8],
    pub(crate) body: Value<'a>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) flags: u32,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) event_name: &'a [u8],
}

impl<'a> LogRecord<'a> {
    const NONE: Self = Self {
        time_unix_nano: 0,
        observed_time_unix_nano: 0,
        severity_number: 0,
        severity_text: &[],
        body: Value::Empty,
        dropped_attributes_count: 0,
        flags: 0,
        trace_id: &[],
        span_id: &[],
        event_name: &[],
    };

    #[inline]
    pub(crate) fn parse(message: &'a [u8], attributes: &mut impl TakeAttributes<'a>) -> Result<Self, Irregular> {
        const TIME: u64 = fixed64(1);
        const SEVERITY_NUMBER: u64 = varint(2);
        const SEVERITY_TEXT: u64 = length(3);
        const BODY: u64 = length(5);
        const ATTRIBUTES: u64 = length(6);
        const DROPPED: u64 = varint(7);
        const FLAGS: u64 = fixed32(8);
        const TRACE_ID: u64 = length(9);
        const SPAN_ID: u64 = length(10);
        const OBSERVED_TIME: u64 = fixed64(11);
        const EVENT_NAME: u64 = length(12);
        attributes.begin();
        let mut record = Self::NONE;
        let mut body = None;
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                ATTRIBUTES => attributes.take(fields.bytes()?)?,
                TIME => record.time_unix_nano = fields.fixed64()?,
                SEVERITY_NUMBER => record.severity_number = fields.int32()?,
                SEVERITY_TEXT => once_text(&mut record.severity_text, fields.bytes()?)?,
                BODY => once(&mut body, Value::parse(fields.bytes()?)?)?,
                DROPPED => record.dropped_attributes_count = fields.uint32()?,
                FLAGS => record.flags = fields.fixed32()?,
                TRACE_ID => record.trace_id = fields.bytes()?,
                SPAN_ID => record.span_id = fields.bytes()?,
                OBSERVED_TIME => record.observed_time_unix_nano = fields.fixed64()?,
                EVENT_NAME => once_text(&mut record.event_name, fields.bytes()?)?,
                _ => fields.skip_unknown(tag, 12)?,
            }
        }
        record.body = body.unwrap_or(Value::Empty);
        Ok(record)
    }

    /// All text in it is UTF-8; its attributes were looked at while it was read, by [`CheckAttributes`](super::value::CheckAttributes).
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Irregular> {
        check_text(self.severity_text)?;
        check_text(self.event_name)?;
        self.body.check()
    }
}
