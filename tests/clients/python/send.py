"""A service as its owner would write it, with the OpenTelemetry SDK for Python: it serves requests, counts them and logs.

Sends traces, metrics and logs by OTLP and prints every record that was exported as one line of JSON, as the SDK has it, for the
test to compare with the tables. Fails when an export fails. Requests lie in the past minute, so that a verdict needs no waiting.
"""

import argparse
import base64
import json
import random
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry._logs import SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
    Sum,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

SCHEMA = "https://opentelemetry.io/schemas/1.30.0"
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def plain(value):
    """A value as JSON; bytes are marked."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return value


def show(signal, record, resource, scope, **fields):
    fields.update(
        signal=signal,
        attributes=plain(record.attributes or {}),
        resource_attributes=plain(resource.attributes),
        resource_schema_url=resource.schema_url,
        scope_name=scope.name,
        scope_version=scope.version,
        scope_schema_url=scope.schema_url,
        scope_attributes=plain(scope.attributes or {}),
    )
    print(json.dumps(fields), flush=True)


def trace_id(number):
    return format(number, "032x") if number else None


def span_id(number):
    return format(number, "016x") if number else None


def checked(result, success):
    if result is not success:
        sys.exit(f"an export failed: {result}")
    return result


class Spans(SpanExporter):
    """Prints what it passes on."""

    def __init__(self, inner):
        self.inner = inner

    def export(self, spans):
        result = checked(self.inner.export(spans), SpanExportResult.SUCCESS)
        for span in spans:
            show(
                "span", span, span.resource, span.instrumentation_scope,
                trace_id=trace_id(span.context.trace_id),
                span_id=span_id(span.context.span_id),
                parent_span_id=span_id(span.parent.span_id) if span.parent else None,
                trace_state=span.context.trace_state.to_header(),
                name=span.name,
                kind=span.kind.name,
                status_code=span.status.status_code.name,
                status_message=span.status.description,
                start_time_unix_nano=span.start_time,
                end_time_unix_nano=span.end_time,
                events=[{"name": e.name, "time_unix_nano": e.timestamp, "attributes": plain(e.attributes or {})} for e in span.events],
                links=[
                    {
                        "trace_id": trace_id(link.context.trace_id),
                        "span_id": span_id(link.context.span_id),
                        # The exporter does not send a link's state.
                        "trace_state": "",
                        "attributes": plain(link.attributes or {}),
                    }
                    for link in span.links
                ],
            )
        return result

    def shutdown(self):
        self.inner.shutdown()


class Logs(LogRecordExporter):
    """Prints what it passes on."""

    def __init__(self, inner):
        self.inner = inner

    def export(self, batch):
        result = checked(self.inner.export(batch), LogRecordExportResult.SUCCESS)
        for item in batch:
            record = item.log_record
            show(
                "log", record, item.resource, item.instrumentation_scope,
                time_unix_nano=record.timestamp,
                observed_time_unix_nano=record.observed_timestamp,
                severity_number=record.severity_number.value if record.severity_number else None,
                severity_text=record.severity_text,
                body=plain(record.body),
                event_name=record.event_name,
                trace_id=trace_id(record.trace_id),
                span_id=span_id(record.span_id),
            )
        return result

    def shutdown(self):
        self.inner.shutdown()

    def force_flush(self, timeout_millis=30000):
        return True


class Metrics(MetricExporter):
    """Prints what it passes on."""

    def __init__(self, inner, temporality):
        super().__init__(preferred_temporality=temporality)
        self.inner = inner

    def export(self, metrics_data, timeout_millis=10000, **kwargs):
        result = checked(self.inner.export(metrics_data, timeout_millis, **kwargs), MetricExportResult.SUCCESS)
        for of_resource in metrics_data.resource_metrics:
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    for point in metric.data.data_points:
                        show("metric", point, of_resource.resource, of_scope.scope, **point_fields(metric, point))
        return result

    def shutdown(self, timeout_millis=30000, **kwargs):
        self.inner.shutdown()

    def force_flush(self, timeout_millis=10000):
        return True


def point_fields(metric, point):
    data = metric.data
    fields = {
        "metric_name": metric.name,
        "unit": metric.unit,
        "description": metric.description,
        "time_unix_nano": point.time_unix_nano,
        "start_time_unix_nano": point.start_time_unix_nano,
        "exemplars": [
            {
                "time_unix_nano": e.time_unix_nano,
                "value": e.value,
                "trace_id": trace_id(e.trace_id),
                "span_id": span_id(e.span_id),
                "filtered_attributes": plain(e.filtered_attributes or {}),
            }
            for e in point.exemplars
        ],
    }
    if isinstance(data, (Sum, Gauge)):
        fields["metric_type"] = "sum" if isinstance(data, Sum) else "gauge"
        fields["value_int" if isinstance(point.value, int) else "value_double"] = point.value
        if isinstance(data, Sum):
            fields["is_monotonic"] = data.is_monotonic
    else:
        fields.update(count=point.count, sum=point.sum, min=point.min, max=point.max)
        if isinstance(data, ExponentialHistogram):
            fields.update(
                metric_type="exponential_histogram",
                scale=point.scale,
                zero_count=point.zero_count,
                positive_offset=point.positive.offset,
                positive_bucket_counts=list(point.positive.bucket_counts),
                negative_offset=point.negative.offset,
                negative_bucket_counts=list(point.negative.bucket_counts),
            )
        else:
            fields.update(
                metric_type="histogram", explicit_bounds=list(point.explicit_bounds), bucket_counts=list(point.bucket_counts)
            )
    if not isinstance(data, Gauge):
        fields["temporality"] = data.aggregation_temporality.name.lower()
    return fields


def exporters(protocol, endpoint, compression):
    if protocol == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        how = {"endpoint": endpoint, "insecure": True, "compression": Compression.Gzip if compression == "gzip" else None}
        return OTLPSpanExporter(**how), OTLPLogExporter(**how), OTLPMetricExporter(**how)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    how = {"compression": Compression.Gzip if compression == "gzip" else Compression.NoCompression}
    return (
        OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", **how),
        OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", **how),
        OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", **how),
    )


def every_type():
    return {
        "text": "grüße, \"welt\"\n",
        "empty": "",
        "yes": True,
        "no": False,
        "int": -(2**53) - 1,
        "float": 0.1,
        "texts": ["a", "b,c", ""],
        "bools": [True, False],
        "ints": [1, -2, 2**62],
        "floats": [1.5, -0.25, 1e300],
    }


def caller(number):
    """The span of another service that called, with the state that it passed on."""
    state = TraceState([("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE")])
    return SpanContext(random.getrandbits(128) | 1, 0xF067AA0BA902B7 + number, True, TraceFlags(1), state)


class Service:
    """Handles orders; the longer ago a request, the earlier it was handled."""

    def __init__(self, tracer, meter, logger, options):
        self.tracer, self.logger, self.options = tracer, logger, options
        self.chance = random.Random(options.seed)
        self.served = meter.create_counter("orders.served", unit="{order}", description="Orders that were handled")
        self.open = meter.create_up_down_counter("orders.open", unit="{order}")
        self.amount = meter.create_histogram("order.amount", unit="EUR", explicit_bucket_boundaries_advisory=[10.0, 50.0, 100.5])
        self.duration = meter.create_histogram("order.duration", unit="s", description="How long an order took")
        self.level = meter.create_gauge("stock.level", unit="1")
        meter.create_observable_gauge("worker.busy", [lambda _: [Observation(0.75, {"pool": "main"})]])
        meter.create_observable_counter("bytes.read", [lambda _: [Observation(1 << 40, {"disk": "sda"})]], unit="By")

    def serve(self, number, at):
        failed = self.options.failures and number % self.options.failures == 0
        took = int(self.chance.lognormvariate(2.5, 0.4) * MILLISECOND)
        root = self.tracer.start_span(
            "POST /orders/{id}",
            context=trace.set_span_in_context(NonRecordingSpan(caller(number))) if number < 3 else None,
            kind=SpanKind.SERVER,
            start_time=at,
            attributes={
                "http.request.method": "POST",
                "http.route": "/orders/{id}",
                "url.path": f"/orders/{number}",
                "http.response.status_code": 500 if failed else 201,
                **({"error.type": "OutOfStock"} if failed else {}),
                **(every_type() if number < 3 else {}),
            },
        )
        with trace.use_span(root, end_on_exit=False):
            if number < 3:
                self.inside(root, at, took)
            self.measure(number, failed, took)
            if failed:
                self.fail(root, number, at + took)
            elif number < 20:
                self.logger.emit(
                    timestamp=at + took, severity_number=SeverityNumber.INFO, severity_text="INFO", body=f"order {number} is placed"
                )
        root.end(at + took)

    def inside(self, root, at, took):
        """A child with events and a grandchild that calls out, under names of older conventions."""
        root.add_event("queued", {"position": 3, "who": ["a", "b"]}, at + 1)
        with self.tracer.start_as_current_span("reserve", start_time=at + 10, end_on_exit=False) as child:
            elsewhere = SpanContext(
                0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1), TraceState([("congo", "t61rcWkgMzE")])
            )
            grandchild = self.tracer.start_span(
                "GET stock",
                kind=SpanKind.CLIENT,
                start_time=at + 20,
                links=[Link(elsewhere, {"reason": "batch", "size": 2})],
                attributes={"http.method": "GET", "http.status_code": 200, "net.peer.name": "stock.local", "db.system": "postgresql"},
            )
            grandchild.set_status(Status(StatusCode.OK))
            grandchild.end(at + took // 2)
            child.end(at + took // 2 + 5)

    def fail(self, root, number, at):
        try:
            raise LookupError(f"no stock for order {number}")
        except LookupError as error:
            root.record_exception(error, {"exception.escaped": "False", "attempt": 2}, timestamp=at)
            root.set_status(Status(StatusCode.ERROR, str(error)))
            self.logger.emit(
                timestamp=at, severity_number=SeverityNumber.ERROR, severity_text="ERROR", body=f"order {number} failed",
                attributes={"exception.type": "LookupError", "exception.message": str(error), "order": number},
            )

    def measure(self, number, failed, took):
        labels = {"outcome": "failed" if failed else "placed"}
        self.served.add(1, labels)
        self.open.add(2, {"queue": "main", "shard": 1})
        self.open.add(-1, {"queue": "main", "shard": 1})
        self.amount.record(self.chance.uniform(1.0, 200.0), {**labels, "customer": number % 5})
        self.duration.record(took / SECOND, labels)
        self.level.set(self.chance.uniform(-1.0, 1.0), {"shelf": "left"})

    def speak(self):
        """Logs of every form, outside of a trace."""
        self.logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN2,
            severity_text="warning",
            body={"stock": {"left": 3, "shelves": [1, "two", None, 2.5]}, "raw": b"\x00\xff", "ok": True},
            attributes={"raw": b"\x01\x02", "nested": {"a": [1, {"b": "c"}]}, **every_type()},
            event_name="stock.low",
        )
        self.logger.emit(body=42, severity_number=SeverityNumber.TRACE)
        self.logger.emit(body=["a", 1, False], severity_number=SeverityNumber.FATAL4, severity_text="fatal")
        self.logger.emit(body=b"\xde\xad\xbe\xef")
        self.logger.emit(body=2.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["grpc", "http/protobuf"], required=True)
    parser.add_argument("--endpoint", required=True, help="http://host:port")
    parser.add_argument("--compression", choices=["none", "gzip"], default="none")
    parser.add_argument("--temporality", choices=["cumulative", "delta"], default="cumulative")
    parser.add_argument("--service", required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--failures", type=int, default=0, help="every n-th request fails; 0 for none")
    parser.add_argument("--start", type=int, help="of the minute, in Unix nanoseconds; 100 s ago if not given")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    spans, logs, metrics = exporters(options.protocol, options.endpoint, options.compression)
    resource = Resource(
        {
            "service.name": options.service,
            "service.namespace": "shop",
            "service.version": options.version,
            "service.instance.id": f"{options.service}-{options.version}-0",
            "deployment.environment.name": options.environment,
            "host.name": "host-a",
            "telemetry.sdk.language": "python",
            "replicas": 3,
            "zones": ["a", "b"],
        },
        SCHEMA,
    )
    asked = AggregationTemporality.DELTA if options.temporality == "delta" else AggregationTemporality.CUMULATIVE
    kinds = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(Spans(spans)))
    logging = LoggerProvider(resource=resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(Logs(logs)))
    meters = MeterProvider(
        resource=resource,
        metric_readers=[PeriodicExportingMetricReader(Metrics(metrics, dict.fromkeys(kinds, asked)), export_interval_millis=600_000)],
        views=[
            View(instrument_name="order.duration", aggregation=ExponentialBucketHistogramAggregation(max_size=20)),
            # What the view leaves out of the points goes into their exemplars.
            View(instrument_name="order.amount", attribute_keys={"outcome"}),
        ],
    )
    service = Service(
        traces.get_tracer("orders", "2.1", SCHEMA, {"team": "checkout", "tier": 1}),
        meters.get_meter("orders.meter", "2.1", SCHEMA, {"team": "checkout"}),
        logging.get_logger("orders.log", "2.1", SCHEMA, {"team": "checkout"}),
        options,
    )
    start, minute = options.start or time.time_ns() - 100 * SECOND, 60 * SECOND
    for number in range(options.requests):
        service.serve(number, start + minute * number // options.requests)
    service.speak()
    for provider in (traces, logging, meters):
        provider.shutdown()


if __name__ == "__main__":
    main()
