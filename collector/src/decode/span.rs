//! A span and what hangs on it, seen in place.

use super::envelope::{ScopeFrame, ScopeGroup};
use super::value::{Attribute, CheckAttributes, TakeAttributes, check_all, check_text};
use super::wire::{Fields, Irregular, fixed32, fixed64, length, once, once_text, varint};

/// A span. Its lists are behind it in [`SpanLists`], which is used again for the next one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) trace_state: &'a [u8],
    pub(crate) parent_span_id: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) kind: i32,
    pub(crate) start_time_unix_nano: u64,
    pub(crate) end_time_unix_nano: u64,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) dropped_events_count: u32,
    pub(crate) dropped_links_count: u32,
    pub(crate) status_message: &'a [u8],
    pub(crate) status_code: i32,
    pub(crate) flags: u32,
}

/// The lists of one span.
#[derive(Debug, Default)]
pub(crate) struct SpanLists<'a, A = Vec<Attribute<'a>>> {
    pub(crate) attributes: A,
    pub(crate) events: Vec<&'a [u8]>,
    pub(crate) links: Vec<&'a [u8]>,
}

impl<'a> Span<'a> {
    #[inline]
    pub(crate) fn parse(message: &'a [u8], lists: &mut SpanLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        const TRACE_ID: u64 = length(1);
        const SPAN_ID: u64 = length(2);
        const TRACE_STATE: u64 = length(3);
        const PARENT_SPAN_ID: u64 = length(4);
        const NAME: u64 = length(5);
        const KIND: u64 = varint(6);
        const START: u64 = fixed64(7);
        const END: u64 = fixed64(8);
        const ATTRIBUTES: u64 = length(9);
        const DROPPED_ATTRIBUTES: u64 = varint(10);
        const EVENTS: u64 = length(11);
        const DROPPED_EVENTS: u64 = varint(12);
        const LINKS: u64 = length(13);
        const DROPPED_LINKS: u64 = varint(14);
        const STATUS: u64 = length(15);
        const FLAGS: u64 = fixed32(16);
        lists.attributes.begin();
        lists.events.clear();
        lists.links.clear();
        let mut span = Self::default();
        let mut status = None;
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                ATTRIBUTES => lists.attributes.take(fields.bytes()?)?,
                TRACE_ID => span.trace_id = fields.bytes()?,
                SPAN_ID => span.span_id = fields.bytes()?,
                TRACE_STATE => once_text(&mut span.trace_state, fields.bytes()?)?,
                PARENT_SPAN_ID => span.parent_span_id = fields.bytes()?,
                NAME => once_text(&mut span.name, fields.bytes()?)?,
                KIND => span.kind = fields.int32()?,
                START => span.start_time_unix_nano = fields.fixed64()?,
                END => span.end_time_unix_nano = fields.fixed64()?,
                DROPPED_ATTRIBUTES => span.dropped_attributes_count = fields.uint32()?,
                EVENTS => lists.events.push(fields.bytes()?),
                DROPPED_EVENTS => span.dropped_events_count = fields.uint32()?,
                LINKS => lists.links.push(fields.bytes()?),
                DROPPED_LINKS => span.dropped_links_count = fields.uint32()?,
                STATUS => once(&mut status, fields.bytes()?)?,
                FLAGS => span.flags = fields.fixed32()?,
                _ => fields.skip_unknown(tag, 16)?,
            }
        }
        if let Some(status) = status {
            (span.status_message, span.status_code) = parse_status(status)?;
        }
        Ok(span)
    }

    /// All text in it is UTF-8, and what hangs on it can be read; its attributes were looked at on the way. Answers the latest time in it.
    #[inline]
    pub(crate) fn check(&self, lists: &SpanLists<'_, CheckAttributes>) -> Result<u64, Irregular> {
        check_text(self.name)?;
        check_text(self.trace_state)?;
        check_text(self.status_message)?;
        let mut latest = self.start_time_unix_nano.max(self.end_time_unix_nano);
        for event in &lists.events {
            latest = latest.max(Event::parse(event)?.check()?);
        }
        lists.links.iter().try_for_each(|link| Link::parse(link)?.check())?;
        Ok(latest)
    }

    /// The latest time in it, of one that was checked.
    pub(crate) fn latest(&self, lists: &SpanLists<'_>) -> Result<u64, Irregular> {
        let own = self.start_time_unix_nano.max(self.end_time_unix_nano);
        lists.events.iter().try_fold(own, |latest, event| Ok(latest.max(Event::parse(event)?.time_unix_nano)))
    }

    /// How long it took; zero when it ends before it starts, as clocks that are set back make it.
    pub(crate) fn duration_ns(&self) -> u64 {
        self.end_time_unix_nano.saturating_sub(self.start_time_unix_nano)
    }
}

fn parse_status(message: &[u8]) -> Result<(&[u8], i32), Irregular> {
    const MESSAGE: u64 = length(2);
    const CODE: u64 = varint(3);
    let (mut text, mut code): (&[u8], i32) = (&[], 0);
    let mut fields = Fields::of(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            CODE => code = fields.int32()?,
            MESSAGE => once_text(&mut text, fields.bytes()?)?,
            _ => fields.skip_unknown(tag, 3)?,
        }
    }
    Ok((text, code))
}

/// An event of a span.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) name: &'a [u8],
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) dropped_attributes_count: u32,
}

impl<'a> Event<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const TIME: u64 = fixed64(1);
        const NAME: u64 = length(2);
        const ATTRIBUTES: u64 = length(3);
        const DROPPED: u64 = varint(4);
        let mut event = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                TIME => event.time_unix_nano = fields.fixed64()?,
                NAME => once_text(&mut event.name, fields.bytes()?)?,
                ATTRIBUTES => Attribute::add_to(&mut event.attributes, fields.bytes()?)?,
                DROPPED => event.dropped_attributes_count = fields.uint32()?,
                _ => fields.skip_unknown(tag, 4)?,
            }
        }
        Ok(event)
    }

    fn check(&self) -> Result<u64, Irregular> {
        check_text(self.name)?;
        check_all(&self.attributes)?;
        Ok(self.time_unix_nano)
    }
}

/// A link from a span.
#[derive(Debug, Default)]
pub(crate) struct Link<'a> {
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) trace_state: &'a [u8],
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) flags: u32,
}

impl<'a> Link<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const TRACE_ID: u64 = length(1);
        const SPAN_ID: u64 = length(2);
        const TRACE_STATE: u64 = length(3);
        const ATTRIBUTES: u64 = length(4);
        const DROPPED: u64 = varint(5);
        const FLAGS: u64 = fixed32(6);
        let mut link = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                TRACE_ID => link.trace_id = fields.bytes()?,
                SPAN_ID => link.span_id = fields.bytes()?,
                TRACE_STATE => once_text(&mut link.trace_state, fields.bytes()?)?,
                ATTRIBUTES => Attribute::add_to(&mut link.attributes, fields.bytes()?)?,
                DROPPED => link.dropped_attributes_count = fields.uint32()?,
                FLAGS => link.flags = fields.fixed32()?,
                _ => fields.skip_unknown(tag, 6)?,
            }
        }
        Ok(link)
    }

    fn check(&self) -> Result<(), Irregular> {
        check_text(self.trace_state)?;
        check_all(&self.attributes)
    }
}

/// The spans of a scope, one after the other.
pub(crate) fn each_span<'a, A: TakeAttributes<'a>, E: From<Irregular>>(
    scope: ScopeGroup<'a>,
    lists: &mut SpanLists<'a, A>,
    mut visit: impl FnMut(&Span<'a>, &SpanLists<'a, A>) -> Result<(), E>,
) -> Result<ScopeFrame<'a>, E> {
    scope.records(|message| {
        let span = Span::parse(message, lists)?;
        visit(&span, lists)
    })
}
