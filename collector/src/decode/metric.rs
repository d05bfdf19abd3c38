//! A metric and its points of any of OTLP's five types, seen in place and all in the same way.

use super::value::{Attribute, CheckAttributes, TakeAttributes, check_all, check_text};
use super::wire::{Fields, Irregular, fixed64, length, once, once_text, varint};

/// Which of OTLP's five types a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricType {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl MetricType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }
}

/// A metric without its points.
#[derive(Debug, Default)]
pub(crate) struct Metric<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) description: &'a [u8],
    pub(crate) unit: &'a [u8],
    pub(crate) metadata: Vec<Attribute<'a>>,
    /// As it came.
    metadata_bytes: usize,
    pub(crate) series: Option<Series<'a>>,
}

/// What a metric says about its points, and the message they are in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series<'a> {
    pub(crate) kind: MetricType,
    /// None for the types that have none.
    pub(crate) temporality: Option<i32>,
    pub(crate) is_monotonic: Option<bool>,
    message: &'a [u8],
}

impl<'a> Metric<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const NAME: u64 = length(1);
        const DESCRIPTION: u64 = length(2);
        const UNIT: u64 = length(3);
        const GAUGE: u64 = length(5);
        const SUM: u64 = length(7);
        const HISTOGRAM: u64 = length(9);
        const EXPONENTIAL_HISTOGRAM: u64 = length(10);
        const SUMMARY: u64 = length(11);
        const METADATA: u64 = length(12);
        let mut metric = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            let kind = match tag {
                NAME => {
                    once_text(&mut metric.name, fields.bytes()?)?;
                    continue;
                }
                DESCRIPTION => {
                    once_text(&mut metric.description, fields.bytes()?)?;
                    continue;
                }
                UNIT => {
                    once_text(&mut metric.unit, fields.bytes()?)?;
                    continue;
                }
                METADATA => {
                    let message = fields.bytes()?;
                    metric.metadata_bytes += message.len();
                    Attribute::add_to(&mut metric.metadata, message)?;
                    continue;
                }
                GAUGE => MetricType::Gauge,
                SUM => MetricType::Sum,
                HISTOGRAM => MetricType::Histogram,
                EXPONENTIAL_HISTOGRAM => MetricType::ExponentialHistogram,
                SUMMARY => MetricType::Summary,
                _ => {
                    fields.skip_unknown(tag, 12)?;
                    continue;
                }
            };
            once(&mut metric.series, Series::parse(kind, fields.bytes()?)?)?;
        }
        Ok(metric)
    }

    pub(crate) fn check(&self) -> Result<(), Irregular> {
        [self.name, self.description, self.unit].into_iter().try_for_each(check_text)?;
        check_all(&self.metadata)
    }

    /// Bytes that each of its points repeats.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.unit.len() + self.metadata_bytes + 16 * self.metadata.len()
    }
}

const POINTS: u64 = length(1);

impl<'a> Series<'a> {
    fn parse(kind: MetricType, message: &'a [u8]) -> Result<Self, Irregular> {
        const TEMPORALITY: u64 = varint(2);
        const MONOTONIC: u64 = varint(3);
        let mut series = Self { kind, temporality: None, is_monotonic: None, message };
        let (over_time, known) = match kind {
            MetricType::Gauge | MetricType::Summary => (false, 1),
            MetricType::Histogram | MetricType::ExponentialHistogram => (true, 2),
            MetricType::Sum => (true, 3),
        };
        let (mut temporality, mut monotonic) = (0, false);
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                POINTS => drop(fields.bytes()?),
                TEMPORALITY if known >= 2 => temporality = fields.int32()?,
                MONOTONIC if known >= 3 => monotonic = fields.boolean()?,
                _ => fields.skip_unknown(tag, known)?,
            }
        }
        series.temporality = over_time.then_some(temporality);
        series.is_monotonic = (kind == MetricType::Sum).then_some(monotonic);
        Ok(series)
    }

    /// Calls for each point; stops at the first error.
    pub(crate) fn each_point<A: TakeAttributes<'a>, E: From<Irregular>>(
        &self,
        lists: &mut PointLists<'a, A>,
        mut visit: impl FnMut(&Point<'a>, &PointLists<'a, A>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fields = Fields::of(self.message);
        while let Some(tag) = fields.tag()? {
            if tag == POINTS {
                let point = Point::parse(self.kind, fields.bytes()?, lists)?;
                visit(&point, lists)?;
            } else if tag & 7 == 0 {
                fields.varint()?;
            } else {
                fields.skip_unknown(tag, 1)?;
            }
        }
        Ok(())
    }
}

/// The lists of one point, used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct PointLists<'a, A = Vec<Attribute<'a>>> {
    pub(crate) attributes: A,
    pub(crate) exemplars: Vec<&'a [u8]>,
    pub(crate) quantiles: Vec<Quantile>,
}

/// One quantile of a summary.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Quantile {
    pub(crate) quantile: f64,
    pub(crate) value: f64,
}

/// One side of an exponential histogram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buckets<'a> {
    pub(crate) offset: i32,
    pub(crate) counts: Varints<'a>,
}

/// Packed numbers of 8 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eights<'a>(&'a [u8]);

impl<'a> Eights<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Irregular> {
        if bytes.len().is_multiple_of(8) { Ok(Self(bytes)) } else { Err(Irregular) }
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = u64> + use<'a> {
        self.0.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk))
    }

    pub(crate) fn doubles(self) -> impl Iterator<Item = f64> + use<'a> {
        self.numbers().map(f64::from_bits)
    }
}

/// Packed varints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Varints<'a>(&'a [u8]);

impl<'a> Varints<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Irregular> {
        let mut fields = Fields::of(bytes);
        while fields.tag()?.is_some() {}
        Ok(Self(bytes))
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = u64> + use<'a> {
        let mut fields = Fields::of(self.0);
        std::iter::from_fn(move || fields.tag().ok().flatten())
    }
}

/// A point of any type; what its type does not have is `None`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Point<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) start_time_unix_nano: u64,
    pub(crate) flags: u32,
    pub(crate) value_double: Option<f64>,
    pub(crate) value_int: Option<i64>,
    pub(crate) count: Option<u64>,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) explicit_bounds: Option<Eights<'a>>,
    pub(crate) bucket_counts: Option<Eights<'a>>,
    pub(crate) scale: Option<i32>,
    pub(crate) zero_count: Option<u64>,
    pub(crate) zero_threshold: Option<f64>,
    pub(crate) positive: Option<Buckets<'a>>,
    pub(crate) negative: Option<Buckets<'a>>,
    /// Whether it is a summary, whose quantiles are in the lists.
    pub(crate) has_quantiles: bool,
}

const START: u64 = fixed64(2);
const TIME: u64 = fixed64(3);

impl<'a> Point<'a> {
    fn parse(kind: MetricType, message: &'a [u8], lists: &mut PointLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        lists.attributes.begin();
        lists.exemplars.clear();
        lists.quantiles.clear();
        match kind {
            MetricType::Gauge | MetricType::Sum => Self::parse_number(message, lists),
            MetricType::Histogram => Self::parse_histogram(message, lists),
            MetricType::ExponentialHistogram => Self::parse_exponential(message, lists),
            MetricType::Summary => Self::parse_summary(message, lists),
        }
    }

    fn parse_number(message: &'a [u8], lists: &mut PointLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        const DOUBLE: u64 = fixed64(4);
        const EXEMPLARS: u64 = length(5);
        const INT: u64 = fixed64(6);
        const ATTRIBUTES: u64 = length(7);
        const FLAGS: u64 = varint(8);
        let mut point = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                START => point.start_time_unix_nano = fields.fixed64()?,
                TIME => point.time_unix_nano = fields.fixed64()?,
                DOUBLE => (point.value_double, point.value_int) = (Some(fields.double()?), None),
                INT => (point.value_double, point.value_int) = (None, Some(fields.signed64()?)),
                EXEMPLARS => lists.exemplars.push(fields.bytes()?),
                ATTRIBUTES => lists.attributes.take(fields.bytes()?)?,
                FLAGS => point.flags = fields.uint32()?,
                _ => fields.skip_unknown(tag, 8)?,
            }
        }
        Ok(point)
    }

    fn parse_histogram(message: &'a [u8], lists: &mut PointLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        const COUNT: u64 = fixed64(4);
        const SUM: u64 = fixed64(5);
        const BUCKET_COUNTS: u64 = length(6);
        const EXPLICIT_BOUNDS: u64 = length(7);
        const EXEMPLARS: u64 = length(8);
        const ATTRIBUTES: u64 = length(9);
        const FLAGS: u64 = varint(10);
        const MIN: u64 = fixed64(11);
        const MAX: u64 = fixed64(12);
        let mut point = Self { count: Some(0), ..Self::default() };
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                START => point.start_time_unix_nano = fields.fixed64()?,
                TIME => point.time_unix_nano = fields.fixed64()?,
                COUNT => point.count = Some(fields.fixed64()?),
                SUM => point.sum = Some(fields.double()?),
                BUCKET_COUNTS => once(&mut point.bucket_counts, Eights::new(fields.bytes()?)?)?,
                EXPLICIT_BOUNDS => once(&mut point.explicit_bounds, Eights::new(fields.bytes()?)?)?,
                EXEMPLARS => lists.exemplars.push(fields.bytes()?),
                ATTRIBUTES => lists.attributes.take(fields.bytes()?)?,
                FLAGS => point.flags = fields.uint32()?,
                MIN => point.min = Some(fields.double()?),
                MAX => point.max = Some(fields.double()?),
                _ => fields.skip_unknown(tag, 12)?,
            }
        }
        point.bucket_counts.get_or_insert(Eights(&[]));
        point.explicit_bounds.get_or_insert(Eights(&[]));
        Ok(point)
    }

    fn parse_exponential(message: &'a [u8], lists: &mut PointLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        const ATTRIBUTES: u64 = length(1);
        const COUNT: u64 = fixed64(4);
        const SUM: u64 = fixed64(5);
        const SCALE: u64 = varint(6);
        const ZERO_COUNT: u64 = fixed64(7);
        const POSITIVE: u64 = length(8);
        const NEGATIVE: u64 = length(9);
        const FLAGS: u64 = varint(10);
        const EXEMPLARS: u64 = length(11);
        const MIN: u64 = fixed64(12);
        const MAX: u64 = fixed64(13);
        const ZERO_THRESHOLD: u64 = fixed64(14);
        let mut point = Self { count: Some(0), scale: Some(0), zero_count: Some(0), zero_threshold: Some(0.0), ..Self::default() };
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                ATTRIBUTES => lists.attributes.take(fields.bytes()?)?,
                START => point.start_time_unix_nano = fields.fixed64()?,
                TIME => point.time_unix_nano = fields.fixed64()?,
                COUNT => point.count = Some(fields.fixed64()?),
                SUM => point.sum = Some(fields.double()?),
                SCALE => point.scale = Some(fields.sint32()?),
                ZERO_COUNT => point.zero_count = Some(fields.fixed64()?),
                POSITIVE => once(&mut point.positive, Buckets::parse(fields.bytes()?)?)?,
                NEGATIVE => once(&mut point.negative, Buckets::parse(fields.bytes()?)?)?,
                FLAGS => point.flags = fields.uint32()?,
                EXEMPLARS => lists.exemplars.push(fields.bytes()?),
                MIN => point.min = Some(fields.double()?),
                MAX => point.max = Some(fields.double()?),
                ZERO_THRESHOLD => point.zero_threshold = Some(fields.double()?),
                _ => fields.skip_unknown(tag, 14)?,
            }
        }
        Ok(point)
    }

    fn parse_summary(message: &'a [u8], lists: &mut PointLists<'a, impl TakeAttributes<'a>>) -> Result<Self, Irregular> {
        const COUNT: u64 = fixed64(4);
        const SUM: u64 = fixed64(5);
        const QUANTILES: u64 = length(6);
        const ATTRIBUTES: u64 = length(7);
        const FLAGS: u64 = varint(8);
        let mut point = Self { count: Some(0), sum: Some(0.0), has_quantiles: true, ..Self::default() };
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                START => point.start_time_unix_nano = fields.fixed64()?,
                TIME => point.time_unix_nano = fields.fixed64()?,
                COUNT => point.count = Some(fields.fixed64()?),
                SUM => point.sum = Some(fields.double()?),
                QUANTILES => lists.quantiles.push(Quantile::parse(fields.bytes()?)?),
                ATTRIBUTES => lists.attributes.take(fields.bytes()?)?,
                FLAGS => point.flags = fields.uint32()?,
                _ => fields.skip_unknown(tag, 8)?,
            }
        }
        Ok(point)
    }

    /// All text in it is UTF-8, and what hangs on it can be read; its attributes were looked at on the way. Answers the latest time in it.
    pub(crate) fn check(&self, lists: &PointLists<'_, CheckAttributes>) -> Result<u64, Irregular> {
        let mut latest = self.time_unix_nano.max(self.start_time_unix_nano);
        for exemplar in &lists.exemplars {
            let exemplar = Exemplar::parse(exemplar)?;
            check_all(&exemplar.filtered_attributes)?;
            latest = latest.max(exemplar.time_unix_nano);
        }
        Ok(latest)
    }

    /// The latest time in it, of one that was checked.
    pub(crate) fn latest(&self, lists: &PointLists<'_>) -> Result<u64, Irregular> {
        let own = self.time_unix_nano.max(self.start_time_unix_nano);
        lists.exemplars.iter().try_fold(own, |latest, exemplar| Ok(latest.max(Exemplar::parse(exemplar)?.time_unix_nano)))
    }

    /// Bytes of numbers that stand packed in a point, as short as one byte each, and take eight in a row.
    pub(crate) fn packed_bytes(&self) -> usize {
        let side = |side: Option<Buckets<'_>>| side.map_or(0, |buckets| buckets.counts.0.len());
        side(self.positive) + side(self.negative)
    }

    /// A count that no table can hold.
    pub(crate) fn count_too_large(&self) -> Option<u64> {
        let buckets = |side: Option<Buckets<'a>>| side.into_iter().flat_map(|buckets| buckets.counts.numbers());
        let counts = self.count.into_iter().chain(self.zero_count);
        let explicit = self.bucket_counts.into_iter().flat_map(Eights::numbers);
        counts.chain(explicit).chain(buckets(self.positive)).chain(buckets(self.negative)).find(|count| i64::try_from(*count).is_err())
    }
}

impl Quantile {
    fn parse(message: &[u8]) -> Result<Self, Irregular> {
        const QUANTILE: u64 = fixed64(1);
        const VALUE: u64 = fixed64(2);
        let mut quantile = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                QUANTILE => quantile.quantile = fields.double()?,
                VALUE => quantile.value = fields.double()?,
                _ => fields.skip_unknown(tag, 2)?,
            }
        }
        Ok(quantile)
    }
}

impl<'a> Buckets<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const OFFSET: u64 = varint(1);
        const COUNTS: u64 = length(2);
        let (mut offset, mut counts) = (0, None);
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                OFFSET => offset = fields.sint32()?,
                COUNTS => once(&mut counts, Varints::new(fields.bytes()?)?)?,
                _ => fields.skip_unknown(tag, 2)?,
            }
        }
        Ok(Self { offset, counts: counts.unwrap_or(Varints(&[])) })
    }
}

/// An exemplar of a point.
#[derive(Debug, Default)]
pub(crate) struct Exemplar<'a> {
    pub(crate) filtered_attributes: Vec<Attribute<'a>>,
    pub(crate) time_unix_nano: u64,
    pub(crate) value_double: Option<f64>,
    pub(crate) value_int: Option<i64>,
    pub(crate) span_id: &'a [u8],
    pub(crate) trace_id: &'a [u8],
}

impl<'a> Exemplar<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Irregular> {
        const TIME: u64 = fixed64(2);
        const DOUBLE: u64 = fixed64(3);
        const SPAN_ID: u64 = length(4);
        const TRACE_ID: u64 = length(5);
        const INT: u64 = fixed64(6);
        const ATTRIBUTES: u64 = length(7);
        let mut exemplar = Self::default();
        let mut fields = Fields::of(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                TIME => exemplar.time_unix_nano = fields.fixed64()?,
                DOUBLE => (exemplar.value_double, exemplar.value_int) = (Some(fields.double()?), None),
                INT => (exemplar.value_double, exemplar.value_int) = (None, Some(fields.signed64()?)),
                SPAN_ID => exemplar.span_id = fields.bytes()?,
                TRACE_ID => exemplar.trace_id = fields.bytes()?,
                ATTRIBUTES => Attribute::add_to(&mut exemplar.filtered_attributes, fields.bytes()?)?,
                _ => fields.skip_unknown(tag, 7)?,
            }
        }
        Ok(exemplar)
    }
}

/// A temporality as the tables have it; a number that OTLP does not name stays that number.
pub(crate) fn temporality_name(temporality: i32) -> String {
    match temporality {
        0 => "unspecified".to_owned(),
        1 => "delta".to_owned(),
        2 => "cumulative".to_owned(),
        other => other.to_string(),
    }
}
